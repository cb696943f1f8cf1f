"""The command `python -m custom_ops`: `info` lists which operators run, `build` compiles them ahead of first use."""

import sys

from custom_ops.dispatch import build, info
from custom_ops.native.toolchain import NativeUnavailable

USAGE = """usage: python -m custom_ops {info,build}

  info            list what runs which operator on which device, and why; compiles nothing
  build [--cuda]  compile the native operators for this machine; with --cuda also for every GPU from compute
                  capability 8.0 up (or TORCH_CUDA_ARCH_LIST), even if none is here"""


def main(arguments: list[str]) -> int:
    try:
        if arguments == ["info"]:
            for row in info():
                print(f"{row['op']:<12}{row['device']:<6}{row['path']}: {row['reason']}")
            return 0
        if arguments in (["build"], ["build", "--cuda"]):
            for built in build(cuda="--cuda" in arguments):
                print(f"{built.library} (compiled in {built.took_s:.0f} s, {built.age} ago, by {built.compiler})")
            return 0
    except (NativeUnavailable, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    print(USAGE, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`python -m custom_ops info` says which path runs for what; `python -m custom_ops build` builds ahead of first use."""

import sys

from custom_ops.build import NativeUnavailable, build, info

USAGE = "usage: python -m custom_ops {build,info}"


def main(arguments: list[str]) -> int:
    if arguments == ["info"]:
        for row in info():
            print(f"{row['op']:<12}{row['path']:<8}{row['reason']}")
        return 0
    if arguments == ["build"]:
        try:
            build()
        except NativeUnavailable as error:
            print(error, file=sys.stderr)
            return 2
        return 0
    print(USAGE, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

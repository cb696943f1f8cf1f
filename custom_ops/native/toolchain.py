"""The build of the native operators: sources, tools, flags, and the digest of them all."""

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch

Kind = Literal["cpu", "cuda"]

SUFFIXES = (".cpp", ".cu", ".h")
COMPILERS = ("c++", "g++", "clang++")
X86 = platform.machine().lower() in ("x86_64", "amd64")
FLAGS = (
    "-O3", "-std=c++20", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast",
    *(["-fopenmp"] if sys.platform != "darwin" else []),  # Apple's compiler has none: one thread there
    *(["-DGANAUG_X86"] if X86 else []),
    f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}",
)  # fmt: skip
NVCC_FLAGS = ("-O3", "-std=c++20", "-Xcompiler=-fPIC", "--expt-relaxed-constexpr", "--threads=0")
X86_FLAGS = {  # by the end of a source's name
    "_avx2": ("-mavx2", "-mfma", "-mf16c"),
    "_avx512": ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma", "-mf16c", "-mprefer-vector-width=512"),
}
VERSION_S = 60  # a compiler's time to print its version
PORTABLE_ARCHS = ("8.0", "9.0+PTX")  # every GPU from compute capability 8.0 up runs one of these


class NativeUnavailable(RuntimeError):
    """A native operator was required, and there is none."""


class WrongSetting(ValueError):
    """An environment variable has a value that is not among its choices."""


@dataclass(frozen=True)
class Tools:
    """The programs that build, and the line in which each prints its version."""

    compiler: tuple[str, ...]
    ninja: tuple[str, ...]
    nvcc: str | None
    versions: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        return _digest([*self.compiler, self.nvcc or "", *self.versions])[:8]


@dataclass(frozen=True)
class BuildTarget:
    """One library: the CPU's, which also holds the operators' schema, or that of CUDA, loaded on top of it."""

    kind: Kind
    sources: Path
    archs: tuple[str, ...]  # compute capabilities, for CUDA
    tools: Tools | None  # None: nothing can be compiled, but an earlier build can be used

    @cached_property
    def name(self) -> str:
        """The library's name in the cache; a pattern for every compiler's library where there are no tools."""
        texts = [str(FLAGS), str(NVCC_FLAGS), str(X86_FLAGS), *self.archs, torch.__version__, str(torch.version.cuda)]
        texts += [sys.platform, platform.machine()]
        for path in sorted(self.sources.rglob("*")):
            if path.suffix in SUFFIXES:
                texts += [path.relative_to(self.sources).as_posix(), path.read_text("latin-1")]  # byte for byte
        return f"{self.kind}-{_digest(texts)[:16]}-{self.tools.digest if self.tools else '????????'}"

    def compile(self, folder: Path, progress: Callable[[int, int], None]) -> Path:
        """Compile into `folder`, with the tools' output in build.log; raises NativeUnavailable on failure.

        progress: called with the number of steps done and the number of all steps.
        """
        assert self.tools is not None
        (folder / "build.ninja").write_bytes(os.fsencode("\n".join(self._ninja_lines(self.tools)) + "\n"))
        jobs = str(_num_jobs())
        environment = os.environ | {"NINJA_STATUS": "[%f/%t] "}
        with (
            open(folder / "build.log", "w", encoding="utf-8") as log,
            subprocess.Popen(
                [*self.tools.ninja, "-v", "-j", jobs], cwd=folder, env=environment, encoding="utf-8", errors="replace",
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            ) as ninja,
        ):  # fmt: skip
            assert ninja.stdout is not None
            for line in ninja.stdout:
                log.write(line)
                if step := re.match(r"\[(\d+)/(\d+)\] ", line):
                    progress(int(step[1]), int(step[2]))
        if ninja.returncode != 0:
            raise NativeUnavailable(f"the build failed ({_first_error(folder / 'build.log')})")
        return folder / "library.so"

    def _ninja_lines(self, tools: Tools) -> Iterator[str]:
        torch_folder = Path(torch.__file__).parent
        includes = [torch_folder / "include", torch_folder / "include/torch/csrc/api/include"]
        search = [word for path in includes for word in ("-isystem", str(path))]
        libraries = ["-lc10", "-ltorch_cpu"]
        suffix, compiler, flags = ".cpp", [*tools.compiler], [*FLAGS]
        if self.kind == "cuda":
            assert tools.nvcc is not None
            host = ["-ccbin", *tools.compiler] if len(tools.compiler) == 1 else []
            suffix, compiler = ".cu", [tools.nvcc, *host]
            flags = [*NVCC_FLAGS, *(flag for arch in self.archs for flag in _arch_flags(arch))]
            libraries += ["-lc10_cuda", "-ltorch_cuda", "-cudart=shared"]
        elif "-fopenmp" in FLAGS:
            libraries.append("-fopenmp")
        if sys.platform == "linux":  # a missing symbol must fail here, not where the library is loaded
            libraries.append("-Xlinker=--no-undefined" if self.kind == "cuda" else "-Wl,--no-undefined")
        yield from ("rule compile", f"  command = {_command(compiler)} $flags -c $in -o $out")
        yield from ("rule link", f"  command = {_command(compiler)} -shared $in -o $out $flags")
        objects = []
        for source in sorted(self.sources.rglob(f"*{suffix}")):
            extra = [more for end, more in X86_FLAGS.items() if source.stem.endswith(end)]
            if extra and not X86:
                continue
            objects.append("-".join(source.relative_to(self.sources).parts) + ".o")
            yield f"build {_path(objects[-1])}: compile {_path(str(source.resolve()))}"
            yield "  flags = " + _command([*flags, *search, *(flag for more in extra for flag in more)])
        yield f"build library.so: link {' '.join(map(_path, objects))}"
        yield "  flags = " + _command(["-L" + str(torch_folder / "lib"), *libraries])


def find_tools(kind: Kind) -> Tools:
    """Find the compiler, ninja and, for CUDA, nvcc; raises NativeUnavailable with the names that were tried."""
    try:
        requested = shlex.split(os.environ.get("CXX", ""))
    except ValueError as error:  # an open quote, say
        raise NativeUnavailable(
            f"CXX is {os.environ['CXX']!r} ({error}); expected a compiler's command; close the quote"
        ) from None
    names = requested[:1] or COMPILERS
    compiler = next((path for name in names if (path := shutil.which(name))), None)
    if compiler is None:
        raise NativeUnavailable(f"no compiler found (looked for {', '.join(names)}); install one, or name it in CXX")
    nvcc = _find_nvcc() if kind == "cuda" else None
    commands = [(compiler, *requested[1:]), *([(nvcc,)] if nvcc else [])]
    return Tools(commands[0], _find_ninja(), nvcc, tuple(_version(command) for command in commands))


def usable_archs(portable: bool = False) -> list[tuple[str, ...]]:
    """The GPU architectures to compile for, and after them others whose library would serve as well.

    TORCH_CUDA_ARCH_LIST decides; without it, the GPUs present; where there are none, or if `portable`, PORTABLE_ARCHS.
    Raises NativeUnavailable where the variable holds anything else.
    """
    if requested := os.environ.get("TORCH_CUDA_ARCH_LIST"):
        archs = tuple(requested.replace(";", " ").split())
        for arch in archs or (requested,):
            _arch_flags(arch)
        return [archs]
    if portable or not torch.cuda.is_available():
        return [PORTABLE_ARCHS]
    present = {torch.cuda.get_device_capability(index) for index in range(torch.cuda.device_count())}
    exact = tuple(f"{major}.{minor}" for major, minor in sorted(present))
    return [exact, PORTABLE_ARCHS] if min(present) >= (8, 0) else [exact]


def _find_ninja() -> tuple[str, ...]:
    if path := shutil.which("ninja"):
        return (path,)
    if find_spec("ninja"):  # the package, of which no script need be on PATH
        return (sys.executable, "-m", "ninja")
    raise NativeUnavailable("no ninja found (looked for the program and for the Python package); pip install ninja")


def _find_nvcc() -> str:
    if torch.version.cuda is None:
        raise NativeUnavailable("this PyTorch is built without CUDA")
    homes = [os.path.join(home, "bin") for home in (os.environ.get("CUDA_HOME"), "/usr/local/cuda") if home]
    places = [homes[0], *os.environ.get("PATH", "").split(os.pathsep), homes[-1]]
    nvcc = shutil.which("nvcc", path=os.pathsep.join(place for place in places if place))
    if nvcc is None:
        raise NativeUnavailable("no nvcc found (looked in CUDA_HOME, PATH and /usr/local/cuda); name it in CUDA_HOME")
    major, wanted = _version((nvcc,)).partition("release ")[2].split(".")[0], torch.version.cuda.split(".")[0]
    if major != wanted:
        raise NativeUnavailable(f"{nvcc} is of CUDA {major or '?'}, PyTorch of CUDA {wanted}; name that in CUDA_HOME")
    return nvcc


def _version(command: tuple[str, ...]) -> str:
    """The line in which a compiler prints its version; with nvcc that is not the first."""
    try:
        lines = subprocess.run(
            [*command, "--version"], capture_output=True, encoding="utf-8", errors="replace", check=True,
            stdin=subprocess.DEVNULL, timeout=VERSION_S,
        ).stdout.splitlines()  # fmt: skip
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise NativeUnavailable(f"{shlex.join(command)} does not run ({error})") from None
    return next((line for line in lines if "release" in line), lines[0] if lines else "")


def _arch_flags(arch: str) -> list[str]:
    match = re.fullmatch(r"(\d+)\.(\d+[af]?)(\+PTX)?", arch)
    if match is None:
        raise NativeUnavailable(f"TORCH_CUDA_ARCH_LIST holds {arch!r}; expected numbers such as '8.0;9.0+PTX'")
    number = match[1] + match[2]
    codes = [f"sm_{number}", *([f"compute_{number}"] if match[3] else [])]
    return [f"-gencode=arch=compute_{number},code={code}" for code in codes]


def _first_error(log: Path) -> str:
    lines = [line.strip() for line in log.read_text("utf-8").splitlines() if line.strip()]
    wrong = [line for line in lines if re.search(r"\b(error|undefined reference|not found|Killed)\b", line)]
    return (wrong or lines[-1:] or ["ninja printed nothing"])[0][:300]


def _num_jobs() -> int:
    """How many compilers run at a time: MAX_JOBS, else as many as there are cores."""
    setting = os.environ.get("MAX_JOBS") or str(_num_cores())
    if not (setting.isascii() and setting.isdigit() and int(setting[:9]) >= 1):
        raise NativeUnavailable(f"MAX_JOBS is {setting!r}; expected a whole number from 1 up; correct or unset it")
    return int(setting[:9])


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _command(words: list[str]) -> str:
    """Words quoted for the shell that ninja starts."""
    return shlex.join(words).replace("$", "$$")


def _path(path: str) -> str:
    """A path escaped for ninja, which quotes it for the shell by itself."""
    return re.sub(r"([$ :])", r"$\1", path)


def _digest(texts: list[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()

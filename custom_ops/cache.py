"""Where compiled libraries are kept: found whole or not at all, and built by one process while the others wait."""

import contextlib
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from custom_ops.toolchain import NativeUnavailable, Recipe

try:
    import fcntl
except ImportError:  # not every platform has it
    fcntl = None  # type: ignore[assignment]

ABANDONED_S = 900  # a lock file this old belongs to a builder that was killed


@dataclass(frozen=True)
class Built:
    """A library in the cache."""

    library: Path
    sha256: str
    built_at: float  # seconds since 1970
    took_s: float
    compiler: str

    @property
    def age(self) -> str:
        age_s = max(time.time() - self.built_at, 0)
        for size_s, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
            if age_s >= 2 * size_s:
                return f"{age_s // size_s:.0f} {unit}"
        return f"{age_s:.0f} s"


def folder() -> Path:
    """The folder that holds the libraries: GANAUG_OPS_CACHE, else ganaug/ops in the user's cache."""
    if wish := os.environ.get("GANAUG_OPS_CACHE"):
        return Path(wish).expanduser().absolute()
    user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(user).expanduser().absolute() / "ganaug" / "ops"


def find(recipe: Recipe) -> Built | None:
    """Find the recipe's library, whole; None where it was never built, or is damaged."""
    spare = _spare_folder()
    for place in (folder(), *([spare] if _is_ours(spare) else [])):
        for entry in sorted(place.glob(recipe.name)):
            if built := _read(entry):
                return built
    return None


def build(recipe: Recipe, bad: Built | None = None) -> Built:
    """Build the recipe's library, unless another process just has; raises NativeUnavailable where that fails.

    bad: a library that was found but does not load, to be replaced.
    """
    place = _writable_folder()
    final, scratch = place / recipe.name, place / f"{recipe.name}.scratch"
    with _lock(place / f"{recipe.name}.lock"):
        built = _read(final)
        if built and built != bad:
            return built
        shutil.rmtree(scratch, ignore_errors=True)  # of a builder that was killed
        scratch.mkdir()
        try:
            _compile(recipe, scratch)
            shutil.rmtree(final, ignore_errors=True)
            scratch.rename(final)
        except OSError as error:  # a full disk, say
            raise NativeUnavailable(f"the build failed ({error})") from None
        except NativeUnavailable as error:
            if not (scratch / "build.log").exists():
                raise
            log = shutil.copy(scratch / "build.log", place / f"{recipe.name}.log")
            raise NativeUnavailable(f"{error}; all that was said stands in {log}") from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    built = _read(final)
    if built is None:
        raise NativeUnavailable(f"{final} was built and is gone or damaged already; set another GANAUG_OPS_CACHE")
    return built


def _compile(recipe: Recipe, scratch: Path) -> None:
    """Compile the library and write down beside it what it is."""
    assert recipe.tools is not None
    start = time.time()
    line = f"ganaug: compiling native operators ({recipe.kind})"
    moving = sys.stderr.isatty()

    def progress(done: int, total: int) -> None:
        if moving:
            print(f"\r{line}, {done}/{total} …", end="", file=sys.stderr, flush=True)

    print(f"{line} …", end="", file=sys.stderr, flush=True)
    end = " stopped"
    try:
        library = recipe.compile(scratch, progress)
        if replace(recipe).name != recipe.name:
            raise NativeUnavailable("the sources changed while they were compiled, so it is not known what they gave")
        took_s = time.time() - start
        end = f" done in {took_s:.0f} s"
    finally:
        print(end, file=sys.stderr, flush=True)
    record = {"sha256": _sha256(library), "built_at": time.time(), "took_s": took_s}
    record["compiler"] = recipe.tools.versions[-1]
    (scratch / "build.json").write_text(json.dumps(record))


def _read(entry: Path) -> Built | None:
    """The library in folder `entry`; None unless it is, byte for byte, the one that was built."""
    library = entry / "library.so"
    try:
        built = Built(library=library, **json.loads((entry / "build.json").read_text()))
        return built if built.sha256 == _sha256(library) else None
    except (OSError, ValueError, TypeError):
        return None


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _writable_folder() -> Path:
    place = folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return place
    except OSError as error:
        spare = _spare_folder()
        with contextlib.suppress(OSError):
            spare.mkdir(mode=0o700, exist_ok=True)
        if not _is_ours(spare):
            raise NativeUnavailable(
                f"neither {place} ({error}) nor {spare} can be written; name a GANAUG_OPS_CACHE"
            ) from None
        warnings.warn(
            f"ganaug: {place} cannot be written ({error}); native operators are kept in {spare}", stacklevel=2
        )
        return spare


def _spare_folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else 0
    return Path(tempfile.gettempdir()) / f"ganaug-ops-{user}"


def _is_ours(place: Path) -> bool:
    """Whether nobody else can have put a library into this folder, whose parent is everybody's."""
    try:
        status = place.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        return False
    return not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & 0o077)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold `path`, alone among all processes; the system releases it when its holder ends, however that comes."""
    with open(path, "a") as file:
        if _lock_by_system(file.fileno()):
            yield
            return
    with _lock_by_presence(path.with_suffix(".held")):
        yield


def _lock_by_system(descriptor: int) -> bool:
    """Lock an open file until it is closed; False where platform or file system cannot."""
    if fcntl is None:
        return False
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("ganaug: waiting for another process that compiles native operators", file=sys.stderr, flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _lock_by_presence(path: Path) -> Iterator[None]:
    """Hold a file by having created it; an abandoned one is removed.

    Two who remove the same abandoned file may both go on, and one of their builds then fails; it is that rare a case.
    """
    while True:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > ABANDONED_S:
                    path.unlink()
            time.sleep(0.2)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)

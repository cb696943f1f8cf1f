"""The cache of compiled libraries: found whole or not at all, and built by one process while the others wait.

A library runs as soon as it is loaded, so it is loaded only from folders that nobody else can write.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from custom_ops.native.toolchain import BuildTarget, NativeUnavailable
from custom_ops.native.trust import find_risk

try:
    import fcntl
except ImportError:  # not every platform has it
    fcntl = None  # type: ignore[assignment]

ABANDONED_S = 900  # a lock file this old belongs to a builder that was killed
WAIT_S = 1800  # for another process that builds


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
    """The folder that holds the libraries: GANAUG_OPS_CACHE, else ganaug/ops in the user's cache.

    Where there is neither, as for a user without a home, it lies in the folder of temporary files.
    """
    requested = os.environ.get("GANAUG_OPS_CACHE")
    user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return (Path(requested) if requested else Path(user) / "ganaug" / "ops").expanduser().absolute()
    except (RuntimeError, OSError):
        return _spare_folder()


def find(target: BuildTarget) -> Built | None:
    """Find the target's library, whole; None where it was never built, is corrupt, or others could have put it."""
    for place in (folder(), _spare_folder()):
        with contextlib.suppress(OSError):
            for entry in sorted(place.glob(target.name)):
                if built := _read(entry):
                    return built
    return None


def find_obstacle() -> str:
    """The reason why `folder()` cannot be used; empty where it can. Writes nothing."""
    place = folder()
    there = next(path for path in (place, *place.parents) if os.path.lexists(path))
    if not there.is_dir():
        return f"{there} is no folder"
    if not os.access(there, os.W_OK | os.X_OK) and not (there == place and os.access(there, os.R_OK | os.X_OK)):
        return f"{there} cannot be written"
    return find_risk(there) if there == place else ""


def build(target: BuildTarget, bad: Built | None = None) -> Built:
    """Build the target's library, unless another process just has; raises NativeUnavailable where that fails.

    bad: a library that was found but does not load, to be replaced.
    """
    place = _writable_folder()
    try:
        with _lock(place / f"{target.name}.lock"):
            built = _read(place / target.name)
            if built is None or built == bad:
                _build(target, place)
                built = _read(place / target.name)
    except OSError as error:  # a full disk, say
        raise NativeUnavailable(f"the build failed ({error})") from None
    if built is None:
        raise NativeUnavailable(
            f"{place / target.name} was built and is gone or corrupt already; expected the new library; "
            "set another GANAUG_OPS_CACHE"
        )
    return built


def _build(target: BuildTarget, place: Path) -> None:
    final, scratch = place / target.name, place / f"{target.name}.scratch"
    shutil.rmtree(scratch, ignore_errors=True)  # of a builder that was killed
    scratch.mkdir()
    try:
        _compile(target, scratch)
        for path in (
            scratch,
            scratch / "library.so",
            scratch / "build.json",
        ):  # else, under a umask of 002, find_risk refuses them
            path.chmod(path.stat().st_mode & ~(stat.S_IWGRP | stat.S_IWOTH))
        shutil.rmtree(final, ignore_errors=True)
        scratch.rename(final)
    except NativeUnavailable as error:
        if not (scratch / "build.log").exists():
            raise
        log = shutil.copy(scratch / "build.log", place / f"{target.name}.log")
        raise NativeUnavailable(f"{error}; the whole output is in {log}") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _compile(target: BuildTarget, scratch: Path) -> None:
    """Compile the library and write its record, build.json, next to it."""
    assert target.tools is not None
    start = time.time()
    line = f"ganaug: compiling native operators ({target.kind})"
    is_terminal = sys.stderr.isatty()

    def progress(done: int, total: int) -> None:
        if is_terminal:
            print(f"\r{line}, {done}/{total} …", end="", file=sys.stderr, flush=True)

    print(f"{line} …", end="", file=sys.stderr, flush=True)
    end = " stopped"
    try:
        library = target.compile(scratch, progress)
        if replace(target).name != target.name:
            raise NativeUnavailable(
                "the sources changed while they were compiled, so the library may match neither version; run again"
            )
        took_s = time.time() - start
        end = f" done in {took_s:.0f} s"
    finally:
        print(end, file=sys.stderr, flush=True)
    record = {"sha256": _sha256(library), "built_at": time.time(), "took_s": took_s}
    record["compiler"] = target.tools.versions[-1]
    (scratch / "build.json").write_text(json.dumps(record))


def _read(entry: Path) -> Built | None:
    """The library in folder `entry`; None unless it is, byte for byte, the one that was built, and nobody else's."""
    library, record = entry / "library.so", entry / "build.json"
    if any(find_risk(path) for path in (library, record)):
        return None
    try:
        values = json.loads(record.read_bytes())
        built = Built(library=library, **values)
        texts, numbers = (built.sha256, built.compiler), (built.built_at, built.took_s)
        is_ours = {*map(type, texts)} == {str} and {*map(type, numbers)} <= {int, float}
        return built if is_ours and all(map(math.isfinite, numbers)) and built.sha256 == _sha256(library) else None
    except (OSError, ValueError, TypeError, RecursionError, OverflowError):
        return None


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _writable_folder() -> Path:
    """The folder to build in: that of the libraries or, with one warning, the spare one."""
    place, spare = folder(), _spare_folder()
    reason = _find_write_obstacle(place)
    if not reason:
        return place
    if spare_reason := _find_write_obstacle(spare, 0o700):
        raise NativeUnavailable(
            f"neither {place} ({reason}) nor {spare} ({spare_reason}) can be used; name a GANAUG_OPS_CACHE"
        )
    warnings.warn(f"ganaug: {place} is not used ({reason}); native operators are kept in {spare}", stacklevel=2)
    return spare


def _find_write_obstacle(place: Path, mode: int = 0o755) -> str:
    """Why libraries cannot be kept in a folder, which is created where it is missing; empty where they can."""
    try:
        missing = [path for path in (place, *place.parents) if not os.path.lexists(path)]
        for path in reversed(missing):
            path.mkdir(mode=mode, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return find_risk(place)
    except OSError as error:
        return f"it cannot be written: {error}"


def _spare_folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else 0
    try:
        base = tempfile.gettempdir()
    except OSError:  # no folder of temporary files can be written
        base = os.path.join(os.sep, "tmp")
    return Path(base) / f"ganaug-ops-{user}"


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

    def lock() -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    try:
        if not lock():
            print("ganaug: waiting for another process that compiles native operators", file=sys.stderr, flush=True)
            _wait_for(lock)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _lock_by_presence(path: Path) -> Iterator[None]:
    """Hold a file by having created it; an abandoned one is removed.

    Two who remove the same abandoned file may both go on, and one of their builds then fails, which is rare enough.
    """

    def lock() -> bool:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > ABANDONED_S:
                    path.unlink()
            return False
        return True

    _wait_for(lock)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _wait_for(lock: Callable[[], bool]) -> None:
    """Try again until the lock is held; raises NativeUnavailable after WAIT_S, as its holder may hang."""
    deadline = time.monotonic() + WAIT_S
    while not lock():
        if time.monotonic() > deadline:
            raise NativeUnavailable(
                f"another process has been compiling native operators in {folder()} for {WAIT_S} s; "
                "stop it, or name another GANAUG_OPS_CACHE"
            )
        time.sleep(0.1)

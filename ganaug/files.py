"""Files that are written whole or not at all, and JSON that is checked where it is read.

A file is written as a hidden neighbour, `.<name>.<machine>-<random>.part`, that takes the final name at the end. While
it is written its process holds a shared lock on it, so that the next command recognises what a killed one left.
"""

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ganaug.errors import CorruptFile, DiskFull, UserError, WorkspaceError

try:
    import fcntl
except ImportError:  # outside of Unix, where nothing shows which process owns a file
    fcntl = None  # type: ignore[assignment]

TEXT, NUMBER = (str,), (int, float)  # the kinds of a JSON value; True and False are no numbers
MAX_DEPTH = 50  # of JSON's lists and objects within each other; ours have six
SECONDS_TO_BE_UNOWNED = 86_400.0  # of another machine's file: locks may not reach from there to here
_MACHINE = hashlib.sha256(platform.node().encode("utf-8", "replace")).hexdigest()[:6]
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[][{}]', re.DOTALL)
_PART = re.compile(r"\..*\.(?P<machine>[0-9a-f]{6})-[a-z0-9_]{8}\.part")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # EFBIG: a limit on the size of files, as `ulimit -f` sets
_swept: set[str] = set()  # folders that this process has looked through


@contextmanager
def os_errors_as_workspace_errors(path: Path) -> Iterator[None]:
    """Turn an OSError around `path` into one line that says what to do."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        reason = error.strerror or error
        if error.errno in _FULL:
            raise DiskFull(
                f"the disk is full: {path} was not written ({reason})",
                todo="free some space and run the same command again; all that was finished is kept",
            ) from error
        raise WorkspaceError(f"{path} cannot be read or written ({reason})") from error


# ---- whole or not at all ---------------------------------------------------------------------------------------------


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary neighbour of `path` to write to; it takes the final name only when the block ends well.

    Any I/O fault, a full disk among them, becomes a WorkspaceError; the neighbour is removed and an older file stays.
    """
    with os_errors_as_workspace_errors(path):
        part, held = _new_part(path)
    try:
        with os_errors_as_workspace_errors(path):
            yield part
            with part.open("rb") as written:
                os.fsync(written.fileno())
            part.chmod(0o666 & ~_umask())
            part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        os.close(held)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """The same for a folder: give an empty neighbour to fill, which becomes `path` when the block ends well.

    Raises WorkspaceError where a folder that is not empty, or a file, stands at `path`.
    """
    with os_errors_as_workspace_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_parts(path.parent)
        part = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=".part", dir=path.parent))
        held = os.open(part, os.O_RDONLY) if fcntl else -1
        try_lock(held, shared=True)
    try:
        with os_errors_as_workspace_errors(path):
            yield part
            part.chmod(0o777 & ~_umask())
            part.replace(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if held >= 0:
            os.close(held)


def sweep_parts(folder: Path) -> None:
    """Remove what killed processes left half-written in `folder`; looks once a process, and raises nothing.

    Removed is what no process holds a lock on and this machine wrote, or another one more than a day ago.
    """
    key = os.path.abspath(folder)
    if fcntl is None or key in _swept:
        return
    _swept.add(key)
    with suppress(OSError):
        for name in os.listdir(key):
            if match := _PART.fullmatch(name):
                _remove_unowned(os.path.join(key, name), here=match["machine"] == _MACHINE)


def _remove_unowned(path: str, *, here: bool) -> None:
    try:
        is_folder = os.path.isdir(path)
        held = os.open(path, (os.O_RDONLY if is_folder else os.O_RDWR) | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if here or time.time() - os.fstat(held).st_mtime > SECONDS_TO_BE_UNOWNED:
            shutil.rmtree(path) if is_folder else os.unlink(path)
    except OSError:
        pass  # it is held, or the file system has no locks: then its owner cannot be known
    finally:
        os.close(held)


def _new_part(path: Path) -> tuple[Path, int]:
    """An empty neighbour, and the descriptor that holds its lock until it is closed."""
    for tries_left in reversed(range(10)):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_parts(path.parent)
        try:
            held, name = tempfile.mkstemp(prefix=_prefix(path), suffix=".part", dir=path.parent)
        except FileNotFoundError:  # another process found the folder empty and removed it
            if tries_left == 0:
                raise
            continue
        # Shared, so that HDF5, which locks what it reads, may read the file as soon as it has its final name.
        if try_lock(held, shared=True) and os.fstat(held).st_nlink > 0:
            return Path(name), held
        os.close(held)  # another process swept it away before it was locked
    raise OSError(errno.EAGAIN, "temporary files vanish as soon as they are made")


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file or folder until it is closed; False where another process has. No locks at all will do."""
    if fcntl is None or descriptor < 0:
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _prefix(path: Path) -> str:
    return f".{path.name[:40]}.{_MACHINE}-"  # short enough for every file system, whatever its letters


def require_output(path: Path, suffix: str, head: bytes) -> None:
    """Raise WorkspaceError where `path` has another suffix, or a file that begins otherwise would be lost there."""
    with os_errors_as_workspace_errors(path):
        found = path.open("rb").read(16) if path.is_file() else None
    if path.suffix.lower() != suffix or (found is not None and not re.match(head, found, re.DOTALL)):
        state = f"{path} is there and is no {suffix} file" if found is not None else f"the file {path}"
        raise WorkspaceError(state, expected=f"a {suffix} file to write", todo="name another")


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as part:
        # within JSON, its own escape of half a letter
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


# ---- JSON ------------------------------------------------------------------------------------------------------------


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def parse_json(text: str | bytes, parse_int: Callable[[str], float] | None = None) -> Any:
    """The value of JSON text, in UTF-8; raises ValueError where it is none, or nests deeper than MAX_DEPTH.

    The depth is counted first: a parser at the end of its recursion leaves no room for whatever Python runs just then.
    """
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    if text.count("[") + text.count("{") > MAX_DEPTH:  # else it cannot be so deep, whatever its strings hold
        depth = 0
        for match in _STRING_OR_BRACKET.finditer(text):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
            if depth > MAX_DEPTH:
                raise ValueError(f"it nests deeper than {MAX_DEPTH} levels")
    return json.loads(text, parse_int=parse_int)


def read_json(path: Path) -> Any:
    """The value of a JSON file; raises WorkspaceError where it is missing, CorruptFile where it is no JSON."""
    with os_errors_as_workspace_errors(path):
        content = path.read_bytes()
    try:
        return parse_json(content)
    except ValueError as error:
        raise CorruptFile(f"{path} is not valid JSON ({error})", todo="remove it and run the command again") from error


def read_json_object(path: Path, required: Mapping[str, tuple[type, ...]] | None = None) -> dict[str, Any]:
    """The object of a JSON file, with a field of the right kind for each of `required`, such as {"kimg": NUMBER}.

    Raises WorkspaceError as `read_json` does, CorruptFile where the file holds anything else.
    """
    value = read_json(path)
    if not is_record(value, required):
        fields = f" with {', '.join(required)}" if required else ""
        raise CorruptFile(
            f"{path} holds {json.dumps(value)[:60]}",
            expected=f"a JSON object{fields}",
            todo="remove it and run the command again",
        )
    return dict(value)


def is_record(value: Any, required: Mapping[str, tuple[type, ...]] | None = None) -> bool:
    """Whether a JSON value is an object whose `required` fields are there and of their kinds.

    A whole number of more than 64 bits is of no kind: it fits into no array and no floating-point number.
    """
    if not isinstance(value, dict):
        return False
    given = {name: value.get(name) for name in required or {}}
    are_short = all(abs(number) < 2**63 for number in given.values() if type(number) is int)
    return are_short and all(type(given[name]) in kinds for name, kinds in (required or {}).items())


def append_jsonl(path: Path, record: dict[str, Any]) -> None:
    """Add one line to a JSON-lines file; a truncated line before it stays apart, and one that fails is removed."""
    line = _line(record)
    with os_errors_as_workspace_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+", buffering=0) as file:
            if fcntl is not None:
                with suppress(OSError):  # of two processes each adds whole lines
                    fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - 1, 0))
            is_truncated = file.read(1) not in (b"", b"\n")
            try:
                _write_all(file.fileno(), b"\n" * is_truncated + line)
            except OSError:
                with suppress(OSError):
                    file.truncate(end)
                raise


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def write_jsonl(path: Path, records: list[dict[str, Any]]) -> None:
    write_text(path, "".join(_line(record).decode() for record in records))


def read_jsonl(path: Path, required: Mapping[str, tuple[type, ...]] | None = None) -> list[dict[str, Any]]:
    """The records of a JSON-lines file, none where it is missing.

    Lines that are truncated, as after a kill, or no objects with the `required` fields are skipped.
    """
    with os_errors_as_workspace_errors(path):
        if not path.exists():
            return []
        lines = path.read_bytes().split(b"\n")  # not at the further ends of lines that Unicode knows
    records = []
    for line in lines:
        try:
            record = parse_json(line)
        except ValueError:
            continue
        if is_record(record, required):
            records.append(record)
    return records


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""Digests of the arrays of an HDF5 file, and the check that they are still what the file was sealed with.

Reading every pixel takes a second per gigabyte, so a check holds for as long as size and times of the file stay: within
the process, and in the workspace's cache for the next one. `insist` has the next checks read everything again, and
`keep_no_notes` has them write nothing.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ganaug.errors import DataError, LeakError, UserError
from ganaug.provenance import digest_of_bytes, require_seal, sealed
from ganaug.workspace import MARKER, Workspace, read_json, write_json

ROWS_AT_A_TIME = 256  # rows read at a time
_checked: dict[tuple[str, str], list[int]] = {}  # path and array: what the file's status was when it was found right
_how = {"insist": False, "note": True}


def insist() -> None:
    """Have this process read every file that it uses, whatever an earlier one has noted (--verify)."""
    _how["insist"] = True
    _checked.clear()


def keep_no_notes() -> None:
    """Have this process note no check in the workspace (--dry-run)."""
    _how["note"] = False


def blocks_of(array: h5py.Dataset) -> Iterator[NDArray[Any]]:
    """The rows of an array, ROWS_AT_A_TIME at a time."""
    return (array[start : start + ROWS_AT_A_TIME] for start in range(0, len(array), ROWS_AT_A_TIME))


def digest_of_array(array: h5py.Dataset) -> str:
    """SHA-256 over type, shape and rows of an array of numbers or text."""
    if array.dtype.kind == "O":
        return digest_of_bytes(text.encode() for block in blocks_of(array.asstr()) for text in block)
    kind = f"{array.dtype.str} {array.shape}".encode()
    return digest_of_bytes([kind, *(_rows(blocks_of(array)))])


def _rows(blocks: Iterable[NDArray[Any]]) -> Iterator[bytes]:
    return (np.ascontiguousarray(row).tobytes() for block in blocks for row in block)


def digests_of(file: h5py.File, less: Iterable[str]) -> dict[str, str]:
    """The digest of every array of a file by its name, but for the names `less` and what lies below them."""
    found: dict[str, str] = {}

    def visit(name: str, member: Any) -> None:
        if isinstance(member, h5py.Dataset) and name.split("/")[0] not in left:
            found[name] = digest_of_array(member)

    left = set(less)
    file.visititems(visit)
    return found


def require_unchanged(path: Path, name: str, expected: str) -> None:
    """Raise LeakError where an array of a file is not the one whose digest the file's table was sealed with."""
    key, status = (str(path.resolve()), name), _status(path)
    if _checked.get(key) == status:
        return
    note = _note_of(path, name)
    if note is not None and is_noted(note, {"status": status, "digest": expected}):
        _checked[key] = status
        return
    try:
        with h5py.File(path, "r") as file:
            found = digest_of_array(file[name]) if isinstance(file.get(name), h5py.Dataset) else "nothing"
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:  # where its index leads out of the file
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} ({name}) cannot be read ({reason})", todo="make the file again with ganaug") from error
    if found != expected:
        raise LeakError(
            f"the content of {path} ({name}) was changed after it was written",
            expected=f"the digest {expected[:12]}, not {found[:12]}",
            todo="make the file again with ganaug",
        )
    _checked[key] = status
    if note is not None:
        take_note(note, {"status": status, "digest": expected})


def _status(path: Path) -> list[int]:
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]


def _note_of(path: Path, name: str) -> Path | None:
    """Where the workspace of a data set or a synthetic file notes a check; None of a file outside of one."""
    root = path.resolve().parent.parent
    if path.parent.name not in ("datasets", "synthetic") or not (root / MARKER).exists():
        return None
    place = path.resolve().relative_to(root).as_posix()  # the note says nothing of where the workspace lies
    return Workspace(root).checked(hashlib.sha256(json.dumps([place, name]).encode()).hexdigest())


def is_noted(note: Path, values: dict[str, Any]) -> bool:
    """Whether a note says just this of an earlier check; one that was edited or is not signed says nothing."""
    try:
        if _how["insist"] or not note.exists():
            return False
        return require_seal(read_json(note), note) == values
    except (UserError, OSError):
        return False


def take_note(note: Path, values: dict[str, Any]) -> None:
    """Note a check that went well, unless this process is to note none."""
    if _how["note"]:
        with suppress(UserError):  # a cache is never worth an error
            write_json(note, sealed(values))

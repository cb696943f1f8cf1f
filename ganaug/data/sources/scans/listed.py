"""Names in a list that was written on another system, matched with the files that are here.

Windows writes `images\\p1\\x.png` and `C:\\data\\images\\p1\\x.png`; other lists hold the absolute paths of the machine
that made them. A folder that is dropped from the front of a name is dropped from all names alike, so that two files of
one name are never taken for each other.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ganaug.data.archives.files import Files, printable
from ganaug.errors import DataError, private

_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")
_SLASHES = re.compile(r"/(?:\.?/)+")


@dataclass(frozen=True)
class Located:
    """Where the listed names are."""

    place_of: dict[str, str]  # listed name to the name here; a name that is nowhere is mapped to itself with slashes
    dropped: str = ""  # folder of another machine that stood before some names

    @property
    def notes(self) -> list[str]:
        if not self.dropped:
            return []
        return [f"the list names files of another machine; {private(self.dropped)} is read as the list's own folder"]


def locate(names: Iterable[str], is_there: Callable[[str], bool]) -> Located:
    """Match listed names with the files for which `is_there` holds."""
    place_of: dict[str, str] = {}
    away: dict[str, list[str]] = {}  # absolute names that are not here, in parts
    for name in names:
        place_of[name] = name if is_there(name) else _SLASHES.sub("/", name.replace("\\", "/")).removeprefix("./")
        if _ABSOLUTE.match(place_of[name]) and not is_there(place_of[name]):
            away[name] = place_of[name].split("/")
    dropped = _dropped(away.values(), is_there)
    for name, parts in away.items():
        if dropped and parts[: len(dropped)] == dropped:
            place_of[name] = "/".join(parts[len(dropped) :])
    return Located(place_of, "/".join(dropped))


def read_listed(files: Files, name: str, where: str) -> bytes:
    """The bytes of a table or list among the files of a source; raises DataError, by its name, where it is damaged."""
    try:
        return files.table(name)
    except OSError as error:
        raise DataError(
            f"{printable(name)} in {where} cannot be read ({error.strerror or error})",
            todo="get the file again",
        ) from error


def _dropped(away: Iterable[list[str]], is_there: Callable[[str], bool]) -> list[str]:
    """The folders to drop from the front: as few as make one of the names a file that is here."""
    for parts in away:
        for number in range(1, len(parts)):
            if is_there("/".join(parts[number:])):
                return parts[:number]
    return []

"""The errors a user can cause: each says in one line what was seen, what was expected and what to do next.

Names out of a user's data, such as a patient's or a file's, enter notes as `private(name)`: the terminal shows them,
and what may leave the workspace withholds them.
"""

import re
from collections.abc import Sequence

_OPEN, _CLOSE = "\u2068", "\u2069"  # Unicode's own marks around text of unknown origin
_PRIVATE = re.compile(f"{_OPEN}[^{_CLOSE}]*(?:{_CLOSE}|\\Z)")  # to the end where the text was cut within a name
_MARKS = str.maketrans("", "", _OPEN + _CLOSE)
WITHHELD = "[withheld]"


def private(name: object) -> str:
    """A name out of a user's data, marked as such within a note; see `for_terminal` and `for_sharing`.

    Bytes that are no text, as file names may hold, are written out, so that a note can always be stored.
    """
    text = str(name).encode("utf-8", "backslashreplace").decode()
    return f"{_OPEN}{text.translate(_MARKS)}{_CLOSE}"


def for_terminal(text: str) -> str:
    """The text with its names, on as many lines; control, bidirectional and other invisible characters are escaped."""
    return "\n".join(_escape(line) for line in text.translate(_MARKS).split("\n"))


def for_sharing(text: str) -> str:
    """The text without the names of the user's data, for whatever may leave the workspace."""
    return for_terminal(_PRIVATE.sub(WITHHELD, text))


def _escape(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line)


class UserError(Exception):
    """A mistake of input or circumstance, in one line; the command line maps it to exit status 2.

    `seen` states the finding, `expected` what should have been there, `todo` the next step; the last two may be empty
    where they would only repeat the first. `shared` is the line without the names that are marked private, for files.
    """

    def __init__(self, seen: str, *, expected: str = "", todo: str = "") -> None:
        parts = [seen, f"expected {expected}" if expected else "", todo]
        line = "; ".join(" ".join(part.split()) for part in parts if part)
        self.shared = for_sharing(line)
        super().__init__(for_terminal(line))


def some_of(names: Sequence[str], num: int = 3) -> str:
    """The first names and how many more there are, so that a message stays one line."""
    return ", ".join(names[:num]) + (f" and {len(names) - num} more" if len(names) > num else "")


class ConfigError(UserError):
    """An option has a value that cannot work."""


class DataError(UserError):
    """An image, a table or a data set file is not what it should be."""


class FoldsError(DataError):
    """The groups do not allow the folds that were asked for."""


class WorkspaceError(UserError):
    """A file of the workspace is missing, of another version, or cannot be written."""


class DiskFull(WorkspaceError):
    """A file was not written for want of room, or for a limit on it: whatever else writes there fails as well."""


class CorruptFile(WorkspaceError):
    """A file of the workspace is truncated, damaged, or holds something else than it should."""


class LeakError(UserError):
    """A file's provenance shows, or cannot exclude, that it saw what it must not have seen."""


class WeightsError(UserError):
    """Weights that a figure needs are missing, so the figure is not computed."""


class Ended(KeyboardInterrupt):
    """Work in progress was saved because the system asked for it, as a cluster does before it takes a machine away."""

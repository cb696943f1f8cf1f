"""The table of an audit's findings."""

import csv
import tempfile
from pathlib import Path

from ganaug.data.archives.folder_files import SPECIAL
from ganaug.data.audit.audit import COLUMNS, Audit
from ganaug.errors import WorkspaceError
from ganaug.workspace import atomic_path, os_errors_as_workspace_errors, require_folder

HEADER = ("finding", *(f"{name}_a" for name in COLUMNS), *(f"{name}_b" for name in COLUMNS), "how")


def require_writable(path: Path) -> None:
    """Raise WorkspaceError where the file is there and no audit wrote it, or none can be written."""
    require_folder(path, "--csv")
    with os_errors_as_workspace_errors(path):
        if path.exists() and not path.is_file():
            raise WorkspaceError(f"{path} is {SPECIAL}", expected="a file to write", todo="name another with --csv")
        if path.exists():
            with path.open(encoding="utf-8", errors="replace", newline="") as file:
                is_ours = next(csv.reader([file.readline(2**12)]), []) == list(HEADER)
            if not is_ours:
                raise WorkspaceError(
                    f"{path} is there, and `ganaug audit` did not write it",
                    todo="name another with --csv, or move it away",
                )
        with tempfile.TemporaryFile(dir=path.absolute().parent):
            pass


def write_table(path: Path, found: Audit) -> None:
    """Write a row for each finding, as RFC 4180 has it; patients and sites are not named."""
    with atomic_path(path) as part, part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.DictWriter(file, HEADER, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(pair.to_dict() for pair in found.pairs)

"""The one reader of the CSV-like tables that users bring: manifests, splits, patients, clinical tables.

A row with more or fewer cells than the first one is refused, never guessed at: an unquoted comma in a label shifts
every cell after it, so that labels become patients and patients vanish. Each refusal names the file and the row.
"""

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganaug.errors import DataError, some_of

DELIMITERS = ",;\t"
MOST_BYTES = 256 * 2**20
UNKNOWN = ("", "na", "n/a", "nan", "none", "null", "unknown")  # how tables say that a value is not known
QUOTE_CELLS = "put cells that hold the delimiter in double quotes, and leave none out"
Error = type[DataError]


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    line: int  # of the file, from 1
    cells: tuple[str, ...]  # without the spaces around them


@dataclass(frozen=True)
class Table:
    """The rows below a header."""

    name: str  # of the file, for messages
    columns: tuple[str, ...]  # of the header, in lower case
    rows: tuple[Row, ...]

    def values(self, row: Row, *columns: str) -> tuple[str, ...]:
        """The cells of these columns; empty for a column that the table lacks."""
        return tuple(row.cells[self.columns.index(name)] if name in self.columns else "" for name in columns)


def read_bytes(path: Path, error: Error = DataError) -> bytes:
    """The content of a table's file; `error` where it is a folder, cannot be read, or is too large to be a table."""
    if path.is_dir():
        raise error(f"{path} is a folder", expected="a CSV table", todo="name the file in it")
    try:
        num_bytes = path.stat().st_size
        if num_bytes > MOST_BYTES:
            raise error(
                f"{path} has {num_bytes / 2**20:.0f} MiB", expected=f"a table of at most {MOST_BYTES >> 20} MiB"
            )
        return path.read_bytes()
    except OSError as fault:
        raise error(f"{path} cannot be read ({fault.strerror or fault})", todo="name a readable table") from fault


def read_cells(
    data: bytes, name: str, required: Sequence[str], optional: Sequence[str] = (), error: Error = DataError
) -> Table:
    """A table with a header, whose columns may stand in any order and among others.

    `name` is the file's, for messages. Raises `error` where a required column is missing, one of the known columns
    stands there twice, or no row follows.
    """
    first, *rows = read_rows(data, name, required, error)
    columns = tuple(cell.lower() for cell in first.cells)
    expected = ",".join(required) + "".join(f"[,{column}]" for column in optional)
    if missing := [column for column in required if column not in columns]:
        seen = ", ".join(filter(None, columns)) or "none"
        raise error(f"{name} has the columns {seen}", expected=expected, todo=f"add {' and '.join(missing)}")
    if twice := sorted({column for column in (*required, *optional) if columns.count(column) > 1}):
        raise error(f"{name} has the column {twice[0]} twice", expected=expected, todo="remove one of them")
    for row in rows:
        nameless = [cell for cell, column in zip(row.cells[1:], columns[1:]) if cell and not column]
        if nameless:  # the first column may be an index without a name, as pandas writes it
            raise error(
                f"line {row.line} of {name} has the cell {nameless[0][:40]!r} in a column without a name",
                expected="a name for every column",
                todo="name the column, or quote cells that hold the delimiter",
            )
    if not rows:
        raise error(
            f"{name} has a header and no rows", expected=f"a row for each line of {expected}", todo="fill it in"
        )
    return Table(name, columns, tuple(rows))


def read_rows(data: bytes, name: str, header: Sequence[str] = (), error: Error = DataError) -> list[Row]:
    """The rows of a table, the header among them; blank rows are passed over.

    The delimiter is the one of comma, semicolon and tab that yields the columns `header`, or else stands most often in
    the first line. Raises `error` where the text is no UTF-8 or no CSV, is empty, or a row is as no row should be.
    """
    text = _decode(data, name, error)
    first_line = next((line for line in text.splitlines() if line.strip()), "")
    rows: list[Row] = []
    for line, cells in _parse(text, _delimiter(first_line, header), name, error):
        if not any(cells):
            continue
        _require_plain(cells, line, name, error)
        if rows:
            require_width(cells, len(rows[0].cells), f"line {line} of {name}", error)
        rows.append(Row(line, tuple(cells)))
    if not rows:
        raise error(f"{name} is empty", expected=f"the columns {', '.join(header)}" if header else "a table")
    return rows


def require_width(
    cells: Sequence[str], expected: int, where: str, error: Error = DataError, todo: str = QUOTE_CELLS
) -> None:
    """Raise `error` for a row that has more or fewer cells than the first one."""
    if len(cells) != expected:
        number = f"{len(cells)} cell{'s' * (len(cells) != 1)}"
        raise error(
            f"{where} has {number}",
            expected=f"{expected}, as the first line has",
            todo=todo,
        )


def require_different(columns: Sequence[str], name: str, error: Error = DataError) -> None:
    """Raise `error` where two columns bear one name."""
    twice = sorted(column for column, number in Counter(columns).items() if column and number > 1)
    if twice:
        raise error(f"{name} has the column {some_of(twice)} twice", expected="every column once")


def magnification_of(text: str, where: str, error: Error = DataError) -> int:
    """The magnification that a cell says, as 200, 200X or 200.0; 0 where it says that none is known."""
    number = text.strip().strip("xX×").strip()
    if number.lower() in UNKNOWN:
        return 0
    whole = number.removesuffix(".0")
    if not (whole.isascii() and whole.isdigit() and len(whole) <= 5):
        shown = text if len(text) <= 40 else f"{text[:20]}… ({len(text)} characters)"
        raise error(
            f"{where} has the magnification {shown!r}",
            expected="a whole number such as 200",
            todo="leave the cell empty where it is unknown",
        )
    return int(whole)


# ---- the text --------------------------------------------------------------------------------------------------------


def _decode(data: bytes, name: str, error: Error) -> str:
    """The text of UTF-8, with or without a byte order mark."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        raise error(
            f"line {line} of {name} is no CSV in UTF-8 ({fault.reason} {data[fault.start]:#04x})",
            expected="a table in UTF-8",
            todo="save it as CSV in UTF-8",
        ) from fault
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise error(f"line {line} of {name} holds a NUL character", expected="text", todo="save it as CSV in UTF-8")
    return text


def _delimiter(first_line: str, header: Sequence[str]) -> str:
    def known(delimiter: str) -> int:
        cells = {cell.strip().strip('"').strip().lower() for cell in first_line.split(delimiter)}
        return len(cells & set(header))

    return max(DELIMITERS, key=lambda delimiter: (known(delimiter), first_line.count(delimiter)))


def _parse(text: str, delimiter: str, name: str, error: Error) -> Iterator[tuple[int, list[str]]]:
    """First line and cells of each row; a quote that runs on into the next line is refused, as it swallows rows."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    line = 1
    try:
        for cells in reader:
            if any("\n" in cell or "\r" in cell for cell in cells):
                raise error(
                    f"line {line} of {name} opens a quote that does not close in it",
                    expected="a row a line",
                    todo='close the quote, and write a quote within a cell as ""',
                )
            yield line, [cell.strip() for cell in cells]
            line = reader.line_num + 1
    except csv.Error as fault:
        raise error(
            f"line {line} of {name} is no CSV ({fault})", expected="a table", todo="correct the line"
        ) from fault


def _require_plain(cells: Sequence[str], line: int, name: str, error: Error) -> None:
    """Refuse control characters, which no name needs and which cannot be seen."""
    for cell in cells:
        hidden = [character for character in cell if unicodedata.category(character) in ("Cc", "Cs")]
        if hidden:
            raise error(
                f"line {line} of {name} holds the control character U+{ord(hidden[0]):04X}",
                expected="text",
                todo="remove it",
            )

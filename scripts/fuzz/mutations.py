"""Mutations of files: of bytes, of names, of JSON values and of tables; those of other formats are in `formats`.

Each takes a random generator, the file to change in place, and another valid file of its kind to splice with.
"""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

Mutation = Callable[[Random, Path, Path], None]

DEEP = 100_000  # brackets in a row
ODD_TEXTS = (
    "",
    " ",
    "\0",
    "a\nb\x1b[31m",
    "../../x",
    "/etc/passwd",
    "\ud800",
    "x" * 100_000,
    "é\u202e\u2068",
    "CON",
    "1",
)
ODD_NUMBERS = (-1, 0, 1, 2, 255, 2**31, 2**63, 2**64, 10**30, -(10**30), 10**400, 0.5, -0.0, 1e308, float("nan"))
ODD_VALUES: tuple[Any, ...] = (None, True, False, [], {}, [[]], {"": None}, float("inf"), [0] * 1000, {"a": [1, "b"]})
ODD_CELLS = ("", '"', "NaN", "-1", "1e999", "9" * 5000, "train", "\0", "\x07", "é", "\ufeff", "'", "a,b;c\td", "=1+1")
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)


# ---- bytes -----------------------------------------------------------------------------------------------------------


def flip(random: Random, data: bytearray, other: bytes) -> bytearray:
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return data


def put_extreme(random: Random, data: bytearray, other: bytes) -> bytearray:
    """A number of 1, 2, 4 or 8 bytes becomes an extreme one, mostly in the header."""
    width = random.choice((1, 2, 4, 8))
    at = random.randrange(min(len(data), random.choice((64, 512, len(data)))))
    value = random.choice(EXTREMES) & (256**width - 1)
    data[at : at + width] = value.to_bytes(width, random.choice(("little", "big")))
    return data


def truncate(random: Random, data: bytearray, other: bytes) -> bytearray:
    return data[: random.choice((0, 1, random.randrange(len(data)), len(data) - 1))]


def duplicate(random: Random, data: bytearray, other: bytes) -> bytearray:
    start, stop = _range(random, data)
    return data[:stop] + data[start:stop] * random.choice((1, 2, 50)) + data[stop:]


def delete(random: Random, data: bytearray, other: bytes) -> bytearray:
    start, stop = _range(random, data)
    return data[:start] + data[stop:]


def splice(random: Random, data: bytearray, other: bytes) -> bytearray:
    """The head of one file and the tail of the other."""
    return data[: random.randrange(len(data))] + other[random.randrange(max(len(other), 1)) :]


def blank(random: Random, data: bytearray, other: bytes) -> bytearray:
    start, stop = _range(random, data)
    data[start:stop] = bytes([random.choice((0, 255))]) * (stop - start)
    return data


def scramble(random: Random, data: bytearray, other: bytes) -> bytearray:
    start, stop = _range(random, data)
    data[start:stop] = random.randbytes(stop - start)
    return data


_OF_BYTES = (flip, flip, put_extreme, put_extreme, truncate, duplicate, delete, splice, blank, scramble)


def _range(random: Random, data: bytearray) -> tuple[int, int]:
    start = random.randrange(len(data))
    return start, min(start + random.choice((1, 4, 16, 256, 4096)), len(data))


def edit_bytes(random: Random, path: Path, other: Path) -> None:
    data, spare = bytearray(path.read_bytes()), other.read_bytes()
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if data:
            data = random.choice(_OF_BYTES)(random, data, spare)
    path.write_bytes(data)


def rename(random: Random, path: Path, other: Path) -> None:
    """Another name for the file or for a folder above it, as file systems allow it."""
    suffix = path.suffix.encode()
    names = [b"\xff\xfe" + suffix, b"a\nb\x1b[2J" + suffix, b" ", b"..png", b"-o.png", "é\u202egnp".encode(),
             path.name.upper().encode(), b"x" * 250, other.name.encode(), b"dataset.json"]  # fmt: skip
    victim = random.choice((path, path, path.parent))
    target = Path(str(victim.parent)) / random.choice(names).decode("utf-8", "surrogateescape")
    if not target.exists():
        victim.rename(target)


# ---- JSON ------------------------------------------------------------------------------------------------------------


def mutate(random: Random, value: Any) -> Any:
    """The JSON value with one to three of its parts replaced, dropped, doubled, nested or exchanged."""
    holder = [_copy(value)]
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = _places(holder)
        container, key = random.choice(places)
        action = random.randrange(8)
        if action == 0 and container is not holder:
            del container[key]
        elif action == 1:
            container[key] = [_copy(container[key]) for _ in range(random.choice((1, 2, 100)))]
        elif action == 2:
            container[key] = _nest(container[key], random.choice((1, 60, 300)))
        elif action == 3:
            source, at = random.choice(places)
            container[key] = _copy(source[at])
        elif action == 4 and isinstance(container, dict):
            container[random.choice(ODD_TEXTS)] = _copy(container[key])
        else:
            container[key] = _copy(random.choice((*ODD_TEXTS, *ODD_NUMBERS, *ODD_VALUES)))
    return holder[0]


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _nest(value: Any, depth: int) -> Any:
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container and key below a JSON value, at most some thousand."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting and len(found) < 3000:
        container = waiting.pop()
        keys = list(container) if isinstance(container, dict) else range(len(container))
        found += [(container, key) for key in keys]
        waiting += [container[key] for key in keys if isinstance(container[key], dict | list)]
    return found


def dump(random: Random, value: Any) -> bytes:
    """A JSON value as bytes, at times in another encoding or with a mark before it."""
    text = json.dumps(value, ensure_ascii=random.random() < 0.5)
    encoding = random.choice(("utf-8",) * 8 + ("utf-8-sig", "utf-16"))
    return text.encode(encoding, "surrogatepass")


def edit_json(random: Random, path: Path, other: Path) -> None:
    if random.random() < 0.25:
        edit_bytes(random, path, other)
    elif random.random() < 0.1:
        path.write_bytes(random.choice((b"[", b'{"a":', b"[[[],")) * DEEP)
    else:
        path.write_bytes(dump(random, mutate(random, json.loads(path.read_bytes()))))


def edit_jsonl(random: Random, path: Path, other: Path) -> None:
    """One line of a file of records."""
    lines = path.read_bytes().splitlines() or [b"{}"]
    at = random.randrange(len(lines))
    lines[at] = dump(random, mutate(random, json.loads(lines[at])))
    path.write_bytes(b"\n".join(lines) + b"\n")


# ---- tables ----------------------------------------------------------------------------------------------------------


def edit_table(random: Random, path: Path, other: Path) -> None:
    """Cells, rows, delimiters, quotes, line ends and encodings of a CSV or tab-separated table."""
    lines = path.read_text(encoding="utf-8").split("\n")
    delimiter = "\t" if "\t" in lines[0] else ","
    for _ in range(random.choice((1, 1, 2, 4))):
        at, action = random.randrange(len(lines)), random.randrange(8)
        cells = lines[at].split(delimiter)
        place = random.randrange(len(cells))
        if action == 0:
            cells[place] = random.choice(ODD_CELLS)
        elif action == 1:
            cells[place] += random.choice(ODD_CELLS)
        elif action == 2:
            del cells[place]
        elif action == 3:
            cells.insert(place, random.choice((*cells, *ODD_CELLS)))
        elif action == 4:
            lines.insert(at, random.choice(lines))
        elif action == 5:
            del lines[at]
            lines = lines or [""]
            continue
        elif action == 6:
            cells[place] = cells[place].swapcase()
        else:
            lines = [line.replace(delimiter, random.choice(",;\t|")) for line in lines]
            continue
        lines[at] = delimiter.join(cells)
    ends = random.choice(("\n",) * 6 + ("\r\n", "\r"))
    encoding = random.choice(("utf-8",) * 8 + ("utf-8-sig", "utf-16", "latin-1"))
    path.write_bytes(ends.join(lines).encode(encoding, "replace"))


# ---- files and folders -----------------------------------------------------------------------------------------------


def link_in(random: Random, path: Path, other: Path) -> None:
    """In the place of a file nothing, a folder, a link into nowhere or to itself, or a file that may not be read."""
    action = random.randrange(5)
    if action == 4:
        path.chmod(0)
        return
    path.unlink()
    if action == 1:
        path.mkdir()
    elif action == 2:
        path.symlink_to(path.with_name("nowhere"))
    elif action == 3:
        path.symlink_to(path)

"""Names of classes, patients and sites as text, and which of them are so alike that they may mean the same."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

_ZEROS = re.compile(r"(?<![\d.])0+(?=\d)")
_WHOLE = re.compile(r"(?P<number>[+-]?\d+)\.0+")
_SUFFIX = re.compile(r"[ _.-]+(?:[a-z]{1,8}[ _.-]?)?\d{0,3}[a-z]?", re.IGNORECASE)  # of p1: _slide2, -2, " b"
_LETTERS = re.compile(r"[a-z]{1,3}\d{0,2}", re.IGNORECASE)  # of 14-22549: AB; only after a digit
_PIECE = re.compile(
    r"(?P<whole>.*\d.*?)[ _.-]+(?:slide|block|section|core|level|region|roi|tile|patch|image|img)[ _.-]*\d{1,3}[a-z]?",
    re.IGNORECASE,
)
_LETTERED = re.compile(r"(?P<whole>.*\d{3,})[a-z]{1,3}", re.IGNORECASE)  # 22549AB and 22549CD, of one accession
_LONGEST_SUFFIX = 14


def plain(name: str) -> str:
    """A folder's name as text that can be stored: composed Unicode; control characters and lone bytes written out."""
    composed = unicodedata.normalize("NFC", name.encode("utf-8", "backslashreplace").decode())
    if composed.isprintable():
        return composed
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in ("Cc", "Cs") else c for c in composed
    )


def near_key(name: str) -> str:
    """What names have in common that differ in case, white space, Unicode form, invisible characters or zeros alone."""
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    text = "".join(c for c in text if not c.isspace() and unicodedata.category(c) != "Cf")
    whole = _WHOLE.fullmatch(text)
    return _ZEROS.sub("", whole["number"] if whole else text)


def equal_but_for_spelling(names: Iterable[str]) -> list[list[str]]:
    """Sets of two names or more with the same `near_key`, each sorted, sorted."""
    by_key: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(names)):
        by_key[near_key(name)].append(name)
    return sorted(alike for alike in by_key.values() if len(alike) > 1)


def near_patients(names: Iterable[str]) -> list[list[str]]:
    """Sets of names that may mean one patient: equal but for spelling, or one is another with a slide's suffix."""
    distinct = sorted(set(names))
    members: dict[str, set[str]] = defaultdict(set)
    for name in distinct:
        members[near_key(name)].add(name)
    root = {key: key for key in members}

    def find(key: str) -> str:
        while root[key] != key:
            key = root[key]
        return key

    first_piece: dict[str, str] = {}
    for name in distinct:
        key = near_key(name)
        for base in _bases(name):
            if base in members:
                root[find(key)] = find(base)
        piece = _PIECE.fullmatch(name) or _LETTERED.fullmatch(name)
        if piece:
            root[find(key)] = find(first_piece.setdefault(near_key(piece["whole"]), key))
    alike: dict[str, list[str]] = defaultdict(list)
    for key, found in members.items():
        alike[find(key)] += found
    return sorted(sorted(found) for found in alike.values() if len(found) > 1)


def _bases(name: str) -> list[str]:
    """The keys of the names of which this one would be a part, by the form of its end."""
    bases = []
    for at in range(max(1, len(name) - _LONGEST_SUFFIX), len(name)):
        base, end = name[:at], name[at:]
        if _SUFFIX.fullmatch(end) or (base[-1].isdecimal() and _LETTERS.fullmatch(end)):
            bases.append(near_key(base))
    return bases

"""The first line of a CSV of folds: what it says of them, which is believed only where the columns bear it out."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ganaug.config import SCHEME_NAMES
from ganaug.data.folds.folds import Folds, Split
from ganaug.data.folds.schemes import FEWEST, is_rule
from ganaug.errors import FoldsError
from ganaug.files import TEXT, is_record, parse_json

_MOST_LETTERS = 300  # of a text
_KINDS = {"scheme": TEXT, "rule": TEXT, "seed": (int,), "num_repeats": (int,)}
_DIGESTS = ("folds_digest", "digest_without_rule")  # the second only where the rule is withheld
_NEEDS = {
    "k-fold": f"{FEWEST} folds or more that test every patient once, each validating on what the next one tests",
    "repeated": f"2 repeats or more of {FEWEST} folds or more that test every patient once, each validating on what "
    "the next one tests",
    "leave-one-out": "folds that test one patient each, or one site, and every one once",
    "hold-out": "one fold",
}


def first_line_of(folds: Folds, *, with_ids: bool) -> dict[str, Any]:
    """What an export says of the folds. A rule that is not one of `ganaug`'s own may name files or people."""
    is_shown = _is_plain(folds.rule) and (with_ids or is_rule(folds.rule, folds.scheme))
    return {
        "scheme": folds.scheme,
        "seed": folds.seed,
        "num_repeats": folds.num_repeats,
        "rule": folds.rule if is_shown else "",
        "folds_digest": folds.digest,
        **({} if is_shown else {"digest_without_rule": replace(folds, rule="").digest}),
    }


def read_first_line(line: bytes, name: str) -> dict[str, Any]:
    """The values of the first line of the file `name`, without its #; raises FoldsError where they are malformed."""
    try:
        values = parse_json(line.strip())
        fits = is_record(values, _KINDS) and is_record(values, {key: TEXT for key in _DIGESTS if key in values})
    except ValueError:
        values, fits = None, False
    if not fits or values["scheme"] not in SCHEME_NAMES:
        raise FoldsError(
            f"the first line of {name} is a comment and not as `ganaug export` writes it",
            expected='# {"scheme": "k-fold", "seed": 0, "num_repeats": 1, "rule": "..."}',
            todo="remove the line or get the file again",
        )
    known = {key: values[key] for key in (*_KINDS, *_DIGESTS) if key in values}
    if known["seed"] < 0 or not all(_is_plain(value) for value in known.values() if isinstance(value, str)):
        raise FoldsError(
            f"the first line of {name} has a negative seed, or a text that is too long or not printable",
            expected=f"a seed of 0 or more, and texts of at most {_MOST_LETTERS} printable characters",
            todo="remove the line or get the file again",
        )
    return known


def _is_plain(text: str) -> bool:
    return len(text) <= _MOST_LETTERS and not any(unicodedata.category(letter)[0] == "C" for letter in text)


def require_scheme(folds: Folds, unit_of: Mapping[str, int], name: str) -> None:
    """Raise FoldsError where the folds of the file `name` are not of the scheme that it says.

    `unit_of` gives the site of a group by its number, or that of the group itself.
    """
    per_repeat = folds.num_folds // folds.num_repeats
    repeats = [folds.splits[start : start + per_repeat] for start in range(0, folds.num_folds, per_repeat)]
    is_whole = all(sum(len(split.test) for split in repeat) == len(folds.groups) for repeat in repeats)
    is_single = all(len({unit_of[group] for group in split.test}) == 1 for split in folds.splits)
    is_in_turn = is_whole and per_repeat >= FEWEST and all(map(_validates_on_next, repeats))
    holds = {
        "k-fold": is_in_turn and len(repeats) == 1,
        "repeated": is_in_turn and len(repeats) > 1,
        "leave-one-out": is_whole and is_single and len(repeats) == 1,
        "hold-out": folds.num_folds == 1,
    }
    if not holds.get(folds.scheme, True):
        raise FoldsError(
            f"the first line of {name} says {folds.scheme}, and the columns say otherwise",
            expected=_NEEDS[folds.scheme],
            todo="correct the line or remove it",
        )


def _validates_on_next(splits: Sequence[Split]) -> bool:
    return all(split.val == after.test for split, after in zip(splits, [*splits[1:], splits[0]]))


def differs_from_list(folds: Folds, about: Mapping[str, Any]) -> str:
    """A note where the data set is not the one that the list was exported from; empty where it is, or none is known."""
    if about.get("folds_digest", folds.digest) == folds.digest:
        return ""
    if about.get("digest_without_rule") == replace(folds, rule="").digest:
        return (
            "the folds and the data set are those of the list; it was exported without the words of their rule, so the "
            "digest of the folds is another"
        )
    return (
        "the folds are those of the list, but the data set is not quite the one that they were exported from: images, "
        "classes, patients, resolution or another option differ"
    )

"""Images that a source skips: which reason is the most frequent, and which classes they are missing from."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from ganaug.data.archives.files import Skip, printable
from ganaug.data.sources.scans.scan import UNLABELLED, Scan
from ganaug.errors import for_sharing, private

MOST_CLASSES_NAMED = 20  # classes that the notes name
_NUMBER = re.compile(r"\d+")


def why_none(skipped: Sequence[Skip]) -> str:
    """How many files are skipped, the most frequent reason and an example, to follow "holds no image"; may be empty."""
    if not skipped:
        return ""
    path, reason, number = _most_frequent(skipped)
    files = "1 file is skipped" if len(skipped) == 1 else f"{len(skipped)} files are skipped"
    most = "" if number == len(skipped) else f"{number} of them "
    return f" ({files}, {most}such as {private(printable(path))}: {reason})"


def class_notes(scan: Scan, skipped: Sequence[Skip], used: Iterable[int], excluded: Sequence[str] = ()) -> list[str]:
    """A note for each class that skipped images make smaller; `used` are the labels of the images that stay."""
    left = Counter(scan.class_names[label] for label in used if label != UNLABELLED)
    of_class: dict[str, list[tuple[str, str]]] = {}
    for path, reason in dict.fromkeys(skipped):
        name = scan.class_of(path)
        if name and name not in excluded:
            of_class.setdefault(name, []).append((path, reason))
    notes = [
        _class_note(name, left[name], of_class[name])
        for name in sorted(of_class, key=lambda name: (left[name] > 0, -len(of_class[name]), name))
    ]
    if len(notes) > MOST_CLASSES_NAMED:
        notes[MOST_CLASSES_NAMED:] = [f"images of {len(notes) - MOST_CLASSES_NAMED} more classes are skipped"]
    return notes


def _class_note(name: str, num_left: int, skipped: Sequence[Skip]) -> str:
    _, reason, number = _most_frequent(skipped)
    total = num_left + len(skipped)
    seen = f"{len(skipped)} of {total} images are skipped" if num_left else f"all {total} images are skipped"
    most = "" if number == len(skipped) else f"{number} of them: "
    vanished = "" if num_left else "; none is left of this class"
    return f"class {private(printable(name))}: {seen}: {most}{reason}{vanished}"


def _most_frequent(skipped: Sequence[Skip]) -> tuple[str, str, int]:
    """An example of the most frequent kind of reason, and how many have it; names and numbers make no kind."""
    kinds = [_NUMBER.sub("0", for_sharing(reason)) for _, reason in skipped]
    kind, number = Counter(reversed(kinds)).most_common(1)[0]  # of equals the last: what the source found out itself
    path, reason = skipped[kinds.index(kind)]
    return path, reason, number

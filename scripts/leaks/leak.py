"""A planted leak, what became of it, and the judgement: refused, flagged, or accepted without a word."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from click.testing import Result

from leaks.scene import Command, Scene

REFUSED, FLAGGED, ACCEPTED = "refused", "flagged", "accepted"
UNDETECTABLE = "cannot be detected"
MISTAKEN = "refused for another reason"  # or with files written, which is no refusal of this leak
BOOKKEEPING = ("trainer.json",)  # it says who trains, and nothing of what
LONGEST = 400  # characters of a sentence in the table


@dataclass(frozen=True)
class Leak:
    """How a leak is planted, and what the command has to say of it."""

    plant: Callable[[Scene], Command]  # returns the command that a user then runs; its docstring is the description
    says: str  # pattern of the sentence that names the leak
    limit: str = ""  # the README's own words for why it cannot be detected

    @property
    def name(self) -> str:
        return self.plant.__name__.replace("_", " ")

    @property
    def planted(self) -> str:
        return (self.plant.__doc__ or "").strip().split("\n")[0].rstrip(".")


@dataclass(frozen=True)
class Row:
    """A leak and its outcome."""

    kind: str
    name: str
    planted: str
    command: str
    outcome: str
    sentence: str
    exit_status: int
    seconds: float


def try_leak(kind: str, leak: Leak, scene: Scene, readme: str) -> Row:
    """Plant a leak in a scene, run the command and judge what it did."""
    asked = leak.plant(scene)
    before, started = scene.files(), time.perf_counter()
    result = scene.run(asked)
    seconds = round(time.perf_counter() - started, 1)
    after = scene.files()
    written = sorted(place for place, status in after.items() if before.get(place) != status)
    written += sorted(f"{place} (removed)" for place in before.keys() - after.keys())
    outcome, sentence = judge(leak, result, written, scene.root, readme)
    shown = (text.replace(f"{scene.root}/", "") for text in (asked.text, sentence))
    return Row(kind, leak.name, leak.planted, next(shown), outcome, _cut(next(shown)), result.exit_code, seconds)


def judge(leak: Leak, result: Result, written: Sequence[str], root: Path, readme: str) -> tuple[str, str]:
    """The outcome of a command, and the sentence that shows it."""
    last = (result.stderr.splitlines() or [""])[-1]
    named = next((line for line in _lines(result, written, root) if re.search(leak.says, line)), None)
    if result.exit_code == 2:
        if named is None or not last.startswith("ganaug: ") or "not foreseen" in last:
            return MISTAKEN, last
        results = [place for place in written if not place.endswith(BOOKKEEPING)]
        return (MISTAKEN, f"{named} (but it wrote {', '.join(results)})") if results else (REFUSED, named)
    if result.exit_code not in (0, 1):
        return MISTAKEN, last
    if named is not None:
        return FLAGGED, named
    if leak.limit and f"**{leak.limit}.**" in readme:
        return UNDETECTABLE, f"{leak.limit} (README)"
    return ACCEPTED, last


def _lines(result: Result, written: Sequence[str], root: Path) -> Iterator[str]:
    """What the command printed, errors first, and then what it wrote to be read."""
    yield from reversed(result.stderr.splitlines())
    yield from result.stdout.splitlines()
    for place in written:
        if place.endswith((".md", ".csv")):
            yield from (root / place).read_text(encoding="utf-8").splitlines()
        elif place.endswith(".html"):
            text = re.sub(r"<[^>]*>", " ", (root / place).read_text(encoding="utf-8"))
            yield from (" ".join(part.split()) for part in re.split(r"\n\s*\n", text))


def _cut(sentence: str) -> str:
    text = " ".join(sentence.removeprefix("ganaug: ").split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()} …"

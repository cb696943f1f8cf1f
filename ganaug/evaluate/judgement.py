"""All that was found of one synthetic file, and the file and data that it is about."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ganaug.evaluate.judged import Chapter, Exhibit, Finding
from ganaug.evaluate.metrics.metric import QUESTIONS
from ganaug.evaluate.scores import ImageScore


@dataclass(frozen=True)
class ScoredFile:
    """The synthetic file that was scored, and the data that it was compared with."""

    dataset: str
    dataset_fingerprint: str
    folds_digest: str
    fold: int
    synthetic: str  # the file's name, in a form that may leave the workspace
    synthetic_digest: str
    generator: str  # SHA-256 of its weights
    kimg: float
    psi: float | None
    held_out_part: str  # of which patients the held-out images are, in words
    seed: int  # of the scores' random draws


@dataclass(frozen=True)
class Answer:
    """What was found on one question."""

    question: str  # of QUESTIONS
    wording: str
    scores: tuple[ImageScore, ...]
    findings: tuple[Finding, ...]
    exhibits: tuple[Exhibit, ...]

    @property
    def is_alarm(self) -> bool:
        """Whether a finding speaks against the generator."""
        return any(finding.is_alarm for finding in self.findings)


@dataclass(frozen=True)
class Judgement:
    """The chapters of all rooms on one synthetic file."""

    file: ScoredFile
    chapters: tuple[Chapter, ...]

    @property
    def scores(self) -> tuple[ImageScore, ...]:
        return tuple(score for chapter in self.chapters for score in chapter.scores)

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for chapter in self.chapters for finding in chapter.findings)

    @property
    def exhibits(self) -> tuple[Exhibit, ...]:
        return tuple(exhibit for chapter in self.chapters for exhibit in chapter.exhibits)

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """The findings that speak against the generator."""
        return tuple(finding for finding in self.findings if finding.is_alarm)

    def answers(self) -> list[Answer]:
        """What was found, question by question; questions on which nothing was found are left out."""
        answers = [
            Answer(
                question,
                wording,
                _of(question, self.scores),
                _of(question, self.findings),
                _of(question, self.exhibits),
            )
            for question, wording in QUESTIONS.items()
        ]
        return [answer for answer in answers if answer.scores or answer.findings or answer.exhibits]

    def to_rows(self) -> list[dict[str, Any]]:
        """A flat row of JSON values per score, as metrics.jsonl holds it."""
        return [{**score.to_dict(), **asdict(self.file)} for score in self.scores]


def _of(question: str, items: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(item for item in items if item.question == question)

"""The page of one judgement: what was found on each question, for a person to read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganaug.evaluate.judged import ImageSet, Judged
from ganaug.evaluate.judgement import Judgement
from ganaug.evaluate.scores import ImageScore
from ganaug.evaluate.table import in_words
from ganaug.report.page import render_page
from ganaug.report.pictures import strip
from ganaug.workspace import write_text

NUM_SHOWN = 8  # images of each class and side


@dataclass(frozen=True)
class Samples:
    """Images of a class as data URIs; None where there are none."""

    class_name: str
    real: str | None
    synthetic: str | None


def write_page(path: Path, judged: Judged, judgement: Judgement, command: str) -> None:
    """Write the page at `path`; nothing in it names a patient, and it loads nothing.

    Raises WorkspaceError where it cannot be written.
    """
    page = render_page(
        Path(__file__).with_name("evaluation.html.j2"),
        notes=notes_of(judgement),
        about=judgement.file,
        judgement=judgement,
        answers=judgement.answers(),
        samples=samples_of(judged, judgement.file.seed),
        sizes=sizes_of(judged),
        metrics_of=metrics_of,
        in_words=in_words,
        command=command,
    )
    write_text(path, page)


def notes_of(judgement: Judgement) -> list[str]:
    """What a reader has to know before the rest."""
    about = judgement.file
    notes = []
    if about.held_out_part != "validation patients":
        notes.append(
            "These figures know the test patients. Choose no generator, no snapshot, no truncation and no filter by "
            "them: a study of such a choice would test on patients who made it."
        )
    digests = dict.fromkeys((score.extractor, score.extractor_digest) for score in judgement.scores if score.extractor)
    if len({name for name, _ in digests}) < 2:
        notes.append(
            "All features are of one network. What it does not see, such as details below its first layers' reach, no "
            "figure here can show; a second --extractor would."
        )
    return notes


def sizes_of(judged: Judged) -> list[tuple[str, int, int, int, int, int]]:
    """Per class: its name, training images and patients, held-out images and patients, synthetic images."""

    def count(images: ImageSet, label: int) -> tuple[int, int]:
        members = images.of_class(label)
        return len(members), len(np.unique(images.group[members]))

    return [
        (name, *count(judged.train, label), *count(judged.held_out, label), len(judged.synthetic.of_class(label)))
        for label, name in enumerate(judged.class_names)
    ]


def samples_of(judged: Judged, seed: int) -> list[Samples]:
    """Images of each class, drawn at random and not chosen."""
    rng = np.random.default_rng(seed)

    def draw(images: ImageSet, label: int) -> str | None:
        members = images.of_class(label)
        drawn: NDArray[np.int64] = rng.permutation(members)[:NUM_SHOWN]
        return strip(images.pixels(drawn)) if len(drawn) else None

    return [
        Samples(name, draw(judged.train, label), draw(judged.synthetic, label))
        for label, name in enumerate(judged.class_names)
    ]


def metrics_of(scores: tuple[ImageScore, ...]) -> dict[str, list[ImageScore]]:
    """The rows of each metric that has any figure, in their order."""
    found: dict[str, list[ImageScore]] = {}
    for score in scores:
        found.setdefault(score.metric, []).append(score)
    return {name: rows for name, rows in found.items() if any(row.value is not None for row in rows)}

"""The page of one judgement: what was found on each question, for a person to read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganaug.config.choices import KNOWS_TEST_PATIENTS, UNSEEN, VALIDATION
from ganaug.evaluate.judged import ImageSet, Judged
from ganaug.evaluate.judgement import Judgement
from ganaug.evaluate.scores import ImageScore
from ganaug.evaluate.table import bounds, in_words
from ganaug.report.numbers import figure
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
        tables_of=tables_of,
        first=judgement.scores[0].extractor if judgement.scores else None,
        in_words=in_words,
        command=command,
    )
    write_text(path, page)


def notes_of(judgement: Judgement) -> list[str]:
    """What a reader has to know before the rest."""
    about = judgement.file
    notes = []
    if about.held_out_part != UNSEEN[VALIDATION]:
        notes.append(KNOWS_TEST_PATIENTS)
    digests = dict.fromkeys((score.extractor, score.extractor_digest) for score in judgement.scores if score.extractor)
    if len(digests) < 2:
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


@dataclass(frozen=True)
class Cell:
    """A figure, and its interval below it where there is one."""

    figure: str
    interval: str = ""


@dataclass(frozen=True)
class Table:
    """The rows of one metric: a class and its cells, as many as there are headings."""

    name: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def tables_of(scores: Sequence[ImageScore]) -> list[Table]:
    """A table for each metric and network that has any figure, with the columns in which something stands."""
    found: dict[tuple[str, str | None], list[ImageScore]] = {}
    for score in scores:
        found.setdefault((score.metric, score.extractor_digest), []).append(score)
    return [_table(rows) for rows in found.values() if any(row.value is not None for row in rows)]


def _table(scores: Sequence[ImageScore]) -> Table:
    columns = {
        "value": [Cell(figure(row.value), bounds(row.low, row.high)) for row in scores],
        "real": [Cell(str(row.n_real or "")) for row in scores],
        "synthetic": [Cell(str(row.n_synthetic or "")) for row in scores],
        "at n": [Cell(str(row.n_half or "")) for row in scores],
        "value at n": [_cell(row.value_at_half) for row in scores],
        "floor": [_cell(row.floor, bounds(row.floor_low, row.floor_high)) for row in scores],
        "ratio": [_cell(row.ratio) for row in scores],
        "held-out n": [Cell(str(row.n_held_out or "")) for row in scores],
        "held-out": [_cell(row.held_out) for row in scores],
        "held-out floor": [_cell(row.held_out_floor) for row in scores],
        "p": [_cell(row.p_value) for row in scores],
    }
    shown = {name: cells for name, cells in columns.items() if any(cell.figure for cell in cells)}
    rows = [
        (score.class_name, tuple(cells[place] if cells[place].figure else Cell("–") for cells in shown.values()))
        for place, score in enumerate(scores)
    ]
    return Table(scores[0].metric, tuple(shown), tuple(rows))


def _cell(value: float | None, interval: str = "") -> Cell:
    return Cell("" if value is None else figure(value), interval)

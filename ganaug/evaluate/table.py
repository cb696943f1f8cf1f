"""Image scores as tables to read."""

from collections.abc import Callable, Sequence

from ganaug.evaluate.scores import ImageScore
from ganaug.report.numbers import figure

Column = tuple[str, Callable[[ImageScore], str]]

_DISTANCES: Sequence[Column] = (
    ("class", lambda score: score.class_name),
    ("value", lambda score: figure(score.value)),
    ("real", lambda score: str(score.n_real)),
    ("synthetic", lambda score: str(score.n_synthetic)),
    ("at n", lambda score: str(score.n_half or "–")),
    ("value", lambda score: figure(score.value_at_half)),
    ("real floor", lambda score: figure(score.floor)),
    ("±", lambda score: figure(score.floor_std)),
)
_DIVERSITY: Sequence[Column] = (
    ("class", lambda score: score.class_name),
    ("synthetic", lambda score: figure(score.value)),
    ("real", lambda score: figure(score.floor)),
)


def format_scores(scores: Sequence[ImageScore]) -> str:
    """One small table for each metric, and below them the notes.

    Of a distance: its value between all the real images and the synthetic ones, then, between n and n images, its value
    and its real floor (two halves of the real images that share no patient).
    """
    blocks = []
    for metric in dict.fromkeys(score.metric for score in scores):
        of_metric = [score for score in scores if score.metric == metric]
        columns = _DISTANCES if of_metric[0].num_splits is not None else _DIVERSITY
        if any(score.value is not None for score in of_metric):
            cells = [[cell(score) for _, cell in columns] for score in of_metric]
            blocks.append(f"{metric}\n" + _align([[heading for heading, _ in columns], *cells]))
    notes = dict.fromkeys(f"{score.metric}: {score.note}" for score in scores if score.note)
    return "\n\n".join([*blocks, *(["\n".join(notes)] if notes else [])])


def _align(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells in columns; the first column to the left, the numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  " + "  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))])
        for line in lines
    )

"""Image scores and findings as text for a terminal."""

from collections.abc import Callable, Sequence

from ganaug.evaluate.judgement import Judgement
from ganaug.evaluate.scores import ImageScore
from ganaug.report.numbers import figure

Cell = Callable[[ImageScore], str]


def _bounds(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{figure(low)} to {figure(high)}"


# Heading and cell; a column is shown where one of its rows has something in it
COLUMNS: Sequence[tuple[str, Cell]] = (
    ("class", lambda score: score.class_name),
    ("value", lambda score: figure(score.value)),
    ("interval", lambda score: _bounds(score.low, score.high)),
    ("real", lambda score: str(score.n_real or "")),
    ("synthetic", lambda score: str(score.n_synthetic or "")),
    ("at n", lambda score: str(score.n_half or "")),
    ("value at n", lambda score: "" if score.value_at_half is None else figure(score.value_at_half)),
    ("floor", lambda score: "" if score.floor is None else figure(score.floor)),
    ("floor's interval", lambda score: _bounds(score.floor_low, score.floor_high)),
    ("ratio", lambda score: "" if score.ratio is None else figure(score.ratio)),
    ("held-out n", lambda score: str(score.n_held_out or "")),
    ("held-out", lambda score: "" if score.held_out is None else figure(score.held_out)),
    ("held-out floor", lambda score: "" if score.held_out_floor is None else figure(score.held_out_floor)),
    ("p", lambda score: "" if score.p_value is None else f"{score.p_value:.3g}"),
)


def format_judgement(judgement: Judgement) -> str:
    """Question by question: the findings, the tables of the scores, and the notes on them."""
    blocks = []
    for answer in judgement.answers():
        lines = [answer.wording]
        for finding in answer.findings:
            todo = f"; {finding.todo}" if finding.todo else ""
            lines.append(f"  {'!' if finding.is_alarm else '·'} {finding.sentence}{todo}")
        blocks.append("\n".join(lines))
        if answer.scores:
            blocks.append(format_scores(answer.scores))
    return "\n\n".join(blocks)


def format_scores(scores: Sequence[ImageScore]) -> str:
    """One small table for each metric, and below them the notes.

    `value` is between all real training images and the synthetic ones. `value at n` and `floor` are between n images on
    each side: real and synthetic ones, and two halves of the real ones that share no patient. `held-out` is the same of
    patients that the generator did not see, next to `held-out floor`, of training images and theirs.
    """
    blocks = []
    for metric in dict.fromkeys(score.metric for score in scores):
        of_metric = [score for score in scores if score.metric == metric]
        if any(score.value is not None for score in of_metric):
            rows = [[cell(score) for _, cell in COLUMNS] for score in of_metric]
            shown = [column for column in range(len(COLUMNS)) if any(row[column] for row in rows)]
            lines = [[COLUMNS[column][0] for column in shown], *([row[c] or "–" for c in shown] for row in rows)]
            blocks.append(f"{metric}\n" + _align(lines))
    notes = dict.fromkeys(f"{score.metric}: {score.note}" for score in scores if score.note)
    return "\n\n".join([*blocks, *(["\n".join(notes)] if notes else [])])


def _align(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells in columns; the first column to the left, the numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  " + "  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))])
        for line in lines
    )

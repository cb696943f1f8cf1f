"""Image scores and findings as text for a terminal."""

from collections.abc import Callable, Sequence

from ganaug.evaluate.judged import Finding
from ganaug.evaluate.judgement import Judgement
from ganaug.evaluate.scores import ALL, ImageScore
from ganaug.report.numbers import figure

NUM_TEXTS = 2  # columns at the left that hold no numbers
Cell = Callable[[ImageScore], str]


def bounds(low: float | None, high: float | None) -> str:
    """An interval as text; empty where there is none."""
    return "" if low is None or high is None else f"{figure(low)} to {figure(high)}"


# Heading and cell; a column is shown where one of its rows has something in it
COLUMNS: Sequence[tuple[str, Cell]] = (
    ("figure", lambda score: score.metric),
    ("class", lambda score: score.class_name),
    ("value", lambda score: figure(score.value)),
    ("interval", lambda score: bounds(score.low, score.high)),
    ("real", lambda score: str(score.n_real or "")),
    ("synthetic", lambda score: str(score.n_synthetic or "")),
    ("at n", lambda score: str(score.n_half or "")),
    ("value at n", lambda score: "" if score.value_at_half is None else figure(score.value_at_half)),
    ("floor", lambda score: "" if score.floor is None else figure(score.floor)),
    ("floor's interval", lambda score: bounds(score.floor_low, score.floor_high)),
    ("ratio", lambda score: "" if score.ratio is None else figure(score.ratio)),
    ("held-out n", lambda score: str(score.n_held_out or "")),
    ("held-out", lambda score: "" if score.held_out is None else figure(score.held_out)),
    ("held-out floor", lambda score: "" if score.held_out_floor is None else figure(score.held_out_floor)),
    ("p", lambda score: "" if score.p_value is None else f"{score.p_value:.3g}"),
)


HEADLINES = ("kernel", "KID", "agreement", "copies")  # metrics of which every class is printed


def format_judgement(judgement: Judgement) -> str:
    """Question by question: the findings, and the figures over all classes; of the HEADLINES those of each class, too.

    `value` is between all real training images and the synthetic ones. `value at n` and `floor` are between n images on
    each side: real and synthetic ones, and two halves of the real ones that share no patient. `held-out` is the same of
    patients that the generator did not see, next to `held-out floor`, of training images and theirs.
    """
    blocks = []
    for answer in judgement.answers():
        lines = [answer.wording]
        for finding in answer.findings:
            todo = f"; {finding.todo}" if finding.todo else ""
            lines.append(f"  {'!' if finding.is_alarm else '·'} {in_words(finding)}{todo}")
        blocks.append("\n".join(lines))
        if answer.scores:
            blocks.append(format_scores(answer.scores, _is_printed))
    return "\n\n".join(blocks)


def _is_printed(score: ImageScore) -> bool:
    return score.class_name == ALL or score.metric.startswith(HEADLINES)


def in_words(finding: Finding) -> str:
    """The sentence, with the class where it does not name it itself."""
    is_named = finding.class_name == ALL or finding.class_name in finding.sentence
    return finding.sentence if is_named else f"{finding.class_name}: {finding.sentence}"


def format_scores(scores: Sequence[ImageScore], is_shown: Callable[[ImageScore], bool] = lambda score: True) -> str:
    """One table of the rows that have a value and are shown; below it their notes, and why others have no value."""
    rows = [[cell(score) for _, cell in COLUMNS] for score in scores if score.value is not None and is_shown(score)]
    blocks = []
    if rows:
        shown = [column for column in range(len(COLUMNS)) if any(row[column] for row in rows)]
        blocks.append(_align([[COLUMNS[c][0] for c in shown], *([row[c] or "–" for c in shown] for row in rows)]))
    metrics_of: dict[str, dict[str, None]] = {}
    for score in scores:
        if score.note and (score.value is None or is_shown(score)):
            metrics_of.setdefault(score.note, {})[score.metric] = None
    notes = [f"{', '.join(metrics)}: {note}" for note, metrics in metrics_of.items()]
    return "\n\n".join([*blocks, *(["\n".join(notes)] if notes else [])])


def _align(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells in columns; the first two columns to the left, the numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]

    def place(cell: str, column: int) -> str:
        return cell.ljust(widths[column]) if column < NUM_TEXTS else cell.rjust(widths[column])

    return "\n".join("  " + "  ".join(place(cell, c) for c, cell in enumerate(line)).rstrip() for line in lines)

"""The figures of a study as tables for other programs, and its answer as text."""

import csv
import io
from collections.abc import Iterable, Sequence

from ganaug.report.numbers import number, percent, points
from ganaug.study.verdict.findings import Findings
from ganaug.study.verdict.scores import COLUMNS
from ganaug.workspace import Study, write_text

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with which a cell would be a formula to a spreadsheet


def write_tables(study: Study, found: Findings) -> None:
    """differences.csv, parts.csv, scores.csv and, where there are curves, curves.csv; numbers are fractions."""
    _write(
        study,
        "differences",
        ("classifier", "arm", "baseline", "metric", "difference", "low", "high", "confidence", "p", "smallest_gain",
         "patients", "images", "seeds", "generators"),
        (
            (d.classifier, d.arm, d.baseline, d.metric, d.estimate, d.interval.low, d.interval.high,
             d.interval.confidence, d.p_value, d.smallest_gain, d.num_patients, d.num_images, d.num_seeds,
             d.num_generators)
            for d in found.verdict.differences
        ),
    )  # fmt: skip
    _write(
        study,
        "parts",
        ("classifier", "part", "metric", "difference", "low", "high", "patients", "images"),
        (
            (p.classifier, p.part, p.metric, p.estimate, *(p.interval.bounds if p.interval else ("", "")),
             p.num_patients, p.num_images)
            for p in found.parts
        ),
    )  # fmt: skip
    names = found.dataset.table.class_names
    _write(
        study,
        "scores",
        ("classifier", "arm", *(f"{c.side} {c.heading}" for c in COLUMNS), *(f"recall {name}" for name in names)),
        (
            (classifier, row.arm, *_blank(row.values), *_blank(row.recalls))
            for classifier, rows in found.scores.items()
            for row in rows
        ),
    )
    curves = [
        (curve.classifier, arm, point.amount, point.value, point.low, point.high)
        for curve in found.curves
        for arm, drawn in curve.scores.items()
        for point in drawn
    ]
    if curves:
        _write(study, "curves", ("classifier", "arm", "fraction_of_real", "score", "low", "high"), curves)


def _blank(values: Iterable[float | None]) -> list[float | str]:
    return ["" if value is None else value for value in values]


def _write(study: Study, name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *([_cell(value) for value in row] for row in rows)])
    write_text(study.table(name), text.getvalue())


def _cell(value: object) -> object:
    """A value as a cell: numbers to six digits, and text that no spreadsheet takes for a formula."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def write_summary(study: Study, found: Findings) -> None:
    """The answer, its differences and its warnings as Markdown."""
    verdict = found.verdict
    lines = [f"# {found.design.dataset}: {verdict.word}", "", verdict.sentence, ""]
    lines += [f"- {warning}" for warning in verdict.warnings]
    lines += ["", "| classifier | arm | baseline | difference, points | interval |", "|---|---|---|---|---|"]
    lines += [
        f"| {d.classifier} | {d.arm} | {d.baseline} | {points(d.estimate)} | "
        f"{points(d.interval.low)} to {points(d.interval.high)} |"
        for d in verdict.differences
    ]
    heading = " | ".join(f"{column.side.replace('_', ' ')}: {column.heading}" for column in COLUMNS)
    lines += ["", f"| classifier | arm | {heading} |", "|---" * (len(COLUMNS) + 2) + "|"]
    for classifier, rows in found.scores.items():
        lines += [f"| {classifier} | {row.arm} | {' | '.join(map(number, row.values))} |" for row in rows]
    first = verdict.differences[0]
    lines += [
        "",
        f"{percent(first.interval.confidence)} intervals, by {first.interval.method}; {first.num_patients} patients, "
        f"{first.num_images} images under test. The page `report.html` next to this file says the rest.",
        "",
    ]
    write_text(study.text, "\n".join(_as_line(line) for line in lines))


def _as_line(text: str) -> str:
    """Text that stays one line."""
    return " ".join(text.split("\n"))

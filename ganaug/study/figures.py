"""The forest plot of a study's differences."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ganaug.config.choices import SYNTHETIC_ONLY
from ganaug.report.numbers import points
from ganaug.report.pictures import plot, plot_style
from ganaug.study.statistics.paired import Difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _GREY, _MARK = "#1a1a1a", "#8a8a8a", "#7a1f5c"


def difference_plot(differences: Sequence[Difference]) -> str:
    """A forest plot, one row a comparison, as an SVG data URI.

    The axis fits the comparisons that the verdict rests on; an interval that leaves it ends in an arrow, and its
    numbers stand at the right like all others.
    """
    from matplotlib.figure import Figure

    rows = _with_headings(differences)
    shown = [d.interval for d in differences if d.arm != SYNTHETIC_ONLY]
    bounds = [abs(100 * edge) for interval in shown for edge in (interval.low, interval.high)]
    limit = max(5.0, 1.15 * max(bounds))
    with plot_style():
        figure = Figure(figsize=(9.6, 0.7 + 0.3 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0, color=_INK, linewidth=0.8)
        for height, row in enumerate(rows):
            if isinstance(row, Difference):
                _draw_interval(axes, height, row, limit)
        axes.set_yticks(range(len(rows)), [_label(row) for row in rows])
        for tick, row in zip(axes.get_yticklabels(), rows):
            tick.set_fontweight("bold" if isinstance(row, str) else "normal")
        axes.set(xlim=(-limit, limit), ylim=(len(rows) - 0.4, -0.6))
        axes.set_xlabel(f"difference in {differences[0].metric.replace('_', ' ')}, percentage points")
        axes.tick_params(axis="y", length=0)
        axes.spines[["left", "right", "top"]].set_visible(False)
        return plot(figure)


def _with_headings(differences: Sequence[Difference]) -> list[str | Difference]:
    rows: list[str | Difference] = []
    for classifier in dict.fromkeys(d.classifier for d in differences):
        rows += [classifier, *[d for d in differences if d.classifier == classifier]]
    return rows


def _label(row: str | Difference) -> str:
    return row if isinstance(row, str) else f"{row.arm} − {row.baseline}"


def _draw_interval(axes: "Axes", height: int, row: Difference, limit: float) -> None:
    low, high, middle = (100 * value for value in (row.interval.low, row.interval.high, row.estimate))
    color = _MARK if row.is_answer else _GREY
    inside = [min(max(value, -limit), limit) for value in (low, high)]
    axes.plot(inside, [height, height], color=color, linewidth=2, solid_capstyle="butt")
    for value, edge, marker in ((low, -limit, "<"), (high, limit, ">")):
        if abs(value) > limit and np.sign(value) == np.sign(edge):
            axes.plot(edge, height, marker=marker, color=color, clip_on=False)
    if abs(middle) <= limit:
        axes.plot(middle, height, marker="o", markersize=6, color=color)
    text = f"{points(row.estimate)}  [{points(row.interval.low)}, {points(row.interval.high)}]"
    axes.annotate(text, (1.02, height), xycoords=("axes fraction", "data"), va="center", color=_INK)

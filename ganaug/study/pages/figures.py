"""The plots of a study, each for a wide and for a narrow screen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ganaug.config.choices import LEAKY, SYNTHETIC_ONLY
from ganaug.report.numbers import points
from ganaug.report.pictures import ALARM, GREY, INK, MARK, plot, plot_style
from ganaug.study.arms.names import pooled_arms
from ganaug.study.arms.registry import find_arm
from ganaug.study.statistics.paired import Difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE_IN, NARROW_IN = 9.6, 4.4  # widths in inches; a screen of 390 px shows the second at about its own size


@dataclass(frozen=True)
class Picture:
    """A plot as two SVG data URIs."""

    wide: str
    narrow: str
    text: str  # for readers who do not see it


def draw_picture(text: str, draw: Callable[["Figure", bool], None]) -> Picture:
    """Both versions of a plot; `draw` fills a figure of the given width and says how high it is."""
    from matplotlib.figure import Figure

    uris = []
    for is_narrow in (False, True):
        with plot_style():
            figure = Figure(figsize=(NARROW_IN if is_narrow else WIDE_IN, 1.0), layout="constrained")
            draw(figure, is_narrow)
            uris.append(plot(figure))
    return Picture(uris[0], uris[1], text)


def difference_plot(differences: Sequence[Difference]) -> Picture:
    """A forest plot, one row a comparison.

    The axis fits the comparisons that the verdict rests on; an interval that leaves it ends in an arrow, and its
    numbers stand next to it like all others: at the right, or on a narrow screen above it.
    """
    rows = _with_headings(differences)
    shown = [d.interval for d in differences if find_arm(d.arm).base not in (SYNTHETIC_ONLY, LEAKY)]
    bounds = [abs(100 * edge) for interval in shown for edge in (interval.low, interval.high)]
    limit = max(5.0, 1.15 * max(bounds))

    def draw(figure: "Figure", is_narrow: bool) -> None:
        figure.set_figheight(0.7 + (0.52 if is_narrow else 0.3) * len(rows))
        axes = figure.add_subplot()
        axes.axvline(0, color=INK, linewidth=0.8)
        for height, row in enumerate(rows):
            if isinstance(row, Difference):
                _draw_interval(axes, height, row, limit, is_narrow)
            elif is_narrow:
                axes.annotate(row, (0, height), xycoords=("axes fraction", "data"), va="center", weight="bold")
        if is_narrow:
            axes.set_yticks([])
        else:
            axes.set_yticks(range(len(rows)), [_label(row) for row in rows])
            for tick, row in zip(axes.get_yticklabels(), rows):
                tick.set_fontweight("bold" if isinstance(row, str) else "normal")
        axes.set(xlim=(-limit, limit), ylim=(len(rows) - 0.4, -0.8))
        axes.set_xlabel(f"difference in {differences[0].metric.replace('_', ' ')}, percentage points")
        axes.tick_params(axis="y", length=0)
        axes.spines[["left", "right", "top"]].set_visible(False)

    return draw_picture("Differences between arms with their intervals; the numbers are in the table below.", draw)


def _with_headings(differences: Sequence[Difference]) -> list[str | Difference]:
    rows: list[str | Difference] = []
    for classifier in dict.fromkeys(d.classifier for d in differences):
        rows += [classifier, *[d for d in differences if d.classifier == classifier]]
    return rows


def _label(row: str | Difference) -> str:
    if isinstance(row, str):
        return row
    return f"{row.arm} − {'both arms of real images' if len(pooled_arms(row.baseline)) > 1 else row.baseline}"


def _draw_interval(axes: "Axes", height: int, row: Difference, limit: float, is_narrow: bool) -> None:
    low, high, middle = (100 * value for value in (row.interval.low, row.interval.high, row.estimate))
    color = ALARM if find_arm(row.arm).base == LEAKY else MARK if row.is_answer else GREY
    inside = [min(max(value, -limit), limit) for value in (low, high)]
    axes.plot(inside, [height, height], color=color, linewidth=2, solid_capstyle="butt")
    for value, edge, marker in ((low, -limit, "<"), (high, limit, ">")):
        if abs(value) > limit and np.sign(value) == np.sign(edge):
            axes.plot(edge, height, marker=marker, color=color, clip_on=False)
    if abs(middle) <= limit:
        axes.plot(middle, height, marker="o", markersize=6, color=color)
    numbers = f"{points(row.estimate)}  [{points(row.interval.low)}, {points(row.interval.high)}]"
    if not is_narrow:
        axes.annotate(numbers, (1.02, height), xycoords=("axes fraction", "data"), va="center", color=INK)
        return
    axes.annotate(_label(row), (0, height - 0.42), xycoords=("axes fraction", "data"), va="center", fontsize=8.5)
    axes.annotate(
        numbers, (1, height - 0.42), xycoords=("axes fraction", "data"), va="center", ha="right", fontsize=8.5
    )

"""The plots of a study that follow something: the dose, the number of real images, a training, a confidence."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from classifiers.calibration import reliability_curve
from ganaug.classify.probes import is_probe
from ganaug.config.choices import BASELINE, CONTROL, ORACLE, TREATMENT
from ganaug.report.pictures import GREY, INK, MARK, OTHER
from ganaug.study.cells import CellResult
from ganaug.study.pages.figures import Picture, draw_picture
from ganaug.study.statistics.dose_response import Point
from ganaug.study.statistics.out_of_fold import pool, runs_of
from ganaug.study.verdict.curves import Curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {BASELINE: INK, CONTROL: GREY, TREATMENT: MARK, ORACLE: OTHER}
NUM_BINS = 10  # of the reliability curves
PANEL_IN = 2.9  # height of a panel


def panels(figure: "Figure", titles: Sequence[str], is_narrow: bool) -> "list[Axes]":
    """Axes for each title, side by side, or one below the other on a narrow screen."""
    per_row = 1 if is_narrow else min(len(titles), 3)
    num_rows = -(-len(titles) // per_row)
    figure.set_figheight(0.4 + PANEL_IN * num_rows)
    grid = list(figure.subplots(num_rows, per_row, squeeze=False).flat)
    for axes, title in zip(grid, titles):
        axes.set_title(title, fontsize=10, loc="left")
        axes.spines[["right", "top"]].set_visible(False)
    for axes in grid[len(titles) :]:
        axes.set_visible(False)
    return grid[: len(titles)]


def dose_plot(curves: Sequence[Curves]) -> Picture | None:
    """Differences from real images alone over the images added per real one; None where a study has one dose."""
    shown = [curve for curve in curves if len(curve.doses) > 1]
    if not shown:
        return None

    def draw(figure: "Figure", is_narrow: bool) -> None:
        for axes, curve in zip(panels(figure, [each.classifier for each in shown], is_narrow), shown):
            axes.axhline(0, color=INK, linewidth=0.8)
            _draw_band(axes, curve.doses, MARK, scale=100)
            _set_amounts(axes, [point.amount for point in curve.doses])
            axes.set(xlabel="synthetic images per real one", ylabel="difference, points")

    return draw_picture("Differences from real images alone by the number of synthetic images added.", draw)


def fraction_plot(curves: Sequence[Curves], num_train: int) -> Picture | None:
    """Scores over the number of real images, `num_train` being all of them; None where a study has one fraction."""
    shown = [curve for curve in curves if curve.scores]
    if not shown:
        return None

    def draw(figure: "Figure", is_narrow: bool) -> None:
        for axes, curve in zip(panels(figure, [each.classifier for each in shown], is_narrow), shown):
            for arm, points in curve.scores.items():
                _draw_band(axes, points, COLOURS[arm], by=num_train, label=arm)
            _set_amounts(axes, [num_train * point.amount for point in curve.scores[BASELINE]])
            axes.set(xlabel="real training images", ylabel="score")
            axes.legend(fontsize=8)

    return draw_picture("Scores by the number of real training images, with and without synthetic ones.", draw)


def _draw_band(
    axes: "Axes", points: Sequence[Point], colour: str, *, scale: float = 1, by: float = 1, label: str | None = None
) -> None:
    amount = [by * point.amount for point in points]
    low, high = ([scale * getattr(point, side) for point in points] for side in ("low", "high"))
    axes.plot(amount, [scale * point.value for point in points], "o-", color=colour, markersize=4, label=label)
    if len(points) == 1:
        axes.plot([amount[0]] * 2, [low[0], high[0]], color=colour, alpha=0.4)
    axes.fill_between(amount, low, high, color=colour, alpha=0.15, linewidth=0)


def _set_amounts(axes: "Axes", amounts: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xticks(list(amounts), [f"{amount:.3g}" for amount in amounts])
    axes.minorticks_off()


def reliability_plot(results: Sequence[CellResult], classifiers: Sequence[str]) -> Picture:
    """How often predictions are right, by their confidence, with and without synthetic images; all runs together."""

    def draw(figure: "Figure", is_narrow: bool) -> None:
        for axes, classifier in zip(panels(figure, classifiers, is_narrow), classifiers):
            axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
            for arm in (BASELINE, TREATMENT):
                runs = runs_of([r for r in results if (r.cell.classifier, r.cell.arm) == (classifier, arm)])
                tested = pool([result for run in runs for result in run])
                bins = reliability_curve(tested.labels, tested.probs, NUM_BINS)
                axes.plot(
                    [each.confidence for each in bins],
                    [each.accuracy for each in bins],
                    "o-",
                    color=COLOURS[arm],
                    markersize=4,
                    label=arm,
                )
            axes.set(xlabel="confidence", ylabel="fraction right", xlim=(0, 1.02), ylim=(0, 1.02))
            axes.legend(fontsize=8, loc="lower right")

    return draw_picture("The fraction of right predictions by their confidence.", draw)


def learning_plot(results: Sequence[CellResult], classifiers: Sequence[str]) -> Picture | None:
    """Validation scores over the optimiser steps, means over folds and seeds; None where all are probes."""
    networks = [name for name in classifiers if not is_probe(name)]
    if not networks:
        return None

    def draw(figure: "Figure", is_narrow: bool) -> None:
        for axes, classifier in zip(panels(figure, networks, is_narrow), networks):
            for arm in (BASELINE, CONTROL, TREATMENT):
                steps, score = _mean_course(results, classifier, arm)
                axes.plot(steps, score, color=COLOURS[arm], label=arm)
            axes.set(xlabel="optimiser step", ylabel="validation accuracy")
            axes.legend(fontsize=8, loc="lower right")

    return draw_picture("Validation scores in the course of the trainings.", draw)


def _mean_course(results: Sequence[CellResult], classifier: str, arm: str) -> tuple[list[float], list[float]]:
    """Steps and the mean validation score at each."""
    by_step: dict[float, list[float]] = {}
    for result in results:
        if (result.cell.classifier, result.cell.arm) == (classifier, arm):
            for row in result.record.history:
                if "val_accuracy" in row:
                    by_step.setdefault(row["step"], []).append(row["val_accuracy"])
    means: Mapping[float, float] = {step: float(np.mean(scores)) for step, scores in sorted(by_step.items())}
    return list(means), list(means.values())

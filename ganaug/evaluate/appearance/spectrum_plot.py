"""The spectra of synthetic images over the band of real patients, as a picture."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ganaug.evaluate.judged import Exhibit
from ganaug.report.pictures import GREY, INK, MARK, plot, plot_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ganaug.evaluate.appearance.distance import Spectra

MAX_PANELS = 8  # classes that are shown
PANELS_PER_ROW = 4
GRID_PERIODS = (8, 4, 2)  # px


def spectrum_exhibit(panels: Mapping[str, "tuple[Spectra, Spectra]"]) -> Exhibit:
    """A panel per class with its real and its synthetic spectra; at least one class."""
    from matplotlib.figure import Figure

    shown = list(panels.items())[:MAX_PANELS]
    per_row = min(len(shown), PANELS_PER_ROW)
    num_rows = -(-len(shown) // per_row)
    with plot_style():
        figure = Figure(figsize=(1.2 + 3.0 * per_row, 0.6 + 2.7 * num_rows), layout="constrained")
        grid = figure.subplots(num_rows, per_row, squeeze=False, sharex=True, sharey=True)
        for axes, (name, (real, synthetic)) in zip(grid.flat, shown):
            _draw(axes, name, real, synthetic)
        for axes in grid.flat[len(shown) :]:
            axes.set_visible(False)
        figure.supxlabel("frequency, cycles per pixel", fontsize=10)
        figure.supylabel("power, squared grey levels", fontsize=10)
        grid.flat[0].legend(fontsize=8, loc="lower left")
        uri = plot(figure)
    more = f" {len(panels) - len(shown)} more classes are not shown." if len(panels) > len(shown) else ""
    return Exhibit(
        question="appearance",
        title="Radial power spectrum",
        caption=(
            "The mean power at each frequency. The band holds the means of all real training patients; the thin line "
            "is the mean of their images, the thick one that of the synthetic images. A thick line that falls below "
            "the band at the right lacks fine detail; a narrow peak is a grid, which along the pixel rows stands at "
            "the dotted lines (periods of 8, 4 and 2 px), else to the right of them." + more
        ),
        uri=uri,
    )


def _draw(axes: "Axes", name: str, real: "Spectra", synthetic: "Spectra") -> None:
    side = real.side_px
    frequency = np.arange(1, side // 2 + 1) / side
    patients = np.stack([real.levels[real.group == patient].mean(0) for patient in np.unique(real.group)])
    low, high = (10 ** (bound / 10) for bound in (patients.min(0), patients.max(0)))
    for period in GRID_PERIODS:
        axes.axvline(1 / period, color=GREY, linewidth=0.8, linestyle=":")
    axes.fill_between(frequency, low, high, color=GREY, alpha=0.4, linewidth=0, label="real patients")
    axes.plot(frequency, 10 ** (real.levels.mean(0) / 10), color=INK, linewidth=0.8, label="real images")
    axes.plot(frequency, 10 ** (synthetic.levels.mean(0) / 10), color=MARK, linewidth=1.8, label="synthetic images")
    axes.set(xscale="log", yscale="log", title=name)
    ticks = [1 / period for period in (128, 64, 32, 16, 8, 4, 2) if side >= period]
    axes.set_xticks(ticks, [f"1/{round(1 / tick)}" for tick in ticks])
    axes.minorticks_off()
    axes.spines[["right", "top"]].set_visible(False)

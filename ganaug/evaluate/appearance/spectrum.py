"""Spectra of real and synthetic images: a distance per class, fine detail that is lacking, and grids."""

import numpy as np
from numpy.typing import NDArray

from ganaug.evaluate.appearance.distance import DISTANCE, MIN_IMAGES, Spectra, distance_scores, spectra_of
from ganaug.evaluate.appearance.grid import Grid, find_grid
from ganaug.evaluate.appearance.quantity import (
    FEWEST_PATIENTS,
    Comparison,
    PatientRange,
    Quantity,
    compare,
    patient_range,
)
from ganaug.evaluate.appearance.samples import are_alike
from ganaug.evaluate.appearance.spectrum_plot import spectrum_exhibit
from ganaug.evaluate.judged import Chapter, Finding, Judged
from ganaug.evaluate.scores import ALL, ImageScore
from ganaug.report.numbers import number

DETAIL = "fine detail (dB)"  # the mean level at periods of 2 to 4 px
SAME_DB = 0.01  # by which the levels of repeated images differ at most
MIN_SHIFT_DB = 1.0  # of fine detail, below which no finding is made: 12 % of the amplitude


def judge_spectrum(judged: Judged, *, seed: int) -> Chapter:
    """The radial power spectrum of synthetic images next to that of the real training ones.

    Rows: the log spectral distance per class and over the classes, which is the root mean square over frequencies of
    the difference between the mean levels of both sides, with the distance of two patient-disjoint halves of the real
    images as its floor; and the level of fine detail, at periods of 2 to 4 px. Findings: a grid, and fine detail beyond
    the range of real patients. Of each set a sample is read, see `samples.MAX_PER_CLASS`.
    """
    draws = np.random.default_rng(seed).spawn(2)
    names = judged.class_names
    real, synthetic = (spectra_of(images, len(names)) for images in (judged.train, judged.synthetic))
    if synthetic.side_px not in (0, real.side_px):
        note = f"synthetic images of {synthetic.side_px} px, real ones of {real.side_px} px; expected the same side"
        return Chapter((ImageScore(DISTANCE, ALL, None, question="appearance", note=note),))
    scores = distance_scores(real, synthetic, names, draws[0])
    findings = []
    panels, details, is_repeated = {}, [], np.zeros(len(synthetic.label), np.bool_)
    for label, name in enumerate(names):
        ours, theirs = synthetic.of_class(label), real.of_class(label)
        is_alike = are_alike(ours.levels, SAME_DB)
        is_repeated |= is_alike & (synthetic.label == label)
        quantity, of_real = Quantity(DETAIL, MIN_SHIFT_DB), (_fine(theirs), theirs.group)
        details.append(compare(quantity, name, of_real, _fine(ours), draws[1], is_alike=is_alike))
        if min(len(ours.levels), len(theirs.levels)) >= MIN_IMAGES:
            panels[name] = theirs, ours
    grid = find_grid(synthetic.contrasts[~is_repeated], real.contrasts, real.group, real.side_px)
    if grid:
        findings.append(_grid_finding(grid))
    scores += [detail.score for detail in details]
    ranges = _ranges(real, len(names))
    findings += [_detail_finding(detail, ranges) for detail in details if detail.is_alarm]
    return Chapter(tuple(scores), tuple(findings), (spectrum_exhibit(panels),) if panels else ())


def _fine(spectra: Spectra) -> NDArray[np.float64]:
    """The mean level of each image at periods of 2 to 4 px, [n]."""
    radius = np.arange(1, spectra.levels.shape[1] + 1)
    level: NDArray[np.float64] = spectra.levels[:, 4 * radius >= spectra.side_px].mean(1, dtype=np.float64)
    return level


def _ranges(real: Spectra, num_classes: int) -> list[PatientRange]:
    """The fine detail of the real patients of each class that has enough of them."""
    classes = [real.of_class(label) for label in range(num_classes)]
    return [patient_range(_fine(own), own.group) for own in classes if len(np.unique(own.group)) >= FEWEST_PATIENTS]


def _detail_finding(detail: Comparison, ranges: list[PatientRange]) -> Finding:
    """The images of a class may be those of another, unless they are beyond the patients of every class."""
    name, value, is_lacking = detail.score.class_name, detail.score.value or 0.0, detail.difference < 0
    is_beyond_all = all(detail.is_outside(each) and (each.shift(value) < 0) == is_lacking for each in ranges)
    sentence = (
        f"the fine detail of synthetic images asked to be {name}, at periods of 2 to 4 px, is "
        f"{number(abs(detail.difference), 1)} dB {'weaker' if is_lacking else 'stronger'} than that of real ones, "
        f"{detail.describe()}: they are {'blurred' if is_lacking else 'noisy'}"
        f"{'' if is_beyond_all else ', or show another class'}"
    )
    todo = "train longer" if is_lacking else "train longer, and look for noise in the images at full size"
    return Finding("appearance", name, sentence, is_alarm=True, todo=todo)


def _grid_finding(grid: Grid) -> Finding:
    what = "in the steps between neighbouring pixels" if grid.is_in_edges else "in the pixels"
    sentence = (
        f"a grid with a period of {grid.period_px} px stands {what} of synthetic images: its peak is "
        f"{number(grid.peak_db, 1)} dB above its neighbourhood, in real images {number(grid.real_db, 1)} dB"
    )
    todo = (
        "look at the images at full size; check the generator's upsampling, and whether they were resized or compressed"
    )
    return Finding("appearance", ALL, sentence, is_alarm=True, todo=todo)

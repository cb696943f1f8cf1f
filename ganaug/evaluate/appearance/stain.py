"""Stain and nuclei of synthetic images, next to those of real patients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganaug.evaluate.appearance.quantity import Comparison, Quantity, compare
from ganaug.evaluate.appearance.samples import are_alike
from ganaug.evaluate.appearance.unmix import (
    Stained,
    haematoxylin_histogram,
    nuclear_threshold,
    own_haematoxylin,
    read_stained,
    stains_of,
    unmix,
)
from ganaug.evaluate.judged import Chapter, Finding, Judged
from ganaug.evaluate.labels import fractions
from ganaug.evaluate.scores import ALL, ImageScore
from ganaug.report.numbers import count, figure, number, percent

MIN_DENSITY = 0.03  # natural optical density: a shift that is hardly seen
MIN_AREA = 0.02  # of the tissue
STAIN_ADVICE = "train longer; prepare the data set with --stain macenko if its patients differ in stain"
ADVICE = "look at the images at full size; train longer"
QUANTITIES = (
    Quantity("haematoxylin", MIN_DENSITY, STAIN_ADVICE),
    Quantity("eosin", MIN_DENSITY, STAIN_ADVICE),
    Quantity("other colour", MIN_DENSITY, STAIN_ADVICE),
    Quantity("nuclear area", MIN_AREA, ADVICE),
)
SAME_PIXELS = 2  # grey levels, by which repeated images differ at most
MIN_EXCESS = 0.05  # of images without stain over the real ones, so that it matters

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """The quantities of the images of one side that show a stain."""

    values: Values  # [n,4], in the order of QUANTITIES
    label: NDArray[np.int64]  # [n]
    group: NDArray[np.str_]  # [n]


def judge_stain(judged: Judged, *, seed: int) -> Chapter:
    """Stain and a proxy of nuclear density per class, of synthetic and of real training images.

    Each image is unmixed with one pair of stains, the median of Macenko's over the training images. Of its tissue are
    taken the mean haematoxylin and eosin, in natural optical density, negative where the hue lies beyond the stains;
    and the mean density that neither has, which grows with a change of hue. The nuclear area is the fraction of the
    tissue whose haematoxylin, by the image's own stains, is above one threshold, Otsu's on the training images. It is a
    proxy (our choice): it sees dark pixels, not nuclei, and leaves the strength of the stain to the other rows.

    Rows: medians over the images, `value` of synthetic and `floor` of real ones, with the quartile ranges as rows of
    their own. An alarm is raised clearly beyond the range in which one more real patient is expected. Images that show
    no stain are counted and left aside. Of each set a sample is read, see `samples.MAX_PER_CLASS`.
    """
    num_classes = len(judged.class_names)
    real, synthetic = (read_stained(images, num_classes) for images in (judged.train, judged.synthetic))
    stains = stains_of(real)
    if stains is None:
        note = f"none of {len(real.label)} training images shows haematoxylin and eosin, so stain is not judged"
        return Chapter(tuple(ImageScore(each.name, ALL, None, question="appearance", note=note) for each in QUANTITIES))
    threshold = _threshold(real)
    of_real, of_synthetic = (_measure(side, stains, threshold) for side in (real, synthetic))
    rng = np.random.default_rng(seed)
    scores: list[ImageScore] = []
    comparisons = []
    for label, name in enumerate(judged.class_names):
        theirs, ours = of_real.label == label, of_synthetic.label == label
        is_alike = are_alike(synthetic.pixels[ours], SAME_PIXELS)
        for column, quantity in enumerate(QUANTITIES):
            values, made = of_real.values[theirs, column], of_synthetic.values[ours, column]
            comparison = compare(quantity, name, (values, of_real.group[theirs]), made, rng, is_alike=is_alike)
            comparisons.append(comparison)
            scores.append(comparison.score)
            if comparison.score.value is not None and quantity.name in ("haematoxylin", "eosin"):
                scores.append(_spread(comparison.score, values, made))
    findings = [*_without_stain(real, synthetic), *_findings(comparisons)]
    return Chapter(tuple(scores), tuple(findings))


def _threshold(real: Stained) -> float:
    """Of nuclei; every training image counts alike."""
    images = zip(real.pixels, real.fits, strict=True)
    return nuclear_threshold(np.sum([haematoxylin_histogram(own_haematoxylin(*image)) for image in images], axis=0))


def _measure(side: Stained, stains: NDArray[np.float64], threshold: float) -> Measured:
    rows = []
    for image, fitted in zip(side.pixels, side.fits, strict=True):
        concentration, left = unmix(image, stains)
        nuclear = own_haematoxylin(image, fitted) > threshold
        rows.append([*concentration.mean(0), left.mean(), nuclear.mean()])
    values = np.array(rows, np.float64).reshape(len(rows), len(QUANTITIES))
    return Measured(values, side.label[side.has_stain], side.group[side.has_stain])


def _spread(score: ImageScore, real: Values, made: Values) -> ImageScore:
    """The distance between the quartiles over the images."""
    value, floor = (float(np.subtract(*np.quantile(values, [0.75, 0.25]))) for values in (made, real))
    return ImageScore(
        f"{score.metric} spread",
        score.class_name,
        value,
        floor=floor,
        n_real=score.n_real,
        n_synthetic=score.n_synthetic,
        question="appearance",
    )


def _without_stain(real: Stained, synthetic: Stained) -> list[Finding]:
    """How many images show no stain; an alarm where these are clearly more than among real ones."""
    if (synthetic.has_stain.all() and real.has_stain.all()) or not len(synthetic.label):
        return []
    made, usual = fractions.of_independent(~synthetic.has_stain), ~real.has_stain
    floor = fractions.of_patients(usual, real.group)
    is_alarm = made.low > floor.high and made.value - floor.value > MIN_EXCESS
    sentence = (
        f"{count(int((~synthetic.has_stain).sum()), 'image')} of {len(synthetic.label)} synthetic ones "
        f"({percent(round(made.value, 3))}) and {int(usual.sum())} of {len(usual)} real ones show no haematoxylin and "
        "eosin, and are left aside"
    )
    return [Finding("appearance", ALL, sentence, is_alarm, ADVICE if is_alarm else "")]


def _findings(comparisons: list[Comparison]) -> list[Finding]:
    """An alarm per quantity beyond the patients' range; where there is none, the largest shift."""
    known = [each for each in comparisons if each.range is not None]
    alarms = [
        Finding(
            "appearance",
            each.score.class_name,
            f"the {each.score.metric} of synthetic images asked to be {each.score.class_name}, "
            f"{figure(each.score.value)}, lies {each.describe()}; the real median is {figure(each.score.floor)}",
            is_alarm=True,
            todo=each.todo,
        )
        for each in known
        if each.is_alarm
    ]
    if alarms or not known:
        return alarms
    most = max(known, key=lambda each: abs(each.shift))
    sentence = (
        "stain and nuclei are not clearly outside the range of real patients; furthest from their mean is the "
        f"{most.score.metric} of {most.score.class_name}, by {number(most.shift, 1)} standard deviations between "
        "patients"
    )
    return [Finding("appearance", ALL, sentence, is_alarm=False)]

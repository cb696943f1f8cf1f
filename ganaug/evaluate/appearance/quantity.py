"""A quantity of single images, compared between synthetic images and real patients."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ganaug.evaluate.scores import ImageScore
from ganaug.interval import percentile_interval
from ganaug.report.numbers import figure, number

CONFIDENCE = 0.95
NUM_RESAMPLES = 1000  # of the patients
MIN_IMAGES = 8  # on each side, our choice: below, the interval of a median is most of its range
FEWEST_PATIENTS = 3  # from whom a range can be had

Values = NDArray[np.float64]  # [n], of each image


@dataclass(frozen=True)
class PatientRange:
    """A quantity over real patients, and where that of one more patient is expected."""

    mean: float  # of the patients' medians over their images
    std: float  # between patients
    low: float  # of the prediction interval for one more patient, at 95 %
    high: float
    num_patients: int

    def shift(self, value: float) -> float:
        """How far a value lies from the mean, in standard deviations between patients."""
        difference = value - self.mean
        if not self.std:
            return float(np.copysign(np.inf, difference)) if difference else 0.0
        return difference / self.std


@dataclass(frozen=True)
class Quantity:
    """What is measured on each image."""

    name: str  # of the rows
    min_shift: float  # from the patients' mean, below which no alarm is raised, however alike the patients are
    todo: str = ""  # where an alarm is raised, in the imperative


@dataclass(frozen=True)
class Comparison:
    """A quantity of one class on both sides."""

    score: ImageScore
    range: PatientRange | None  # None where there are too few patients, or no images
    is_alarm: bool  # whether the interval of the synthetic median lies beyond the patients' range
    todo: str = ""  # of the quantity

    @property
    def shift(self) -> float:
        """Of the synthetic median from the patients, in standard deviations between them; 0 where it is not known."""
        return self.range.shift(self.score.value) if self.range and self.score.value is not None else 0.0

    @property
    def difference(self) -> float:
        """The synthetic median minus the real one; 0 where either is not known."""
        value, floor = self.score.value, self.score.floor
        return value - floor if value is not None and floor is not None else 0.0

    def is_outside(self, expected: PatientRange) -> bool:
        """Whether all of the synthetic median's interval lies on one side of a range; False where it is not known."""
        low, high = self.score.low, self.score.high
        return low is not None and high is not None and (low > expected.high or high < expected.low)

    def describe(self) -> str:
        """Where a synthetic median that is an alarm lies, in words."""
        if self.range is None:
            return "too few patients"
        return (
            f"outside the range of {self.range.num_patients} real patients, "
            f"{figure(self.range.low)} to {figure(self.range.high)} ({number(self.shift, 1)} standard deviations)"
        )


def compare(
    quantity: Quantity,
    class_name: str,
    real: tuple[Values, NDArray[np.str_]],
    made: Values,
    rng: np.random.Generator,
    *,
    is_alike: bool = False,
) -> Comparison:
    """The medians over the images of a class: `real` with the patient of each, and `made`, the synthetic ones.

    The interval of the synthetic median is the exact one by order statistics, that of the real one the percentile
    interval of resampled patients. An alarm is raised where all of the synthetic interval lies beyond the range in
    which one more patient is expected, as images as good as real ones have a median well within it.
    With `is_alike` all synthetic images are the same, so that they have no median to speak of.
    """
    values, group = real
    num_patients = len(np.unique(group))
    score = ImageScore(
        quantity.name, class_name, None, n_real=len(values), n_synthetic=len(made), question="appearance"
    )
    if min(len(values), len(made)) < MIN_IMAGES:
        note = f"{class_name}: it takes {MIN_IMAGES} real and {MIN_IMAGES} synthetic images"
        return Comparison(replace(score, note=note), None, False)
    if is_alike:
        note = f"{class_name}: all {len(made)} synthetic images are alike"
        return Comparison(replace(score, note=note), None, False)
    median = float(np.median(made))
    low, high = interval_of_median(made)
    floor_low, floor_high = _interval_by_patients(values, group, rng)
    score = replace(
        score,
        value=median,
        low=low,
        high=high,
        floor=float(np.median(values)),
        floor_low=floor_low,
        floor_high=floor_high,
    )
    if num_patients < FEWEST_PATIENTS:
        note = f"{class_name}: {num_patients} training patients; it takes {FEWEST_PATIENTS} to judge by their range"
        return Comparison(replace(score, note=note), None, False)
    expected = patient_range(values, group)
    comparison = Comparison(score, expected, False, quantity.todo)
    is_alarm = comparison.is_outside(expected) and abs(median - expected.mean) >= quantity.min_shift
    return replace(comparison, is_alarm=is_alarm)


def patient_range(values: Values, group: NDArray[np.str_]) -> PatientRange:
    """The range of the patients' medians over their images, by Student's t for one more patient; two at least."""
    from scipy.stats import t

    names, owner = np.unique(group, return_inverse=True)
    medians = np.array([np.median(values[owner == patient]) for patient in range(len(names))])
    mean, std = float(medians.mean()), float(medians.std(ddof=1))
    reach = float(t.ppf((1 + CONFIDENCE) / 2, len(names) - 1)) * std * (1 + 1 / len(names)) ** 0.5
    return PatientRange(mean, std, mean - reach, mean + reach, len(names))


def interval_of_median(values: Values) -> tuple[float, float]:
    """Two of the values, between which the median of their distribution lies at 95 %; fewer than 6 reach less.

    Each value lies above the median as often as below, so the number below is binomial.
    """
    from scipy.stats import binom

    rank = max(int(binom.ppf((1 - CONFIDENCE) / 2, len(values), 0.5)) - 1, 0)
    ordered = np.sort(values)
    return float(ordered[rank]), float(ordered[len(values) - 1 - rank])


def _interval_by_patients(
    values: Values, group: NDArray[np.str_], rng: np.random.Generator
) -> tuple[float | None, float | None]:
    """The interval of the median of all images, whose patients are drawn with replacement; None for one patient."""
    names, owner = np.unique(group, return_inverse=True)
    if len(names) < 2:
        return None, None
    order = np.argsort(values, kind="stable")
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=NUM_RESAMPLES)
    weight = drawn[:, owner[order]].cumsum(1)  # images up to each one, in ascending order of their values
    middle = (2 * weight >= weight[:, -1:]).argmax(1)
    interval = percentile_interval(values[order][middle], CONFIDENCE)
    return interval.low, interval.high

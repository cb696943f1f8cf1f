"""Classification accuracy score: a classifier trained on synthetic images, asked about real patients, and back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganaug.evaluate.comparison.halves import draw_per_class
from ganaug.evaluate.judged import Chapter, Finding
from ganaug.evaluate.labels import fractions
from ganaug.evaluate.labels.fractions import Fraction
from ganaug.evaluate.labels.linear import Labels, fit_by_patients, fit_by_validation, predict
from ganaug.evaluate.labels.scope import Scope
from ganaug.evaluate.scores import ALL, ImageScore
from ganaug.report.numbers import percent, points

ALARM_CONFIDENCE = 0.99
MIN_GAP = 0.05  # of balanced accuracy, so that a gap matters
FEWEST_PATIENTS = 5  # held out per class, for an alarm: the variance between fewer is not known (our choice)
ADVICE = "train longer, and compare the arms of evaluate-augmentation before these images are used"


def judge_utility(scope: Scope, extractor: str, held_out_part: str, rng: np.random.Generator) -> Chapter:
    """CAS with its recall per class, and CAS back; the floor of both is a classifier trained on real images.

    CAS: trained on synthetic images and tested on the held-out patients. CAS back: trained on real training images and
    tested on synthetic ones. Floor: trained on real training images and tested on the held-out patients. Both
    classifiers have equally many images of each class, drawn at random where a set has more; both are linear probes on
    the extractor's features. The penalty of the synthetic one is chosen on real training images, that of the real one
    by folds of its patients (our choice: held-out patients choose nothing). Figures over all classes are balanced
    accuracies: the mean recall.

    Source: Ravuri and Vinyals 2019 (1905.10887), section 3, with a linear probe in place of a network.
    """
    size = np.minimum(
        *(np.bincount(side.label, minlength=scope.num_classes) for side in (scope.train, scope.synthetic))
    )
    real = scope.train.at(draw_per_class(scope.train.label, size, rng))
    made = scope.synthetic.at(draw_per_class(scope.synthetic.label, size, rng))
    of_real = fit_by_patients(real, scope.num_classes, rng)
    of_made = fit_by_validation(made, scope.train, scope.num_classes)
    by_real, by_made = (predict(probe, scope.held_out.features) for probe in (of_real, of_made))
    back = predict(of_real, scope.synthetic.features)

    floors, values = _recalls(scope, by_real), _recalls(scope, by_made)
    rows = []
    for label, name in enumerate(scope.class_names):
        tested = int((scope.held_out.label == label).sum())
        rows.append(
            _row(f"CAS recall[{extractor}]", name, (values[label], floors[label]), int(size[label]), n_held_out=tested)
        )
    returns = [fractions.of_independent(back[scope.synthetic.label == k] == k) for k in range(scope.num_classes)]
    floor, tested = fractions.mean_of(floors), len(scope.held_out.label)
    value, num_images = fractions.mean_of(values), int(size.sum())
    overall = (
        _row(f"CAS[{extractor}]", ALL, (value, floor), num_images, n_held_out=tested, note=scope.note),
        _row(f"CAS back[{extractor}]", ALL, (fractions.mean_of(returns), floor), num_images,
             n_synthetic=len(scope.synthetic.label), n_held_out=tested, note=scope.note),
    )  # fmt: skip
    return Chapter((*overall, *rows), (_find(scope, by_made, by_real, held_out_part),))


def _recalls(scope: Scope, predicted: Labels) -> list[Fraction]:
    held_out = scope.held_out
    return [
        fractions.of_patients(predicted[held_out.label == k] == k, held_out.group[held_out.label == k])
        for k in range(scope.num_classes)
    ]


def _row(
    metric: str,
    class_name: str,
    value_and_floor: tuple[Fraction, Fraction],
    num_images: int,
    *,
    n_synthetic: int | None = None,
    n_held_out: int,
    note: str = "",
) -> ImageScore:
    value, floor = value_and_floor
    return ImageScore(
        metric,
        class_name,
        value.value,
        value.low,
        value.high,
        floor=floor.value,
        floor_low=floor.low,
        floor_high=floor.high,
        n_real=num_images,
        n_synthetic=num_images if n_synthetic is None else n_synthetic,
        n_held_out=n_held_out,
        question="obedient",
        note=note,
    )


def _find(scope: Scope, by_made: Labels, by_real: Labels, held_out_part: str) -> Finding:
    """How much worse the synthetic images teach than as many real ones, on the same held-out patients."""
    values = [fractions.mean_of(_recalls(scope, predicted)).value for predicted in (by_made, by_real)]
    gap = paired_difference(scope, by_made, by_real)
    low, high = gap.interval(fractions.CONFIDENCE)
    is_alarm = gap.value <= -MIN_GAP and gap.interval(ALARM_CONFIDENCE)[1] < 0
    is_alarm = is_alarm and int(gap.num_patients.min()) >= FEWEST_PATIENTS
    sentence = (
        f"a classifier trained on synthetic images has a balanced accuracy of {percent(round(values[0], 3))} on "
        f"{held_out_part}, one trained on as many real images {percent(round(values[1], 3))}: a difference of "
        f"{points(gap.value)} points ({points(low)} to {points(high)})"
    )
    return Finding("obedient", ALL, sentence, is_alarm, ADVICE if is_alarm else "")


@dataclass(frozen=True)
class PairedDifference:
    """A difference in balanced accuracy on the same images."""

    value: float
    variances: NDArray[np.float64]  # [K], what each class adds to the variance of `value`
    num_patients: NDArray[np.int64]  # [K], of each class

    def interval(self, confidence: float) -> tuple[float, float]:
        """By Student's t, within −1 and 1; all of it where a class has one patient.

        The degrees of freedom are Satterthwaite's, of classes with one fewer than patients each.
        """
        from scipy.stats import t

        if self.num_patients.min() < 2:
            return -1.0, 1.0
        variance = float(self.variances.sum())
        if variance == 0:
            return self.value, self.value
        degrees = variance**2 / float((self.variances**2 / (self.num_patients - 1)).sum())
        reach = float(t.ppf(1 - (1 - confidence) / 2, degrees)) * variance**0.5
        return max(self.value - reach, -1.0), min(self.value + reach, 1.0)


def paired_difference(scope: Scope, first: Labels, second: Labels) -> PairedDifference:
    """The difference of two predictions [n] of the held-out images; a class's patients vary independently."""
    label, group = scope.held_out.label, scope.held_out.group
    won = (first == label).astype(np.float64) - (second == label)
    gains, variances, num_patients = [], [], []
    for number in range(scope.num_classes):
        own = won[label == number]
        names, owner = np.unique(group[label == number], return_inverse=True)
        influence = np.bincount(owner, weights=own - own.mean()) / len(own) / scope.num_classes
        gains.append(float(own.mean()))
        variances.append(float((influence**2).sum()) * len(names) / max(len(names) - 1, 1))
        num_patients.append(len(names))
    return PairedDifference(float(np.mean(gains)), np.array(variances), np.array(num_patients, np.int64))

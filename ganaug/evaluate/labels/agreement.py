"""Label fidelity: how often a classifier of other patients agrees with the class that was asked for.

It is a linear probe on the extractor's features, trained on the held-out patients, of whom the generator has seen none.
Neither side that it is asked about has it seen: the synthetic images, and the real training images, which the generator
imitates. So a generator that does as it is asked agrees as often as these, however good or bad the classifier is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganaug.evaluate.judged import Chapter, Finding
from ganaug.evaluate.labels import fractions
from ganaug.evaluate.labels.fractions import Fraction
from ganaug.evaluate.labels.linear import Labels, fit_by_patients, predict
from ganaug.evaluate.labels.scope import Scope
from ganaug.evaluate.scores import ALL, ImageScore
from ganaug.report.numbers import count, percent

ALARM_CONFIDENCE = 0.99  # of the intervals that an alarm rests on: there are as many alarms as classes
MIN_GAP = 0.05  # below the real agreement, so that a gap matters
ADVICE = "train longer, try --class-transition, and check the labels of the training images"


@dataclass(frozen=True)
class Agreement:
    """The agreement of one class on both sides, as images."""

    class_name: str
    is_real: NDArray[np.bool_]  # [n], whether the classifier agrees, of real images
    group: NDArray[np.str_]  # [n]
    is_synthetic: NDArray[np.bool_]  # [m]
    wrong: str  # the class that synthetic images are most often taken for; empty where there is none

    def real(self, confidence: float) -> Fraction:
        return fractions.of_patients(self.is_real, self.group, confidence)

    def synthetic(self, confidence: float) -> Fraction:
        return fractions.of_independent(self.is_synthetic, confidence)


def judge_agreement(scope: Scope, metric: str, held_out_part: str, rng: np.random.Generator) -> Chapter:
    """A row per class that can be judged and one over them, the mean of theirs; a finding per class that is below.

    Intervals hold for the one classifier, and leave out how it would vary with the patients that it was trained on.
    """
    probe = fit_by_patients(scope.held_out, scope.num_classes, rng)
    real, synthetic = (predict(probe, images.features) for images in (scope.train, scope.synthetic))
    agreements = [_agreement(scope, label, real, synthetic) for label in range(scope.num_classes)]
    rows = [
        _row(metric, each.class_name, each.synthetic(fractions.CONFIDENCE), each.real(fractions.CONFIDENCE), each)
        for each in agreements
    ]
    value = fractions.mean_of([each.synthetic(fractions.CONFIDENCE) for each in agreements])
    floor = fractions.mean_of([each.real(fractions.CONFIDENCE) for each in agreements])
    overall = _row(metric, ALL, value, floor, *agreements, note=scope.note)
    findings = [_find(each, scope.num_classes, held_out_part) for each in agreements]
    return Chapter((overall, *rows), tuple(finding for finding in findings if finding))


def _agreement(scope: Scope, label: int, real: Labels, synthetic: Labels) -> Agreement:
    of_class, made = scope.train.label == label, synthetic[scope.synthetic.label == label]
    counts = np.bincount(made[made != label], minlength=scope.num_classes)
    return Agreement(
        class_name=scope.class_names[label],
        is_real=real[of_class] == label,
        group=scope.train.group[of_class],
        is_synthetic=made == label,
        wrong=scope.class_names[int(counts.argmax())] if counts.any() else "",
    )


def _row(
    metric: str, class_name: str, value: Fraction, floor: Fraction, *agreements: Agreement, note: str = ""
) -> ImageScore:
    return ImageScore(
        metric,
        class_name,
        value.value,
        value.low,
        value.high,
        floor=floor.value,
        floor_low=floor.low,
        floor_high=floor.high,
        n_real=sum(len(each.is_real) for each in agreements),
        n_synthetic=sum(len(each.is_synthetic) for each in agreements),
        question="obedient",
        note=note,
    )


def _find(agreement: Agreement, num_classes: int, held_out_part: str) -> Finding | None:
    """Of this class alone, whatever the images of other classes show.

    The classifier's boundary lies elsewhere for other patients: one class is recognised less often, another more. The
    error of the real side holds this, see `fractions.gap_at_least`.
    """
    name = agreement.class_name
    real, synthetic = agreement.real(fractions.CONFIDENCE), agreement.synthetic(fractions.CONFIDENCE)
    if real.low <= 1 / num_classes:
        sentence = (
            f"a classifier trained on {held_out_part} recognises {_rounded(real.value)} of the real {name} training "
            f"images ({_rounded(real.low)} to {_rounded(real.high)}, {len(np.unique(agreement.group))} patients), "
            "which may be guessing, so synthetic ones cannot be judged by it"
        )
        return Finding("obedient", name, sentence, is_alarm=False)
    if real.value - synthetic.value < MIN_GAP or fractions.gap_at_least(real, synthetic) <= 0:
        return None
    is_alarm = fractions.gap_at_least(agreement.real(ALARM_CONFIDENCE), agreement.synthetic(ALARM_CONFIDENCE)) > 0
    sentence = (
        f"{_rounded(synthetic.value)} of {count(len(agreement.is_synthetic), 'synthetic image')} asked to be {name} "
        f"are recognised as such by a classifier trained on {held_out_part}, but {_rounded(real.value)} of the real "
        f"training images; the others look mostly like {agreement.wrong}"
    )
    if not is_alarm:
        sentence += f"; among {len(np.unique(agreement.group))} patients this may still be an accident"
    return Finding("obedient", name, sentence, is_alarm, ADVICE if is_alarm else "")


def _rounded(fraction: float) -> str:
    return percent(round(fraction, 2))

"""The verdict on a study's differences: gain, loss or inconclusive, in one sentence, with its warnings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganaug.config.choices import BASELINE, CONTROL, SYNTHETIC_ONLY, TREATMENT
from ganaug.report.numbers import percent, points
from ganaug.study.cells import CellResult
from ganaug.study.design import Design
from ganaug.study.statistics.out_of_fold import OutOfFold, out_of_fold, score_counts
from ganaug.study.statistics.paired import Difference, paired_difference, resample

GAIN, LOSS, INCONCLUSIVE = "gain", "loss", "inconclusive"
FEW_PATIENTS = 20  # below it percentile intervals of patients are known to be too narrow
FEW_PATIENTS_PER_CLASS = 5
MUCH = 0.10  # ten points of the metric: what counts as much worse
BOOTSTRAP_SEED = 0  # the resamples are part of the method, not a choice to be made after seeing the result


@dataclass(frozen=True)
class Verdict:
    """The answer of a study."""

    word: str  # gain, loss or inconclusive
    sentence: str  # with numbers, for the top of the report
    words: dict[str, str]  # per classifier
    differences: tuple[Difference, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.word,
            "sentence": self.sentence,
            "words": self.words,
            "differences": [difference.to_dict() for difference in self.differences],
            "warnings": self.warnings,
        }


def judge(design: Design, results: Sequence[CellResult], class_names: Sequence[str], num_folds: int) -> Verdict:
    """The verdict on finished cells. `num_folds` is how many folds the data set has, studied or not."""
    config = design.config
    differences: list[Difference] = []
    warnings: list[str] = []
    for classifier in config.classifiers:
        tested = out_of_fold(results, classifier, len(class_names))
        found = compare(tested, design, classifier)
        differences += found
        warnings += _warnings_of_classifier(classifier, tested, found, config.metric)
    warnings = _warnings_of_sample(tested, design, class_names, num_folds) + warnings
    words = {name: word_of([d for d in differences if d.classifier == name]) for name in config.classifiers}
    word = common_word(words.values())
    return Verdict(word, write_sentence(word, differences), words, tuple(differences), tuple(warnings))


def compare(tested: OutOfFold, design: Design, classifier: str) -> list[Difference]:
    """Every arm against the baseline, then the treatment against the control, all on the same resamples."""
    weights = resample(tested, design.config.num_resamples, np.random.default_rng(BOOTSTRAP_SEED))
    pairs = [(arm, BASELINE) for arm in design.config.arms if arm != BASELINE] + [(TREATMENT, CONTROL)]
    return [
        paired_difference(
            tested,
            weights,
            classifier=classifier,
            arm=arm,
            baseline=baseline,
            metric=design.config.metric,
            confidence=design.confidence,
        )
        for arm, baseline in pairs
    ]


def word_of(differences: Sequence[Difference]) -> str:
    """One classifier's verdict.

    A gain must show against the real images and against as many repeats of them, or it could come from the number of
    images alone: both intervals lie above zero. As both must hold, neither needs a correction for the other
    (intersection–union; Berger 1982). A loss is an interval against the real images that lies below zero.
    """
    by_pair = {(d.arm, d.baseline): d for d in differences}
    against_real, against_control = by_pair[TREATMENT, BASELINE], by_pair[TREATMENT, CONTROL]
    if against_real.interval.is_above(0) and against_control.interval.is_above(0):
        return GAIN
    return LOSS if against_real.interval.is_below(0) else INCONCLUSIVE


def common_word(words: Iterable[str]) -> str:
    """The classifiers' common word. Where they differ the answer depends on the classifier: that is inconclusive."""
    distinct = set(words)
    return distinct.pop() if len(distinct) == 1 else INCONCLUSIVE


def write_sentence(word: str, differences: Sequence[Difference]) -> str:
    """The verdict in plain words, with its numbers."""
    answers = [d for d in differences if d.is_answer]
    parts = [
        f"{points(d.estimate)} points ({percent(d.interval.confidence)} interval {points(d.interval.low)} to "
        f"{points(d.interval.high)}) with {d.classifier}"
        for d in answers
    ]
    first = answers[0]
    return (
        f"On {first.num_patients} patients whom neither the generator nor the classifier had seen, adding GAN images "
        f"changed {first.metric.replace('_', ' ')} by {_join(parts)}: {word}."
    )


def _join(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', by '.join(parts[:-1])} and by {parts[-1]}"


def _warnings_of_classifier(
    classifier: str, tested: OutOfFold, differences: Sequence[Difference], metric: str
) -> list[str]:
    by_pair = {(d.arm, d.baseline): d for d in differences}
    warnings = []
    placebo = by_pair[CONTROL, BASELINE]
    if placebo.interval.is_above(0) or placebo.interval.is_below(0):
        warnings.append(
            f"{classifier}: repeats of real images alone changed the score by {points(placebo.estimate)} points "
            f"({points(placebo.interval.low)} to {points(placebo.interval.high)}). They hold nothing new, so training "
            "noise is as large as the effects that are looked for; use more seeds or more steps."
        )
    alone = by_pair.get((SYNTHETIC_ONLY, BASELINE))
    if alone is not None and alone.estimate < -MUCH and alone.interval.is_below(0):
        warnings.append(
            f"{classifier}: trained on synthetic images alone it scores {points(alone.estimate)} points against real "
            "ones. The generator has learned little of what separates the classes; train it longer before "
            "concluding that such images cannot help."
        )
    counts = tested.counts[BASELINE]
    guessing = 1 / counts.shape[-1]
    if score_counts(counts, "balanced_accuracy") < guessing + 0.05:
        warnings.append(
            f"{classifier}: on real images it is hardly better than guessing ({percent(guessing)} balanced accuracy): "
            "the comparison says nothing about the images; use more steps or another classifier."
        )
    return warnings


def _warnings_of_sample(tested: OutOfFold, design: Design, class_names: Sequence[str], num_folds: int) -> list[str]:
    num_patients, num_images = len(tested.images), int(tested.images.sum())
    warnings = []
    if num_patients == num_images:
        warnings.append(
            "Every image counts as its own patient. If several come from one patient, the folds leak and the intervals "
            "are too narrow."
        )
    if num_patients < FEW_PATIENTS:
        warnings.append(f"Only {num_patients} patients were tested; below {FEW_PATIENTS} the intervals are too narrow.")
    for text in sorted({text for supply in design.supplies.values() for text in supply.provenance.declared}):
        warnings.append(
            f"The generators started from weights whose training data are declared and checked by nothing: {text}. If "
            "patients of this data set were among them, the comparison leaks."
        )
    for name, origin in design.origins.items():
        if origin.startswith("declared"):
            warnings.append(
                f"The weights that {name} started from have no record: {origin}. If patients of this data set were "
                "among it, the comparison leaks."
            )
    holders = (tested.images > 0).sum(axis=0)
    few = [f"{name} {n}" for name, n in zip(class_names, holders.tolist()) if n < FEW_PATIENTS_PER_CLASS]
    if few:
        warnings.append(
            f"Patients tested of some classes are few ({', '.join(few)}): results on these classes are results on "
            "these patients."
        )
    if len(design.folds) < num_folds:
        left = num_folds - len(design.folds)
        often = " in every repeat" if any(design.repeats) else ""
        warnings.append(f"{left} of {num_folds} folds were not studied, so not every patient was tested{often}.")
    if len(design.config.seeds) == 1:
        warnings.append(
            "One seed: the noise of training is not in the intervals, which are then far too narrow; use two or more."
        )
    return warnings

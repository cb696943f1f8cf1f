"""The verdict on a study's differences: gain, loss, equivalent or inconclusive, in one sentence, with its warnings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganaug.config.choices import BASELINE, CONTROL, TREATMENT
from ganaug.interval import Interval
from ganaug.report.numbers import percent, points
from ganaug.study.arms.names import pairs_of
from ganaug.study.cells import CellResult
from ganaug.study.design import Design
from ganaug.study.statistics.out_of_fold import FEWEST_PATIENTS, OutOfFold, out_of_fold
from ganaug.study.statistics.paired import Difference, paired_difference, resample, score_resamples
from ganaug.study.statistics.power import say_what_would_show
from ganaug.study.verdict.notes import notes_on_classifier, notes_on_sample, notes_on_shortcuts

GAIN, LOSS, EQUIVALENT, INCONCLUSIVE = "gain", "loss", "equivalent", "inconclusive"
BOOTSTRAP_SEED = 0  # the resamples are part of the method, not a choice to be made after seeing the result


@dataclass(frozen=True)
class Verdict:
    """The answer of a study."""

    word: str  # gain, loss, equivalent or inconclusive
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
    notes: list[str] = []
    real_scores: dict[str, float] = {}
    for classifier in config.classifiers:
        everybody = out_of_fold(results, classifier, len(class_names), design.generators)
        tested = everybody.judge_classes(FEWEST_PATIENTS)
        found = compare(tested, design, classifier)
        differences += found
        real_scores[classifier] = tested.score(BASELINE, config.metric)
        notes += notes_on_classifier(classifier, tested, found)
    notes = notes_on_sample(everybody, design, class_names, num_folds) + notes
    scores = {name: score_real(results, name, len(class_names), config.metric) for name in config.shortcuts}
    notes += notes_on_shortcuts(scores, real_scores, config.metric, guessing=1 / len(class_names))
    words = words_of(differences, config.margin, config.confidence)
    can_answer = len(config.seeds) > 1 and everybody.is_judged(FEWEST_PATIENTS).sum() > 1
    word = common_word(words.values()) if can_answer else INCONCLUSIVE
    words = words if can_answer else dict.fromkeys(words, INCONCLUSIVE)
    return Verdict(word, write_sentence(word, differences, config.margin), words, tuple(differences), tuple(notes))


def score_real(results: Sequence[CellResult], classifier: str, num_classes: int, metric: str) -> float:
    """The score of a classifier on real images alone, over the classes that are judged."""
    return out_of_fold(results, classifier, num_classes).judge_classes(FEWEST_PATIENTS).score(BASELINE, metric)


def compare(tested: OutOfFold, design: Design, classifier: str) -> list[Difference]:
    """The answer, every arm against the baseline, and the treatment against the control, all on the same resamples."""
    config = design.config
    weights = resample(tested, config.num_resamples, np.random.default_rng(BOOTSTRAP_SEED))
    drawn = score_resamples(tested, weights, config.metric)
    return [
        paired_difference(
            tested,
            drawn,
            classifier=classifier,
            arm=arm,
            baseline=baseline,
            metric=config.metric,
            confidence=config.confidence,
        )
        for arm, baseline in pairs_of(config.arms)
    ]


def words_of(differences: Sequence[Difference], margin: float, confidence: float) -> dict[str, str]:
    """The word on each classifier: gain, loss, equivalent or inconclusive.

    One symmetric rule: an effect is what differs from the mean of the two arms of real images, at the full level where
    all classifiers show one, and else by Hochberg's steps. Where these two arms differ from each other, repeats of real
    images alone do something, and the treatment must differ from each of them in the same direction.
    Equivalence, that is no effect as large as the margin, needs no correction: it is claimed only where all agree.
    Source: Hochberg 1988; on positively dependent tests, as these on the same patients are: Sarkar and Chang 1997.
    """
    answers = {d.classifier: d for d in differences if d.is_answer}
    shown = _hochberg({name: d.p_value for name, d in answers.items()}, 1 - confidence)
    words = {}
    for name, answer in answers.items():
        effect = GAIN if answer.estimate > 0 else LOSS
        no_effect = EQUIVALENT if answer.is_within(margin) else INCONCLUSIVE
        own = {(d.arm, d.baseline): d.interval for d in differences if d.classifier == name}
        is_shown = name in shown and (not _excludes_zero(own[CONTROL, BASELINE]) or _agree(answer, own))
        words[name] = effect if is_shown else no_effect
    return words


def _excludes_zero(interval: Interval) -> bool:
    return interval.is_above(0) or interval.is_below(0)


def _agree(answer: Difference, own: Mapping[tuple[str, str], Interval]) -> bool:
    """Whether the treatment differs from either arm of real images as it does from their mean."""
    both = own[TREATMENT, BASELINE], own[TREATMENT, CONTROL]
    return all(each.is_above(0) if answer.estimate > 0 else each.is_below(0) for each in both)


def _hochberg(p_values: Mapping[str, float], level: float) -> set[str]:
    """The names of the hypotheses that are rejected, with at most `level` of a false one among them."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    for num_rejected in range(len(ordered), 0, -1):
        if p_values[ordered[num_rejected - 1]] <= level / (len(ordered) - num_rejected + 1):
            return set(ordered[:num_rejected])
    return set()


def common_word(words: Iterable[str]) -> str:
    """The classifiers' common word. Where they differ the answer depends on the classifier: that is inconclusive."""
    distinct = set(words)
    return distinct.pop() if len(distinct) == 1 else INCONCLUSIVE


def write_sentence(word: str, differences: Sequence[Difference], margin: float) -> str:
    """The verdict in plain words, with its numbers, and what else a reader would ask of them."""
    answers = [d for d in differences if d.is_answer]
    parts = [
        f"{points(d.estimate)} points ({percent(d.interval.confidence)} interval {points(d.interval.low)} to "
        f"{points(d.interval.high)}) with {d.classifier}"
        for d in answers
    ]
    first = answers[0]
    return (
        f"On {first.num_patients} patients whom neither the generator nor the classifier had seen, adding GAN images "
        f"changed {first.metric.replace('_', ' ')} by {_join(parts)}: {_say(word, margin)}."
    ) + _outlook(word, answers, margin)


def _outlook(word: str, answers: Sequence[Difference], margin: float) -> str:
    """What would make the verdict conclusive, by the classifier that varies most; empty where it is."""
    if word != INCONCLUSIVE:
        return ""
    widest = max(answers, key=lambda d: d.variance.variance)
    return " " + say_what_would_show(widest.spread, widest.size, margin, widest.interval.confidence)


def _say(word: str, margin: float) -> str:
    return f"{word}, as no effect of {100 * margin:g} points or more remains possible" if word == EQUIVALENT else word


def _join(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', by '.join(parts[:-1])} and by {parts[-1]}"

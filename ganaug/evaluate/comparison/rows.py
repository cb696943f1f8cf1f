"""A row of the table from the figures of a metric on a class, and the note that says what is missing."""

from dataclasses import replace

import numpy as np

from ganaug.evaluate.comparison.figures import Attempt
from ganaug.evaluate.comparison.scopes import Scope
from ganaug.evaluate.comparison.splits import Repeats
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.judged import Judged
from ganaug.evaluate.metrics.metric import Metric
from ganaug.evaluate.metrics.registry import figure_name
from ganaug.evaluate.scores import ImageScore
from ganaug.interval import Interval

CONFIDENCE = 0.95


def make_row(
    judged: Judged, extractor: Extractor, scope: Scope, metric: Metric, attempt: Attempt, repeats: Repeats
) -> ImageScore:
    """The row with its floor and its figures on held-out patients; without an interval and a p-value."""
    row = ImageScore(
        metric=figure_name(metric, extractor),
        class_name=scope.class_name,
        value=attempt.value,
        value_std=attempt.std,
        n_real=len(scope.real),
        n_synthetic=len(scope.synthetic),
        num_splits=len(repeats.floor),
        n_held_out=repeats.n_held_out,
        extractor=extractor.name,
        extractor_digest=extractor.digest,
        question=metric.question,
    )
    if repeats.floor:
        floor, at_half = float(np.mean(repeats.floor)), float(np.mean(repeats.at_half))
        low, high = within(metric, range_of_next(repeats.floor))
        row = replace(
            row,
            floor=floor,
            floor_std=float(np.std(repeats.floor)),
            floor_low=low,
            floor_high=high,
            value_at_half=at_half,
            ratio=at_half / floor if metric.is_ratio and floor > 0 else None,
            n_half=round(float(np.mean(repeats.n_half))),
        )
    if repeats.held_out:
        row = replace(
            row,
            held_out=float(np.mean(repeats.held_out)),
            held_out_floor=float(np.mean(repeats.held_out_floor)),
        )
    notes = _notes(judged, scope, metric, attempt, repeats)
    if scope.label is None or not notes:  # a class with a note of its own need not repeat the extractor's
        notes.append(extractor.note)
    return replace(row, note="; ".join(note for note in notes if note))


def within(metric: Metric, interval: Interval) -> tuple[float | None, float | None]:
    """The ends of an interval, no further than what the metric can be; None where there is none."""
    if interval.reason:
        return None, None
    least, most = metric.bounds
    return max(interval.low, least), min(interval.high, most)


def range_of_next(values: list[float]) -> Interval:
    """Where one more value like these lies with 95 % probability, taken as normal; none for fewer than two values.

    Source: Hahn and Meeker 1991 (Statistical Intervals), section 4.7, the prediction interval of one observation.
    """
    from scipy import stats

    method = "prediction"
    if len(values) < 2:
        return Interval(np.nan, np.nan, CONFIDENCE, method, f"{len(values)} values; it takes 2")
    wide = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * np.sqrt(1 + 1 / len(values)))
    mean, reach = float(np.mean(values)), wide * float(np.std(values, ddof=1))
    return Interval(mean - reach, mean + reach, CONFIDENCE, method)


def _notes(judged: Judged, scope: Scope, metric: Metric, attempt: Attempt, repeats: Repeats) -> list[str]:
    """Why a figure of the row is missing, and which classes it leaves out."""
    notes = []
    if attempt.value is None or not repeats.floor:
        notes.append(_missing(judged, scope, metric, attempt, repeats))
    if scope.label is None:
        if scope.skipped and attempt.value is not None:
            notes.append(f"all classes without {', '.join(scope.skipped)}, of which a side has no image")
        alone = _lone_classes(judged, scope)
        if alone and repeats.floor:
            notes.append(f"the halves leave out {', '.join(alone)} (fewer than 2 training patients)")
        if not len(judged.held_out):
            notes.append("no images of held-out patients")
    if len(judged.held_out) and not repeats.held_out:
        is_small = repeats.n_held_out < metric.needs
        reason = _few_held_out(judged, scope, metric, repeats) if is_small else f"held out: {repeats.held_out_reason}"
        notes.append(f"{scope.class_name}: {reason}")
    return notes


def _few_held_out(judged: Judged, scope: Scope, metric: Metric, repeats: Repeats) -> str:
    """Which of the three sides has too few images; all have as many as the smallest one, of each class."""
    sets = (judged.held_out, judged.synthetic, judged.train)
    held_out, made, train = (len(each) if scope.label is None else len(each.of_class(scope.label)) for each in sets)
    return (
        f"{held_out} images of {judged.held_out_part or 'held-out patients'}, {made} synthetic and {train} training "
        f"ones leave {repeats.n_held_out} on each side; it takes {metric.needs}"
    )


def _missing(judged: Judged, scope: Scope, metric: Metric, attempt: Attempt, repeats: Repeats) -> str:
    """Why there is no value, or no floor where there is one."""
    has_value, smaller = attempt.value is not None, min(len(scope.real), len(scope.synthetic))
    if not has_value and smaller >= metric.needs:
        return f"{scope.class_name}: {attempt.reason}"
    if has_value and repeats.reason:
        return f"{scope.class_name}: the halves: {repeats.reason}"
    num_patients = len(np.unique(judged.train.group[scope.real]))
    return (
        f"{scope.class_name}: {'the halves are' if has_value else 'a side is'} too small, below {metric.needs} images "
        f"({len(scope.real)} real images of {num_patients} training patients, {len(scope.synthetic)} synthetic images)"
    )


def _lone_classes(judged: Judged, scope: Scope) -> list[str]:
    """The classes of the row over all classes that have a single patient, so that no half can hold them."""
    labels, groups = judged.train.label[scope.real], judged.train.group[scope.real]
    return [name for label, name in enumerate(judged.class_names) if len(np.unique(groups[labels == label])) == 1]

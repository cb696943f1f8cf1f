"""Every metric per class and overall: its interval over patients, its floor, and its figure on held-out patients."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ganaug.evaluate.comparison.figures import Attempt, compute_all
from ganaug.evaluate.comparison.findings import find_distances
from ganaug.evaluate.comparison.halves import draw_per_class
from ganaug.evaluate.comparison.jackknife import deal_blocks, jackknife_interval
from ganaug.evaluate.comparison.permutation import MAX_IMAGES, MIN_PATIENTS, permutation_p_value, sum_by_unit
from ganaug.evaluate.comparison.rows import make_row, within
from ganaug.evaluate.comparison.scopes import Scope, list_scopes, number_patients
from ganaug.evaluate.comparison.splits import NUM_DRAWS, NUM_SPLITS, Repeats, add_held_out, add_split
from ganaug.evaluate.judged import Chapter, Embedded, Finding, Judged
from ganaug.evaluate.metrics.registry import METRICS
from ganaug.evaluate.scores import ALL, ImageScore
from ganaug.interval import Interval

HEADLINE = "kernel"  # the metric whose p-value is taken

Indices = NDArray[np.int64]


def judge_distances(
    judged: Judged, embedded: Embedded, *, seed: int, progress: bool = False, with_intervals: bool = True
) -> Chapter:
    """One score for each metric of METRICS, over all classes and for each class.

    `value` compares all training images with all synthetic ones; over all classes, the synthetic ones are drawn in the
    class proportions of the real ones. `low` and `high` say where its expectation lies with 95 % confidence, over other
    patients drawn like these and other images of this generator, at these numbers of patients and images. They do not
    cover another training of the generator, nor other sizes: see `jackknife_interval`. A distance of so few images is
    above zero even between real ones, so an interval is read next to the floor, not next to zero.

    `floor` is between two halves of the real images that share no patient, and `value_at_half` between such a half and
    as many synthetic images of the same classes; both are means over NUM_SPLITS random partitions of the patients.
    `floor_low` and `floor_high` bound the floor of one more partition of these patients with 95 %. `held_out` is
    between images of patients that the generator did not see and as many synthetic ones, `held_out_floor` between the
    same and as many training images, with equal numbers of each class; both are means over NUM_DRAWS random draws. A
    generator as good as other patients' images has its value near the floor. One far below it has copied the patients
    it was trained on, and is no nearer to those held out.

    `p_value` is `permutation_p_value`, of the metric HEADLINE. Features are divided by the extractor's `feature_scale`
    of the training images. A figure that cannot be had is None, with a note; all others come out. No figure depends on
    the names of patients, and no floor on the synthetic images but for their numbers. `with_intervals` False leaves out
    `low`, `high` and `p_value`, which take most of the time, and changes no other figure.
    """
    embedded = _scaled(embedded)
    # A stream per purpose: what is left out changes no other figure.
    scope_rng, split_rng, held_out_rng, block_rng, test_rng = np.random.default_rng(seed).spawn(5)
    patient, scopes = number_patients(judged.train.group), list_scopes(judged, scope_rng)
    repeats = {(scope.label, name): Repeats() for scope in scopes for name in METRICS}
    for _ in tqdm(range(NUM_SPLITS), desc="patient halves", disable=not progress or None):
        add_split(repeats, judged, embedded, patient, split_rng)
    for _ in range(NUM_DRAWS):
        add_held_out(repeats, judged, embedded, held_out_rng)

    scores: dict[tuple[str, str], ImageScore] = {}
    for scope in tqdm(scopes, desc="classes", disable=not progress or None):
        attempts = compute_all(embedded.train[scope.real], embedded.synthetic[scope.synthetic], seed)
        rows = {
            name: make_row(judged, embedded.extractor, scope, METRICS[name], attempt, repeats[scope.label, name])
            for name, attempt in attempts.items()
        }
        if with_intervals:
            for name, interval in _intervals(judged, embedded, scope, attempts, seed, block_rng).items():
                low, high = within(METRICS[name], interval)
                rows[name] = replace(
                    rows[name], low=low, high=high, note=_join(rows[name].note, scope, interval.reason)
                )
            if rows[HEADLINE].value is not None:
                p_value, reason = _test(judged, embedded, scope, test_rng)
                rows[HEADLINE] = replace(
                    rows[HEADLINE], p_value=p_value, note=_join(rows[HEADLINE].note, scope, reason)
                )
        scores |= {(name, scope.class_name): row for name, row in rows.items()}
    findings = _findings(scores, scopes[1:])
    return Chapter(tuple(scores[name, scope.class_name] for name in METRICS for scope in scopes), tuple(findings))


def _findings(scores: Mapping[tuple[str, str], ImageScore], of_classes: Sequence[Scope]) -> list[Finding]:
    """The sentences on these rows, by metric and class."""
    names = [HEADLINE, *(name for name in METRICS if METRICS[name].is_ratio)]
    return find_distances(
        [scores[name, ALL] for name in names],
        [[scores[name, scope.class_name] for name in names] for scope in of_classes if len(scope.synthetic)],
        [scope.class_name for scope in of_classes if len(scope.real) and not len(scope.synthetic)],
    )


def _scaled(embedded: Embedded) -> Embedded:
    """As `Embedded.scaled`, by the training images whose features are all finite; by 1 where they are all zero."""
    finite = embedded.train[np.isfinite(embedded.train).all(axis=1)]
    scale = embedded.extractor.feature_scale(finite) if len(finite) else 1.0
    scale = scale if scale > 0 else 1.0
    return replace(
        embedded,
        train=embedded.train / scale,
        held_out=embedded.held_out / scale,
        synthetic=embedded.synthetic / scale,
    )


def _intervals(
    judged: Judged,
    embedded: Embedded,
    scope: Scope,
    attempts: dict[str, Attempt],
    seed: int,
    rng: np.random.Generator,
) -> dict[str, Interval]:
    """The interval of each metric that has a value."""
    values = {name: attempt.value for name, attempt in attempts.items() if attempt.value is not None}
    if not values:
        return {}
    patient, label = number_patients(judged.train.group[scope.real]), judged.train.label[scope.real]
    blocks = deal_blocks(patient, label, judged.synthetic.label[scope.synthetic], rng)
    real, synthetic = embedded.train[scope.real], embedded.synthetic[scope.synthetic]
    without: dict[str, list[float]] = {name: [] for name in values}
    for block in range(len(blocks.stratum)):
        left = compute_all(real[blocks.real != block], synthetic[blocks.synthetic != block], seed, tuple(values))
        for name, attempt in left.items():
            without[name].append(np.nan if attempt.value is None else attempt.value)
    sizes = np.bincount(blocks.real)
    return {
        name: jackknife_interval(value, np.array(without[name]), sizes, blocks.stratum)
        for name, value in values.items()
    }


def _test(judged: Judged, embedded: Embedded, scope: Scope, rng: np.random.Generator) -> tuple[float | None, str]:
    """The p-value of the scope, or why there is none; both sides thinned out to equal numbers of each class."""
    real_label, made_label = judged.train.label[scope.real], judged.synthetic.label[scope.synthetic]
    num_classes = len(judged.class_names)
    counts = np.minimum(*(np.bincount(label, minlength=num_classes) for label in (real_label, made_label)))
    counts = np.floor(counts * min(1.0, MAX_IMAGES / counts.sum())).astype(np.int64)
    real, made = (draw_per_class(label, counts, rng) for label in (real_label, made_label))
    patient = number_patients(judged.train.group[scope.real[real]])
    num_patients = int(patient.max()) + 1 if len(patient) else 0
    if num_patients < MIN_PATIENTS:
        return None, f"no p-value: {num_patients} training patients; it takes {MIN_PATIENTS}"
    units = sum_by_unit(
        embedded.train[scope.real[real]],
        embedded.synthetic[scope.synthetic[made]],
        patient,
        real_label[real],
        made_label[made],
    )
    return permutation_p_value(units, rng), ""


def _join(note: str, scope: Scope, reason: str) -> str:
    """The note with why there is no interval or no p-value of this class."""
    return "; ".join(text for text in (note, reason and f"{scope.class_name}: {reason}") if text)

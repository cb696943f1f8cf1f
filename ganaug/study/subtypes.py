"""Subtypes from tiles and expression: what each input says alone, and what the other adds on patients unseen.

Four arms of one model are trained alike on each fold: both inputs, genes, image, and the published network, whose
image cannot matter (see `classifiers.models.cross_attention`).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from classifiers.config import FitConfig
from classifiers.predict import predict
from ganaug.classify.patients import Parts, Patients, read_patients, train_patients
from ganaug.config import CPU, Compute, SubtypeConfig, to_dict
from ganaug.data.dataset import DataSet
from ganaug.data.hdf5.attributes import NOTES
from ganaug.errors import DataError, for_sharing
from ganaug.report.numbers import number, percent
from ganaug.study.design import seeds_of
from ganaug.study.statistics.interval import Interval, percentile_interval
from ganaug.study.statistics.ranking import BALANCED_ACCURACY, MACRO_F1, PR_AUC, score_probabilities
from ganaug.study.statistics.resampling import group_weights
from ganaug.workspace import Workspace

BOTH, GENES, IMAGE, PUBLISHED = "both", "genes", "image", "published"
ARMS = {
    BOTH: "cross_attention",
    GENES: "cross_attention[arm=genes]",
    IMAGE: "cross_attention[arm=image]",
    PUBLISHED: "cross_attention[variant=published]",
}
PAIRS = ((BOTH, GENES), (BOTH, IMAGE), (PUBLISHED, GENES))  # arm and baseline, the question first
METRICS = {PR_AUC: "PR-AUC", MACRO_F1: "F1", BALANCED_ACCURACY: "balanced accuracy"}
AVERAGING = "PR-AUC, F1 and balanced accuracy: unweighted means over the classes, each against the rest"
BOOTSTRAP_SEED = 0  # the resamples are part of the method


@dataclass(frozen=True)
class Tested:
    """Out-of-fold probabilities: run r is one seed in one repeat of the folds, and tests every patient at most once."""

    labels: NDArray[np.int64]  # [P]
    probs: Mapping[str, NDArray[np.float64]]  # per arm [runs,P,K]; NaN where a run does not test the patient


@dataclass(frozen=True)
class SubtypeScore:
    """A score of an arm, or where there is a baseline the difference to it, on the same resamples of patients."""

    arm: str
    baseline: str | None
    metric: str
    value: float
    interval: Interval

    def to_dict(self) -> dict[str, Any]:
        shown = {"low": self.interval.low, "high": self.interval.high, "confidence": self.interval.confidence}
        return {**vars(self), "interval": shown}


@dataclass(frozen=True)
class SubtypeResult:
    """What the arms reach on unseen patients, and the increments of one over another."""

    dataset: str
    class_names: tuple[str, ...]
    num_patients: int  # that were tested
    num_tiles: int
    num_genes: int
    folds: tuple[int, ...]
    extractor: str
    config: SubtypeConfig
    scores: tuple[SubtypeScore, ...]
    increments: tuple[SubtypeScore, ...]
    notes: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; no patient is named."""
        rows = {name: [row.to_dict() for row in getattr(self, name)] for name in ("scores", "increments")}
        plain = {**vars(self), "config": to_dict(self.config), "averaging": AVERAGING, **rows}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}


def compare_arms(
    workspace: Workspace,
    dataset: DataSet,
    folds: Sequence[int] | None = None,
    config: SubtypeConfig | None = None,
    compute: Compute = CPU,
) -> SubtypeResult:
    """Train and test every arm on the folds (None: all), and compare them on the patients that the folds test.

    Raises DataError where the data set holds no expression, or see `read_patients`.
    """
    config = config or SubtypeConfig()
    chosen = tuple(range(dataset.folds.num_folds) if folds is None else folds)

    def read(fold: int) -> Patients:
        return read_patients(
            workspace, dataset, fold, extractor=config.extractor, max_tiles=config.max_tiles, compute=compute
        )

    started = time.perf_counter()
    patients = read(chosen[0])
    parts = {fold: parts_of(dataset, patients, fold) for fold in chosen}
    is_stained = bool(dataset.table.attrs.get("stain"))  # then every fold sees other pixels
    tested = run_arms(
        read if is_stained else lambda fold: patients,
        parts,
        config,
        compute,
        repeat_of=dataset.folds.repeat_of,
    )
    scores, increments = compare(tested, config)
    return SubtypeResult(
        dataset=dataset.name,
        class_names=patients.class_names,
        num_patients=len({at for part in parts.values() for at in part.test.tolist()}),
        num_tiles=patients.num_tiles,
        num_genes=len(patients.genes),
        folds=chosen,
        extractor=patients.extractor,
        config=config,
        scores=scores,
        increments=increments,
        notes=notes_on(dataset, chosen, config),
        seconds=round(time.perf_counter() - started, 1),
    )


def parts_of(dataset: DataSet, patients: Patients, fold: int) -> Parts:
    """The patients of a fold's parts; raises DataError where a part has none."""
    groups = dataset.folds.parts(fold)
    parts = {name: patients.indices_of(members) for name, members in groups.items()}
    for name, members in parts.items():
        if not len(members):
            raise DataError(f"fold {fold} of {dataset.name} has no {name} patient", expected="at least one")
    return Parts(**parts)


def run_arms(
    patients_of: Callable[[int], Patients],
    parts: Mapping[int, Parts],
    config: SubtypeConfig,
    compute: Compute = CPU,
    *,
    arms: Sequence[str] = tuple(ARMS),
    repeat_of: Callable[[int], int] = lambda fold: 0,
) -> Tested:
    """The probabilities of every arm for the test patients of every fold; all arms share seeds, steps and order."""
    repeats = sorted({repeat_of(fold) for fold in parts})
    runs = [(repeat, seed) for repeat in repeats for seed in config.seeds]
    first = patients_of(next(iter(parts)))
    shape = (len(runs), len(first.labels), len(first.class_names))
    probs = {arm: np.full(shape, np.nan) for arm in arms}
    cells = [(fold, seed, arm) for fold in parts for seed in config.seeds for arm in arms]
    for fold, seed, arm in tqdm(cells, "arms", unit="model", disable=not compute.progress or None):
        patients, seeds = patients_of(fold), seeds_of(fold, seed)
        model = train_patients(
            patients,
            parts[fold],
            ARMS[arm],
            fit_config_of(config, seeds.fit, compute.device),
            weights_seed=seeds.weights,
        )
        test = parts[fold].test
        run = runs.index((repeat_of(fold), seed))
        probs[arm][run, test] = predict(model, patients.samples.take(test), device=compute.device)
    return Tested(first.labels, probs)


def fit_config_of(config: SubtypeConfig, seed: int, device: str) -> FitConfig:
    """The training of every arm: the validation patients choose among twenty states of the weights."""
    return FitConfig(
        num_steps=config.num_steps,
        batch=config.batch,
        learning_rate=config.learning_rate,
        label_smoothing=config.label_smoothing,
        eval_every=max(1, config.num_steps // 20),
        seed=seed,
        device=device,
    )


# ---- scores ----------------------------------------------------------------------------------------------------------


def compare(tested: Tested, config: SubtypeConfig) -> tuple[tuple[SubtypeScore, ...], tuple[SubtypeScore, ...]]:
    """The scores of the arms and the increments between them, each the mean over the runs.

    The intervals are percentiles over resamples of patients, drawn inside the classes and the same for all arms. A run
    is no resample: the noise of training is averaged, not counted.
    """
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    is_tested = np.isfinite(next(iter(tested.probs.values()))).all(axis=2)  # [runs,P]
    weights = group_weights(tested.labels, config.num_resamples, rng)
    weights = np.concatenate([np.ones((1, len(tested.labels))), weights])  # the first row is the sample itself
    scored = {arm: _score_runs(tested.labels, probs, is_tested, weights) for arm, probs in tested.probs.items()}

    def row(arm: str, baseline: str | None, metric: str) -> SubtypeScore:
        values = scored[arm][metric] - (scored[baseline][metric] if baseline else 0.0)
        return SubtypeScore(arm, baseline, metric, float(values[0]), percentile_interval(values[1:], config.confidence))

    pairs = [(arm, baseline) for arm, baseline in PAIRS if {arm, baseline} <= set(scored)]
    return (
        tuple(row(arm, None, metric) for arm in scored for metric in METRICS),
        tuple(row(arm, baseline, metric) for arm, baseline in pairs for metric in METRICS),
    )


def _score_runs(
    labels: NDArray[np.int64], probs: NDArray[np.float64], is_tested: NDArray[np.bool_], weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    per_run = [
        score_probabilities(labels[has], of_run[has], weights[:, has])
        for of_run, has in zip(probs, is_tested, strict=True)
    ]
    return {metric: np.mean([scores[metric] for scores in per_run], axis=0) for metric in METRICS}


# ---- what is printed -------------------------------------------------------------------------------------------------


def notes_on(dataset: DataSet, folds: Sequence[int], config: SubtypeConfig) -> tuple[str, ...]:
    """What a reader must know of the figures."""
    table, notes = dataset.table, [for_sharing(note) for note in dataset.table.attrs.get(NOTES, [])]
    site_of = dict(zip(table.group_id.tolist(), table.site_id.tolist()))
    for fold in folds:
        sites = [{site_of[group] for group in groups} - {""} for groups in dataset.folds.parts(fold).values()]
        if sites[0] & sites[2]:
            notes.append(
                "patients of one laboratory are trained on and tested, and its stain may give the class away: prepare "
                "the data set with --fold-by site to exclude this"
            )
            break
    if table.attrs.get("source") == "tcga-brca":
        notes.append("PAM50 is called from expression, so what the genes reach is near-circular")
    if len(config.seeds) == 1:
        notes.append("one seed: the noise of training is neither averaged nor in the intervals")
    return tuple(notes)


def format_subtypes(result: SubtypeResult) -> str:
    """The result as text: a line for each arm and each increment, then the notes."""
    by_arm = {
        arm: [row for row in result.scores if row.arm == arm] for arm in dict.fromkeys(r.arm for r in result.scores)
    }
    pairs = dict.fromkeys((row.arm, row.baseline) for row in result.increments)
    by_pair = {
        f"{arm} − {baseline}": [row for row in result.increments if (row.arm, row.baseline) == (arm, baseline)]
        for arm, baseline in pairs
    }
    confidence = percent(result.config.confidence)
    lines = [
        f"{result.dataset}: {result.num_patients} patients tested, {result.num_tiles} tiles ({result.extractor}), "
        f"{result.num_genes} genes, {len(result.config.seeds)} seeds; {confidence} intervals over patients",
        f"{'':<20}" + "".join(f"{name:>26}" for name in METRICS.values()),
    ]
    for name, rows in {**by_arm, **by_pair}.items():
        lines.append(f"{name:<20}" + "".join(f"{_with_interval(row):>26}" for row in rows))
    return "\n".join([*lines, AVERAGING, *(f"note: {note}" for note in result.notes)])


def _with_interval(row: SubtypeScore) -> str:
    low, high = row.interval.low, row.interval.high
    bounds = row.interval.reason or f"{number(low)} to {number(high)}"
    return f"{number(row.value)} ({bounds})"

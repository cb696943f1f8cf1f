"""Subtypes from tiles and expression: what each input says alone, and what the other adds on patients unseen.

Four arms of one model are trained alike on each fold: both inputs, genes, image, and the published network, whose
image cannot matter (see `classifiers.models.cross_attention`).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from classifiers.config import FitConfig
from classifiers.models.cross_attention import CrossAttention
from classifiers.predict import predict
from ganaug.classify.patients import Parts, Patients, read_patients, train_patients
from ganaug.classify.stored_patients import PatientModelConfig, keep_patient_model
from ganaug.config import CPU, Compute, SubtypeConfig, to_dict
from ganaug.data.dataset import DataSet
from ganaug.data.hdf5.attributes import NOTES
from ganaug.errors import DataError, for_sharing
from ganaug.report.numbers import number, percent
from ganaug.study.design import seeds_of
from ganaug.study.statistics.increments import (
    BOTH,
    GENES,
    IMAGE,
    METRICS,
    PUBLISHED,
    PatientPredictions,
    SubtypeScore,
    compare,
)
from ganaug.workspace import Workspace

ARMS = {
    BOTH: "cross_attention",
    GENES: "cross_attention[arm=genes]",
    IMAGE: "cross_attention[arm=image]",
    PUBLISHED: "cross_attention[variant=published]",
}
AVERAGING = "PR-AUC, F1 and balanced accuracy: unweighted means over the classes, each against the rest"


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
    kept: tuple[str, ...] = ()  # files of models, in the workspace

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
    *,
    keep: str | None = None,
) -> SubtypeResult:
    """Train and test every arm on the folds (None: all), and compare them on the patients that the folds test.

    The models of the arm `keep` are kept, those of the first seed, with the proof of what they saw.

    Raises DataError where the data set holds no expression, or see `read_patients`.
    """
    config = config or SubtypeConfig()
    chosen = tuple(range(dataset.folds.num_folds) if folds is None else folds)

    def read(fold: int) -> Patients:
        return read_patients(
            workspace, dataset, fold, extractor=config.extractor, max_tiles=config.max_tiles, compute=compute
        )

    kept: list[Path] = []

    def keep_model(fold: int, seed: int, arm: str, model: CrossAttention) -> None:
        if arm == keep and seed == config.seeds[0]:
            fit = fit_config_of(config, seeds_of(fold, seed).fit, "")
            kept.append(
                keep_patient_model(workspace, dataset, fold, model, about_model(ARMS[arm], patients, fit, config))
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
        keep=keep_model,
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
        kept=tuple(path.relative_to(workspace.root).as_posix() for path in kept),
    )


def about_model(classifier: str, patients: Patients, fit: FitConfig, config: SubtypeConfig) -> PatientModelConfig:
    """What a kept model is, next to its weights."""
    options = {name: value for name, value in asdict(fit).items() if name != "device"}
    num_features = patients.samples.tiles[0].shape[1]
    return PatientModelConfig(classifier, patients.extractor, num_features, config.max_tiles, patients.genes, options)


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
    keep: Callable[[int, int, str, CrossAttention], None] | None = None,
) -> PatientPredictions:
    """The probabilities of every arm for the test patients of every fold; all arms share seeds, steps and order.

    `keep` is called with the fold, the seed, the arm and the model of each.
    """
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
        if keep is not None:
            keep(fold, seed, arm, model)
        test = parts[fold].test
        run = runs.index((repeat_of(fold), seed))
        probs[arm][run, test] = predict(model, patients.samples.take(test), device=compute.device)
    return PatientPredictions(first.labels, probs)


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
    return "\n".join([*lines, AVERAGING, *(f"note: {note}" for note in result.notes), *result.kept])


def _with_interval(row: SubtypeScore) -> str:
    low, high = row.interval.low, row.interval.high
    bounds = row.interval.reason or f"{number(low)} to {number(high)}"
    return f"{number(row.value)} ({bounds})"

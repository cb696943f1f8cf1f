"""Subtypes from tiles and expression: what each input says alone, and what the other adds on patients unseen.

Four arms of one model are trained alike on each fold: both inputs, genes, image, and the published network, whose
image cannot matter (see `classifiers.models.cross_attention`).
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from classifiers.config import FitConfig
from classifiers.models.cross_attention import CrossAttention
from classifiers.predict import predict
from ganaug.classify.patients import Parts, Patients, read_patients, train_patients
from ganaug.classify.stored_patients import (
    PatientModelConfig,
    find_run,
    keep_patient_model,
    open_patient_model,
    read_tested,
    write_tested,
)
from ganaug.config import CPU, Compute, SubtypeConfig, to_dict
from ganaug.data.dataset import DataSet
from ganaug.data.hdf5.attributes import NOTES
from ganaug.errors import DataError, UserError, for_sharing
from ganaug.study.design import seeds_of
from ganaug.study.statistics.increments import (
    BOTH,
    GENES,
    IMAGE,
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
AVERAGING = (
    "PR-AUC, F1 and balanced accuracy: unweighted means over the classes, each against the rest, of the patients of "
    "all folds together"
)


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

    The models of the arm `keep` are kept, those of the first seed, with the proof of what they saw. What each model
    gave its test patients is kept of all: what is interrupted resumes with the next training, and what is finished is
    not trained again.

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
    trainings = Trainings(workspace, dataset, config, keep)
    tested = run_arms(
        read if is_stained else lambda fold: patients,
        parts,
        config,
        compute,
        repeat_of=dataset.folds.repeat_of,
        trainings=trainings,
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
        kept=tuple(path.relative_to(workspace.root).as_posix() for path in trainings.kept),
    )


def about_model(patients: Patients, fold: int, seed: int, arm: str, config: SubtypeConfig) -> PatientModelConfig:
    """All that decides what a training gives, next to the data set and its folds."""
    seeds = seeds_of(fold, seed)
    options = asdict(fit_config_of(config, seeds.fit, ""))
    del options["device"]
    return PatientModelConfig(
        classifier=ARMS[arm],
        extractor=patients.extractor,
        extractor_digest=patients.extractor_digest,
        num_features=patients.samples.tiles[0].shape[1],
        max_tiles=config.max_tiles,
        genes=patients.genes,
        weights_seed=seeds.weights,
        fit=options,
    )


@dataclass(frozen=True)
class Trainings:
    """The trainings of a comparison in the workspace: what each gave its test patients, and the models to keep."""

    workspace: Workspace
    dataset: DataSet
    config: SubtypeConfig
    keep: str | None  # arm whose models of the first seed are kept
    kept: list[Path] = field(default_factory=list)

    def find(self, patients: Patients, fold: int, seed: int, arm: str) -> NDArray[np.float32] | None:
        """The probabilities f32 [n,K] of the test patients; None where there is something left to train."""
        about = about_model(patients, fold, seed, arm, self.config)
        found = read_tested(self.workspace, self.dataset, fold, about, self._tested(patients, fold))
        if found is None or not self._is_kept(seed, arm):
            return found
        path = find_run(self.workspace, self.dataset, fold, about).patients
        try:
            open_patient_model(path)
        except UserError as error:
            if path.exists():
                warnings.warn(f"ganaug: {error}; this model is trained again", stacklevel=2)
            return None
        self.kept.append(path)
        return found

    def add(
        self, patients: Patients, fold: int, seed: int, arm: str, model: CrossAttention, probs: NDArray[np.float32]
    ) -> None:
        """Keep the probabilities f32 [n,K] of the test patients, after the model where it is one to keep."""
        about = about_model(patients, fold, seed, arm, self.config)
        if self._is_kept(seed, arm):
            self.kept.append(keep_patient_model(self.workspace, self.dataset, fold, model, about))
        tested = dict(zip(self._tested(patients, fold), probs, strict=True))
        write_tested(self.workspace, self.dataset, fold, about, tested)

    def _tested(self, patients: Patients, fold: int) -> list[str]:
        return [patients.groups[at] for at in parts_of(self.dataset, patients, fold).test]

    def _is_kept(self, seed: int, arm: str) -> bool:
        return arm == self.keep and seed == self.config.seeds[0]


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
    trainings: Trainings | None = None,
) -> PatientPredictions:
    """The probabilities of every arm for the test patients of every fold; all arms share seeds, steps and order.

    What `trainings` holds is not trained again, and what is trained is added there.
    """
    repeats = sorted({repeat_of(fold) for fold in parts})
    runs = [(repeat, seed) for repeat in repeats for seed in config.seeds]
    patients_in = lru_cache(maxsize=1)(patients_of)
    first = patients_in(next(iter(parts)))
    shape = (len(runs), len(first.labels), len(first.class_names))
    probs = {arm: np.full(shape, np.nan) for arm in arms}
    cells = [(fold, seed, arm) for fold in parts for seed in config.seeds for arm in arms]
    for fold, seed, arm in tqdm(cells, "arms", unit="model", disable=not compute.progress or None):
        patients, part = patients_in(fold), parts[fold]
        found = trainings.find(patients, fold, seed, arm) if trainings else None
        if found is None:
            seeds = seeds_of(fold, seed)
            fit = fit_config_of(config, seeds.fit, compute.device)
            model = train_patients(patients, part, ARMS[arm], fit, weights_seed=seeds.weights)
            found = predict(model, patients.samples.take(part.test), device=compute.device)
            if trainings:
                trainings.add(patients, fold, seed, arm, model, found)
        probs[arm][runs.index((repeat_of(fold), seed)), part.test] = found
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
    if len(set(site_of.values()) - {""}) > 1:
        notes.append("the intervals take the patients of one laboratory as independent, and may be too narrow")
    if table.attrs.get("source") == "tcga-brca":
        notes.append("PAM50 is called from expression, so what the genes reach is near-circular")
    if len(config.seeds) == 1:
        notes.append("one seed: the noise of training is neither averaged nor in the intervals")
    return tuple(notes)

"""The design of a study, which is fixed before anything is trained, and the cells that follow from it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.config import FitConfig
from ganaug.classify.probes import identity_of, is_probe
from ganaug.config import StudyConfig, to_dict
from ganaug.config.choices import BASELINE
from ganaug.data.dataset import DataSet
from ganaug.data.external import ExternalImages
from ganaug.errors import ConfigError
from ganaug.provenance import digest_of, digest_of_file
from ganaug.study.admission.guard import AdmittedSupply, LeakySupply, find_leaky
from ganaug.study.admission.requirements import require_arms, require_generators
from ganaug.study.arms.registry import find_arm
from ganaug.study.statistics.resampling import PREDICTION_METRICS
from ganaug.workspace import Study, Workspace

CELL_VERSION = 5  # raise it when a cell of the same options would come out otherwise
FILTER_VERSION = 1  # the same of the filter of `ganaug.study.admission.filtered`


@dataclass(frozen=True)
class Cell:
    """One training run: a classifier on an arm of a fold under a seed; the digest covers all that decides it."""

    classifier: str
    arm: str
    fold: int
    seed: int
    digest: str
    repeat: int = 0  # of the folds, which one this fold belongs to

    @property
    def name(self) -> str:
        words = re.sub(r"[^\w.+-]", "_", f"{self.classifier}-{self.arm}")
        return f"{words}-fold{self.fold}-seed{self.seed}-{self.digest[:8]}"


@dataclass(frozen=True)
class Seeds:
    """The seeds of a cell. The arm has no part in them: arms differ by their images and by nothing else."""

    weights: int
    fit: int
    draw: int


def seeds_of(fold: int, seed: int) -> Seeds:
    return Seeds(*np.random.SeedSequence([fold, seed]).generate_state(3).tolist())


@dataclass(frozen=True)
class Design:
    """The experiment as it is fixed before its first cell; its digest names the study."""

    dataset: str
    dataset_fingerprint: str
    folds_digest: str
    supplies: Mapping[int, tuple[AdmittedSupply, ...]]  # per fold that is studied, equally many: one per generator
    config: StudyConfig
    pretrained: dict[str, str] = field(default_factory=dict)  # digest of the pretrained weights, by classifier
    origins: dict[str, str] = field(default_factory=dict)  # origin of the pretrained weights, by classifier
    tested: tuple[str, ...] = ()  # the patients under test in the folds studied: keyed digests, sorted
    repeats: tuple[int, ...] = ()  # of every fold of the data set, the repeat it belongs to; empty: all of one
    leaky: Mapping[tuple[int, int], LeakySupply] = field(default_factory=dict)  # by fold and seed, for a leak audit
    external: Mapping[int, ExternalImages] = field(default_factory=dict)  # by fold, images of another tool
    of_fractions: Mapping[float, Mapping[int, tuple[AdmittedSupply, ...]]] = field(default_factory=dict)
    # as `supplies`, those of generators that saw this fraction of the real images; else those of the whole fold serve
    by_image: bool = False  # whether images are divided and not patients, as in `ganaug.study.replication`
    part_of: str = ""  # of a part that is judged alone, the name of the whole study

    @property
    def folds(self) -> tuple[int, ...]:
        return tuple(sorted(self.supplies))

    @property
    def num_generators(self) -> int:
        """The generators of each fold."""
        return min(map(len, self.supplies.values()))

    @property
    def generators(self) -> tuple[int, ...]:
        """Of each seed, in order, which of its fold's generators serves it."""
        return tuple(position % self.num_generators for position in range(len(self.config.seeds)))

    def supply_of(self, fold: int, seed: int, fraction: float = 1.0) -> AdmittedSupply:
        """The synthetic file that serves a fold, or this fraction of its real images, under a seed."""
        of_folds = self.of_fractions.get(fraction, self.supplies)
        return of_folds[fold][self.generators[self.config.seeds.index(seed)]]

    def supplies_of(self, fold: int) -> tuple[AdmittedSupply, ...]:
        """All synthetic files that serve a fold, those of fractions at the end, the largest first."""
        of_fractions = [self.of_fractions[fraction][fold] for fraction in sorted(self.of_fractions, reverse=True)]
        return tuple(supply for of_fold in (self.supplies[fold], *of_fractions) for supply in of_fold)

    def repeat_of(self, fold: int) -> int:
        return self.repeats[fold] if self.repeats else 0

    @property
    def num_repeats(self) -> int:
        """Repeats of which at least one fold is studied."""
        return len({self.repeat_of(fold) for fold in self.folds})

    def to_dict(self) -> dict[str, Any]:
        of_fractions = {
            "synthetic_of_fractions": {
                f"{fraction:g}": _contents(of_folds) for fraction, of_folds in sorted(self.of_fractions.items())
            }
        }
        return {
            "dataset": self.dataset,
            "dataset_fingerprint": self.dataset_fingerprint,
            "folds_digest": self.folds_digest,
            "folds": list(self.folds),
            "config": to_dict(self.config)
            | {
                "folds": list(self.folds),
                "pretrained": self.pretrained,
                "external": {str(fold): images.digest for fold, images in self.external.items()},
            },
            "synthetic": _contents(self.supplies),
            **(of_fractions if self.of_fractions else {}),
        }

    @property
    def name(self) -> str:
        return self.part_of or f"{self.dataset}-{digest_of(self.to_dict())[:8]}"

    def study(self, workspace: Workspace) -> Study:
        return workspace.study(self.name)


def _contents(supplies: Mapping[int, tuple[AdmittedSupply, ...]]) -> dict[str, list[str]]:
    """By fold the digests of the images of its files."""
    return {str(fold): [supply.provenance.content for supply in supplies[fold]] for fold in sorted(supplies)}


def make_design(
    dataset: DataSet,
    supplies: Mapping[int, tuple[AdmittedSupply, ...]],
    config: StudyConfig,
    origins: dict[str, str] | None = None,
    of_fractions: Mapping[float, Mapping[int, tuple[AdmittedSupply, ...]]] | None = None,
) -> Design:
    """The design of a study of the folds in `supplies`; raises ConfigError where no verdict could come of it.

    origins: by classifier where its pretrained weights come from, see `ganaug.study.admission.guard.origins_of`.
    of_fractions: as `supplies`, for fractions of the real images.
    """
    require_arms(config)
    if config.metric not in PREDICTION_METRICS:
        raise ConfigError(f"unknown metric {config.metric!r}", expected=", ".join(PREDICTION_METRICS))
    require_generators([supplies, *(of_fractions or {}).values()], len(config.seeds))
    pretrained = {name: digest_of_file(Path(path)) for name, path in config.pretrained}
    tested = {group for fold in supplies for group in dataset.folds.test_groups(fold)}
    return Design(
        dataset=dataset.name,
        dataset_fingerprint=dataset.table.fingerprint,
        folds_digest=dataset.folds.digest,
        supplies=supplies,
        config=config,
        pretrained=pretrained,
        origins=origins or {},
        tested=tuple(sorted(map(dataset.table.patient_digest, tested))),
        repeats=tuple(map(dataset.folds.repeat_of, range(dataset.folds.num_folds))),
        leaky=_find_all_leaky(dataset, supplies, config),
        of_fractions=of_fractions or {},
    )


def _find_all_leaky(
    dataset: DataSet, supplies: Mapping[int, tuple[AdmittedSupply, ...]], config: StudyConfig
) -> dict[tuple[int, int], LeakySupply]:
    """For a leak audit, by fold and seed, the file whose generator knows most of the patients under test there."""
    if not config.leak_audit:
        return {}
    runs = [(fold, seed) for fold in supplies for seed in config.seeds]
    found = {run: find_leaky(dataset, supplies, *run) for run in runs}
    clean = sorted({fold for (fold, _), leaky in found.items() if leaky is None})
    if clean:
        raise ConfigError(
            f"no generator of another studied fold knows patients that fold {clean[0]} tests",
            expected="one, whose images a leak audit adds",
            todo="study more folds, or leave out --leak-audit",
        )
    return {run: leaky for run, leaky in found.items() if leaky is not None}


def fit_config_of(config: StudyConfig, fold: int, seed: int, device: str = "cpu", *, arm: str = BASELINE) -> FitConfig:
    """How the cells of this fold and seed are trained: arms differ in classical augmentation alone, if in that."""
    return FitConfig(
        num_steps=config.num_steps,
        batch=config.batch,
        learning_rate=config.learning_rate,
        body_learning_rate=config.body_learning_rate,
        classical_augmentation=find_arm(arm).classical_augmentation or config.classical_augmentation,
        eval_every=max(1, config.num_steps // 8),
        seed=seeds_of(fold, seed).fit,
        device=device,
    )


def plan_cells(design: Design) -> list[Cell]:
    """Every cell, fold by fold, the arms of one comparison next to each other; those of the shortcuts at the end."""
    config = design.config
    runs = [
        (fold, seed, classifier, arm)
        for fold in design.folds
        for seed in config.seeds
        for classifier in config.classifiers
        for arm in config.arms
    ]
    runs += [(fold, config.seeds[0], name, BASELINE) for fold in design.folds for name in config.shortcuts]
    return [
        Cell(
            classifier,
            arm,
            fold,
            seed,
            digest=_cell_digest(design, classifier, arm, fold, seed),
            repeat=design.repeat_of(fold),
        )
        for fold, seed, classifier, arm in runs
    ]


def _cell_digest(design: Design, classifier: str, arm: str, fold: int, seed: int) -> str:
    """The digest of what this cell depends on, so that it is reused where another part of the design changes."""
    config, depends_on, fraction = design.config, find_arm(arm).depends_on, find_arm(arm).fraction
    decides = {
        "version": CELL_VERSION,
        "dataset": design.dataset_fingerprint,  # which also covers the pixels
        "folds": design.folds_digest,
        "cell": [classifier, arm, fold, seed],
        "fit": vars(fit_config_of(config, fold, seed, arm=arm)),  # with the default device, which decides nothing
        "ratio": config.ratio if "ratio" in depends_on else None,
        "synthetic": design.supply_of(fold, seed, fraction).provenance.content if "synthetic" in depends_on else None,
    }
    if "filter" in depends_on:
        decides["filter"] = FILTER_VERSION
    if "external" in depends_on:
        decides["external"] = design.external[fold].digest
    if "leak" in depends_on:
        decides["leak"] = design.leaky[fold, seed].supply.provenance.content
    if classifier in design.pretrained:
        decides["pretrained"] = design.pretrained[classifier]
    if is_probe(classifier):
        decides["probe"] = identity_of(classifier, config.weights_of(classifier))
    return digest_of(decides)

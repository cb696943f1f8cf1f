"""What a study rests on: arms, folds, generators, options, versions, and the command that makes it again."""

import platform
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from ganaug.config import DEFAULT_ARMS, to_dict
from ganaug.config.choices import EXTERNAL, LEAKY
from ganaug.data.dataset import DataSet
from ganaug.data.hdf5.attributes import SKIPPED
from ganaug.errors import for_sharing
from ganaug.study.admission.guard import AdmittedSupply
from ganaug.study.arms.registry import find_arm
from ganaug.study.cells import CellResult
from ganaug.study.design import Design
from ganaug.weights import WEIGHTS, published_name

FILE = "FILE"  # stands for the path of a file of the user's


@dataclass(frozen=True)
class ArmRow:
    """An arm, and the images per class that it trained on."""

    arm: str
    meaning: str
    images: dict[str, int]


@dataclass(frozen=True)
class PartSize:
    """The size of a part of a fold."""

    num_patients: int
    num_images: int


@dataclass(frozen=True)
class FoldRow:
    """A fold: its train, validation and test part, and a file that serves it."""

    parts: tuple[PartSize, ...]
    supply: AdmittedSupply


def option_rows(design: Design) -> dict[str, object]:
    """The study's options; of pretrained weights where they come from, and not where they lie."""
    hidden = {"pretrained": None, "pretrained_saw": None, "external": None}
    origins = {
        f"weights of {name}": f"{origin} ({design.pretrained[name][:12]})" for name, origin in design.origins.items()
    }
    return {**to_dict(design.config), **hidden, **origins}


def skipped_rows(dataset: DataSet) -> list[tuple[str, int]]:
    """Why images of the source were skipped, and how many, the most frequent reason first."""
    reasons = Counter(for_sharing(str(reason)) for _, reason in dataset.table.attrs.get(SKIPPED, []))
    return reasons.most_common()


def command_of(design: Design, num_folds: int) -> str:
    """The command that makes this study again from the same workspace; files of weights stand by their SHA-256."""
    config = design.config
    words = ["ganaug", "evaluate-augmentation", "--dataset", design.dataset]
    if len(design.folds) < num_folds:
        words += ["--fold", str(design.folds[0])] if len(design.folds) == 1 else ["--preset", "quick"]
    for name in config.classifiers:
        words += ["--classifier", name]
    for name in config.classifiers:
        digest = design.pretrained.get(name, "none")
        use = published_name(name)
        published = [file.sha256 for file in WEIGHTS[use].files] if use in WEIGHTS else ["none"]  # the default
        if digest not in published:
            words += ["--pretrained", f"{name}={'none' if digest == 'none' else f'FILE-{digest[:12]}'}"]
    for name, text in config.pretrained_saw:
        words += ["--pretrained-saw", f"{name}={text}"]
    words += ["--seeds", str(len(config.seeds)), "--steps", str(config.num_steps), "--ratio", f"{config.ratio:g}"]
    if config.seeds[0]:
        words += ["--seed", str(config.seeds[0])]
    for arm in config.arms:
        words += [] if arm in (*DEFAULT_ARMS, EXTERNAL, LEAKY) else ["--arm", arm]
    words += [word for fold, _ in config.external for word in ("--external", f"{fold}={FILE}" if fold else FILE)]
    words += ["--external-saw", config.external_saw] if config.external else []
    words += ["--leak-audit"] if config.leak_audit else []
    words += ["--replicate", config.replicate] if config.replicate else []
    words += ["--generators", str(design.num_generators), "--margin", f"{config.margin:g}"]
    return shlex.join([*words, "--classical-augmentation", config.classical_augmentation])


def arm_rows(design: Design, results: Sequence[CellResult]) -> list[ArmRow]:
    """Each arm, and how many images it trained on, class by class, in the first studied fold."""
    first = {result.cell.arm: result for result in reversed(results) if result.cell.fold == design.folds[0]}
    return [ArmRow(arm, find_arm(arm).meaning, first[arm].record.train_images) for arm in design.config.arms]


def fold_rows(design: Design, dataset: DataSet) -> list[FoldRow]:
    """Per fold the patients and images of its parts, and the proof of what its generator saw."""
    group = dataset.table.group_id
    rows = []
    for supply in (supply for fold in design.folds for supply in design.supplies_of(fold)):
        shown = supply.data_of(dataset)
        parts = shown.train(supply.fold), shown.val(supply.fold), shown.test(supply.fold)
        sizes = tuple(PartSize(len(np.unique(group[indices])), len(indices)) for indices in parts)
        rows.append(FoldRow(sizes, supply))
    return rows


def environment_rows(results: Sequence[CellResult]) -> dict[str, str]:
    """Versions, machine and cost."""
    seconds = sum(result.record.seconds for result in results)
    devices = sorted({result.record.device for result in results})
    packages = {name: _version(name) for name in ("ganaug", "torch", "torchvision", "timm", "numpy")}
    return {
        "training time of all cells": f"{seconds / 60:.1f} min on {', '.join(devices)}",
        "platform": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        **packages,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"

"""report.html: the study on one page that needs no network, for a reviewer to read and to check."""

import platform
import shlex
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.scores import AVERAGING, score
from ganaug.config import to_dict
from ganaug.data.dataset import DataSet
from ganaug.data.schema import ImageReader, read_table
from ganaug.errors import for_sharing
from ganaug.report.page import render_page
from ganaug.report.pictures import strip
from ganaug.study.arms import ARMS
from ganaug.study.cells import CellResult
from ganaug.study.design import Design
from ganaug.study.figures import difference_plot
from ganaug.study.looks import Look
from ganaug.study.statistics.paired import pooled, runs_of
from ganaug.study.statistics.verdict import Verdict
from ganaug.workspace import Study, write_text

SAMPLES_A_CLASS = 6
# What the score tables show: (heading, which side of `classifiers.scores.score`, its key)
COLUMNS = (
    ("accuracy", "by_image", "accuracy"),
    ("balanced accuracy", "by_image", "balanced_accuracy"),
    ("precision", "by_image", "precision"),
    ("F1", "by_image", "f1"),
    ("AUROC", "by_image", "auroc"),
    ("GMean", "by_image", "gmean"),
    ("IBA", "by_image", "iba"),
    ("balanced accuracy", "by_patient", "balanced_accuracy"),
    ("F1", "by_patient", "f1"),
    ("AUROC", "by_patient", "auroc"),
)


def write_report(
    study: Study,
    design: Design,
    dataset: DataSet,
    verdict: Verdict,
    results: Sequence[CellResult],
    image_scores: Sequence[dict[str, Any]],
    looks: Sequence[Look] = (),
) -> None:
    """Render the page of a finished study to `study.report`; it names no patient, no file of theirs and no folder."""
    page = render_page(
        Path(__file__).with_name("report.html.j2"),
        design=design,
        table=dataset.table,
        verdict=verdict,
        notes=verdict.warnings,
        plot=difference_plot(verdict.differences),
        samples=sample_rows(design, dataset),
        image_scores=image_scores,
        columns=COLUMNS,
        averaging=AVERAGING,
        scores=score_rows(design, results, dataset.table.class_names),
        arms=arm_rows(design, results),
        folds=fold_rows(design, dataset),
        dataset_notes=[for_sharing(note) for note in dataset.table.attrs.get("notices", [])],
        skipped=skipped_rows(dataset),
        looks=looks,
        options=option_rows(design),
        environment=environment_rows(results),
        num_cells=len(results),
        command=command_of(design, dataset.folds.num_folds),
    )
    write_text(study.report, page)


def option_rows(design: Design) -> dict[str, Any]:
    """The study's options; of pretrained weights where they come from, and not where they lie."""
    hidden = {"pretrained": None, "pretrained_saw": None}
    origins = {
        f"weights of {name}": f"{origin} ({design.pretrained[name][:12]})" for name, origin in design.origins.items()
    }
    return {**to_dict(design.config), **hidden, **origins}


def skipped_rows(dataset: DataSet) -> list[tuple[str, int]]:
    """Why images of the source were skipped, and how many, the most frequent reason first."""
    reasons = Counter(for_sharing(str(reason)) for _, reason in dataset.table.attrs.get("left_out", []))
    return reasons.most_common()


def command_of(design: Design, num_folds: int) -> str:
    """The command that makes this study again from the same workspace; of files of weights it says the SHA-256."""
    config = design.config
    words = ["ganaug", "evaluate-augmentation", "--dataset", design.dataset]
    if len(design.folds) < num_folds:
        words += ["--fold", str(design.folds[0])] if len(design.folds) == 1 else ["--preset", "quick"]
    for name in config.classifiers:
        words += ["--classifier", name]
    for name, digest in design.pretrained.items():
        words += ["--pretrained", f"{name}=FILE-{digest[:12]}"]
    for name, text in config.pretrained_saw:
        words += ["--pretrained-saw", f"{name}={text}"]
    words += ["--seeds", str(len(config.seeds)), "--steps", str(config.num_steps), "--ratio", f"{config.ratio:g}"]
    if config.seeds[0]:
        words += ["--seed", str(config.seeds[0])]
    return shlex.join([*words, "--augmentation", config.augmentation])


def sample_rows(design: Design, dataset: DataSet) -> list[dict[str, Any]]:
    """Per class a strip of real and one of synthetic images of the first studied fold, drawn at random, not chosen."""
    fold, rng = design.folds[0], np.random.default_rng(0)
    path = design.synthetic[fold].path
    train, labels, fakes = dataset.train(fold), dataset.table.label, read_table(path).label
    rows = []
    for index, name in enumerate(dataset.table.class_names):
        real = dataset.table.in_shared_order(train[labels[train] == index])
        fake = np.flatnonzero(fakes == index)
        pick_real = rng.choice(real, min(SAMPLES_A_CLASS, len(real)), replace=False)
        pick_fake = rng.choice(fake, min(SAMPLES_A_CLASS, len(fake)), replace=False)
        real_strip, fake_strip = strip(dataset.images(fold)[pick_real]), strip(ImageReader(path)[pick_fake])
        rows.append({"class": name, "real": real_strip, "synthetic": fake_strip})
    return rows


def score_rows(
    design: Design, results: Sequence[CellResult], class_names: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Per classifier, and in it per arm, the scores of the pooled test predictions, averaged over the runs."""
    config = design.config
    return {
        classifier: [
            _score_row(arm, [r for r in results if (r.cell.classifier, r.cell.arm) == (classifier, arm)], class_names)
            for arm in config.arms
        ]
        for classifier in config.classifiers
    }


def _score_row(arm: str, results: Sequence[CellResult], class_names: Sequence[str]) -> dict[str, Any]:
    per_run = []
    for run in runs_of(results):
        labels, probs, groups = pooled(run)
        per_run.append(score(labels, probs, groups.tolist(), class_names))
    recalls = [[scores["by_image"]["per_class"][name]["recall"] for scores in per_run] for name in class_names]
    return {
        "arm": arm,
        "values": [_mean([(scores[side]["overall"] or {}).get(key) for scores in per_run]) for _, side, key in COLUMNS],
        "patient_score": _mean([scores["by_patient"]["patient_score"] for scores in per_run]),
        "recalls": [_mean(values) for values in recalls],
    }


def arm_rows(design: Design, results: Sequence[CellResult]) -> list[dict[str, Any]]:
    """What each arm is, and how many images it trained on, class by class, in the first studied fold."""
    first = {result.cell.arm: result for result in reversed(results) if result.cell.fold == design.folds[0]}
    return [
        {"arm": arm, "meaning": ARMS[arm].meaning, "images": first[arm].record["train_images"]}
        for arm in design.config.arms
    ]


def fold_rows(design: Design, dataset: DataSet) -> list[dict[str, Any]]:
    """Per fold the patients and images of its parts, and the proof of what its generator saw."""
    rows = []
    for fold in design.folds:
        parts = {"train": dataset.train(fold), "val": dataset.val(fold), "test": dataset.test(fold)}
        counts = {
            name: (len(np.unique(dataset.table.group_id[indices])), len(indices)) for name, indices in parts.items()
        }
        served = design.synthetic[fold]
        rows.append({"fold": fold, **counts, "provenance": served.provenance, "file": served.name})
    return rows


def environment_rows(results: Sequence[CellResult]) -> dict[str, str]:
    """Versions, machine and cost."""
    seconds = sum(float(result.record["seconds"]) for result in results)
    devices = sorted({str(result.record["device"]) for result in results})
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


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean, or None where one of them does not exist."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None

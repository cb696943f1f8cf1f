"""report.html: the study on one page that needs no network, for a reviewer to read and to check."""

import platform
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from classifiers.scores import AVERAGING, score
from ganaug.classify.probes import PROBE, is_probe
from ganaug.config import DEFAULT_ARMS, to_dict
from ganaug.config.choices import LEAKY
from ganaug.data.dataset import DataSet
from ganaug.data.hdf5.attributes import NOTES, SKIPPED
from ganaug.data.schema import ImageReader, read_table
from ganaug.errors import for_sharing
from ganaug.evaluate.judgement import Judgement
from ganaug.report.page import render_page
from ganaug.report.pictures import strip
from ganaug.study.arms.registry import find_arm
from ganaug.study.cells import CellResult
from ganaug.study.design import Design
from ganaug.study.figures import difference_plot
from ganaug.study.guard import AdmittedSupply
from ganaug.study.looks import Look
from ganaug.study.statistics.out_of_fold import pool, runs_of
from ganaug.study.statistics.verdict import Verdict
from ganaug.weights import WEIGHTS, published_name
from ganaug.workspace import Study, write_text

SAMPLES_PER_CLASS = 6


@dataclass(frozen=True)
class Column:
    """A column of the score tables."""

    heading: str
    side: str  # of what `classifiers.scores.score` returns: by_image or by_patient
    key: str


COLUMNS = (
    Column("accuracy", "by_image", "accuracy"),
    Column("balanced accuracy", "by_image", "balanced_accuracy"),
    Column("precision", "by_image", "precision"),
    Column("F1", "by_image", "f1"),
    Column("AUROC", "by_image", "auroc"),
    Column("GMean", "by_image", "gmean"),
    Column("IBA", "by_image", "iba"),
    Column("balanced accuracy", "by_patient", "balanced_accuracy"),
    Column("F1", "by_patient", "f1"),
    Column("AUROC", "by_patient", "auroc"),
)

CALIBRATION = (
    Column("PR-AUC", "by_image", "pr_auc"),
    Column("ECE", "by_image", "ece"),
    Column("Brier", "by_image", "brier"),
)


@dataclass(frozen=True)
class SampleRow:
    """Images of a class, as data URIs of strips."""

    class_name: str
    real: str
    synthetic: str


@dataclass(frozen=True)
class ScoreRow:
    """The scores of a classifier trained on an arm; None where a score does not exist."""

    arm: str
    values: tuple[float | None, ...]  # by COLUMNS
    patient_score: float | None
    recalls: tuple[float | None, ...]  # by class
    calibration: tuple[float | None, ...]  # by CALIBRATION


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


def write_report(
    study: Study,
    design: Design,
    dataset: DataSet,
    verdict: Verdict,
    results: Sequence[CellResult],
    image_scores: Sequence[Judgement],
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
        image_scores=[(of_file.file.fold, score) for of_file in image_scores for score in of_file.scores],
        columns=COLUMNS,
        calibration=CALIBRATION,
        averaging=AVERAGING,
        scores=score_rows(design, results, dataset.table.class_names),
        arms=arm_rows(design, results),
        folds=fold_rows(design, dataset),
        dataset_notes=[for_sharing(note) for note in dataset.table.attrs.get(NOTES, [])],
        skipped=skipped_rows(dataset),
        looks=looks,
        options=option_rows(design),
        environment=environment_rows(results),
        num_cells=len(results),
        probes=[name for name in design.config.classifiers if is_probe(name)],
        probe=PROBE,
        command=command_of(design, dataset.folds.num_folds),
    )
    write_text(study.report, page)


def option_rows(design: Design) -> dict[str, object]:
    """The study's options; of pretrained weights where they come from, and not where they lie."""
    hidden = {"pretrained": None, "pretrained_saw": None}
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
        words += [] if arm in (*DEFAULT_ARMS, LEAKY) else ["--arm", arm]
    words += ["--leak-audit"] if config.leak_audit else []
    words += ["--generators", str(design.num_generators), "--margin", f"{config.margin:g}"]
    return shlex.join([*words, "--classical-augmentation", config.classical_augmentation])


def sample_rows(design: Design, dataset: DataSet) -> list[SampleRow]:
    """Per class a strip of real and one of synthetic images of the first studied fold, drawn at random, not chosen."""
    fold, rng = design.folds[0], np.random.default_rng(0)
    path = design.supplies[fold][0].synthetic
    train, labels, synthetic_labels = dataset.train(fold), dataset.table.label, read_table(path).label
    rows = []
    for index, name in enumerate(dataset.table.class_names):
        real = dataset.table.in_shared_order(train[labels[train] == index])
        synthetic = np.flatnonzero(synthetic_labels == index)
        pick_real = rng.choice(real, min(SAMPLES_PER_CLASS, len(real)), replace=False)
        pick_synthetic = rng.choice(synthetic, min(SAMPLES_PER_CLASS, len(synthetic)), replace=False)
        strips = strip(dataset.images(fold)[pick_real]), strip(ImageReader(path)[pick_synthetic])
        rows.append(SampleRow(name, *strips))
    return rows


def score_rows(design: Design, results: Sequence[CellResult], class_names: Sequence[str]) -> dict[str, list[ScoreRow]]:
    """Per classifier, and in it per arm, the scores of the pooled test predictions, averaged over the runs."""
    config = design.config
    return {
        classifier: [
            _score_row(arm, [r for r in results if (r.cell.classifier, r.cell.arm) == (classifier, arm)], class_names)
            for arm in config.arms
        ]
        for classifier in config.classifiers
    }


def _score_row(arm: str, results: Sequence[CellResult], class_names: Sequence[str]) -> ScoreRow:
    runs = [pool(run) for run in runs_of(results)]
    per_run = [score(run.labels, run.probs, run.groups.tolist(), class_names) for run in runs]
    recalls = [[scores["by_image"]["per_class"][name]["recall"] for scores in per_run] for name in class_names]

    def means(columns: Sequence[Column]) -> tuple[float | None, ...]:
        return tuple(_mean([(scores[c.side]["overall"] or {}).get(c.key) for scores in per_run]) for c in columns)

    return ScoreRow(
        arm=arm,
        values=means(COLUMNS),
        patient_score=_mean([scores["by_patient"]["patient_score"] for scores in per_run]),
        recalls=tuple(_mean(values) for values in recalls),
        calibration=means(CALIBRATION),
    )


def arm_rows(design: Design, results: Sequence[CellResult]) -> list[ArmRow]:
    """Each arm, and how many images it trained on, class by class, in the first studied fold."""
    first = {result.cell.arm: result for result in reversed(results) if result.cell.fold == design.folds[0]}
    return [ArmRow(arm, find_arm(arm).meaning, first[arm].record.train_images) for arm in design.config.arms]


def fold_rows(design: Design, dataset: DataSet) -> list[FoldRow]:
    """Per fold the patients and images of its parts, and the proof of what its generator saw."""
    group = dataset.table.group_id
    rows = []
    for fold in design.folds:
        parts = dataset.train(fold), dataset.val(fold), dataset.test(fold)
        sizes = tuple(PartSize(len(np.unique(group[indices])), len(indices)) for indices in parts)
        rows += [FoldRow(sizes, supply) for supply in design.supplies[fold]]
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


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean, or None where one of them does not exist."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None

"""report.html: the study on one page that needs no network, for a reviewer to read and to check."""

import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.scores import AVERAGING, score
from ganaug.config import to_dict
from ganaug.data.dataset import DataSet
from ganaug.data.schema import ImageReader, read_table
from ganaug.study.arms import ARMS
from ganaug.study.cells import CellResult
from ganaug.study.design import Design
from ganaug.study.figures import difference_plot, strip
from ganaug.study.paired import pooled, runs_of
from ganaug.study.verdict import Verdict, percent, points
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
) -> None:
    """Render the page of a finished study to `study.report`."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"points": points, "percent": percent, "number": _number, "figure": _figure}
    template = environment.from_string(Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8"))
    page = template.render(
        design=design,
        table=dataset.table,
        verdict=verdict,
        plot=difference_plot(verdict.differences),
        samples=sample_rows(design, dataset),
        image_scores=image_scores,
        columns=COLUMNS,
        averaging=AVERAGING,
        scores=score_rows(design, results, dataset.table.class_names),
        arms=arm_rows(design, results),
        folds=fold_rows(design, dataset),
        notices=dataset.table.attrs.get("notices", []),
        left_out=dataset.table.attrs.get("left_out", []),
        options=to_dict(design.config),
        environment=environment_rows(results),
        num_cells=len(results),
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    )
    write_text(study.report, page)


def sample_rows(design: Design, dataset: DataSet) -> list[dict[str, Any]]:
    """Per class a strip of real and one of synthetic images of the first studied fold, drawn at random, not chosen."""
    fold, rng = design.folds[0], np.random.default_rng(0)
    path = design.synthetic[fold].path
    train, labels, fakes = dataset.train(fold), dataset.table.label, read_table(path).label
    rows = []
    for index, name in enumerate(dataset.table.class_names):
        real, fake = train[labels[train] == index], np.flatnonzero(fakes == index)
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
        rows.append({"fold": fold, **counts, "provenance": served.provenance, "file": served.path.name})
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


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}".replace("-", "−")

"""The scores of a generator's images, each beside the same figure between two patient-disjoint halves of real ones."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ganaug.data.dataset import DataSet
from ganaug.data.schema import ImageReader, name_to_share
from ganaug.data.synthetic import admit_synthetic
from ganaug.evaluate.diversity import diversity_rows
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.features import features_of
from ganaug.evaluate.halves import draw_per_class, patient_halves
from ganaug.evaluate.metrics.registry import METRICS, title
from ganaug.workspace import GanRun, Workspace, append_jsonl, read_jsonl

ALL = "all"  # the row over every class
NUM_SPLITS = 10  # random partitions of the patients into two halves
MIN_IMAGES = 8  # on each side; a distance between fewer images is noise


@dataclass(frozen=True)
class Sides:
    """The features that are compared: the real training images of the fold, and the synthetic ones."""

    real: np.ndarray  # f64 [N,D]
    real_label: np.ndarray  # i64 [N]
    group: np.ndarray  # text [N], the patient of each real image
    fake: np.ndarray  # f64 [M,D]
    fake_label: np.ndarray  # i64 [M]
    class_names: tuple[str, ...]


def evaluate_gan(
    workspace: Workspace,
    dataset: DataSet,
    synthetic: Path,
    run: GanRun | None,
    *,
    extractor: Extractor,
    weights_dir: Path | None = None,
    seed: int = 0,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Score the images of the file `synthetic` against the real training images of the fold its generator served.

    Returns rows of plain values, one for each metric and class and one over all classes, and appends them to the run's
    metrics.jsonl where a run is given and they are not there yet. `weights_dir` is where LPIPS looks for its weights.

    Raises LeakError where the file's provenance is missing, edited, or of another data set or fold; DataError where its
    classes or resolution are not those of the data set.
    """
    fake_table, record = admit_synthetic(dataset, synthetic, run.fold if run else None)
    train = dataset.train(record.fold)
    sides = Sides(
        real=features_of(workspace, dataset.images(record.fold), extractor, progress=progress)[train],
        real_label=dataset.table.label[train],
        group=dataset.table.group_id[train],
        fake=features_of(workspace, ImageReader(synthetic), extractor, progress=progress),
        fake_label=fake_table.label,
        class_names=dataset.table.class_names,
    )
    rows = [
        {**row, "extractor": extractor.name, "extractor_digest": extractor.digest}
        for row in distance_rows(sides, extractor, seed=seed, progress=progress)
    ]
    pools = {
        name: (
            (dataset.images(record.fold), train[sides.real_label == label]),
            (ImageReader(synthetic), np.flatnonzero(sides.fake_label == label)),
        )
        for label, name in enumerate(sides.class_names)
    }
    rows += diversity_rows(pools, weights_dir=weights_dir, device=extractor.device, seed=seed)
    about = {
        "dataset": dataset.name,
        "dataset_fingerprint": record.dataset_fingerprint,
        "folds_digest": record.folds_digest,
        "fold": record.fold,
        "synthetic": name_to_share(synthetic, record.content),
        "synthetic_digest": record.content,
        "generator": record.generator,
        "kimg": record.kimg,
        "psi": fake_table.attrs.get("psi"),
        "seed": seed,
    }
    rows = [{**row, **about} for row in rows]
    if run is not None:
        known = read_jsonl(run.metrics)  # the figures are reproducible: asking again adds nothing
        for row in rows:
            if row not in known:
                append_jsonl(run.metrics, row)
    return rows


def distance_rows(sides: Sides, extractor: Extractor, *, seed: int, progress: bool = False) -> list[dict[str, Any]]:
    """One row for each metric of METRICS, over all classes and for each class.

    `value` compares all the real images with the synthetic ones; over all classes, the synthetic ones are drawn in the
    class proportions of the real ones. A distance depends on the number of images, the Fréchet distance most of all, so
    `value` has no meaning beside a figure from other counts. The honest comparison is the other pair, both between
    `n_half` images and `n_half` images of the same classes: `real_floor`, between two halves of the real images that
    share no patient, and `value_at_half`, between one such half and as many synthetic images; both are means over
    NUM_SPLITS random partitions of the patients. A figure that cannot be had is None, and `note` says why.

    A generator as good as other patients' images has its `value_at_half` near the floor; one far below it has copied
    the patients it was trained on.

    Inception's features are taken as they are, which is what FID and KID mean. Others are divided by the root mean
    square of the real ones: a network's scale is arbitrary, and the constant in the kernel would be lost beside it.
    """
    scale = extractor.feature_scale(sides.real)
    sides = replace(sides, real=sides.real / scale, fake=sides.fake / scale)
    rng = np.random.default_rng(seed)
    scopes = [(ALL, None), *((name, label) for label, name in enumerate(sides.class_names))]
    rows = {(metric, name): _whole(sides, metric, label, rng) for metric in METRICS for name, label in scopes}
    halves: dict[tuple[str, str], list[tuple[int, float, float]]] = {key: [] for key in rows}
    for _ in tqdm(range(NUM_SPLITS), desc="patient halves", disable=not progress or None):
        split = _split(sides, rng)
        for metric in METRICS:
            for name, label in scopes:
                halves[metric, name] += _at_half(sides, split, metric, label, rng)
    return [
        {
            "metric": title(metric, extractor),
            "class": name,
            **rows[metric, name],
            **_summary(halves[metric, name]),
            "note": _note(sides, name, rows[metric, name]["value"], bool(halves[metric, name])) or extractor.caveat,
        }
        for metric, name in rows
    ]


def _whole(sides: Sides, metric: str, label: int | None, rng: np.random.Generator) -> dict[str, Any]:
    """The metric between all real images of a class and all synthetic ones."""
    real, fake = sides.real, sides.fake
    if label is None:
        fake = fake[draw_per_class(sides.fake_label, _real_proportions(sides), rng)]
    else:
        real, fake = real[sides.real_label == label], fake[sides.fake_label == label]
    counts = {"n_real": len(real), "n_fake": len(fake)}
    if min(len(real), len(fake)) < MIN_IMAGES:
        return {"value": None, **counts}
    return {**METRICS[metric](real, fake, rng), **counts}


def _real_proportions(sides: Sides) -> np.ndarray:
    """The most synthetic images of each class, i64 [K], that stand in the proportions of the real ones."""
    num_classes = len(sides.class_names)
    real = np.bincount(sides.real_label, minlength=num_classes)
    fake = np.bincount(sides.fake_label, minlength=num_classes)
    present = real > 0
    return np.floor(real * (fake[present] / real[present]).min()).astype(np.int64)


def _split(sides: Sides, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of two real halves and of as many synthetic images, with equal counts of each class."""
    num_classes = len(sides.class_names)
    available = np.bincount(sides.fake_label, minlength=num_classes)
    first, second = patient_halves(sides.group, sides.real_label, available, rng)
    counts = np.bincount(sides.real_label[first], minlength=num_classes)
    return first, second, draw_per_class(sides.fake_label, counts, rng)


def _at_half(
    sides: Sides,
    split: tuple[np.ndarray, np.ndarray, np.ndarray],
    metric: str,
    label: int | None,
    rng: np.random.Generator,
) -> list[tuple[int, float, float]]:
    """(images in a half, real to real, real to synthetic) of one split; empty where the halves are too small."""
    first, second, drawn = split
    if label is not None:
        first = first[sides.real_label[first] == label]
        second = second[sides.real_label[second] == label]
        drawn = drawn[sides.fake_label[drawn] == label]
    if len(first) < MIN_IMAGES:
        return []
    distance = METRICS[metric]
    floor = distance(sides.real[first], sides.real[second], rng)["value"]
    return [(len(first), floor, distance(sides.real[first], sides.fake[drawn], rng)["value"])]


def _summary(halves: list[tuple[int, float, float]]) -> dict[str, Any]:
    """The means over the splits."""
    if not halves:
        return {"value_at_half": None, "real_floor": None, "real_floor_std": None, "n_half": None, "num_splits": 0}
    sizes, floors, values = np.array(halves).T
    return {
        "value_at_half": float(values.mean()),
        "real_floor": float(floors.mean()),
        "real_floor_std": float(floors.std()),
        "n_half": round(float(sizes.mean())),
        "num_splits": len(halves),
    }


def _note(sides: Sides, name: str, value: float | None, has_halves: bool) -> str:
    """What a reader must know of a row: why a figure of it is missing, or which classes its halves leave out."""
    num_fake = np.bincount(sides.fake_label, minlength=len(sides.class_names))
    patients = [len(np.unique(sides.group[sides.real_label == label])) for label in range(len(sides.class_names))]
    alone = [each for each, m, n in zip(sides.class_names, patients, num_fake) if m < 2 or n == 0]
    if name == ALL and alone and has_halves:
        return f"the halves leave out {', '.join(alone)} (fewer than 2 training patients, or no synthetic image)"
    if value is not None and has_halves:
        return ""
    label = sides.class_names.index(name) if name != ALL else None
    num_real = len(sides.real) if label is None else int((sides.real_label == label).sum())
    return (
        f"{name}: {'the halves are' if value is not None else 'a side is'} too small, below {MIN_IMAGES} images"
        f" ({num_real} real images of {len(np.unique(sides.group)) if label is None else patients[label]} training"
        f" patients, {len(sides.fake) if label is None else num_fake[label]} synthetic images)"
    )

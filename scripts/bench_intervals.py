"""How often the intervals of distances hold what they are of, and how often the permutation test raises a false alarm.

    python scripts/bench_intervals.py [--part intervals] [--keep FILE] [--out scripts/results/intervals.json]

A pool of phantom patients is drawn once, and the features of their images are taken by EfficientNet-Lite0 and reduced
to their first principal components, for speed. Then, again and again, patients with unequal numbers of images are drawn
from it, and synthetic images in the same class proportions, each of another patient: those of an ideal generator, as
they are or blurred. The figure that an interval should hold is the mean over all repeats of the same design.

Draws are with replacement, so that the pool is the population. The permutation test is also run on a second set of
patients with several images each, which are no independent draws: there it must raise alarms too often.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from bench import common
from numpy.typing import NDArray
from scipy import ndimage

from ganaug.config import PhantomConfig
from ganaug.data.sources.phantom.draw import draw_one
from ganaug.evaluate.comparison.figures import compute_all
from ganaug.evaluate.comparison.halves import patient_halves
from ganaug.evaluate.comparison.jackknife import deal_blocks, jackknife_interval
from ganaug.evaluate.comparison.permutation import permutation_p_value, sum_by_unit
from ganaug.evaluate.comparison.rows import range_of_next
from ganaug.evaluate.comparison.splits import NUM_SPLITS
from ganaug.evaluate.extractors.extractor import ExtractorInputs, root_mean_square
from ganaug.evaluate.extractors.registry import open_extractor
from ganaug.evaluate.metrics.metric import Features

NUM_REAL, IMAGES_PER_PATIENT, NUM_SYNTHETIC = 400, 12, 2000  # a synthetic image is the first of a further patient
SIZES = (2, 3, 4, 6, 9, 12)  # images of the patients of a class, over and over
BLUR_PX = 1.0
EXTRACTOR = "efficientnet_lite0"
METRICS = ("kernel", "frechet")
PARTS = ("alarms", "intervals", "floors")
ALL_CLASSES = (0, 1, 2, 3)
LARGE = 12  # patients per class, above which half the repeats are made
ALARM = 0.05

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Drawn:
    """Features of one draw from the pool."""

    real: Features
    patient: Indices
    label: Indices
    synthetic: dict[str, Features]  # by what was done to the images


@dataclass(frozen=True)
class Pool:
    """Features of all images: those of real patients in order, and those of patients of one image each."""

    real: Features
    label: Indices  # of each patient
    synthetic: dict[str, Features]
    synthetic_label: Indices

    def draw(self, per_class: int, classes: tuple[int, ...], rng: np.random.Generator) -> Drawn:
        """Patients per class with images of SIZES, and as many synthetic images of each class as real ones."""
        sizes = np.resize(SIZES, per_class)
        patients, labels, chosen = [], [], []
        for label in classes:
            for number, size in zip(rng.choice(np.flatnonzero(self.label == label), per_class), sizes, strict=True):
                patients.append(number * IMAGES_PER_PATIENT + rng.choice(IMAGES_PER_PATIENT, size, replace=False))
                labels.append(label)
            chosen.append(rng.choice(np.flatnonzero(self.synthetic_label == label), sizes.sum()))
        sizes = np.array([len(images) for images in patients])
        rows, places = np.concatenate(patients), np.concatenate(chosen)
        made = {name: features[places] for name, features in self.synthetic.items()}
        return Drawn(self.real[rows], np.repeat(np.arange(len(sizes)), sizes), np.repeat(labels, sizes), made)


def draw_pool(seed: int) -> dict[str, NDArray[Any]]:
    """The features of the whole pool, and the classes of its images."""
    config = PhantomConfig(num_patients=NUM_REAL + NUM_SYNTHETIC, images_per_patient=IMAGES_PER_PATIENT)
    real = [draw_one(config, seed, number, index) for number in range(NUM_REAL) for index in range(IMAGES_PER_PATIENT)]
    made = [draw_one(config, seed, NUM_REAL + number, 0) for number in range(NUM_SYNTHETIC)]
    sharp = np.stack([drawn.image for drawn in made])
    soft = np.stack([ndimage.gaussian_filter(image.astype(float), (BLUR_PX, BLUR_PX, 0)) for image in sharp])
    extractor = open_extractor(EXTRACTOR, ExtractorInputs())
    sets = {"real": np.stack([drawn.image for drawn in real]), "synthetic": sharp, "blurred": np.rint(soft)}
    features = {name: extractor.features(images.astype(np.uint8)).astype(np.float32) for name, images in sets.items()}
    labels = [np.array([drawn.label for drawn in part]) for part in (real, made)]
    return {**features, "label": labels[0], "slabel": labels[1]}


def reduce_pool(raw: dict[str, NDArray[Any]], num_components: int) -> Pool:
    """The pool on its first principal components, scaled as an extractor scales them."""
    mean = raw["real"].astype(np.float64).mean(0)
    _, _, axes = np.linalg.svd(raw["real"] - mean, full_matrices=False)
    real, made, soft = ((raw[name] - mean) @ axes[:num_components].T for name in ("real", "synthetic", "blurred"))
    scale = root_mean_square(real)
    some_blurred = np.where((np.arange(len(made)) % 4 == 0)[:, None], soft, made)
    synthetic = {"ideal": made / scale, "a quarter blurred": some_blurred / scale, "blurred": soft / scale}
    return Pool(real / scale, raw["label"].reshape(NUM_REAL, -1)[:, 0], synthetic, raw["slabel"])


def measure_intervals(
    pool: Pool, per_class: int, classes: tuple[int, ...], repeats: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """How often the intervals hold the mean of all repeats, by metric and by what was done to the images."""
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for _ in range(repeats):
        drawn = pool.draw(per_class, classes, rng)
        blocks = deal_blocks(drawn.patient, drawn.label, drawn.label, rng)
        sizes = np.bincount(blocks.real)
        for kind in ("ideal", "blurred"):
            made = drawn.synthetic[kind]
            values = compute_all(drawn.real, made, 0, METRICS)
            without = [
                compute_all(drawn.real[blocks.real != block], made[blocks.synthetic != block], 0, METRICS)
                for block in range(len(blocks.stratum))
            ]
            for name in METRICS:
                value, left = values[name].value, np.array([each[name].value for each in without], np.float64)
                assert value is not None
                interval = jackknife_interval(value, left, sizes, blocks.stratum)
                found.setdefault((kind, name), []).append((value, interval.low, interval.high))
    rows = []
    for (kind, name), triples in found.items():
        value, low, high = np.array(triples).T
        expected = value.mean()
        rows.append(
            {
                "patients": per_class * len(classes),
                "classes": len(classes),
                "images": int(np.resize(SIZES, per_class).sum()) * len(classes),
                "synthetic": kind,
                "metric": name,
                "repeats": repeats,
                "expected": float(expected),
                "standard_deviation": float(value.std(ddof=1)),
                "median_half_width": float(np.median(high - low) / 2),
                "coverage": float(((low <= expected) & (expected <= high)).mean()),
                "too_high": float((low > expected).mean()),
                "too_low": float((high < expected).mean()),
            }
        )
    return rows


def measure_floors(
    pool: Pool, per_class: int, classes: tuple[int, ...], repeats: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """How often the range of the floor holds the floor's mean over all repeats, and one split of other patients."""

    def floors_of(drawn: Drawn, num_splits: int) -> dict[str, list[float]]:
        floors: dict[str, list[float]] = {name: [] for name in METRICS}
        for _ in range(num_splits):
            halves = patient_halves(drawn.patient, drawn.label, np.full(len(ALL_CLASSES), len(drawn.real)), rng)
            for name, attempt in compute_all(drawn.real[halves[0]], drawn.real[halves[1]], 0, METRICS).items():
                assert attempt.value is not None
                floors[name].append(attempt.value)
        return floors

    found: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in METRICS}
    for _ in range(repeats):
        floors, others = (floors_of(pool.draw(per_class, classes, rng), num_splits) for num_splits in (NUM_SPLITS, 1))
        for name in METRICS:
            interval = range_of_next(floors[name])
            found[name].append((float(np.mean(floors[name])), interval.low, interval.high, others[name][0]))
    rows = []
    for name, values in found.items():
        mean, low, high, other = np.array(values).T
        holds = ((low <= mean.mean()) & (mean.mean() <= high)).mean()
        holds_other = ((low <= other) & (other <= high)).mean()
        rows.append(
            {"patients": per_class * len(classes), "classes": len(classes), "metric": name, "repeats": repeats,
             "floor": float(mean.mean()),
             "holds_expected_floor": float(holds), "holds_split_of_other_patients": float(holds_other)}
        )  # fmt: skip
    return rows


def measure_alarms(
    pool: Pool, per_class: int, classes: tuple[int, ...], repeats: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """How often the permutation test's p is at most ALARM."""
    found: dict[str, list[float]] = {}
    for _ in range(repeats):
        drawn, second = pool.draw(per_class, classes, rng), pool.draw(per_class, classes, rng)
        for kind, made in {**drawn.synthetic, "a second set of patients": second.real}.items():
            units = sum_by_unit(drawn.real, made, drawn.patient, drawn.label, drawn.label)
            found.setdefault(kind, []).append(permutation_p_value(units, rng, num_permutations=499))
    return [
        {
            "patients": per_class * len(classes),
            "classes": len(classes),
            "synthetic": kind,
            "repeats": repeats,
            "alarms": float((np.array(p_values) <= ALARM).mean()),
        }
        for kind, p_values in found.items()
    ]


MEASURES: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "alarms": measure_alarms,
    "intervals": measure_intervals,
    "floors": measure_floors,
}


def print_rows(rows: list[dict[str, Any]]) -> None:
    cells = [[f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    print(common.markdown_table(list(rows[0]), cells) + "\n", flush=True)


@click.command()
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), default=PARTS, show_default=True)
@click.option("--repeats", default=1000, show_default=True, help="Draws per design")
@click.option("--components", "num_components", default=64, show_default=True, help="Principal components")
@click.option("--seed", default=0, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Where the features of the pool are kept, .npz")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON; other parts stay")
def main(
    parts: tuple[str, ...], repeats: int, num_components: int, seed: int, keep: Path | None, out: Path | None
) -> None:
    """Measure the coverage of the intervals and the alarms of the permutation test."""
    raw = dict(np.load(keep)) if keep and keep.exists() else draw_pool(seed=7)
    if keep and not keep.exists():
        np.savez(keep, **raw)
    pool = reduce_pool(raw, num_components)
    designs = ((6, ALL_CLASSES), (12, (0,)), (6, (0,)), (15, ALL_CLASSES))  # patients per class, classes
    for part in parts:
        started, rows = time.process_time(), list[dict[str, Any]]()
        for number, (per_class, classes) in enumerate(designs[:2] if part == "alarms" else designs):
            rng = np.random.default_rng([seed, number])
            num_repeats = repeats // 2 if per_class > LARGE else repeats  # they take most of the time
            found = MEASURES[part](pool, per_class, classes, num_repeats, rng)
            print_rows(found)
            rows += found
            if out:
                minutes = (time.process_time() - started) / 60
                write_part(out, part, {"components": num_components, "cpu_minutes": minutes, "rows": rows})


def write_part(path: Path, part: str, figures: dict[str, Any]) -> None:
    """Put the figures into the file; those of other parts stay."""
    known = json.loads(path.read_text()) if path.exists() else {}
    about = {"machine": common.describe_machine("cpu", "default"), "extractor": EXTRACTOR}
    common.write_json(path, {**known, **about, part: figures})


if __name__ == "__main__":
    main()

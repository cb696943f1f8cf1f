"""What synthetic images are worth where a gain can exist: few real images of the phantom, and many patients to test on.

    python scripts/bench_gain.py --keep FOLDER [--kimg 85] [--init none|phantom] [--jobs 2] [--out FILE]

Each of --sets training sets is a data set of its own with 40 training images of each class, of 10 patients per class. A
generator is trained on each. A linear probe on frozen features that did not teach the generator learns from the real
images, from them twice, with as many generated ones, and with as many of other patients, which is the most that a
generator could be worth. All are tested on the same drawn patients, of whom nobody has learnt. Every seed draws the
orientations, the latents and the other patients again. Intervals draw test patients and seeds; not training sets.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from bench import common
from numpy.typing import NDArray

from classifiers.probe import ProbeConfig, fit_probe
from ganaug.checkpoint.builtin import choose_weights
from ganaug.checkpoint.snapshot import load_generator
from ganaug.config import BREAST_CLASSES, Compute, FoldsConfig, PhantomConfig, PrepareConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.sources.phantom.draw import PhantomImage, draw
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.evaluate.extractors.registry import open_extractor
from ganaug.model.pixels import one_hot, to_pixels
from ganaug.parallel.processes import run_parallel, tune_allocator
from ganaug.presets import gan
from ganaug.study.statistics.out_of_fold import OutOfFold, score_counts
from ganaug.study.statistics.paired import paired_difference, resample, score_resamples
from ganaug.study.statistics.resampling import confusions
from ganaug.train.loop import train_gan
from ganaug.train.task import Task, plan_training
from ganaug.workspace import open_workspace

RESOLUTION_PX, UM_PER_PX = 64, 2.0
PATIENTS, IMAGES = 80, 4  # of a data set in four parts, two of which are trained on: 40 images per class
TEST = PhantomConfig(RESOLUTION_PX, 400, IMAGES, um_per_px=UM_PER_PX)
TEST_SEED, OTHER_SEED = 4_000_000, 5_000_000  # far from those of the data sets
ARMS = ("real", "real-oversampled", "real+synthetic", "real+more-real")
PAIRS = (("real+synthetic", "real-oversampled"), ("real+more-real", "real-oversampled"), ("real-oversampled", "real"))
EXTRACTORS = ("efficientnet_lite1", "squeezenet")
Pixels = NDArray[np.uint8]


def plan(root: Path, number: int, kimg: float, init: str, seed: int) -> Task:
    """A training set and the generator that is trained on it, by the CPU's default."""
    workspace, name = open_workspace(root), f"set{number}"
    if name not in workspace.datasets():
        phantom = PhantomConfig(RESOLUTION_PX, PATIENTS, IMAGES, um_per_px=UM_PER_PX)
        prepare_dataset(
            workspace, PrepareConfig("phantom", name=name, seed=number, folds=FoldsConfig(4), phantom=phantom)
        )
    config = gan("auto", RESOLUTION_PX, len(BREAST_CLASSES), "cpu")
    config = replace(config, total_kimg=kimg, snapshot_kimg=kimg / 4, seed=seed, extractor="none")
    return plan_training(workspace, open_dataset(workspace, name), 0, config, choose_weights(init, "auto", 64, "cpu"))


def train(root: Path, number: int, kimg: float, init: str, seed: int) -> None:
    torch.set_num_threads(1)
    train_gan(plan(root, number, kimg, init, seed), Compute(progress=number == 0))


class Probes:
    """The arms of one training set, by one extractor."""

    def __init__(self, task: Task, extractor: Extractor, test: tuple[NDArray[np.float32], NDArray[np.int64]]) -> None:
        self.dataset: DataSet = task.dataset
        self.extractor, self.test = extractor, test
        images, self.rows, val = self.dataset.images(0), self.dataset.train(0), self.dataset.val(0)
        self.images, self.label = images[self.rows], self.dataset.table.label[self.rows]
        self.val = (self.features(images[val])[None], self.dataset.table.label[val])
        newest = task.run.newest_ema()
        assert newest is not None, "the generator is not trained"
        self.generator = load_generator(newest)

    def features(self, images: Pixels) -> NDArray[np.float32]:
        return self.extractor.features(images).astype(np.float32)

    def predict(self, seed: int) -> dict[str, NDArray[np.int64]]:
        """The classes of the test images by each arm."""
        rng = np.random.default_rng([seed, 0])
        once, twice = (self.features(_turned(self.images, rng)) for _ in range(2))
        added = {
            "real": None,
            "real-oversampled": twice,
            "real+synthetic": self.features(_turned(self._generated(seed), rng)),
            "real+more-real": self.features(self._others(seed)),
        }
        return {arm: self._predict(once, more) for arm, more in added.items()}

    def _predict(self, once: NDArray[np.float32], more: NDArray[np.float32] | None) -> NDArray[np.int64]:
        features = once if more is None else np.concatenate([once, more])
        label = np.tile(self.label, len(features) // len(self.label))
        num_classes, config = len(BREAST_CLASSES), ProbeConfig()
        probe = fit_probe(features, label, val=self.val, num_classes=num_classes, config=config).probe
        with torch.inference_mode():
            found: NDArray[np.int64] = probe(torch.from_numpy(self.test[0])).argmax(dim=1).numpy()
        return found

    @torch.no_grad()
    def _generated(self, seed: int) -> Pixels:
        random, c = torch.Generator().manual_seed(seed), one_hot(self.label, len(BREAST_CLASSES))
        z = torch.randn(len(c), self.generator.config.z_dim, generator=random)
        return to_pixels(self.generator(z, c, noise_mode="random", generator=random))

    def _others(self, seed: int) -> Pixels:
        """As many drawn images of other patients, of the classes of the real ones."""
        config = PhantomConfig(RESOLUTION_PX, PATIENTS // 2, IMAGES, um_per_px=UM_PER_PX)
        drawn = list(draw(config, OTHER_SEED + seed))
        label = np.array([each.label for each in drawn])
        places = [np.flatnonzero(label == k).tolist() for k in range(len(BREAST_CLASSES))]
        return np.stack([drawn[places[k].pop()].image for k in self.label])


def _turned(images: Pixels, rng: np.random.Generator) -> Pixels:
    """Each image in one of its eight orientations."""
    turns, flips = rng.integers(4, size=len(images)), rng.integers(2, size=len(images))
    turned = [
        np.rot90(image[:, ::-1] if flip else image, turn)
        for image, turn, flip in zip(images, turns, flips, strict=True)
    ]
    return np.ascontiguousarray(np.stack(turned))


def judge(tasks: list[Task], drawn: list[PhantomImage], name: str, seeds: int, weights: Path | None) -> dict[str, Any]:
    """The arms' balanced accuracies on the drawn images and their differences by one extractor, over all seeds."""
    sets = len(tasks)
    true, group = np.array([each.label for each in drawn]), np.array([each.group_id for each in drawn])
    patients, patient = np.unique(group, return_inverse=True)
    counts: dict[str, list[NDArray[np.int64]]] = {arm: [] for arm in ARMS}
    for task in tasks:
        extractor = open_extractor(name, ExtractorInputs(task.dataset, 0, None, Compute(weights_dir=weights)))
        test = extractor.features(np.stack([each.image for each in drawn])).astype(np.float32)
        probes = Probes(task, extractor, (test, true))
        for probe_seed in range(seeds):
            for arm, found in probes.predict(probe_seed).items():
                counts[arm].append(confusions(true, found, patient, len(patients), len(BREAST_CLASSES)))
    fold = np.repeat(np.arange(sets)[:, None], len(patients), axis=1)
    tested = OutOfFold({arm: np.stack(each) for arm, each in counts.items()}, fold)
    metric = "balanced_accuracy"
    drawn_again = score_resamples(tested, resample(tested, 2000, np.random.default_rng(0)), metric)
    differences = [
        paired_difference(tested, drawn_again, classifier=name, arm=arm, baseline=base, metric=metric, confidence=0.95)
        for arm, base in PAIRS
    ]
    scores = {arm: score_counts(each, metric) for arm, each in tested.counts.items()}
    by_set = {
        arm: [score_counts(each[k * seeds : (k + 1) * seeds], metric) for k in range(sets)]
        for arm, each in tested.counts.items()
    }
    return {
        "extractor": name,
        "scores": scores,
        "by_set": by_set,
        "differences": [each.to_dict() for each in differences],
    }


@click.command()
@click.option("--keep", type=click.Path(path_type=Path), required=True, help="Train in this folder, and resume there")
@click.option("--sets", default=2, show_default=True, help="Training sets, each with a generator")
@click.option("--seeds", default=10, show_default=True, help="Of the probes")
@click.option("--kimg", default=85.0, show_default=True, help="Length of each training")
@click.option("--init", type=click.Choice(["none", "phantom"]), default="none", show_default=True)
@click.option("--gan-seed", default=0, show_default=True)
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True)
@click.option(
    "--weights-dir", type=click.Path(path_type=Path, exists=True), help="Of SqueezeNet, to judge by it as well"
)
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON")
def main(
    keep: Path,
    sets: int,
    seeds: int,
    kimg: float,
    init: str,
    gan_seed: int,
    jobs: int,
    weights_dir: Path | None,
    out: Path | None,
) -> None:
    """Train generators on few images, and measure what theirs are worth."""
    tune_allocator()
    root = keep / init
    tasks = [plan(root, number, kimg, init, gan_seed) for number in range(sets)]
    list(run_parallel(train, [(root, number, kimg, init, gan_seed) for number in range(sets)], jobs))
    names = EXTRACTORS if weights_dir else EXTRACTORS[:1]
    drawn = list(draw(TEST, TEST_SEED))
    rows = [judge(tasks, drawn, name, seeds, weights_dir) for name in names]
    lines = [
        [
            row["extractor"],
            f"{each['arm']} − {each['baseline']}",
            f"{100 * each['estimate']:+.1f}",
            f"{100 * each['low']:+.1f} to {100 * each['high']:+.1f}",
        ]
        for row in rows
        for each in row["differences"]
    ]
    print(common.markdown_table(["features", "difference", "points", "95 %"], lines))
    if out:
        about = {"init": init, "kimg": kimg, "sets": sets, "seeds": seeds, "images_per_class": PATIENTS * IMAGES // 8}
        common.write_json(out, {"machine": common.describe_machine("cpu", "tuned"), **about, "rows": rows})


if __name__ == "__main__":
    main()

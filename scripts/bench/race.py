"""The race of configurations: equal CPU seconds of one thread, scoring excluded, and the scores at fixed times."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from classifiers.probe import LinearProbe
from ganaug.checkpoint.builtin import phantom_weights
from ganaug.config import Compute, FoldsConfig, GanConfig, PhantomConfig, PrepareConfig
from ganaug.data.dataset import DataSet, TrainingImages, open_dataset
from ganaug.data.images.sheet import save_sheet
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.sources.phantom.draw import draw
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.evaluate.extractors.registry import open_extractor
from ganaug.evaluate.labels.linear import Labelled, fit_by_patients, predict
from ganaug.evaluate.metrics.frechet import frechet_distance
from ganaug.evaluate.metrics.registry import METRICS
from ganaug.model.pixels import one_hot, to_pixels
from ganaug.parallel.processes import run_parallel
from ganaug.presets import gan
from ganaug.train.distributed.process_group import ProcessGroup
from ganaug.train.loop import iterate, teach_classes
from ganaug.train.monitoring.snapshot_scores import match_classes
from ganaug.train.saving.publish import sample_row, write_snapshot
from ganaug.train.state import TrainingState, load_initial_weights, new_state
from ganaug.train.task import Task, plan_training, write_description
from ganaug.workspace import open_workspace

FOLD = 0
BREAKHIS: dict[str, dict[str, Any]] = {
    "breakhis": {},
    "breakhis-macenko": {"stain": "macenko"},  # without the stain by which its classes differ
    "breakhis-tiles": {"fit": "tile", "field_px": 112},  # quarters of the fields: four times the images, larger nuclei
}
DATA_SETS = ("breakhis", "phantom", "breakhis-macenko", "breakhis-tiles")
ROW_KEY = ("data", "contender", "seed", "minutes")  # no two rows of the race share these
NUM_CHECKED = 10  # iterations between two looks at the clock
OTHER_SEED = 777  # of the phantom's other patients, whose classifier judges
Build = Callable[[GanConfig], GanConfig]


@dataclass(frozen=True)
class Contender:
    """A configuration of the race, in place of the CPU's default for the discriminator named."""

    discriminator: str
    from_phantom: bool = False
    change: Build = lambda config: config

    def config(self, dataset: DataSet, seed: int) -> GanConfig:
        table = dataset.table
        config = gan("auto", table.resolution_px, table.num_classes, "cpu", discriminator=self.discriminator)
        return self.change(replace(config, seed=seed, total_kimg=1e5, extractor="none", snapshot_kimg=None))


def _narrow(config: GanConfig) -> GanConfig:
    return replace(config, network=replace(config.network, channel_base=512))


CONTENDERS = {
    "projected, from the phantom": Contender("projected", from_phantom=True),
    "projected": Contender("projected"),
    "stylegan2, from the phantom": Contender("stylegan2", from_phantom=True),
    "stylegan2, narrow": Contender("stylegan2", change=_narrow),  # the CPU's default before the race
}


def make_dataset(root: Path, name: str, resolution_px: int, source: Path | None) -> None:
    """BreakHis 200X of 224 px, binary, from a folder; or a phantom, 480 images of 40 patients to train on."""
    workspace = open_workspace(root)
    if name in workspace.datasets():
        return
    if name == "phantom":
        phantom = PhantomConfig(resolution_px, num_patients=80, images_per_patient=12, um_per_px=128 / resolution_px)
        config = PrepareConfig(name, resolution_px=resolution_px, folds=FoldsConfig(4), phantom=phantom)
    else:
        given = {"magnification": "200", "task": "binary", **BREAKHIS[name]}
        config = PrepareConfig("breakhis", str(source), name, resolution_px=resolution_px, **given)
    prepare_dataset(workspace, config)


class Judge:
    """Scores of generated images by SqueezeNet, which teaches nobody; next to the floor of real ones."""

    def __init__(self, dataset: DataSet, weights: Path) -> None:
        self.table = dataset.table
        inputs = ExtractorInputs(dataset, FOLD, None, Compute(weights_dir=weights))
        self.extractor: Extractor = open_extractor("squeezenet", inputs)
        images, self.train, val = dataset.images(FOLD), dataset.train(FOLD), dataset.val(FOLD)
        self.label = self.table.label[self.train]
        self.matched, chosen = match_classes(self.label, self.table.label[val])
        real = self.extractor.features(images[self.train])
        self.scale = self.extractor.feature_scale(real)
        self.real = real / self.scale
        self.val = self.extractor.features(images[val[chosen]]) / self.scale
        self.val_label = self.table.label[val[chosen]]
        self.probe = self._learn(*self._others(dataset, val[chosen]))
        self.floor = self.scores(self.real)

    def _learn(self, features: NDArray[np.float64], label: NDArray[np.int64], group: NDArray[np.str_]) -> LinearProbe:
        return fit_by_patients(Labelled(features, label, group), self.table.num_classes, _rng())

    def _others(
        self, dataset: DataSet, val: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.str_]]:
        """Patients to learn the classes from: of the phantom as many as one likes, else the validation part's."""
        if dataset.name != "phantom":
            return self.val, self.table.label[val], self.table.group_id[val]
        px = self.table.resolution_px
        drawn = list(draw(PhantomConfig(px, 200, 10, um_per_px=128 / px), OTHER_SEED))
        features = self.extractor.features(np.stack([each.image for each in drawn])) / self.scale
        return features, np.array([each.label for each in drawn]), np.array([each.group_id for each in drawn])

    def of_generator(self, state: TrainingState) -> dict[str, Any]:
        return self.scores(self.extractor.features(sample(state, self.label)) / self.scale)

    def scores(self, fake: NDArray[np.float64]) -> dict[str, Any]:
        """Of features [N,D] of the classes of the training images, against equal numbers of validation patients.

        cas: the balanced accuracy on these of a probe that learnt from the features judged.
        """
        own, named = fake[self.matched], predict(self.probe, fake)
        found: dict[str, Any] = {
            "frechet": frechet_distance(self.val, own),
            "to_train": frechet_distance(self.real, fake),
        }
        for name in ("kernel", "precision", "recall", "coverage"):
            found[name] = METRICS[name].compute(self.val, own, _rng()).value
        by_made = predict(self._learn(fake, self.label, self.table.group_id[self.train]), self.val)
        found["cas"] = float(np.mean([(by_made[self.val_label == k] == k).mean() for k in np.unique(self.val_label)]))
        of_class = [float((named[self.label == k] == k).mean()) for k in range(self.table.num_classes)]
        return {**found, "agreement": dict(zip(self.table.class_names, of_class, strict=True))}


@torch.no_grad()
def sample(state: TrainingState, label: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Images of these classes, from latents and noise that are the same every time: u8 [N,H,W,3]."""
    random, ema, parts = torch.Generator().manual_seed(0), state.trainer.networks.ema, []
    for start in range(0, len(label), 50):
        c = one_hot(label[start : start + 50], ema.config.num_classes)
        z = torch.randn(len(c), ema.config.z_dim, generator=random)
        parts.append(to_pixels(ema(z, c, noise_mode="random", generator=random)))
    return np.concatenate(parts)


def race(
    root: Path, name: str, contender: str, seed: int, minutes: tuple[float, ...], weights: Path
) -> list[dict[str, Any]]:
    """Train a contender for the longest of `minutes`, from where an earlier call stopped; returns a row per time."""
    torch.set_num_threads(1)
    workspace = open_workspace(root)
    dataset, entry = open_dataset(workspace, name), CONTENDERS[contender]
    init = phantom_weights(dataset.table.resolution_px) if entry.from_phantom else None
    task = plan_training(workspace, dataset, FOLD, entry.config(dataset, seed), init)
    state, clock = new_state(task.config, ProcessGroup()), Clock(task)
    if clock.rows:
        state.load(task.run.states()[-1], task.digest)
    elif task.init:
        load_initial_weights(state, task.init)
    teach_classes(task, state.trainer.networks.D)  # some seconds that no clock counts
    task.run.root.mkdir(parents=True, exist_ok=True)
    write_description(task)  # so that `ganaug synthesize --gan` and `evaluate-gan` can go on from here
    order = TrainingImages(dataset, FOLD, task.config.batch, task.config.seed)
    for time_limit in sorted(set(minutes) - {row["minutes"] for row in clock.rows}):
        clock.train(lambda: iterate(task, state, order), 60 * time_limit)
        judge = Judge(dataset, weights)
        row = {
            "data": name,
            "contender": contender,
            "seed": seed,
            "minutes": time_limit,
            "kimg": state.num_images / 1000,
        }
        save(task, state, clock, row | judge.of_generator(state) | {"floor": judge.floor})
    return [row for row in clock.rows if row["minutes"] in minutes]


class Clock:
    """The CPU seconds that a run has trained for, and its rows, both kept in its folder."""

    def __init__(self, task: Task) -> None:
        self.path = task.run.root / "race.json"
        kept: dict[str, Any] = json.loads(self.path.read_text()) if self.path.exists() else {"seconds": 0.0, "rows": []}
        self.seconds: float = kept["seconds"]
        self.rows: list[dict[str, Any]] = kept["rows"]

    def train(self, iterate_once: Callable[[], object], limit: float) -> None:
        while self.seconds < limit:
            started = time.process_time()
            for _ in range(NUM_CHECKED):
                iterate_once()
            self.seconds += time.process_time() - started


def save(task: Task, state: TrainingState, clock: Clock, row: dict[str, Any]) -> None:
    """Keep the state, a snapshot, a sheet and the row; the row last, as it says that the others are there."""
    kimg, classes = state.num_images / 1000, range(task.dataset.table.num_classes)
    task.run.state(0).parent.mkdir(parents=True, exist_ok=True)
    state.save(task.run.state(state.num_images), task.digest)
    write_snapshot(task, state)
    rows = [sample_row(state.trainer.networks.ema, label, torch.device("cpu")) for label in classes]
    save_sheet(task.run.samples(kimg), rows)
    clock.rows.append(row)
    clock.path.write_text(json.dumps({"seconds": clock.seconds, "rows": clock.rows}, indent=1))


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def run_race(
    root: Path,
    data: tuple[str, ...],
    contenders: tuple[str, ...],
    seeds: int,
    minutes: tuple[float, ...],
    resolution_px: int,
    source: Path | None,
    weights: Path,
    num_jobs: int,
) -> list[dict[str, Any]]:
    """Race all that are named, and return their rows; seeds come last, so that all have one before any has two."""
    for name in data:
        make_dataset(root, name, resolution_px, source)
    calls = [
        (root, name, contender, seed, minutes, weights)
        for seed in range(seeds)
        for contender in contenders
        for name in data
    ]
    return [row for _, rows in sorted(run_parallel(race, calls, num_jobs), key=lambda done: done[0]) for row in rows]


def tabulate(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Lines of a table: of each data set, contender and time the scores of all seeds, and their mean."""
    lines = []
    for key in dict.fromkeys((row["data"], row["minutes"], row["contender"]) for row in rows):
        of_key = [row for row in rows if (row["data"], row["minutes"], row["contender"]) == key]
        scores = [row["frechet"] for row in of_key]
        agreement = [mean(row["agreement"].values()) / mean(row["floor"]["agreement"].values()) for row in of_key]
        recall, coverage = (mean(row[name] for row in of_key) for name in ("recall", "coverage"))
        shown = [
            "  ".join(f"{score:.1f}" for score in scores),
            f"{mean(scores):.1f}",
            f"{of_key[0]['floor']['frechet']:.1f}",
        ]
        shown += [
            f"{mean(row['kernel'] for row in of_key):.2f}",
            f"{mean(agreement):.2f}",
            f"{recall:.2f}",
            f"{coverage:.2f}",
        ]
        lines.append([key[0], f"{key[1]:g}", key[2], *shown])
    return lines


HEAD = [
    "data",
    "minutes",
    "contender",
    "Fréchet, by seed",
    "mean",
    "floor",
    "kernel",
    "agreement of real",
    "recall",
    "coverage",
]

"""Advice before a training: whether the images will do, how long it takes, and how to see when to stop."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganaug.config import GanConfig
from ganaug.evaluate.advice import FEWEST_SNAPSHOTS, SHORT_KIMG, snapshot_kimg_for_trend
from ganaug.train.cost import num_images_shown
from ganaug.train.schedule import conditioning
from ganaug.train.task import Task

FEW_IMAGES = 100  # per class; what was measured here with so few is in `MEASURED`
# From scripts/results, breakhis-study-cpu.json, learning-transition.json and gain-phantom-cpu.json.
MEASURED = (
    "measured: with 839 BreakHis images of 44 patients (64 px, 8 kimg, projected, begun from the phantom) GAN "
    "images changed a linear probe's balanced accuracy by +2.4 points (95 % interval −1.1 to +5.8), repeats of the "
    "rarer class alone by +4.8: inconclusive",
    "measured: with 100 images per class of the phantom (16 kimg, stylegan2, 2 seeds) --class-transition ended at 1.04 "
    "and 0.81 times the Fréchet distance that the same seed had without it: no clear difference",
    "measured: with 40 images per class of the phantom (85 kimg, an hour of a CPU, discriminator projected, begun from "
    "nothing, one training set) GAN images changed a linear probe's balanced accuracy by −3.2 points (95 % interval "
    "−4.3 to −2.1), as many real images of other patients by +1.7: judge the gain before you rely on it",
)
COLLAPSE = (
    "if the classes look alike in samples/, conditioning collapsed, as it does with few images per class (Shahbazi et "
    "al. 2022)"
)


@dataclass(frozen=True)
class ClassSupply:
    """The training images of a class in one fold."""

    fold: int
    class_name: str
    num_images: int
    num_patients: int


@dataclass(frozen=True)
class Outlook:
    """What is known of a training before it begins."""

    classes: tuple[ClassSupply, ...]  # of every fold
    times_shown: float  # how often each image of the first fold is shown
    num_scored: int  # snapshots that will have a score
    lines: tuple[str, ...]  # the advice, for people

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "classes": [vars(supply) for supply in self.classes],
            "times_shown": self.times_shown,
            "scored_snapshots": self.num_scored,
            "snapshots_for_a_trend": FEWEST_SNAPSHOTS,
            "lines": list(self.lines),
        }


def advise_before_training(tasks: Sequence[Task]) -> Outlook:
    """The images and patients of each class, how often they are shown, and how many snapshots show a trend."""
    config = tasks[0].config
    classes = tuple(supply for task in tasks for supply in _supplies(task))
    shown = 1000 * config.total_kimg / len(tasks[0].dataset.train(tasks[0].fold))
    number = num_scored(config)
    length = f"length: {config.total_kimg:g} kimg show each training image about {shown:.0f} times"
    lines = (*_trained(tasks), *_on_images(classes, config), length, *_on_stopping(config, number))
    return Outlook(classes, shown, number, lines)


def num_scored(config: GanConfig) -> int:
    """How many snapshots a whole training scores: none before the class transition ends, and one at the end."""
    if config.extractor == "none":
        return 0
    every = config.snapshot_kimg or config.total_kimg
    times = np.append(np.arange(every, config.total_kimg - every / 1000, every), config.total_kimg)
    return sum(conditioning(config, 1000 * kimg) == 1 for kimg in times.tolist())


def _supplies(task: Task) -> list[ClassSupply]:
    table, train = task.dataset.table, task.dataset.train(task.fold)
    members = [train[table.label[train] == label] for label in range(table.num_classes)]
    return [
        ClassSupply(task.fold, name, len(of_class), len(np.unique(table.group_id[of_class])))
        for name, of_class in zip(table.class_names, members, strict=True)
    ]


def _trained(tasks: Sequence[Task]) -> list[str]:
    """The folds whose training is as long as asked, or longer."""
    shown = [(task, num_images_shown(task) / 1000) for task in tasks]
    return [
        f"fold {task.fold} stands: it was trained for {kimg:g} kimg, and {task.config.total_kimg:g} are asked for"
        for task, kimg in shown
        if kimg >= task.config.total_kimg
    ]


def _on_images(classes: Sequence[ClassSupply], config: GanConfig) -> list[str]:
    fewest = min(classes, key=lambda supply: supply.num_images)
    lines = [
        f"images: the rarest class, {fewest.class_name}, has {fewest.num_images} of {fewest.num_patients} patients in "
        f"fold {fewest.fold}; only evaluate-gan and evaluate-augmentation can show whether they will do",
        *MEASURED,
    ]
    if config.transition_kimg is None:
        third = config.total_kimg / 3
        few = "few images: " if fewest.num_images <= FEW_IMAGES else ""
        lines.append(f"{few}{COLLAPSE}; use --class-transition {third / 2:.3g}:{third:.3g}")
    return lines


def _on_stopping(config: GanConfig, number: int) -> list[str]:
    if config.extractor == "none":
        return ["when to stop: snapshots are not scored, so no curve will show it; use --extractor auto"]
    every = f"a snapshot every {config.snapshot_kimg:g} kimg" if config.snapshot_kimg else "one snapshot at the end"
    lines = [f"when to stop: {every} gives {number} scores, and a trend takes {FEWEST_SNAPSHOTS}"]
    if number < FEWEST_SNAPSHOTS:
        lines[0] += f"; {_for_a_trend(config)}"
    return [
        *lines,
        "reading scores.jsonl: while val_kernel falls, more training helps; if it rises and kernel falls, it overfits",
    ]


def _for_a_trend(config: GanConfig) -> str:
    wanted = snapshot_kimg_for_trend(config)
    if wanted is not None:
        return f"use --snapshot-kimg {wanted:.2g}"
    is_late = config.transition_kimg is not None and config.total_kimg >= SHORT_KIMG
    return "end --class-transition sooner" if is_late else "train longer, with a larger --kimg"

"""Advice on the length of a training, from the distances of its snapshots to validation and to training patients."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ganaug.config import GanConfig
from ganaug.evaluate.judged import Finding
from ganaug.evaluate.scores import ALL
from ganaug.report.numbers import count, figure, percent

FEWEST_SNAPSHOTS = 6  # with which a trend is looked for
SHORT_KIMG = 1.0  # of a training after its class transition; in fewer there is no trend to be seen
LAST_FRACTION = 0.6  # of the snapshots, in which it is: the first ones fall in every training
SMALL_CHANGE = 0.2  # of the distance over these; a trend that is surely smaller counts as none
CONFIDENCE = 0.9  # of a trend's interval, so that noise looks like a rise in at most 5 % of trainings
NEAR_FLOOR = 4.0  # times the floor; a distance that stands still above may be on a plateau, as early in a training
LARGE_PROBABILITY = 0.8  # of ADA, above which its changes of images show in what is generated
MEMORIZED = 0.5  # of a discriminator's `memory`

Distances = NDArray[np.float64]
Direction = Literal["too few", "unclear", "flat", "better", "overfitting", "unstable"]


@dataclass(frozen=True)
class Curve:
    """The kernel distances of a training's snapshots, in the order of their kimg; every array has length S."""

    kimg: Distances
    val: Distances  # to images of validation patients
    train: Distances  # to images of training patients
    floor: float = math.nan  # between training and validation patients; NaN where it is not known
    num_older: int = 0  # snapshots that a version scored which compared none with validation patients
    num_without: int = 0  # snapshots that had too few images of validation patients to compare with

    @property
    def first(self) -> int:
        """The first of the snapshots in which a trend is looked for."""
        return len(self.kimg) - math.ceil(LAST_FRACTION * len(self.kimg))


@dataclass(frozen=True)
class Discriminator:
    """What a discriminator shows of its memory in the lines of stats.jsonl that belong to a trend."""

    memory: float | None = None  # (train - val) / (train - generated) of its outputs; 0 none, 1 complete
    ada_p: float | None = None  # the last probability of ADA


@dataclass(frozen=True)
class Trend:
    """The change of a distance from the first to the last snapshot by a straight line, as a fraction of its level."""

    change: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{_signed(self.change)} ({_signed(self.low)} to {_signed(self.high)})"


def trend_of(kimg: Distances, distance: Distances, floor: float = math.nan) -> Trend:
    """The straight line through at least three snapshots, its interval from their scatter around it.

    The level is the mean distance, or the floor where that is higher, so that noise around zero is no trend. The
    interval takes the scatter of snapshots as independent and normal.
    """
    from scipy.stats import t as student

    x, mean = kimg - kimg.mean(), float(distance.mean())
    slope = float((x * distance).sum() / (x**2).sum())
    rest = distance - mean - slope * x
    error = math.sqrt(float((rest**2).sum()) / (len(x) - 2) / float((x**2).sum()))
    half = float(student.ppf((1 + CONFIDENCE) / 2, len(x) - 2)) * error
    level = max(abs(mean), floor if math.isfinite(floor) else 0.0) or 1.0
    scale = float(kimg[-1] - kimg[0]) / level
    return Trend(slope * scale, (slope - half) * scale, (slope + half) * scale)


def direction_of(curve: Curve) -> tuple[Direction, Trend | None, Trend | None]:
    """Where the training goes, and the trends of both distances, by the last snapshots.

    Our choice: a rise or a fall needs an interval that leaves out zero and reaches beyond SMALL_CHANGE; with neither,
    the distance is flat where the interval stays within SMALL_CHANGE, else nothing can be said. The error rates on
    simulated trainings stand in the tests.
    """
    if len(curve.kimg) < FEWEST_SNAPSHOTS:
        return "too few", None, None
    kimg = curve.kimg[curve.first :]
    val, train = (trend_of(kimg, side[curve.first :], curve.floor) for side in (curve.val, curve.train))
    if max(abs(val.low), abs(val.high)) < SMALL_CHANGE:
        return "flat", val, train
    if val.high < 0:
        return "better", val, train
    if val.low > 0:
        return ("unstable" if train.low > 0 else "overfitting"), val, train
    return "unclear", val, train


def advise(curve: Curve, discriminator: Discriminator | None = None, config: GanConfig | None = None) -> Finding:
    """What the curve of a training says, and the option of `ganaug train-gan` to change.

    config: how the generator was trained, by which the option is chosen; None where it is not known.
    """
    direction, val, train = direction_of(curve)
    if val is None or train is None:
        number = len(curve.kimg)
        counted = f"{number} snapshot{' has' if number == 1 else 's have'}" if number else "no snapshot has"
        sentence = f"{counted} a distance to validation patients; it takes {FEWEST_SNAPSHOTS} to see a trend"
        if curve.num_older:
            sentence += (
                f"; {count(curve.num_older, 'snapshot')} scored by an older version, without validation patients"
            )
        if curve.num_without:
            sentence += f"; {count(curve.num_without, 'snapshot')} scored where the fold has too few validation images"
        return Finding("overall", ALL, sentence, is_alarm=False, todo=_todo_of_few(curve, config))
    found = discriminator or Discriminator()
    start, end, floor = curve.kimg[curve.first], curve.kimg[-1], figure(curve.floor)
    when = f"from {start:g} to {end:g} kimg, to {figure(float(curve.val[-1]))}"
    where = f"{when} (floor {floor})" if math.isfinite(curve.floor) else when
    to_val = f"the distance to validation patients changed by {val} {where}"
    memory = _memory_in_words(found) if direction in ("overfitting", "unclear") else ""
    best = float(curve.kimg[curve.val.argmin()])
    is_far = bool(curve.val[-1] > NEAR_FLOOR * curve.floor)  # not where the floor is unknown
    stands = "it stands still, far above its floor" if is_far else "more training brings little"
    sentences: dict[Direction, str] = {
        "better": f"{to_val}: more training helps",
        "flat": f"{to_val}: {stands}",
        "unclear": f"{to_val}: too noisy to say whether more training helps{memory}",
        "overfitting": f"{to_val}, that to training patients by {train}: the generator overfits its training patients, "
        f"and was nearest to others at {best:g} kimg{memory}",
        "unstable": f"{to_val}, and that to training patients by {train}: the training became unstable",
    }
    alarm = direction in ("overfitting", "unstable")
    if direction == "flat" and is_far:
        todo = f"see with --kimg {2 * end:g} whether it is a plateau, or train again with another --gamma"
    else:
        todo = _todo(direction, float(end), best, found, config)
    return Finding("overall", ALL, sentences[direction], alarm, todo)


def _memory_in_words(found: Discriminator) -> str:
    if found.memory is None or found.memory < MEMORIZED:
        return ""
    return (
        f"; its discriminator places validation images {percent(round(found.memory, 2))} of the way from training "
        "images to generated ones, a sign of overfitting"
    )


def _todo(direction: Direction, end: float, best: float, found: Discriminator, config: GanConfig | None) -> str:
    """The option to change, in the imperative."""
    if direction == "better":
        return f"run the same command with --kimg {2 * end:g}: it goes on from where it stopped"
    if direction == "flat":
        return "keep this length; to come nearer, change --gamma or --ada-pipeline, or bring more patients"
    if direction == "unstable":
        return "train again with a larger --gamma or a smaller --learning-rate"
    if direction == "unclear":
        return _more_snapshots(config)
    stop = f"stop a training with another --seed at --kimg {best:g}"
    if config is None or config.ada_pipeline == "none":
        return f"train again with --ada-pipeline histology, or {stop}"
    if (found.ada_p or 0.0) > LARGE_PROBABILITY:
        return f"ADA's probability is {found.ada_p:.2f} and cannot help further: bring more patients, or {stop}"
    if config.ada_p is not None:
        return f"train again with an --ada-p above {config.ada_p:g}, or without it so that ADA controls it, or {stop}"
    return f"train again with --ada-target {max(config.ada_target - 0.2, config.ada_target / 2):.2g}, or {stop}"


def _todo_of_few(curve: Curve, config: GanConfig | None) -> str:
    if curve.num_without > curve.num_older:
        return "bring more patients, so that each fold has validation images enough"
    if curve.num_older:
        return "train on with a larger --kimg: from then on snapshots are scored with validation patients"
    return _more_snapshots(config)


def _more_snapshots(config: GanConfig | None) -> str:
    if config is None:
        return "write snapshots more often with --snapshot-kimg"
    every = snapshot_kimg_for_trend(config)
    if every is None:
        return f"train longer, with a --kimg above {config.total_kimg:g}"
    if config.extractor == "none":
        return f"score snapshots with --extractor auto --snapshot-kimg {every:.2g}"
    return f"write snapshots more often, as with --snapshot-kimg {every:.2g}"


def snapshot_kimg_for_trend(config: GanConfig) -> float | None:
    """How often to write snapshots for a trend: twice as often as it takes, and than it was planned.

    None where the training after the class transition, before which none is scored, is too short for that.
    """
    scored_kimg = config.total_kimg - (config.transition_kimg or (0.0, 0.0))[1]
    every = scored_kimg / (2 * FEWEST_SNAPSHOTS)
    if config.snapshot_kimg is not None and config.extractor != "none":
        every = min(every, config.snapshot_kimg / 2)
    return every if scored_kimg >= SHORT_KIMG and every >= config.batch / 1000 else None


def _signed(fraction: float) -> str:
    """A change as a signed percentage."""
    return f"{100 * fraction:+.0f} %".replace("-", "−")

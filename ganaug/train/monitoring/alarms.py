"""Alarms of a training: signs that more of it leads nowhere, each with the option to change."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ganaug.config import STOP, GanConfig
from ganaug.evaluate.training_curve import advise_run
from ganaug.workspace import NUMBER, TEXT, GanRun, append_jsonl, read_jsonl

NUM_LINES = 5  # of stats.jsonl, over which a discriminator must win
WON = 0.05  # of the loss of a discriminator that knows nothing, below which it wins
IGNORANT = {"stylegan2": 2 * math.log(2), "projected": 2.0}  # that loss, where all logits are 0
NUM_SNAPSHOTS = 2  # in a row, whose classes must have collapsed
COLLAPSED = 0.25  # of the way from guessing to the agreement on real images, below which they have
MIN_REAL = 0.15  # above guessing, that the agreement on real images must be for the classes to be judged by it
EARLY = 1 / 3  # of a training, in which classes may still look alike


@dataclass(frozen=True)
class Alarm:
    """One alarm of a run; a run raises each kind once."""

    kind: str  # discriminator, classes or distance
    kimg: float
    seen: str
    todo: str

    def __str__(self) -> str:
        return f"at {self.kimg:g} kimg {self.seen}; {self.todo}"


def raised(run: GanRun) -> list[Alarm]:
    """The alarms that the run has raised so far."""
    required = {"kind": TEXT, "kimg": NUMBER, "seen": TEXT, "todo": TEXT}
    return [Alarm(*(row[name] for name in required)) for row in read_jsonl(run.alarms, required)]


def raise_alarms(run: GanRun, config: GanConfig) -> list[Alarm]:
    """Record, warn of and return the alarms that the run's files give and that it has not raised before."""
    known = {alarm.kind for alarm in raised(run)}
    found = [alarm for alarm in find_alarms(run, config) if alarm.kind not in known]
    for alarm in found:
        append_jsonl(run.alarms, asdict(alarm))
        warnings.warn(f"ganaug: alarm: {run.root.name}: {alarm}", stacklevel=2)
    return found


def is_stopped(run: GanRun, config: GanConfig) -> bool:
    """Whether an alarm has ended this training, as was asked for."""
    return config.on_alarm == STOP and bool(raised(run))


def find_alarms(run: GanRun, config: GanConfig) -> list[Alarm]:
    """What the lines of stats.jsonl and the rows of scores.jsonl say together."""
    lines = read_jsonl(run.stats, {"kimg": NUMBER, "loss_d": NUMBER})
    rows = read_jsonl(run.scores, dict.fromkeys(("kimg", "agreement", "agreement_floor"), NUMBER))
    found = [judge_discriminator(lines, config), judge_classes(rows, config), judge_distance(run)]
    return [alarm for alarm in found if alarm]


def judge_discriminator(lines: Sequence[dict[str, Any]], config: GanConfig) -> Alarm | None:
    """Whether the discriminator separates real from generated images without fail, and so teaches nothing more.

    Its logits then grow without limit. Our choice of the limits.
    """
    last = [line["loss_d"] for line in lines[-NUM_LINES:]]
    limit = WON * IGNORANT[config.discriminator]
    if len(last) < NUM_LINES or max(last) >= limit:
        return None
    seen = (
        f"the discriminator's loss stays below {limit:.2g}, of {IGNORANT[config.discriminator]:.2g} where it knows "
        "nothing: its logits run away, and the generator learns little more"
    )
    return Alarm("discriminator", lines[-1]["kimg"], seen, f"train again with {_brake(config)}")


def _brake(config: GanConfig) -> str:
    target = f"an --ada-target below {config.ada_target:g}"
    augment = "--ada-pipeline histology" if config.ada_pipeline == "none" else target
    if config.discriminator == "stylegan2":
        return f"{augment}, or a --gamma above {config.r1_gamma:g}"
    return f"{augment}, or a --learning-rate below {config.learning_rate:g}"


def judge_classes(rows: Sequence[dict[str, Any]], config: GanConfig) -> Alarm | None:
    """Whether the generator ignores the class that it is asked for, by the last snapshots."""
    last = [row for row in rows if row["kimg"] >= EARLY * config.total_kimg][-NUM_SNAPSHOTS:]
    guess = 1 / config.network.num_classes
    if len(last) < NUM_SNAPSHOTS or any(not _is_collapsed(row, guess) for row in last):
        return None
    row = last[-1]
    seen = (
        f"a classifier of validation patients agrees with the class asked for in {row['agreement']:.0%} of generated "
        f"images, where guessing gives {guess:.0%} and real training images {row['agreement_floor']:.0%}: "
        "conditioning collapsed"
    )
    return Alarm("classes", row["kimg"], seen, f"look at samples/, and {_conditioning(config)}")


def _conditioning(config: GanConfig) -> str:
    if config.discriminator == "projected" and config.ada_pipeline == "none":
        return f"train again with a --class-penalty above {config.class_penalty:g}"
    if config.transition_kimg:
        return "bring more images per class"
    third = config.total_kimg / 3
    return f"train again with --class-transition {third / 2:.3g}:{third:.3g}"


def _is_collapsed(row: dict[str, Any], guess: float) -> bool:
    real = float(row["agreement_floor"]) - guess
    return real >= MIN_REAL and float(row["agreement"]) - guess < COLLAPSED * real


def judge_distance(run: GanRun) -> Alarm | None:
    """Whether the distance to validation patients has been rising for long, see `ganaug.evaluate.advice`."""
    finding = advise_run(run)
    if not finding.is_alarm:
        return None
    kimg = max(row["kimg"] for row in read_jsonl(run.scores, {"kimg": NUMBER}))
    return Alarm("distance", kimg, finding.sentence, finding.todo)

"""Which copies of training images the memorization audit finds, at which fraction, and how often it errs.

    python scripts/bench_copies.py [--source BreaKHis_v1] [--splits 2] [--keep FOLDER] [--out FILE]

The images are the phantom's, and those of a folder of BreakHis. A split gives some patients' images to the generator
and some to the null; images of the remaining patients stand for what an honest generator makes, and copies of training
images, in one disguise each, replace a fraction of them. The nearest images are searched once per split; a run draws
the patients of the null and the synthetic images. A run counts as found where the verdict over all classes is an alarm.

An honest generator is played by real images of other patients, and, as the hardest of the honest, by further images of
the training patients themselves. In BreakHis two fields were photographed twice: where one photograph is a training
image and the other plays synthetic, the alarm is right.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from bench import common
from bench.disguises import DISGUISES, Disguise
from numpy.typing import NDArray
from PIL import Image

from ganaug.config import PhantomConfig
from ganaug.data.sources.phantom.draw import draw
from ganaug.evaluate.copies.detector import RATE, CopyDetector, Matches
from ganaug.evaluate.copies.null import Null, limit_at, p_value
from ganaug.evaluate.copies.verdict import ALARM

FRACTIONS = (0.004, 0.01, 0.02, 0.05, 0.2)
NUM_SENTENCES = 5  # four classes and all of them, among which an audit divides its false alarms
SIDE_PX = 64
OTHER, SAME = "other patients", "training patients"  # whose further images stand for an honest generator's

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Pool:
    """Real images of many patients."""

    name: str
    images: NDArray[np.uint8]  # [N,H,W,3]
    group: NDArray[np.str_]  # [N]


@dataclass(frozen=True)
class Sizes:
    """How large the sets of a run are."""

    train: int = 1000
    held_out: int = 300
    synthetic: int = 500
    other: int = 1000  # images of other patients, of which both of these are drawn
    copies: int = 60  # of each disguise that are searched per split


@dataclass(frozen=True)
class Split:
    """The leads over one training set."""

    null: Null  # of training patients
    other: Matches
    other_group: NDArray[np.str_]
    same: Matches  # further images of training patients
    copies: dict[str, Matches]
    right: dict[str, float]  # fraction of the copies whose training image is found
    num_train: int


def draw_phantom(num_patients: int, per_patient: int, seed: int = 0) -> Pool:
    config = PhantomConfig(resolution_px=SIDE_PX, num_patients=num_patients, images_per_patient=per_patient)
    drawn = list(draw(config, seed))
    return Pool("phantom", np.stack([each.image for each in drawn]), np.array([each.group_id for each in drawn]))


def read_breakhis(source: Path) -> Pool:
    """The images of 200X, reduced to 64 px; a patient is the slide's accession number without its letters."""
    images, group = [], []
    for path in sorted(source.rglob("SOB_*-200-*.png")):
        with Image.open(path) as image:
            images.append(np.asarray(image.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)))
        group.append(path.name.split("-")[2].rstrip("ABCDEFG"))
    return Pool("BreakHis", np.stack(images), np.array(group))


def kept_phantom(folder: Path | None, num_patients: int, per_patient: int) -> Pool:
    """The phantom's pool, drawn once where a folder is given."""
    path = folder / f"phantom-{num_patients}x{per_patient}.npz" if folder else None
    if path is None or not path.exists():
        pool = draw_phantom(num_patients, per_patient)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, images=pool.images, group=pool.group)
        return pool
    with np.load(path) as stored:
        return Pool("phantom", stored["images"], stored["group"])


def make_split(pool: Pool, sizes: Sizes, disguises: dict[str, Disguise], rng: np.random.Generator) -> Split:
    """Train on half of the patients at most, on three quarters of the images of each."""
    patients = rng.permutation(np.unique(pool.group))
    is_train_patient = np.isin(pool.group, patients[: len(patients) // 2])
    order = rng.permutation(np.flatnonzero(is_train_patient))
    same, train = order[: len(order) // 4], order[len(order) // 4 :][: sizes.train]
    other = rng.permutation(np.flatnonzero(~is_train_patient))[: sizes.other]
    detector = CopyDetector.fit(pool.images[train], pool.group[train])
    copies, right = {}, {}
    for name, disguise in disguises.items():
        chosen = rng.choice(len(train), min(sizes.copies, len(train)), replace=False)
        matches = detector.match(np.stack([disguise(pool.images[train[place]], rng) for place in chosen]))
        copies[name], right[name] = matches, float((matches.position == chosen).mean())
    matched_other, matched_same = (detector.match(pool.images[places]) for places in (other, same))
    return Split(detector.null, matched_other, pool.group[other], matched_same, copies, right, len(train))


def null_of(split: Split, held_out: Indices) -> Null:
    """The null of training images, and of the images of other patients at these positions."""
    found = split.other
    lead, group, is_blank = found.lead[held_out], split.other_group[held_out], found.is_blank[held_out]
    return Null.joined([split.null, Null.of(lead, group, is_blank, is_held_out=True)])


def is_alarm(leads: NDArray[np.float64], null: Null, limit: float) -> bool:
    """Whether the audit alarms, over all classes, at synthetic images of these leads."""
    return p_value(leads, null, limit, RATE) < ALARM / NUM_SENTENCES


def draw_run(split: Split, sizes: Sizes, rng: np.random.Generator) -> tuple[Indices, Indices]:
    """Positions among the images of other patients: those of the null's patients, and those that play synthetic."""
    patients = rng.permutation(np.unique(split.other_group))
    is_null = np.isin(split.other_group, patients[: len(patients) // 3])
    held_out = rng.permutation(np.flatnonzero(is_null))[: sizes.held_out]
    return held_out, rng.permutation(np.flatnonzero(~is_null))[: sizes.synthetic]


def run_once(split: Split, sizes: Sizes, rng: np.random.Generator) -> dict[str, bool]:
    """Whether the audit alarms, by `disguise at fraction` and by whose honest images it is shown."""
    held_out, honest = draw_run(split, sizes, rng)
    leads = split.other.lead[honest]
    same = rng.permutation(len(split.same.lead))[: sizes.synthetic]
    null = null_of(split, held_out)
    limit = limit_at(null, RATE)
    alarms = {OTHER: is_alarm(leads, null, limit), SAME: is_alarm(split.same.lead[same], null, limit)}
    for name, copies in split.copies.items():
        for fraction in FRACTIONS:
            planted, num = leads.copy(), max(1, round(fraction * len(leads)))
            planted[:num] = rng.choice(copies.lead, num, replace=num > len(copies.lead))
            alarms[f"{name} at {fraction}"] = is_alarm(planted, null, limit)
    return alarms


def measure(
    pool: Pool, sizes: Sizes, disguises: dict[str, Disguise], num_runs: int, num_splits: int, seed: int = 0
) -> dict[str, Any]:
    """In how many of the runs the audit alarms, by disguise and fraction, and at honest images."""
    rng = np.random.default_rng(seed)
    alarms: list[dict[str, bool]] = []
    right: list[dict[str, float]] = []
    lowest: list[dict[str, float]] = []
    largest: list[float] = []
    for number in range(num_splits):
        split = make_split(pool, sizes, disguises, rng)
        right.append(split.right)
        lowest.append({name: float(np.quantile(each.lead, 0.05)) for name, each in split.copies.items()})
        largest.append(float(max(split.other.lead.max(), split.same.lead.max(), split.null.lead.max())))
        alarms += [run_once(split, sizes, rng) for _ in range(number, num_runs, num_splits)]
    of_all = {name: sum(each[name] for each in alarms) for name in alarms[0]}
    held_out, honest = draw_run(split, sizes, rng)
    return {
        "images": pool.name,
        "patients": len(np.unique(pool.group)),
        "training_images": split.num_train,
        "held_out_images": len(held_out),
        "synthetic_images": len(honest),
        "runs": len(alarms),
        "splits": num_splits,
        "largest_lead_of_honest_images": max(largest),
        "lead_of_5_percent_of_copies": {name: min(each[name] for each in lowest) for name in disguises},
        "false_alarms": {name: of_all[name] for name in (OTHER, SAME)},
        "found": {name: {str(each): of_all[f"{name} at {each}"] for each in FRACTIONS} for name in disguises},
        "right_training_image": {name: float(np.mean([each[name] for each in right])) for name in disguises},
    }


def measure_time(pool: Pool, sizes: Sizes) -> dict[str, float]:
    """CPU seconds of a fit on training and held-out images, and of the search of synthetic ones in both."""
    images = np.concatenate([pool.images] * -(-2300 // len(pool.images)))[:2300]
    group = np.concatenate([pool.group] * -(-2300 // len(pool.group)))[:2300]
    started = time.process_time()
    detector = CopyDetector.fit(images[:1000], group[:1000], others=(images[1000:1300], group[1000:1300]))
    fitted = time.process_time()
    detector.match(images[1300:])
    CopyDetector.without_null(images[1000:1300], group[1000:1300]).match(images[1300:])
    return {"fit_seconds": fitted - started, "match_seconds": time.process_time() - fitted}


@click.command()
@click.option("--source", type=click.Path(path_type=Path, exists=True), help="Folder of BreakHis images")
@click.option("--keep", type=click.Path(path_type=Path), help="Folder in which the phantom's images are kept")
@click.option("--runs", "num_runs", default=100, show_default=True)
@click.option("--splits", "num_splits", default=4, show_default=True, help="Training sets among them")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON")
def main(source: Path | None, keep: Path | None, num_runs: int, num_splits: int, out: Path | None) -> None:
    """Plant copies and count alarms."""
    torch.set_num_threads(1)
    sizes = Sizes()
    pools = [kept_phantom(keep, 240, 12), *([read_breakhis(source)] if source else [])]
    timed = measure_time(pools[0], sizes)
    print(f"1,000 training, 300 held-out, 1,000 synthetic images: {timed}", flush=True)
    rows = []
    for pool in pools:
        row = measure(pool, sizes, DISGUISES, num_runs, num_splits)
        rows.append(row)
        header = [f"{pool.name}, {row['synthetic_images']} images", *(f"{100 * each:g} %" for each in FRACTIONS)]
        cells = [[name, *(str(num) for num in found.values())] for name, found in row["found"].items()]
        print(f"\nAlarms in {row['runs']} runs\n\n" + common.markdown_table(header, cells))
        print(
            f"\nfalse alarms: {row['false_alarms']}; nearest is the copied one: {row['right_training_image']}",
            flush=True,
        )
    if out:
        common.write_json(out, {"machine": common.describe_machine("cpu", "default"), "time": timed, "pools": rows})


if __name__ == "__main__":
    main()

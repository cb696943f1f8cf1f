"""The curve of a training run, read from its files, with the advice on it and its picture."""

import math
from contextlib import suppress

import numpy as np

from ganaug.config import GanConfig, gan_config_from_dict
from ganaug.errors import UserError
from ganaug.evaluate.advice import FEWEST_SNAPSHOTS, Curve, Discriminator, advise
from ganaug.evaluate.judged import Chapter, Exhibit, Finding
from ganaug.files import NUMBER, TEXT, is_record, read_json_object, read_jsonl
from ganaug.folders import GanRun
from ganaug.provenance import require_seal
from ganaug.report.pictures import ALARM, GREY, OTHER, plot, plot_style


def judge_training(run: GanRun) -> Chapter:
    """The advice on a training, and the picture of its curve."""
    curve = read_curve(run)
    return Chapter(findings=(advise_run(run),), exhibits=(draw_curve(curve),) if len(curve.kimg) else ())


def advise_run(run: GanRun) -> Finding:
    """The advice on a training; reads scores.jsonl, stats.jsonl and config.json."""
    curve, config = read_curve(run), read_config(run)
    since = float(curve.kimg[curve.first]) if len(curve.kimg) else 0.0
    return advise(curve, read_discriminator(run, since), config)


def read_curve(run: GanRun) -> Curve:
    """The rows of scores.jsonl that are as they were written and hold distances to validation patients.

    Where the extractor was changed within the run, only the rows of the last one count; earlier versions wrote none.
    """
    rows, num_older, num_without = {}, 0, 0
    required = dict.fromkeys(("kimg", "kernel", "val_kernel"), NUMBER)
    for row in read_jsonl(run.scores, {"kimg": NUMBER, "extractor": TEXT}):
        with suppress(UserError):  # edited
            unedited = require_seal(row, run.scores)
            if is_record(unedited, required) and all(math.isfinite(unedited[name]) for name in required):
                rows[unedited["kimg"]] = unedited
            elif "val_kernel" in unedited:
                num_without += 1
            else:
                num_older += 1
    last = next(reversed(rows.values()))["extractor"] if rows else ""
    of_last = [rows[kimg] for kimg in sorted(rows) if rows[kimg]["extractor"] == last]
    kimg, train, val = (np.array([row[name] for row in of_last], np.float64) for name in required)
    floor = of_last[-1].get("val_kernel_floor") if of_last else None
    return Curve(kimg, val, train, floor if isinstance(floor, float) else math.nan, num_older, num_without)


def read_discriminator(run: GanRun, since_kimg: float) -> Discriminator:
    """What the lines of stats.jsonl from a moment on say of the discriminator's memory, as their median.

    Source: Karras et al. 2020a (2006.06676), equation 1, the heuristic r_v.
    """
    required = dict.fromkeys(("kimg", "train_logits", "val_logits", "fake_logits", "p"), NUMBER)
    lines = [line for line in read_jsonl(run.stats, required) if line["kimg"] >= since_kimg]
    ratios = [
        (line["train_logits"] - line["val_logits"]) / (line["train_logits"] - line["fake_logits"])
        for line in lines
        if line["train_logits"] > line["fake_logits"]
    ]
    memory = float(np.median(ratios)) if ratios else math.nan
    return Discriminator(memory if math.isfinite(memory) else None, float(lines[-1]["p"]) if lines else None)


def read_config(run: GanRun) -> GanConfig | None:
    """How the generator was trained; None where config.json is missing, edited or of another version."""
    with suppress(UserError):
        return gan_config_from_dict(
            require_seal(read_json_object(run.config, {"config": (dict,)}), run.config)["config"]
        )
    return None


def draw_curve(curve: Curve) -> Exhibit:
    """Both distances of every snapshot, and the floor, as an SVG."""
    with plot_style():
        from matplotlib.figure import Figure

        drawing = Figure(figsize=(6.4, 3.2), layout="constrained")
        axes = drawing.add_subplot()
        axes.plot(curve.kimg, curve.val, "o-", color=ALARM, markersize=4, label="to validation patients")
        axes.plot(curve.kimg, curve.train, "s-", color=OTHER, markersize=4, label="to training patients")
        if math.isfinite(curve.floor):
            axes.axhline(curve.floor, color=GREY, linestyle="--", label="floor")
        if len(curve.kimg) >= FEWEST_SNAPSHOTS:
            axes.axvspan(curve.kimg[curve.first], curve.kimg[-1], color=GREY, alpha=0.15, linewidth=0)
        axes.set_xlabel("training, thousands of images shown (kimg)")
        axes.set_ylabel("kernel distance")
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.legend()
        uri = plot(drawing)
    caption = (
        "The kernel distance of each snapshot's images to those of training patients, and of validation patients whom "
        "the generator never saw; the lower, the nearer. The floor is that between real images of these patients. "
        "Where both fall, more training helps; where only the distance to training patients falls, it overfits."
    )
    if len(curve.kimg) >= FEWEST_SNAPSHOTS:
        caption += " The conclusion rests on the shaded snapshots."
    return Exhibit("overall", "The training's curve", caption, uri)

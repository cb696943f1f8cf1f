"""Grad-CAM, DT Grad-CAM and Winsor-CAM compared with a random and a centre map, on the phantom, whose masks are known.

    python scripts/bench_explain.py [--images 20] [--out scripts/results/explain-cpu.json]

The phantom of the preset `standard`, fold 0, real images only. dalaresnet50_small from random weights and
efficientnet_lite0 from its published ones are trained with three seeds each; the maps are of the same test images, for
the predicted class. Every figure is a mean over images and seeds; its interval is a bootstrap over patients of the mean
over the seeds, and the three seeds stand next to each other in the file.
"""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from bench import common
from numpy.typing import NDArray

from classifiers.config import FitConfig
from classifiers.explain.gradcam import find_cam_layer
from classifiers.explain.intervals import patient_interval
from classifiers.explain.measures import MEASURES, CamLayer, make_maps, measure, threshold_mask
from classifiers.explain.method import MapOptions
from classifiers.explain.randomisation import compare_maps, randomise
from classifiers.explain.registry import METHODS
from classifiers.transforms import to_float
from ganaug import presets
from ganaug.classify.predictions import find_tested
from ganaug.classify.train import images_of, train_classifier
from ganaug.config import PrepareConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.schema import open_reader
from ganaug.weights import find_weights
from ganaug.workspace import open_workspace

FOLD, SEEDS = 0, (0, 1, 2)
CLASSIFIERS = {"dalaresnet50_small": (3e-3, 300), "efficientnet_lite0": (3e-4, 60)}  # learning rate, steps
MEASURED = ("gradcam", "dt_gradcam", "winsor_cam")
Values = dict[str, dict[str, list[NDArray[np.float64]]]]  # by method and measure, per image, seed by seed


@dataclass(frozen=True)
class Tested:
    """The images that are measured, the same for every model."""

    images: torch.Tensor
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    masks: NDArray[np.bool_]


def make_dataset(root: Path) -> DataSet:
    workspace = open_workspace(root)
    phantom, folds = presets.phantom("standard")
    if not workspace.datasets():
        prepare_dataset(workspace, PrepareConfig("phantom", resolution_px=64, phantom=phantom, folds=folds))
    return open_dataset(workspace, "phantom")


def choose_images(dataset: DataSet, number: int) -> Tested:
    """As many test images, the same number per class, with a mask that is not empty."""
    table, test = dataset.table, find_tested(dataset, FOLD)
    masks = open_reader(dataset.path, table, "mask")[test] > 0
    each = number // table.num_classes
    members = [np.flatnonzero((table.label[test] == k) & masks.any((1, 2)))[:each] for k in range(table.num_classes)]
    chosen = np.concatenate(members)
    pixels = torch.from_numpy(dataset.images(FOLD)[test[chosen]]).permute(0, 3, 1, 2)
    return Tested(to_float(pixels), table.label[test[chosen]], table.group_id[test[chosen]], masks[chosen])


def train(dataset: DataSet, name: str, seed: int) -> torch.nn.Module:
    weights = find_weights(None, name) if name == "efficientnet_lite0" else None
    rate, steps = CLASSIFIERS[name]
    config = FitConfig(num_steps=steps, learning_rate=rate, eval_every=steps, select="last", seed=seed)
    images = images_of(dataset, FOLD, dataset.train(FOLD))
    return train_classifier(dataset, FOLD, name, images, config, seed=seed, weights=weights).model.eval()


def measure_model(model: torch.nn.Module, name: str, tested: Tested, seed: int, values: Values) -> dict[str, Any]:
    """Add a model's values of every method; returns what there is to say of the model."""
    layer = CamLayer(*find_cam_layer(model, name), MapOptions(seed=1000 * seed))
    with torch.inference_mode():
        predicted = model(tested.images).argmax(1)
    maps = {}
    for key, method in METHODS.items():
        maps[key] = make_maps(model, method, tested.images, predicted, layer)
        marked = threshold_mask(maps[key], method, layer.options.threshold)
        for column, numbers in measure(model, tested.images, predicted, maps[key], marked, tested.masks).items():
            values.setdefault(key, {}).setdefault(column, []).append(numbers)
    stages = []
    for stage in randomise(model, tested.images, num_stages=4, seed=seed):
        row: dict[str, Any] = {"random_layers": round(stage.fraction, 3), "first_random": stage.first_random}
        for key in MEASURED:
            random = make_maps(stage.model, METHODS[key], tested.images, predicted, layer)
            agreement = compare_maps(maps[key], random)
            row[key] = [round(float(np.nanmean(x)), 3) for x in (agreement.rank_correlation, agreement.ssim)]
        stages.append(row)
    accuracy = float((predicted.numpy() == tested.labels).mean())
    return {"seed": seed, "accuracy": round(accuracy, 3), "randomisation": stages}


def mean_of_seeds(runs: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Per image the mean over the seeds that have a value; NaN where none has."""
    known = ~np.isnan(runs)
    return np.where(known.any(0), np.nansum(runs, axis=0) / np.maximum(known.sum(0), 1), np.nan)


def summarise(values: Values, tested: Tested) -> list[dict[str, Any]]:
    rows = []
    for key, columns in values.items():
        row: dict[str, Any] = {"method": key}
        for column, runs in columns.items():
            interval = patient_interval(mean_of_seeds(runs), tested.groups)
            less = [run - base for run, base in zip(runs, values["gradcam"][column], strict=True)]
            difference = patient_interval(mean_of_seeds(less), tested.groups)
            assert interval is not None
            assert difference is not None
            row[column] = {
                "mean": interval.mean, "low": interval.low, "high": interval.high,
                "seeds": [float(np.nanmean(run)) for run in runs],
                "less_gradcam": [difference.mean, difference.low, difference.high],
            }  # fmt: skip
        rows.append(row)
    return rows


def print_tables(name: str, rows: list[dict[str, Any]]) -> None:
    header = ["method", *(MEASURES[column].heading for column in MEASURES)]
    cells = [
        [row["method"], *(f"{row[c]['mean']:.3f} ({row[c]['low']:.3f} to {row[c]['high']:.3f})" for c in MEASURES)]
        for row in rows
    ]
    print(f"\n{name}\n\n{common.markdown_table(header, cells)}\n\nless Grad-CAM\n")
    cells = [
        [row["method"], *("{:+.3f} ({:+.3f} to {:+.3f})".format(*row[c]["less_gradcam"]) for c in MEASURES)]
        for row in rows
        if row["method"] != "gradcam"
    ]
    print(common.markdown_table(header, cells), flush=True)


@click.command()
@click.option("--images", "number", default=20, show_default=True, help="Test images that are measured")
@click.option("--classifier", "chosen", multiple=True, type=click.Choice(list(CLASSIFIERS)), help="Only these")
@click.option("--keep", type=click.Path(path_type=Path), help="Draw the phantom in this folder, or use that in it")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Also write the figures here, or add them to what it holds"
)
def main(number: int, chosen: tuple[str, ...], keep: Path | None, out: Path | None) -> None:
    """Train the classifiers and compare the methods."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(keep or Path(folder))
        tested = choose_images(dataset, number)
        for name in chosen or CLASSIFIERS:
            started = time.process_time()
            values: Values = {}
            models = []
            for seed in SEEDS:
                models.append(measure_model(train(dataset, name, seed), name, tested, seed, values))
                print(f"{name} seed {seed}: {models[-1]}", flush=True)
            rows = summarise(values, tested)
            print_tables(name, rows)
            rate, steps = CLASSIFIERS[name]
            about: dict[str, Any] = {"images": len(tested.labels), "patients": len(np.unique(tested.groups))}
            about |= {"steps": steps, "learning_rate": rate, "cpu_seconds": round(time.process_time() - started)}
            if out:
                known = json.loads(out.read_text()) if out.exists() else {}
                machine = common.describe_machine("cpu", "default")
                common.write_json(out, {**known, "machine": machine, name: about | {"models": models, "rows": rows}})


if __name__ == "__main__":
    main()

"""The time of what a study does around its cells: planning, reading results back, judging, and the report.

    python scripts/bench_study.py [--out scripts/results/study-cpu.json]

Cells are made up and not trained: predictions are drawn, records are written as a study writes them. One study has
many small cells, one has as many images as BreakHis and a hundred cells. A third trains its cells, on noise, by the
study's own function. What of its time is not training counts as orchestration, predictions of the test images too; the
search for leaks, which each file needs once, is made before.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bench_probes
import click
import numpy as np
from bench import common

from classifiers.scores import score
from ganaug.classify.predictions import Predictions, find_tested_images, write_predictions
from ganaug.config import DEFAULT_ARMS, Compute, StudyConfig
from ganaug.data.dataset import DataSet
from ganaug.provenance import sealed
from ganaug.study.admission.admit import design_study
from ganaug.study.cells import CellRecord, CellResult, load_cell
from ganaug.study.design import Cell, Design, plan_cells
from ganaug.study.pages.report import write_report
from ganaug.study.run import evaluate_augmentation
from ganaug.study.verdict.findings import gather
from ganaug.study.verdict.verdict import judge
from ganaug.workspace import Workspace, open_workspace, read_jsonl, write_json

CLASSIFIERS = ("dalaresnet50_small", "resvit_gannet_small")


def make_study(workspace: Workspace, num_images: int, num_seeds: int, doses: int) -> tuple[DataSet, Design]:
    """A study of BreakHis' patients, in five folds, with as many arms of other doses as asked for."""
    dataset = bench_probes.make_dataset(workspace, num_images)
    supplies = [bench_probes.make_supply(workspace, dataset, fold) for fold in range(5)]
    arms = (*DEFAULT_ARMS, *(f"real+synthetic@{round(0.01 * (dose + 10), 2):g}" for dose in range(doses)))
    config = StudyConfig(classifiers=CLASSIFIERS, shortcuts=(), seeds=tuple(range(num_seeds)), arms=arms)
    return dataset, design_study(workspace, dataset, supplies, config)


def write_cell(
    workspace: Workspace, dataset: DataSet, design: Design, cell: Cell, scores: dict[int, dict[str, Any]]
) -> None:
    """A finished cell that was not trained: right in three of four images. The first of a fold fills its `scores`."""
    tested, rng = find_tested_images(dataset, cell.fold), np.random.default_rng(abs(hash(cell.name)) % 2**32)
    probs = rng.dirichlet((1, 1), len(tested.labels)).astype(np.float32)
    is_swapped = (probs.argmax(1) == tested.labels) != (rng.random(len(probs)) < 0.75)
    probs[is_swapped] = probs[is_swapped][:, ::-1]
    if cell.fold not in scores:
        scores[cell.fold] = score(tested.labels, probs, tested.groups.tolist(), dataset.table.class_names)
    study, predictions = design.study(workspace), Predictions(**vars(tested), probs=probs)
    record = CellRecord(
        predictions=write_predictions(study.predictions(cell.name), predictions),
        initial_weights="0" * 64,
        num_steps=300,
        best_step=300,
        seconds=1.0,
        device="cpu",
        train_images=dict.fromkeys(dataset.table.class_names, 100),
        history=[{"step": 300.0, "train_loss": 0.5, "learning_rate": 0.001, "val_accuracy": 0.75}],
        scores=scores[cell.fold],
    )
    write_json(study.cell(cell.name), sealed({**vars(cell), **vars(record)}))


def timed(work: Callable[[], Any], seconds: dict[str, float], name: str) -> Any:
    started = time.perf_counter()
    result = work()
    seconds[name] = time.perf_counter() - started
    return result


def bench(num_images: int, num_seeds: int, doses: int) -> dict[str, Any]:
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(Path(folder))
        dataset, design = make_study(workspace, num_images, num_seeds, doses)
        study, cells = design.study(workspace), timed(lambda: plan_cells(design), seconds, "plan")
        scores: dict[int, dict[str, Any]] = {}
        for cell in cells:
            write_cell(workspace, dataset, design, cell, scores)
        results = timed(lambda: [_load(study, cell, dataset) for cell in cells], seconds, "read")
        names, num_folds = dataset.table.class_names, dataset.folds.num_folds
        verdict = timed(lambda: judge(design, results, names, num_folds), seconds, "judge")
        found = timed(lambda: gather(design, dataset, verdict, results), seconds, "curves, parts and reminders")
        timed(lambda: write_report(study, found), seconds, "report")
    return {"images": num_images, "cells": len(cells), "arms": len(design.config.arms), "seconds": seconds}


def bench_orchestration(num_seeds: int, num_workers: int) -> dict[str, Any]:
    """The time of a study of a small network, and how much of it no cell is trained in."""
    bench_probes.SIDE_PX = 64
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(Path(folder))
        dataset = bench_probes.make_dataset(workspace, 840)
        supplies = [bench_probes.make_supply(workspace, dataset, fold) for fold in range(2)]
        config = StudyConfig(classifiers=CLASSIFIERS[:1], shortcuts=(), folds=(0, 1), seeds=tuple(range(num_seeds)))
        design_study(workspace, dataset, supplies, config)
        compute = Compute(num_workers=num_workers, progress=False)
        seconds: dict[str, float] = {}
        outcome = timed(
            lambda: evaluate_augmentation(workspace, dataset, supplies, config, compute=compute), seconds, "study"
        )
        trained = sum(row["seconds"] for row in read_jsonl(outcome.study.results))
    outside = 1 - trained / (num_workers * seconds["study"])
    return {"cells": outcome.num_cells, "workers": num_workers, "training": trained, **seconds, "outside": outside}


def _load(study: Any, cell: Cell, dataset: DataSet) -> CellResult:
    result = load_cell(study, cell, dataset)
    assert result is not None, cell
    return result


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON")
def main(out: Path | None) -> None:
    """Time what surrounds the cells of three studies."""
    rows = [bench(840, 40, 21), bench(8000, 2, 1)]
    for row in rows:
        print(f"{row['cells']} cells of {row['images']} images, {row['arms']} arms")
        print(common.markdown_table(["step", "seconds"], [[k, f"{v:.2f}"] for k, v in row["seconds"].items()]))
    whole = bench_orchestration(8, 2)
    print(
        f"{whole['cells']} trained cells: {whole['study']:.0f} s with 2 workers, {whole['outside']:.1%} outside of them"
    )
    if out:
        machine = common.describe_machine("cpu", "default")
        common.write_json(out, {"machine": machine, "rows": rows, "orchestration": whole})


if __name__ == "__main__":
    main()

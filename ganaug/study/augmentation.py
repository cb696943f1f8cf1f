"""The study as a whole: admit, design, train, judge, report."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganaug.config import StudyConfig
from ganaug.data.dataset import DataSet
from ganaug.errors import ConfigError, WorkspaceError
from ganaug.study.cells import CellResult, adopt_cell, compose, load_cell
from ganaug.study.design import Cell, Design, Served, make_design, plan
from ganaug.study.executors import run_cells
from ganaug.study.guard import admit
from ganaug.study.report import write_report
from ganaug.study.verdict import Verdict, judge
from ganaug.workspace import Study, Workspace, write_json, write_text


@dataclass(frozen=True)
class Outcome:
    """A finished study."""

    verdict: Verdict
    study: Study
    num_cells: int
    num_reused: int  # cells that stood already


def evaluate_augmentation(
    workspace: Workspace,
    dataset: DataSet,
    synthetic: dict[int, Path],
    config: StudyConfig,
    *,
    image_scores: Sequence[dict[str, Any]] = (),
    jobs: int | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> Outcome:
    """Answer whether the synthetic images make the classifiers better on unseen patients, and write the report.

    `synthetic` names the file that serves each fold; `image_scores` are rows of `evaluate_gan`, shown in the report.
    Cells that are done, here or in an earlier study, are not trained again; an interrupted run is taken up by the same
    call.

    Raises LeakError, DataError or ConfigError before anything is trained or written, and UserError where a cell fails.
    """
    design = lay_down(workspace, dataset, synthetic, config)
    study, cells = design.study(workspace), plan(design)
    write_json(study.design, _design_record(design, cells))
    todo = [cell for cell in cells if adopt_cell(workspace, study, cell) is None]
    run_cells(workspace, design, todo, jobs=jobs, device=device, progress=progress)
    results = [_finished(study, cell) for cell in cells]
    write_text(study.results, "".join(json.dumps(_row(result), ensure_ascii=False) + "\n" for result in results))
    verdict = judge(design, results, dataset.table.class_names, dataset.folds.num_folds)
    write_json(study.verdict, {"study": design.name, **verdict.to_dict()})
    write_report(study, design, dataset, verdict, results, image_scores)
    return Outcome(verdict, study, len(cells), len(cells) - len(todo))


def lay_down(workspace: Workspace, dataset: DataSet, synthetic: dict[int, Path], config: StudyConfig) -> Design:
    """The design of a study, once every synthetic file is admitted and known to suffice; nothing is written."""
    folds = range(dataset.folds.num_folds) if config.folds is None else config.folds
    unknown = [str(fold) for fold in folds if not 0 <= fold < dataset.folds.num_folds]
    if unknown:
        raise ConfigError(f"fold {', '.join(unknown)}", expected=f"folds from 0 to {dataset.folds.num_folds - 1}")
    missing = [str(fold) for fold in folds if fold not in synthetic]
    if missing:
        raise ConfigError(
            f"no synthetic images for fold {', '.join(missing)} of {dataset.name}",
            todo="make them with `ganaug train-gan --fold K` and `ganaug synthesize`, or add --train-missing",
        )
    _require_buildable(dataset, config)
    served = {fold: Served(synthetic[fold], admit(workspace, dataset, fold, synthetic[fold])) for fold in folds}
    design = make_design(dataset, served, config)
    for cell in {(cell.arm, cell.fold): cell for cell in plan(design)}.values():
        compose(dataset, design, cell)  # raises where the synthetic images are too few
    return design


def _require_buildable(dataset: DataSet, config: StudyConfig) -> None:
    """Build every classifier once, so that an unknown name or weights that do not fit are told before the hours."""
    from classifiers.registry import seeded_build

    table, pretrained = dataset.table, dict(config.pretrained)
    for name in config.classifiers:
        weights = Path(pretrained[name]) if name in pretrained else None
        try:
            seeded_build(name, table.num_classes, 0, image_size_px=table.resolution_px, weights=weights)
        except (ValueError, RuntimeError, FileNotFoundError) as error:
            raise ConfigError(str(error).split("\n")[0]) from error


def _finished(study: Study, cell: Cell) -> CellResult:
    result = load_cell(study, cell)
    if result is None:
        raise WorkspaceError(
            f"{study.cell(cell.name)} was changed or removed meanwhile", todo="run the same command again"
        )
    return result


def _design_record(design: Design, cells: Sequence[Cell]) -> dict[str, Any]:
    served = {str(fold): {"path": str(s.path), **s.provenance.to_dict()} for fold, s in design.synthetic.items()}
    return {"name": design.name, **design.to_dict(), "served": served, "cells": [cell.name for cell in cells]}


def _row(result: CellResult) -> dict[str, Any]:
    """A cell in one line: who, how long, and the scores that have one number."""
    scores = result.record["scores"]
    kept = ("classifier", "arm", "fold", "seed", "best_step", "num_steps", "seconds", "initial_weights", "train_images")
    by_patient = scores["by_patient"] or {}
    return {
        **{name: result.record[name] for name in kept},
        "num_images": scores["num_images"],
        "num_patients": by_patient.get("num_patients"),
        "by_image": scores["by_image"]["overall"],
        "by_patient": by_patient.get("overall"),
        "patient_score": by_patient.get("patient_score"),
    }

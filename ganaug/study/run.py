"""The study as a whole: admit, design, train, judge, report."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ganaug.config import StudyConfig
from ganaug.data.dataset import DataSet
from ganaug.errors import ConfigError, WorkspaceError
from ganaug.provenance import sealed
from ganaug.study.cells import CellResult, adopt_cell, compose, load_cell
from ganaug.study.design import Cell, Design, Served, make_design, plan
from ganaug.study.executors.local import run_cells
from ganaug.study.guard import admit
from ganaug.study.looks import other_looks, warning_of
from ganaug.study.origins import origins_of
from ganaug.study.report import write_report
from ganaug.study.statistics.verdict import Verdict, judge
from ganaug.workspace import Study, Workspace, created_of, moment, write_json, write_text


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
    Cells that are done, here or in an earlier study, are not trained again; the same call resumes an interrupted run.

    Raises LeakError, DataError or ConfigError before anything is trained or written, and UserError where a cell fails.
    """
    design = lay_down(workspace, dataset, synthetic, config)
    study, cells = design.study(workspace), plan(design)
    created = _created(workspace, study)
    write_json(study.design, sealed(_design_record(design, cells, created)))
    todo = [cell for cell in cells if adopt_cell(workspace, study, cell, dataset) is None]
    run_cells(workspace, design, todo, jobs=jobs, device=device, progress=progress)
    results = [_finished(study, cell, dataset) for cell in cells]
    write_text(study.results, "".join(json.dumps(_row(result), ensure_ascii=False) + "\n" for result in results))
    verdict = judge(design, results, dataset.table.class_names, dataset.folds.num_folds)
    looks = other_looks(workspace, design.name, design.tested)
    if looks:
        verdict = replace(verdict, warnings=(warning_of(looks, created), *verdict.warnings))
    write_json(study.verdict, sealed({"study": design.name, **verdict.to_dict()}))
    write_report(study, design, dataset, verdict, results, image_scores, looks)
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
    require_buildable(dataset, config)
    served = {fold: Served(synthetic[fold], admit(workspace, dataset, fold, synthetic[fold])) for fold in folds}
    design = make_design(dataset, served, config, origins_of(dataset, list(folds), config))
    for cell in {(cell.arm, cell.fold): cell for cell in plan(design)}.values():
        compose(dataset, design, cell)  # raises where the synthetic images are too few
    return design


def require_buildable(dataset: DataSet, config: StudyConfig) -> None:
    """Build every classifier once, so that an unknown name or weights that do not fit are told before the hours."""
    from classifiers.registry import seeded_build

    table, pretrained = dataset.table, dict(config.pretrained)
    for name in config.classifiers:
        weights = Path(pretrained[name]) if name in pretrained else None
        try:
            seeded_build(name, table.num_classes, 0, image_size_px=table.resolution_px, weights=weights)
        except (ValueError, RuntimeError, OSError) as error:
            raise ConfigError(str(error).split("\n")[0]) from error


def _finished(study: Study, cell: Cell, dataset: DataSet) -> CellResult:
    result = load_cell(study, cell, dataset)
    if result is None:
        raise WorkspaceError(
            f"{study.cell(cell.name)} was changed or removed meanwhile", todo="run the same command again"
        )
    return result


def _created(workspace: Workspace, study: Study) -> str:
    """When the study was laid down: as its design says, else now, after all the others of the workspace."""
    others = (path for path in workspace.root.glob("studies/*/design.json") if path != study.design)
    return (created_of(study.design) if study.design.exists() else "") or moment(after=map(created_of, others))


def _design_record(design: Design, cells: Sequence[Cell], created: str) -> dict[str, Any]:
    """The design as JSON values that name no patient and no folder of this machine."""
    return {
        "name": design.name,
        "created": created,
        **design.to_dict(),
        "origins": design.origins,
        "tested": list(design.tested),
        "served": {str(fold): _served(served) for fold, served in design.synthetic.items()},
        "cells": [cell.name for cell in cells],
    }


def _served(served: Served) -> dict[str, Any]:
    """What served a fold: the file's name, and its record with the numbers of patients and images in place of lists."""
    values = served.provenance.to_dict()
    counted = {name: len(values[name]) for name in ("groups_seen", "images_seen", "hashes_seen")}
    return {"file": served.name, **values, **counted}


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

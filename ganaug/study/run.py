"""The run of a study: admit, design, train, judge, report."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ganaug.classify.probes import extract, extractor_of, is_probe
from ganaug.config import Compute, StudyConfig
from ganaug.data.dataset import DataSet
from ganaug.data.folds.by_image import divide_by_image
from ganaug.data.schema import ImageReader
from ganaug.errors import WorkspaceError
from ganaug.evaluate.judgement import Judgement
from ganaug.generate.supplies import Supply
from ganaug.parallel.shards import Shard
from ganaug.provenance import sealed
from ganaug.study.admission.admit import design_study, filter_supplies
from ganaug.study.admission.guard import AdmittedSupply
from ganaug.study.arms.registry import draws, find_arm
from ganaug.study.cells import CellResult, adopt_cell, find_cell, load_cell
from ganaug.study.design import Cell, Design, plan_cells
from ganaug.study.executors.registry import EXECUTORS
from ganaug.study.looks import other_looks, warning_of
from ganaug.study.pages.report import write_report
from ganaug.study.partial import CellsFailed, complete_part
from ganaug.study.replication import Replication, by_image_design, compare_protocols, find_paper
from ganaug.study.verdict.findings import gather
from ganaug.study.verdict.notes import notes_on_copies
from ganaug.study.verdict.sites import note_on_sites
from ganaug.study.verdict.verdict import Verdict, judge
from ganaug.workspace import Study, Workspace, creation_time, moment, write_json, write_text


@dataclass(frozen=True)
class Outcome:
    """A finished study."""

    verdict: Verdict
    study: Study
    num_cells: int
    num_reused: int  # cells that were done before


def evaluate_augmentation(
    workspace: Workspace,
    dataset: DataSet,
    supplies: Sequence[Supply],
    config: StudyConfig,
    *,
    compute: Compute,
    score: Callable[[], Sequence[Judgement]] = tuple,
) -> Outcome:
    """Answer whether the synthetic images make the classifiers better on unseen patients, and write the report.

    `score` makes the scores of the images that the report shows, once nothing is refused. Cells that are done, here or
    in an earlier study, are not trained again; the same call resumes an interrupted run.

    Raises LeakError, DataError or ConfigError before anything is trained or written, and UserError where a cell fails.
    """
    design = filter_supplies(workspace, dataset, design_study(workspace, dataset, supplies, config), compute)
    study, cells = design.study(workspace), plan_cells(design)
    created = _creation_time(workspace, study)
    write_json(study.design, sealed(_design_record(design, cells, created)))
    image_scores = score()
    try:
        results, num_trained = _finish(workspace, dataset, design, cells, compute)
    except CellsFailed as error:
        if _report_part(workspace, dataset, design, cells, image_scores):
            raise CellsFailed(f"{error}; what is complete is judged in {study.report}") from error
        raise
    verdict = _report(workspace, dataset, design, results, image_scores)
    if config.replicate:
        replication = _replicate(workspace, dataset, design, results, compute)
        verdict = _report(workspace, dataset, design, results, image_scores, replication=replication)
    return Outcome(verdict, study, len(cells), len(cells) - num_trained)


def _report(
    workspace: Workspace,
    dataset: DataSet,
    design: Design,
    results: Sequence[CellResult],
    image_scores: Sequence[Judgement],
    warnings: Sequence[str] = (),
    replication: Replication | None = None,
) -> Verdict:
    """Judge the results and write all that a study leaves to be read, with these warnings before its own."""
    study = design.study(workspace)
    write_text(study.results, "".join(json.dumps(_row(result), ensure_ascii=False) + "\n" for result in results))
    verdict = judge(design, results, dataset.table.class_names, dataset.folds.num_folds)
    looks = other_looks(workspace, design.name, design.tested)
    if looks:
        warnings = (*warnings, warning_of(looks, creation_time(study.design)))
    notes = (*notes_on_copies(image_scores), *note_on_sites(dataset, design.folds))
    verdict = replace(verdict, warnings=(*warnings, *verdict.warnings, *notes))
    write_json(study.verdict, sealed({"study": design.name, "is_whole": not design.part_of, **verdict.to_dict()}))
    found = gather(design, dataset, verdict, results, image_scores, looks)
    write_report(study, replace(found, replication=replication))
    return verdict


def _replicate(
    workspace: Workspace, dataset: DataSet, design: Design, honest: Sequence[CellResult], compute: Compute
) -> Replication:
    """Train the same classifiers on folds that divide images, and compare the scores."""
    replica, divided = by_image_design(dataset, design), divide_by_image(dataset)
    study, cells = replica.study(workspace), plan_cells(replica)
    write_json(study.design, sealed(_design_record(replica, cells, _creation_time(workspace, study))))
    results, _ = _finish(workspace, divided, replica, cells, compute)
    return compare_protocols(dataset, find_paper(design.config.replicate), design.config, honest, results)


def _report_part(
    workspace: Workspace,
    dataset: DataSet,
    design: Design,
    cells: Sequence[Cell],
    image_scores: Sequence[Judgement],
) -> bool:
    """Report the largest complete part of a study some of whose cells failed; False where nothing can be judged."""
    study = design.study(workspace)
    found = {cell: load_cell(study, cell, dataset) for cell in cells}
    part = complete_part(design, cells, [cell for cell, result in found.items() if result is None])
    if part is None:
        return False
    reduced, warning = part
    kept = set(map(_place_of, plan_cells(reduced)))
    results = [result for cell, result in found.items() if result is not None and _place_of(cell) in kept]
    _report(workspace, dataset, reduced, results, image_scores, [warning])
    return True


def _place_of(cell: Cell) -> tuple[str, str, int, int]:
    return cell.classifier, cell.arm, cell.fold, cell.seed


def train_shard(
    workspace: Workspace,
    dataset: DataSet,
    supplies: Sequence[Supply],
    config: StudyConfig,
    *,
    compute: Compute,
    shard: Shard,
) -> bool:
    """Train the cells of a shard; True where no cell of the whole study lacks then, so that it can be judged.

    Raises what `evaluate_augmentation` raises.
    """
    design = filter_supplies(workspace, dataset, design_study(workspace, dataset, supplies, config), compute)
    cells = plan_cells(design)
    _finish(workspace, dataset, design, shard.of(cells), compute)
    return all(find_cell(design.study(workspace), cell, dataset) for cell in cells)


def _finish(
    workspace: Workspace, dataset: DataSet, design: Design, cells: Sequence[Cell], compute: Compute
) -> tuple[list[CellResult], int]:
    """Train those of the cells that are not done; return the results of all, and how many were trained."""
    study = design.study(workspace)
    found = {cell: adopt_cell(study, cell, dataset) for cell in cells}
    todo = [cell for cell, result in found.items() if result is None]
    extract_features(workspace, dataset, design, todo, compute)
    for _ in EXECUTORS[compute.executor](workspace, design, compute).run(todo):
        pass
    return [found[cell] or _load_finished(study, cell, dataset) for cell in cells], len(todo)


def extract_features(
    workspace: Workspace, dataset: DataSet, design: Design, cells: Sequence[Cell], compute: Compute
) -> None:
    """Store all features that the probes among these cells need, on all cores, before the cells share these."""
    for classifier, fold in sorted({(cell.classifier, cell.fold) for cell in cells if is_probe(cell.classifier)}):
        arms = {cell.arm for cell in cells if (cell.classifier, cell.fold) == (classifier, fold)}
        sources = [dataset.images(fold)]
        if any(draws(find_arm(arm)) for arm in arms):
            sources += [ImageReader(supply.synthetic) for supply in design.supplies_of(fold)]
        # Those of a leak audit are of other folds, which are in turn here.
        if any("external" in find_arm(arm).depends_on for arm in arms):
            sources.append(ImageReader(design.external[fold].path))
        extractor = extractor_of(classifier, design.config.weights_of(classifier), compute.device)
        for images in sources:
            extract(workspace, images, extractor, progress=compute.progress)


def _load_finished(study: Study, cell: Cell, dataset: DataSet) -> CellResult:
    result = load_cell(study, cell, dataset)
    if result is None:
        raise WorkspaceError(
            f"{study.cell(cell.name)} was changed or removed during the run", todo="run the same command again"
        )
    return result


def _creation_time(workspace: Workspace, study: Study) -> str:
    """When the study was designed: as its design says, else now, after all the others of the workspace."""
    others = (path for path in workspace.root.glob("studies/*/design.json") if path != study.design)
    return (creation_time(study.design) if study.design.exists() else "") or moment(after=map(creation_time, others))


def _design_record(design: Design, cells: Sequence[Cell], created: str) -> dict[str, Any]:
    """The design as JSON values that name no patient and no folder of this machine."""
    return {
        "name": design.name,
        "created": created,
        **design.to_dict(),
        "origins": design.origins,
        "tested": list(design.tested),
        "served": {str(fold): [_supply_record(each) for each in design.supplies_of(fold)] for fold in design.folds},
        "cells": [cell.name for cell in cells],
    }


def _supply_record(supply: AdmittedSupply) -> dict[str, Any]:
    """The file's name, and its provenance with the numbers of patients and images in place of their lists."""
    values = supply.provenance.to_dict()
    counts = {name: len(values[name]) for name in ("groups_seen", "images_seen", "hashes_seen")}
    return {"file": supply.file_name, "real_fraction": supply.real_fraction, **values, **counts}


def _row(result: CellResult) -> dict[str, Any]:
    """A cell as one line of results.jsonl: its identity, its cost, and the scores that have one number."""
    cell, record = result.cell, result.record
    by_patient = record.scores["by_patient"] or {}
    return {
        "classifier": cell.classifier,
        "arm": cell.arm,
        "fold": cell.fold,
        "seed": cell.seed,
        "best_step": record.best_step,
        "num_steps": record.num_steps,
        "seconds": record.seconds,
        "initial_weights": record.initial_weights,
        "train_images": record.train_images,
        "num_images": record.scores["num_images"],
        "num_patients": by_patient.get("num_patients"),
        "by_image": record.scores["by_image"]["overall"],
        "by_patient": by_patient.get("overall"),
        "patient_score": by_patient.get("patient_score"),
    }

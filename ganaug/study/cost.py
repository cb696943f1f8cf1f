"""What a job would do and how long that takes here, found by timing a few steps of each kind."""

import time
from dataclasses import replace
from typing import Any

import torch

from ganaug.config import StudyConfig
from ganaug.data.dataset import DataSet
from ganaug.study.executors.local import default_jobs
from ganaug.study.origins import origins_of
from ganaug.study.request import Job, existing_supplies, require_scorable
from ganaug.study.run import lay_down, require_buildable
from ganaug.train.cost import estimate
from ganaug.train.task import plan_training
from ganaug.workspace import Workspace

NUM_TIMED = 3


def plan_job(workspace: Workspace, job: Job, *, device: str = "cpu", jobs: int | None = None) -> dict[str, Any]:
    """What `run_job` would do, with `seconds`, a rough estimate; nothing is written.

    Whatever the run would open is opened, and refused for the same reasons: synthetic files, generators, weights.
    """
    require_buildable(job.dataset, job.config)
    origins_of(job.dataset, job.folds, job.config)
    supplies = existing_supplies(workspace, job)
    require_scorable(job, supplies)
    served = {supply.fold: supply.synthetic for supply in supplies}
    if served:
        lay_down(workspace, job.dataset, served, replace(job.config, folds=tuple(served)))
    missing = [fold for fold in job.folds if fold not in served]
    folds = list(job.folds) if job.recipe else sorted(served)
    config, parallel = job.config, jobs or default_jobs(device)
    runs_per_classifier = len(config.arms) * len(config.seeds) * len(folds)
    steps = sum(seconds_a_step(name, job.dataset, config, device) for name in config.classifiers)
    seconds = runs_per_classifier * config.num_steps * steps / parallel
    if job.recipe and missing:
        tasks = [plan_training(workspace, job.dataset, fold, job.recipe[0]) for fold in missing]
        seconds += estimate(tasks, device).seconds
    return {
        "dataset": job.dataset.name,
        "folds": folds,
        "generators_to_train": missing if job.recipe else [],
        "classifiers": list(config.classifiers),
        "arms": list(config.arms),
        "seeds": list(config.seeds),
        "cells": runs_per_classifier * len(config.classifiers),
        "steps_a_cell": config.num_steps,
        "device": device,
        "jobs": parallel,
        "seconds": round(seconds),
    }


def seconds_a_step(classifier: str, dataset: DataSet, config: StudyConfig, device: str) -> float:
    """The time of one optimiser step, measured on as many threads as each of the parallel jobs would have."""
    from classifiers.config import FitConfig
    from classifiers.fit import fit
    from classifiers.registry import seeded_build

    table, threads = dataset.table, torch.get_num_threads()
    model = seeded_build(classifier, table.num_classes, 0, image_size_px=table.resolution_px)
    some = dataset.train(0)[: config.batch]
    pixels, labels = dataset.images(0)[some], table.label[some]
    torch.set_num_threads(1 if device == "cpu" else threads)
    try:
        fit(model, pixels, labels, config=FitConfig(num_steps=1, batch=config.batch, device=device))
        started = time.perf_counter()
        fit(model, pixels, labels, config=FitConfig(num_steps=NUM_TIMED, batch=config.batch, device=device))
        return (time.perf_counter() - started) / NUM_TIMED
    finally:
        torch.set_num_threads(threads)

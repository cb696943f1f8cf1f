"""Scores of the synthetic files that serve the folds, with one kind of extractor for all of them."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganaug.config import CPU, FITTED_EXTRACTORS, Compute
from ganaug.config.choices import VALIDATION
from ganaug.data.dataset import DataSet
from ganaug.data.synthetic import admit_synthetic
from ganaug.evaluate.extractors.choice import ExtractorChoice
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.evaluate.extractors.independence import choose_judges
from ganaug.evaluate.extractors.registry import available_extractors, open_extractor
from ganaug.evaluate.features import num_missing
from ganaug.evaluate.judge_file import Case, judge_case, open_case, score_case
from ganaug.evaluate.judgement import Judgement, ScoredFile
from ganaug.evaluate.page import write_page
from ganaug.generate.supplies import Supply
from ganaug.weights import find_weights
from ganaug.workspace import Workspace

NUM_TIMED = 16  # images


def require_scorable(
    dataset: DataSet, supplies: Sequence[Supply], *, extractor: str | None = None, weights_dir: Path | None = None
) -> None:
    """Raise what `score_images` would raise of a synthetic file or of missing weights, before hours of training."""
    name = extractor or available_extractors(weights_dir)[0]
    if name not in FITTED_EXTRACTORS:  # which are made when they are needed
        find_weights(weights_dir, name)
    for supply in supplies:
        admit_synthetic(supply.data_of(dataset), supply.synthetic, supply.fold)


@dataclass(frozen=True)
class JudgingPlan:
    """What `judge_images` would do for one fold."""

    synthetic: str
    page: str
    extractors: tuple[str, ...]
    num_images: int  # whose features are not stored yet, over all extractors
    seconds: float  # for these, measured on a few


def plan_judging(
    workspace: Workspace,
    dataset: DataSet,
    supplies: Sequence[Supply],
    *,
    choices: Sequence[ExtractorChoice] = (),
    against: str = VALIDATION,
    compute: Compute = CPU,
    is_timed: bool = False,
) -> list[JudgingPlan]:
    """The plan of each fold; raises what `judge_images` would raise of its files and extractors, and writes nothing.

    A classifier that is not trained yet is not trained here: it can have taught nothing, and its time is not counted.
    """
    plans = []
    for supply in supplies:
        seen = supply.data_of(dataset)
        case = open_case(workspace, seen, supply.synthetic, supply.run, against=against)
        known = [choice for choice in choices if choice.kind != "classifier" or supply.run.extractor.exists()]
        inputs = ExtractorInputs(seen, supply.fold, supply.run, compute)
        judges = choose_judges(known, case.teachers, inputs) if known or not choices else []
        missing = [
            sum(len(images) * num_missing(workspace, images, judge, (0,)) for images in (case.real, case.made))
            for judge in judges
        ]
        timed = [num * _seconds_per_image(case, judge) for judge, num in zip(judges, missing) if num and is_timed]
        plans.append(
            JudgingPlan(
                synthetic=str(supply.synthetic),
                page=str(workspace.evaluation(case.about.synthetic, against)),
                extractors=(*(judge.name for judge in judges), *("classifier" for c in choices if c not in known)),
                num_images=sum(missing),
                seconds=sum(timed),
            )
        )
    return plans


def _seconds_per_image(case: Case, extractor: Extractor) -> float:
    sample = case.judged.train.pixels(np.arange(min(NUM_TIMED, len(case.judged.train))))
    extractor.features(sample)  # the first call builds what later ones use
    started = time.perf_counter()
    extractor.features(sample)
    return (time.perf_counter() - started) / len(sample)


def score_images(
    workspace: Workspace,
    dataset: DataSet,
    supplies: Sequence[Supply],
    *,
    extractor: str | None = None,
    compute: Compute = CPU,
) -> list[Judgement]:
    """The scores of every fold's synthetic images; by default of the first network that taught no generator."""
    judgements = []
    for supply in supplies:
        seen = supply.data_of(dataset)
        case = open_case(workspace, seen, supply.synthetic, supply.run)
        inputs = ExtractorInputs(seen, supply.fold, supply.run, compute)
        judge = open_extractor(extractor, inputs) if extractor else choose_judges((), case.teachers, inputs)[0]
        judgements.append(score_case(case, judge, compute))
    return judgements


def judge_images(
    workspace: Workspace,
    dataset: DataSet,
    supplies: Sequence[Supply],
    *,
    choices: Sequence[ExtractorChoice] = (),
    against: str = VALIDATION,
    compute: Compute = CPU,
    command: Callable[[ScoredFile], str],
) -> Iterator[tuple[Judgement, Path]]:
    """All that is found of every fold's synthetic images, and the page of each; `choices` empty takes the default.

    Raises ConfigError where an extractor that is chosen took part in the training of a generator.
    """
    for supply in supplies:
        seen = supply.data_of(dataset)
        case = open_case(workspace, seen, supply.synthetic, supply.run, against=against)
        inputs = ExtractorInputs(seen, supply.fold, supply.run, compute)
        judges = choose_judges(choices, case.teachers, inputs)
        judgement = judge_case(case, judges, compute)
        page = workspace.evaluation(case.about.synthetic, against)
        write_page(page, case.judged, judgement, command(case.about))
        yield judgement, page

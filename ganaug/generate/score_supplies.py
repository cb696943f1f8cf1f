"""Scores of the synthetic files that serve the folds, with one kind of extractor for all of them."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ganaug.config import CPU, FITTED_EXTRACTORS, Compute
from ganaug.data.dataset import DataSet
from ganaug.data.synthetic import admit_synthetic
from ganaug.evaluate.extractors.choice import ExtractorChoice
from ganaug.evaluate.extractors.extractor import ExtractorInputs
from ganaug.evaluate.extractors.independence import choose_judges, teachers_of
from ganaug.evaluate.extractors.registry import available_extractors, open_extractor
from ganaug.evaluate.judge_file import VALIDATION, judge_case, open_case, score_case
from ganaug.evaluate.judgement import Judgement
from ganaug.evaluate.page import write_page
from ganaug.generate.find import Supply
from ganaug.weights import find_weights
from ganaug.workspace import Workspace


def require_scorable(
    dataset: DataSet, supplies: Sequence[Supply], *, extractor: str | None = None, weights_dir: Path | None = None
) -> None:
    """Raise what `score_images` would raise of a synthetic file or of missing weights, before hours of training."""
    name = extractor or available_extractors(weights_dir)[0]
    if name not in FITTED_EXTRACTORS:  # which are made when they are needed
        find_weights(weights_dir, name)
    for supply in supplies:
        admit_synthetic(dataset, supply.synthetic, supply.fold)


def require_judges(
    dataset: DataSet, supplies: Sequence[Supply], choices: Sequence[ExtractorChoice], compute: Compute
) -> list[str]:
    """The names of the extractors that `judge_images` would use; raises what it would raise of files and extractors."""
    names: dict[str, None] = {}
    for supply in supplies:
        table, _ = admit_synthetic(dataset, supply.synthetic, supply.fold)
        inputs = ExtractorInputs(dataset, supply.fold, supply.run, compute)
        names |= dict.fromkeys(
            extractor.name for extractor in choose_judges(choices, teachers_of(supply.run, table), inputs)
        )
    return list(names)


def score_images(
    workspace: Workspace,
    dataset: DataSet,
    supplies: Sequence[Supply],
    *,
    extractor: str | None = None,
    compute: Compute = CPU,
) -> list[Judgement]:
    """The scores of every fold's synthetic images; `extractor` None takes the first one that is available."""
    judgements = []
    for supply in supplies:
        opened = open_extractor(extractor, ExtractorInputs(dataset, supply.fold, supply.run, compute))
        judgements.append(score_case(open_case(workspace, dataset, supply.synthetic, supply.run), opened, compute))
    return judgements


def judge_images(
    workspace: Workspace,
    dataset: DataSet,
    supplies: Sequence[Supply],
    *,
    choices: Sequence[ExtractorChoice] = (),
    against: str = VALIDATION,
    compute: Compute = CPU,
    command: Callable[[Supply], str],
) -> Iterator[tuple[Judgement, Path]]:
    """All that is found of every fold's synthetic images, and the page of each; `choices` empty takes the default.

    Raises ConfigError where an extractor that is chosen took part in the training of a generator.
    """
    for supply in supplies:
        case = open_case(workspace, dataset, supply.synthetic, supply.run, against=against)
        inputs = ExtractorInputs(dataset, supply.fold, supply.run, compute)
        judges = choose_judges(choices, case.teachers, inputs)
        judgement = judge_case(case, judges, compute)
        page = workspace.evaluation(supply.synthetic)
        write_page(page, case.judged, judgement, command(supply))
        yield judgement, page

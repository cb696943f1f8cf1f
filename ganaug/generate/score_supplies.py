"""Scores of the synthetic files that serve the folds, with one kind of extractor for all of them."""

from collections.abc import Sequence
from pathlib import Path

from ganaug.config import CPU, FITTED_EXTRACTORS, Compute
from ganaug.data.dataset import DataSet
from ganaug.data.synthetic import admit_synthetic
from ganaug.evaluate.extractors.extractor import ExtractorInputs
from ganaug.evaluate.extractors.registry import available_extractors, open_extractor
from ganaug.evaluate.score_file import score_file
from ganaug.evaluate.scores import FileScores
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


def score_images(
    workspace: Workspace,
    dataset: DataSet,
    supplies: Sequence[Supply],
    *,
    extractor: str | None = None,
    compute: Compute = CPU,
) -> list[FileScores]:
    """The scores of every fold's synthetic images; `extractor` None takes the first one that is available."""
    scores = []
    for supply in supplies:
        opened = open_extractor(extractor, ExtractorInputs(dataset, supply.fold, supply.run, compute))
        scores.append(score_file(workspace, dataset, supply.synthetic, supply.run, extractor=opened, compute=compute))
    return scores

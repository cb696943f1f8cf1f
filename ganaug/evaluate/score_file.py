"""All scores of one synthetic file against the real training images of the fold that its generator serves."""

from pathlib import Path

import numpy as np

from ganaug.config import CPU, Compute
from ganaug.data.dataset import DataSet
from ganaug.data.schema import name_to_share, open_reader
from ganaug.data.synthetic import admit_synthetic
from ganaug.evaluate.comparison.distances import Sides, distance_scores
from ganaug.evaluate.diversity import Pool, diversity_scores
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.features import features_of
from ganaug.evaluate.scores import FileScores, ScoredFile
from ganaug.workspace import GanRun, Workspace, append_jsonl, read_jsonl


def score_file(
    workspace: Workspace,
    dataset: DataSet,
    synthetic: Path,
    run: GanRun | None,
    *,
    extractor: Extractor,
    compute: Compute = CPU,
    seed: int = 0,
) -> FileScores:
    """Score the images of the file `synthetic` by every metric, per class and over all classes.

    The scores are added to the run's metrics.jsonl where a run is given and they are not there yet.

    Raises LeakError where the file's provenance is missing, edited, or of another data set or fold; DataError where its
    classes or resolution are not those of the data set.
    """
    table, record = admit_synthetic(dataset, synthetic, run.fold if run else None)
    train, real, made = dataset.train(record.fold), dataset.images(record.fold), open_reader(synthetic, table)
    sides = Sides(
        real=features_of(workspace, real, extractor, progress=compute.progress)[train],
        real_label=dataset.table.label[train],
        group=dataset.table.group_id[train],
        synthetic=features_of(workspace, made, extractor, progress=compute.progress),
        synthetic_label=table.label,
        class_names=dataset.table.class_names,
    )
    pools = {
        name: (
            Pool(real, train[sides.real_label == label]),
            Pool(made, np.flatnonzero(sides.synthetic_label == label)),
        )
        for label, name in enumerate(sides.class_names)
    }
    distances = distance_scores(sides, extractor, seed=seed, progress=compute.progress)
    diversity = diversity_scores(pools, compute=compute, seed=seed)
    about = ScoredFile(
        dataset=dataset.name,
        dataset_fingerprint=record.dataset_fingerprint,
        folds_digest=record.folds_digest,
        fold=record.fold,
        synthetic=name_to_share(synthetic, record.content),
        synthetic_digest=record.content,
        generator=record.generator,
        kimg=record.kimg,
        psi=table.attrs.get("psi"),
        seed=seed,
    )
    scores = FileScores(about, (*distances, *diversity))
    if run is not None:
        _record(run, scores)
    return scores


def _record(run: GanRun, scores: FileScores) -> None:
    """Add the rows to metrics.jsonl; the figures are reproducible, so the same call again adds nothing."""
    known = read_jsonl(run.metrics)
    for row in scores.to_rows():
        if row not in known:
            append_jsonl(run.metrics, row)

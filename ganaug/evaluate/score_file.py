"""All scores of one synthetic file against the real training images of the fold that its generator serves."""

from pathlib import Path

import numpy as np

from ganaug.config import CPU, Compute
from ganaug.data.dataset import DataSet
from ganaug.data.schema import ImageReader, ImageTable, name_to_share, open_reader
from ganaug.data.synthetic import admit_synthetic
from ganaug.evaluate.comparison.distances import judge_distances
from ganaug.evaluate.diversity import judge_lpips_diversity
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.features import features_of
from ganaug.evaluate.judged import Embedded, ImageSet, Judged
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
    real, made = dataset.images(record.fold), open_reader(synthetic, table)
    judged = _judged(dataset, record.fold, real, made, table)
    features = features_of(workspace, real, extractor, progress=compute.progress)
    embedded = Embedded(
        extractor,
        train=features[judged.train.indices],
        held_out=features[judged.held_out.indices],
        synthetic=features_of(workspace, made, extractor, progress=compute.progress),
    )
    distances = judge_distances(judged, embedded, seed=seed, progress=compute.progress, with_intervals=False).scores
    diversity = judge_lpips_diversity(judged, compute=compute, seed=seed).scores
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


def _judged(dataset: DataSet, fold: int, real: ImageReader, made: ImageReader, table: ImageTable) -> Judged:
    """The synthetic images, and the real ones of the fold's training and validation patients."""
    of_data = dataset.table
    train, held_out = (
        ImageSet(real, part, of_data.label[part], of_data.group_id[part])
        for part in (dataset.train(fold), dataset.val(fold))
    )
    num_made = len(table)
    synthetic = ImageSet(made, np.arange(num_made), table.label, np.full(num_made, ""))
    return Judged(train, held_out, synthetic, of_data.class_names, "validation patients")


def _record(run: GanRun, scores: FileScores) -> None:
    """Add the rows to metrics.jsonl; the figures are reproducible, so the same call again adds nothing."""
    known = read_jsonl(run.metrics)
    for row in scores.to_rows():
        if row not in known:
            append_jsonl(run.metrics, row)

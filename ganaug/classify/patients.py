"""Patients of a data set as samples: features of their tiles, their expression and their class; and the training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from classifiers.config import FitConfig
from classifiers.fit import fit
from classifiers.models.cross_attention import CrossAttention, PatientSamples
from classifiers.registry import build_seeded
from ganaug.config import Compute
from ganaug.data.dataset import DataSet
from ganaug.data.expression_table import read_expression_table
from ganaug.errors import ConfigError, DataError
from ganaug.evaluate.extractors.extractor import ExtractorInputs
from ganaug.evaluate.extractors.registry import open_extractor
from ganaug.evaluate.features import features_of
from ganaug.workspace import Workspace


@dataclass(frozen=True)
class Patients:
    """P patients of known class, with at least one tile each; where there are no images, with none."""

    groups: tuple[str, ...]  # their names, sorted
    labels: NDArray[np.int64]  # [P]
    samples: PatientSamples
    class_names: tuple[str, ...]
    genes: tuple[str, ...]
    extractor: str = ""  # that gave the features of the tiles

    def indices_of(self, groups: Sequence[str]) -> NDArray[np.int64]:
        """The positions i64 [n] of those of these groups that are here, sorted."""
        wanted = set(groups)
        return np.array([at for at, group in enumerate(self.groups) if group in wanted], np.int64)

    @property
    def num_tiles(self) -> int:
        return sum(map(len, self.samples.tiles))


@dataclass(frozen=True)
class Parts:
    """The patients of a fold, i64 positions; no patient stands in two parts."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]

    def __post_init__(self) -> None:
        everyone = np.concatenate([self.train, self.val, self.test])
        assert len(np.unique(everyone)) == len(everyone), "a patient in two parts"


def read_patients(
    workspace: Workspace, dataset: DataSet, fold: int, *, extractor: str | None, max_tiles: int, compute: Compute
) -> Patients:
    """The patients of a data set with expression, their tiles as the fold sees them.

    Of each patient at most `max_tiles` tiles are taken, in the order of their digests, which is random and always the
    same. `extractor` None is the default one, see `open_extractor`.

    Raises DataError where the data set holds no expression, a patient has none, or has tiles of several classes;
    ConfigError for an extractor that is trained on images of this data set.
    """
    expression = read_expression_table(dataset)
    opened = open_extractor(extractor, ExtractorInputs(dataset, fold, compute=compute))
    features = features_of(workspace, dataset.images(fold), opened, progress=compute.progress).astype(np.float32)
    table = dataset.table
    labelled = table.in_shared_order(np.flatnonzero(table.label >= 0))
    groups = np.unique(table.group_id[labelled]).tolist()
    tiles_of: dict[str, list[int]] = {group: [] for group in groups}
    for index in labelled.tolist():
        tiles_of[str(table.group_id[index])].append(index)
    several = [group for group, tiles in tiles_of.items() if len(np.unique(table.label[tiles])) > 1]
    if several:
        raise DataError(
            f"{len(several)} of {len(groups)} patients have tiles of several classes",
            expected="one class for each patient",
            todo="prepare a data set whose class is the patient's, such as tcga-brca or paired-phantom",
        )
    return Patients(
        groups=tuple(groups),
        labels=np.array([table.label[tiles[0]] for tiles in tiles_of.values()], np.int64),
        samples=PatientSamples(
            [features[tiles[:max_tiles]] for tiles in tiles_of.values()], expression.rows_of(groups)
        ),
        class_names=table.class_names,
        genes=expression.genes,
        extractor=opened.name,
    )


def train_patients(
    patients: Patients, parts: Parts, classifier: str, config: FitConfig, *, weights_seed: int
) -> CrossAttention:
    """Train a new model on the training patients; their scales are its scales, the validation part chooses its weights.

    Raises ConfigError for an unknown classifier, or one that does not read patients, and where the loss stops being
    finite.
    """
    samples = patients.samples
    shape = {"num_features": samples.tiles[0].shape[1], "num_genes": len(patients.genes)}
    try:
        model = build_seeded(classifier, len(patients.class_names), weights_seed, **shape)
        if not isinstance(model, CrossAttention):
            raise ConfigError(f"{classifier} reads images", expected="a classifier of tiles and expression")
        train = samples.take(parts.train)
        model.set_scales(train)
        val = samples.take(parts.val), patients.labels[parts.val]
        config = replace(config, batch=max(2, min(config.batch, len(parts.train))))
        fit(model, train, patients.labels[parts.train], val=val, config=config)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return model

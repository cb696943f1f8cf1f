"""Patients of a data set as samples: features of their tiles, their expression and their class; and the training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.config import FitConfig
from classifiers.fit import fit
from classifiers.models.cross_attention import CrossAttention, PatientSamples
from classifiers.registry import build_seeded
from ganaug.config import Compute
from ganaug.data.dataset import DataSet
from ganaug.data.expression_table import read_expression_table
from ganaug.data.schema import ImageReader
from ganaug.errors import ConfigError, DataError
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.evaluate.extractors.registry import open_extractor
from ganaug.evaluate.features import map_features, num_missing
from ganaug.provenance import digest_of
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
    extractor_digest: str = ""  # of its name, weights and preprocessing

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


class TakenImages(ImageReader):
    """The images at `indices` i64 [n] of a file, as a file of their own."""

    def __init__(self, images: ImageReader, indices: NDArray[np.int64]) -> None:
        super().__init__(images.path, images.dataset, digest_of([images.digest, indices.tolist()]))
        self.indices = indices

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return super().__getitem__(self.indices[indices])

    def __len__(self) -> int:
        return len(self.indices)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "indices": self.indices}


def choose_tiles(dataset: DataSet, max_tiles: int) -> dict[str, NDArray[np.int64]]:
    """The tiles of every patient that are used, i64 [1 to max_tiles], by the patient's name, sorted.

    They are the first in the order of their digests, which is random, always the same, and says nothing of a class.

    Raises DataError where a patient has tiles of several classes.
    """
    table = dataset.table
    labelled = table.in_shared_order(np.flatnonzero(table.label >= 0))
    tiles_of: dict[str, list[int]] = {group: [] for group in np.unique(table.group_id[labelled]).tolist()}
    for index in labelled.tolist():
        tiles_of[str(table.group_id[index])].append(index)
    several = [group for group, tiles in tiles_of.items() if len(np.unique(table.label[tiles])) > 1]
    if several:
        raise DataError(
            f"{len(several)} of {len(tiles_of)} patients have tiles of several classes",
            expected="one class for each patient",
            todo="prepare a data set whose class is the patient's, such as tcga-brca or paired-phantom",
        )
    return {group: np.array(tiles[:max_tiles], np.int64) for group, tiles in tiles_of.items()}


def read_patients(
    workspace: Workspace, dataset: DataSet, fold: int, *, extractor: str | None, max_tiles: int, compute: Compute
) -> Patients:
    """The patients of a data set with expression, their tiles as the fold sees them, see `choose_tiles`.

    Features are extracted of these tiles alone. `extractor` None is the default one, see `open_extractor`.

    Raises DataError where the data set holds no expression, a patient has none, or has tiles of several classes;
    ConfigError for an extractor that is trained on images of this data set.
    """
    expression, tiles_of = read_expression_table(dataset), choose_tiles(dataset, max_tiles)
    rows = expression.rows_of(list(tiles_of))
    opened = open_extractor(extractor, ExtractorInputs(dataset, fold, compute=compute))
    taken = np.sort(np.concatenate(list(tiles_of.values())))
    features = _features_of(workspace, dataset.images(fold), taken, opened, progress=compute.progress)
    return Patients(
        groups=tuple(tiles_of),
        labels=np.array([dataset.table.label[tiles[0]] for tiles in tiles_of.values()], np.int64),
        samples=PatientSamples([features[np.searchsorted(taken, tiles)] for tiles in tiles_of.values()], rows),
        class_names=dataset.table.class_names,
        genes=expression.genes,
        extractor=opened.name,
        extractor_digest=digest_of_extractor(opened),
    )


def digest_of_extractor(extractor: Extractor) -> str:
    """The digest of an extractor's name, weights and preprocessing."""
    return digest_of([extractor.name, extractor.digest, extractor.preprocessing])


def images_of_tiles(
    workspace: Workspace, images: ImageReader, taken: NDArray[np.int64], extractor: Extractor
) -> ImageReader:
    """The file whose features are stored or extracted for the tiles i64 [n]: all images, or these alone."""
    is_whole = len(taken) == len(images) or num_missing(workspace, images, extractor, (0,)) == 0
    return images if is_whole else TakenImages(images, taken)


def _features_of(
    workspace: Workspace, images: ImageReader, taken: NDArray[np.int64], extractor: Extractor, *, progress: bool
) -> NDArray[np.float32]:
    """Features [n,D] of the images that are taken, out of those of all where these are stored already."""
    source = images_of_tiles(workspace, images, taken, extractor)
    (stored,) = map_features(workspace, source, extractor, (0,), progress=progress)
    return np.asarray(stored[taken] if source is images else stored)


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

"""Folds that divide images and not patients, as many papers do: only for showing what that does to a score."""

from dataclasses import replace

from ganaug.config import FoldsConfig
from ganaug.data.dataset import DataSet
from ganaug.data.folds.folds import make_folds
from ganaug.errors import ConfigError


def divide_by_image(dataset: DataSet) -> DataSet:
    """The data set as the papers divide it: every image is a patient of its own; raises ConfigError for other schemes.

    Nothing of it is stored, so nobody can take it for a data set with honest folds.
    """
    folds = dataset.folds
    if folds.scheme != "k-fold":
        raise ConfigError(
            f"{dataset.name} is divided by the scheme {folds.scheme}",
            expected="k-fold, which a replication divides again by image",
            todo="prepare the data set with --folds K",
        )
    table = replace(dataset.table, group_id=dataset.table.image_id)
    return replace(dataset, table=table, folds=make_folds(table, FoldsConfig(folds.num_folds, folds.seed)))

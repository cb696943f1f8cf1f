"""The folds of a data set that is prepared: cut by a scheme or a fixed split, or read from a CSV of folds."""

from collections.abc import Sequence

import numpy as np

from ganaug.config import FoldsConfig
from ganaug.data.archives.files import printable
from ganaug.data.folds.folds import Folds, check_feasible, make_folds
from ganaug.data.folds.listed import check_listed, make_listed_folds, read_listed_folds
from ganaug.data.schema import ImageTable
from ganaug.data.sources.scans.scan import Scan
from ganaug.data.sources.scans.skipped import why_none


def check_cut(scan: Scan, config: FoldsConfig) -> int:
    """How many folds there will be; raises FoldsError, before any pixel is read, where they cannot be made."""
    if config.folds_csv:
        listed = read_listed_folds(config.folds_csv)
        check_listed(listed, np.array([printable(item.path) for item in scan.items]), scan.groups)
        return listed.num_folds
    return check_feasible(
        scan.labels,
        scan.groups,
        scan.sites,
        scan.class_names,
        config,
        suggestion=scan.suggestion,
        splits=scan.splits,
    )


def cut_folds(scan: Scan, config: FoldsConfig, table: ImageTable, skipped: Sequence[tuple[str, str]]) -> Folds | None:
    """The folds of the images that can be used; None where they have no labels. Raises as `make_folds` does."""
    if not scan.labelled:
        return None
    if config.folds_csv:
        return make_listed_folds(table, config, read_listed_folds(config.folds_csv))
    suggestion = f"the skipped images once they are corrected{why_none(skipped)}" if skipped else ""
    return make_folds(table, config, suggestion=suggestion or scan.suggestion, splits=scan.splits)

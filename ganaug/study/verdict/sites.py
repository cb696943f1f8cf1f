"""How far the laboratory alone gives the class away: a shortcut that any classifier may have learnt from the stain."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ganaug.data.dataset import DataSet
from ganaug.report.numbers import percent
from ganaug.study.statistics.resampling import balanced_accuracy
from ganaug.study.verdict.notes import MUCH


def note_on_sites(dataset: DataSet, folds: Sequence[int]) -> list[str]:
    """A warning where the laboratories, as far as they are known, say much of the class; none where they do not."""
    found = score_by_site(dataset, folds)
    if found is None or found - 1 / dataset.table.num_classes < MUCH:
        return []
    return [
        f"The laboratory alone, with nothing of the image, gives {percent(round(found, 3))} balanced accuracy: each "
        "image called what most training images of its laboratory are. A classifier that knows the laboratory by its "
        "stain gets as far, so part of what it learns may be that. Prepare folds by site, where classes allow it, or "
        "with --stain macenko."
    ]


def score_by_site(dataset: DataSet, folds: Sequence[int]) -> float | None:
    """Balanced accuracy of the most frequent class of each image's laboratory; None where fewer than two are known."""
    table = dataset.table
    if len(set(table.site_id.tolist()) - {""}) < 2:
        return None
    counts = np.zeros((table.num_classes, table.num_classes), dtype=np.int64)
    for fold in folds:
        train, test = dataset.train(fold), dataset.test(fold)
        called = _most_frequent(table.site_id[train], table.label[train], table.site_id[test], table.num_classes)
        np.add.at(counts, (table.label[test], called), 1)
    return float(balanced_accuracy(counts))


def _most_frequent(
    sites: NDArray[np.str_], labels: NDArray[np.int64], asked: NDArray[np.str_], num_classes: int
) -> NDArray[np.int64]:
    """Of each laboratory asked for the class whose training images it has the largest fraction of."""
    size = np.bincount(labels, minlength=num_classes).astype(np.float64)
    share_of = {
        site: np.bincount(labels[sites == site], minlength=num_classes) / np.maximum(size, 1)
        for site in set(sites.tolist())
    }
    nothing = np.zeros(num_classes)
    return np.array([int(share_of.get(site, nothing).argmax()) for site in asked.tolist()], dtype=np.int64)

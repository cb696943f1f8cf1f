"""Stain normalisation by torchstain: every image is given the stain of a reference, which is set by training images.

In a cross-validated data set each fold has its own training set and so its own reference; `stain_folds` gives the
images as each fold sees them. An image that does not show two stains, such as background, is kept as it is and noted.

torchstain's Macenko is called with white at 255 and tissue from a density of 0.05, not with its own 240 and 0.15. With
those, pale eosin counts as background: the stains are fitted to nuclei alone, and in one of thirteen BreakHis images
the stroma turned white, in part or whole; with ours in none.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from ganaug.errors import DataError

WHITE = 255  # transmitted light where there is no stain
TISSUE_DENSITY = 0.05  # natural optical density from which a pixel, in all its colours, is tissue
_MACENKO = {"Io": WHITE, "beta": TISSUE_DENSITY}

# Below these an image counts as background, whose noise would be blown up. BreakHis begins at 0.13, 0.19, 8° and 2.3.
MIN_TISSUE = 0.05  # fraction of the pixels
MIN_CONCENTRATION = 0.15  # of each stain, in natural optical density
MIN_ANGLE_DEG = 3.0  # between the two stains; beyond 90° they are no stains, as one takes light away and one adds it
MIN_SPREAD = 1.0  # standard deviation of each LAB channel

Blocks = Callable[[], Iterable[NDArray[np.uint8]]]  # all images in order, u8 [n,H,W,3] at a time


@dataclass(frozen=True, eq=False)
class Reference:
    """The stain of an image or of a training set.

    macenko: `stains` [3,2], unit vectors of optical density, haematoxylin and eosin, and `max_concentration` [2], the
    99th percentiles. reinhard: `means` [3] and `stds` [3] in LAB.
    """

    method: str  # macenko or reinhard
    values: dict[str, NDArray[np.float64]]

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"method": self.method} | {name: value.tolist() for name, value in self.values.items()}


def fit_one(image: NDArray[np.uint8], method: str) -> Reference | None:
    """The stain of one image u8 [H,W,3]; None where it does not show one, being background or of a single colour.

    Source: Macenko et al., A method for normalizing histology slides for quantitative analysis, 2009; Reinhard et al.,
    Color transfer between images, 2001.
    """
    fit = {"macenko": _fit_macenko, "reinhard": _fit_reinhard}[method]
    with np.errstate(all="ignore"):
        values = fit(image)
    return None if values is None else Reference(method, values)


def reference_of(references: Sequence[Reference]) -> Reference:
    """The stain of a training set: number by number the median over its images, stain vectors made unit again.

    The median is our choice: neither paper says how to take a reference from many images, and one chosen image would
    decide all. Raises DataError where there is no image to take it from.
    """
    if not references:
        raise DataError("no training image shows a stain", todo="prepare without stain normalisation")
    values = {name: np.median([fitted.values[name] for fitted in references], axis=0) for name in references[0].values}
    if "stains" in values:
        values["stains"] /= np.linalg.norm(values["stains"], axis=0)
    return Reference(references[0].method, values)


def normalise(image: NDArray[np.uint8], reference: Reference) -> NDArray[np.uint8] | None:
    """The image u8 [H,W,3] with the stain of the reference; None where it shows none itself, see `fit_one`."""
    return None if fit_one(image, reference.method) is None else _restain(image, reference)


@dataclass(frozen=True)
class StainedFolds:
    """The images of a cross-validated data set as its folds see them; made by `stain_folds`."""

    references: tuple[Reference, ...]  # of each fold
    failed: NDArray[np.int64]  # i64, the images that show no stain and stay as they are in every fold
    _blocks: Blocks
    _num_images: int
    _workers: int
    _progress: bool

    def __iter__(self) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Pairs of a fold and its next images u8 [n,H,W,3]; the images of each fold come in order."""
        kept, start = set(self.failed.tolist()), 0
        with _threads(self._workers) as pool, self._bar() as bar:
            for block in self._blocks():
                chosen = [row for row in range(len(block)) if start + row not in kept]
                for fold, reference in enumerate(self.references):
                    stained = block.copy()
                    for row, image in zip(chosen, pool.map(_restain, block[chosen], [reference] * len(chosen))):
                        stained[row] = image
                    yield fold, stained
                start += len(block)
                bar.update(len(block))

    def _bar(self) -> "tqdm[Any]":
        return tqdm(desc="stain", total=self._num_images, unit="img", disable=not self._progress or None)


def stain_folds(
    blocks: Blocks, train: Sequence[NDArray[np.int64]], method: str, *, workers: int, progress: bool = False
) -> StainedFolds:
    """Fit each fold's reference to its training images, `train` i64 [n] a fold, and nothing else.

    `blocks` is called twice, here to fit every image by itself, and where the result is gone through. Raises DataError
    where no training image of a fold shows a stain.
    """
    fitted: list[Reference | None] = []
    with _threads(workers) as pool:
        for block in tqdm(blocks(), "fit stain", unit="block", disable=not progress or None):
            fitted.extend(pool.map(fit_one, block, [method] * len(block)))
    references = tuple(
        reference_of([reference for index in indices if (reference := fitted[index])]) for indices in train
    )
    failed = np.array([index for index, reference in enumerate(fitted) if reference is None], dtype=np.int64)
    return StainedFolds(references, failed, blocks, len(fitted), workers, progress)


@contextmanager
def _threads(workers: int) -> Iterator[ThreadPoolExecutor]:
    with threadpool_limits(1), ThreadPoolExecutor(workers) as pool:  # the matrix products are too small to split
        yield pool


# ---- torchstain ------------------------------------------------------------------------------------------------------


def _fit_macenko(image: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]] | None:
    from torchstain.numpy.normalizers import NumpyMacenkoNormalizer

    tissue = np.all(image + 1.0 <= WHITE * np.exp(-TISSUE_DENSITY), axis=2)
    if tissue.mean() < MIN_TISSUE:
        return None
    own = NumpyMacenkoNormalizer()
    try:
        own.fit(image, **_MACENKO)
    except np.linalg.LinAlgError:
        return None
    stains, concentration = own.HERef, own.maxCRef
    apart = 0 < stains[:, 0] @ stains[:, 1] < np.cos(np.radians(MIN_ANGLE_DEG))  # False also for what is no number
    if not apart or not np.all(concentration >= MIN_CONCENTRATION):
        return None
    return {"stains": stains, "max_concentration": concentration}


def _fit_reinhard(image: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]] | None:
    from torchstain.numpy.normalizers import NumpyReinhardNormalizer

    own = NumpyReinhardNormalizer()
    own.fit(image)
    if not np.all(own.target_stds >= MIN_SPREAD):
        return None
    return {"means": own.target_means.astype(np.float64), "stds": own.target_stds.astype(np.float64)}


def _restain(image: NDArray[np.uint8], reference: Reference) -> NDArray[np.uint8]:
    """The image, which must have a stain of its own, with that of the reference."""
    from torchstain.numpy.normalizers import NumpyMacenkoNormalizer, NumpyReinhardNormalizer

    with np.errstate(all="ignore"):  # too bright a pixel overflows to infinity and is cut at 255
        if reference.method == "macenko":
            macenko = NumpyMacenkoNormalizer()
            macenko.HERef, macenko.maxCRef = reference.values["stains"], reference.values["max_concentration"]
            return np.asarray(macenko.normalize(image, stains=False, **_MACENKO)[0])
        reinhard = NumpyReinhardNormalizer()
        reinhard.target_means, reinhard.target_stds = reference.values["means"], reference.values["stds"]
        return np.asarray(reinhard.normalize(image))

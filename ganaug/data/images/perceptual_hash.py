"""Perceptual hashes, by which copies are searched, and the comparison of pixels that confirms them.

Both start from the image's 32×32 grey version. Its sixteen blocks of 8×8 decide whether it shows anything at all, and
whether two images show the same: a copy agrees nearly everywhere, and a common frame or vignette in few places only.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

Scalar = TypeVar("Scalar", bound=np.generic)
NUM_SYMMETRIES = 8  # of the square
# Measured on 839 BreakHis images at 64, 128 and 224 px. Different fields, some 90,000 pairs with all of one patient: at
# most 0.12, and 0.28 where all bear the same black frame. An image and its copy, rotated, at JPEG quality 50, 10 %
# lighter or darker, of gamma 0.8 or 1.25, blurred or enlarged by 2.2: 99 of 100 at least 0.95, or 0.75 at 64 px.
MIN_SIMILARITY = 0.65

_SIDE_PX, _BLOCK_PX = 32, 8  # of the grey version and its blocks
_NUM_LOW = 8  # frequencies along each axis that the hash knows
_MIN_CONTRAST = 2.0  # standard deviation of a block that shows something, in grey levels; of empty glass at most 1.5
_MIN_BLOCKS = 4  # that show something, in an image that does
_DARK, _LIGHT = 16, 254  # beyond, what is alike in two images is alike in many: a frame, or glass overexposed
_ROW, _COLUMN = np.mgrid[:_BLOCK_PX, :_BLOCK_PX].reshape(2, -1) - (_BLOCK_PX - 1) / 2
_SURFACES = np.stack([np.ones(_BLOCK_PX**2), _ROW, _COLUMN, _ROW**2, _ROW * _COLUMN, _COLUMN**2], axis=1)
_SMOOTH = np.linalg.qr(_SURFACES)[0].astype(np.float32)


def phash(image: NDArray[np.uint8]) -> int:
    """64-bit perceptual hash of u8 [H,W,3]; 0 where the image shows next to nothing. See `phash_symmetries`."""
    return int(phash_symmetries(image)[0])


def phash_symmetries(image: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The hashes u64 [8] of u8 [H,W,3] under the eight symmetries of the square; the first is of the image as it is.

    A hash holds the signs of the 8×8 lowest cosine frequencies, each compared with the median of the 63 that vary.
    Symmetry s is that of `apply_symmetry(image, s)`. All are 0 where the image shows next to nothing, such as an empty
    field: other hashes have half of their bits set.
    Source: Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions", DCT-based hash.
    """
    return np.asarray(hashes_of(grey_version(image)[None])[0])


def hashes_of(greys: NDArray[np.float32]) -> NDArray[np.uint64]:
    """The hashes u64 [n,8], as `phash_symmetries` gives them, of grey versions f32 [n,32,32]."""
    shows = np.sum(_contrast(_detail(greys)) > _MIN_CONTRAST, axis=1) >= _MIN_BLOCKS
    upright = dctn(greys.astype(np.float64), axes=(1, 2), norm="ortho")[:, :_NUM_LOW, :_NUM_LOW]
    across = (-1.0) ** np.arange(_NUM_LOW)  # what mirroring does to cosines
    down = across[:, None]
    mirrors = (np.ones_like(across), across, down, down * across)
    views = [spectrum * signs for spectrum in (upright, upright.swapaxes(1, 2)) for signs in mirrors]
    low = np.stack(views, axis=1).reshape(len(greys), NUM_SYMMETRIES, -1)
    bits = low > np.median(low[:, :, 1:], axis=2, keepdims=True)
    return np.asarray(np.where(shows[:, None], np.packbits(bits, axis=2).view(">u8")[:, :, 0], 0), np.uint64)


def apply_symmetry(image: NDArray[Scalar], symmetry: int, axes: tuple[int, int] = (0, 1)) -> NDArray[Scalar]:
    """An image under symmetry 0 to 7: transposed for 4, then its rows reversed for 2, its columns for 1."""
    down, across = axes
    if symmetry & 4:
        image = image.swapaxes(down, across)
    if symmetry & 2:
        image = np.flip(image, down)
    return np.flip(image, across) if symmetry & 1 else image


def grey_version(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The 32×32 grey version f32 of u8 [H,W,3], in grey levels."""
    # A filter that falls off to its ends, as a box includes or leaves out whole pixels and is not symmetric.
    small = Image.fromarray(image).convert("L").convert("F").resize((_SIDE_PX, _SIDE_PX), Image.Resampling.HAMMING)
    return np.asarray(small)


def similarity(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """How alike grey versions f32 [n,32,32] are, pair by pair as they lie: -1 to 1, f32 [n].

    It is the correlation that more than three quarters of the blocks reach, of those that show something in both images
    and are not where both are black or white. -1 where there are fewer than four: too little evidence.
    """
    detail, other = _detail(first), _detail(second)
    extreme = ((first < _DARK) & (second < _DARK)) | ((first > _LIGHT) & (second > _LIGHT))
    smaller = np.minimum(_contrast(detail), _contrast(other))
    informative = (smaller > _MIN_CONTRAST) & ~_blocks(extreme).any(axis=-1)
    norms = np.linalg.norm(detail, axis=-1) * np.linalg.norm(other, axis=-1)
    correlation = np.einsum("nbp,nbp->nb", detail, other) / np.maximum(norms, 1e-6)
    ranked = np.sort(np.where(informative, correlation, np.inf), axis=1)
    num_informative = informative.sum(axis=1)
    reached = np.take_along_axis(ranked, np.maximum(num_informative // 4 - 1, 0)[:, None], axis=1)[:, 0]
    return np.where(num_informative >= _MIN_BLOCKS, reached, -1)


def same_picture(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    """Whether u8 [H,W,3] and u8 [H,W,3] are copies of one picture, rotated or flipped, recompressed, resized or relit.

    Different fields of one slide are different pictures, and so are crops of one field that differ by more than a
    hundredth of its side. An image that shows next to nothing is a copy of no other.
    """
    grey, other = grey_version(a), grey_version(b)
    views = np.stack([apply_symmetry(grey, symmetry) for symmetry in range(NUM_SYMMETRIES)])
    return bool(similarity(views, np.broadcast_to(other, views.shape)).max() >= MIN_SIMILARITY)


def _blocks(planes: NDArray[Scalar]) -> NDArray[Scalar]:
    """[...,32,32] as blocks [...,16,64]."""
    across = _SIDE_PX // _BLOCK_PX
    grid = planes.reshape(*planes.shape[:-2], across, _BLOCK_PX, across, _BLOCK_PX).swapaxes(-3, -2)
    return grid.reshape(*planes.shape[:-2], across**2, _BLOCK_PX**2)


def _detail(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blocks [...,16,64] less the quadratic surface that fits each best: an uneven lamp or a blur is no structure."""
    blocks = _blocks(grey)
    return np.asarray(blocks - (blocks @ _SMOOTH) @ _SMOOTH.T)


def _contrast(detail: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standard deviation of each block, in grey levels."""
    return np.asarray(np.linalg.norm(detail, axis=-1) / _BLOCK_PX)

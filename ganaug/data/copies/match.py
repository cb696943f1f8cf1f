"""Whether two pictures show the same, in whole or in part, and how one lies in the other.

Features that agree give the transform; then the pixels decide: brought into one frame, the details of both must
correlate all over what they have in common. So a label, a scale bar or a frame that many images bear joins none.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganaug.data.copies.sketches import VARIANTS, Sketch, sketch
from ganaug.data.images.perceptual_hash import (
    MIN_SIMILARITY,
    NUM_SYMMETRIES,
    apply_symmetry,
    grey_version,
    similarity,
)

MIN_FEATURES = 7  # that agree on one transform
MIN_SCORE = 0.6
MIN_OVERLAP_OF_COPY = 0.7  # two fields that overlap by less are neighbours on the slide, not copies

_MAX_RATIO = 0.8  # of the distances to the nearest and the second nearest descriptor
_MAX_ERROR_PX = 3.0  # of a feature under the transform, in the grey version
_MAX_SCALE = 4.0
_MIN_SQUASH = 0.5  # of what is taken for a copy: one side against the other
_UNSQUASHED = 0.96  # from here on, it is rounding of sizes
_NEAR_PX, _FAR_PX = 1.0, 5.0  # standard deviations of the blurs between which details lie
_BLOCK_PX, _MIN_BLOCKS = 16, 4
_MIN_CONTRAST = 2.0  # standard deviation of a block that shows something, in grey levels
_DARK, _LIGHT = 8, 248  # beyond, a pixel may be of a frame or of empty glass
_MOST_EXTREME = 0.1  # fraction of such pixels in a block that is compared
_WHOLE = 0.97  # fraction of an area that counts as all of it

Matrix = NDArray[np.floating]
Rows = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Match:
    """How picture b lies in picture a."""

    score: float  # median correlation of details in the blocks that both show, up to 1
    overlap: float  # area that both show, as a fraction of the smaller of the two
    transform: str  # in words, such as "rotated by 7°, cropped to 80 %"
    num_features: int  # that agree; 0 where the whole pictures were compared
    matrix: Rows  # pixels of b to pixels of a
    is_inverted: bool  # dark and light are exchanged

    @property
    def is_copy(self) -> bool:
        """Whether one is a copy of the other, or of a part of it; else they overlap in part."""
        return self.overlap >= MIN_OVERLAP_OF_COPY


def match_pictures(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Match | None:
    """How u8 [H,W,3] b lies in u8 [H,W,3] a, of any sizes; None where they do not show the same.

    Found are the eight orientations and any rotation, crops to half the side, shifts, fields that overlap by a third,
    pictures squashed to two thirds, frames, inverted colours, stain, light, noise and compression, and several of them
    at once. Pictures in which too few features are found are compared as a whole under the eight orientations.
    """
    return match_sketches(sketch(a), sketch(b)) or _match_whole(a, b)


def match_sketches(a: Sketch, b: Sketch, is_tried: Sequence[bool] = (True,) * len(VARIANTS)) -> Match | None:
    """The same by sketches alone, in those of VARIANTS that are tried; None also where they have too few features."""
    found: list[Match] = []
    for (is_mirrored, is_inverted), order in compress(VARIANTS.items(), is_tried):
        placed = _places(a, b, order, is_mirrored)
        compared = (_compare(a, b, matrix, num_features, is_inverted) for matrix, num_features in placed)
        found += filter(None, [next(filter(None, compared), None)])
    return max(found, key=lambda match: match.score, default=None)


def _places(a: Sketch, b: Sketch, order: NDArray[np.int64], is_mirrored: bool) -> Iterator[tuple[Matrix, int]]:
    """Matrices [3,3] from the grey version of b to that of a on which most features agree, and how many do.

    First one that keeps shapes, then one that may squash them.
    """
    import cv2

    left, right = _nearest(a.descriptors, b.descriptors[:, order])
    if len(left) < MIN_FEATURES:
        return
    points, mirror = b.points[right], np.eye(3)
    if is_mirrored:
        last = b.grey.shape[1] - 1
        points, mirror = points * [-1, 1] + [last, 0], np.array([[-1.0, 0, last], [0, 1, 0], [0, 0, 1]])
    points = points.astype(np.float32)
    for fit in (cv2.estimateAffinePartial2D, cv2.estimateAffine2D):
        matrix, agree = fit(points, a.points[left], method=cv2.RANSAC, ransacReprojThreshold=_MAX_ERROR_PX)
        if matrix is None or (num := int(agree.sum())) < MIN_FEATURES:
            continue
        is_turned = np.linalg.det(matrix[:, :2]) > 0
        if is_turned and 1 / _MAX_SCALE <= _scale(matrix) <= _MAX_SCALE and _squash(matrix) >= _MIN_SQUASH:
            yield np.vstack([matrix, [0, 0, 1]]) @ mirror, num


def _nearest(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of descriptors u8 [k,128] and [n,128] that are each other's nearest, and stand out among the others."""
    if len(a) < 2 or len(b) < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    left, right = a.astype(np.float32), b.astype(np.float32)
    squares = (left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * left @ right.T  # whole numbers, and so exact
    nearest = squares.argmin(1)
    mutual = np.flatnonzero(squares.argmin(0)[nearest] == np.arange(len(a)))
    others, closest = squares[mutual], squares[mutual, nearest[mutual]]
    others[np.arange(len(mutual)), nearest[mutual]] = np.inf
    kept = mutual[closest < _MAX_RATIO**2 * others.min(1)]
    return kept, nearest[kept]


# ---- the pixels ------------------------------------------------------------------------------------------------------


def _compare(a: Sketch, b: Sketch, matrix: Matrix, num_features: int, is_inverted: bool) -> Match | None:
    """The match under a matrix [3,3] between grey versions, if the pixels agree with it."""
    is_finer = _scale(matrix) <= 1  # the finer of the two is reduced to the other: never the other way
    coarse, fine, inward = (a, b, matrix) if is_finer else (b, a, np.linalg.inv(matrix))
    score, shown = _correlate(coarse.grey, fine.grey, inward)
    score = -score if is_inverted else score
    if score < MIN_SCORE:
        return None
    of_coarse, of_fine = shown / coarse.grey.size, min(1.0, shown / (fine.grey.size * _scale(inward) ** 2))
    of_a, of_b = (of_coarse, of_fine) if is_finer else (of_fine, of_coarse)
    scaled = np.diag([1 / a.scale[0], 1 / a.scale[1], 1]) @ matrix @ np.diag([*b.scale, 1])
    return Match(
        score=score,
        overlap=max(of_a, of_b),
        transform=_words(scaled, of_a, of_b, is_inverted),
        num_features=num_features,
        matrix=_rows(scaled),
        is_inverted=is_inverted,
    )


def _correlate(coarse: NDArray[np.uint8], fine: NDArray[np.uint8], matrix: Matrix) -> tuple[float, int]:
    """Median correlation of blocks in the frame of `coarse`, -1 where too few show anything; and the pixels shared."""
    import cv2

    height, width = coarse.shape
    scale = _scale(matrix)

    def warp(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.warpAffine(plane, matrix[:2], (width, height)), np.float32)

    shown = warp(np.ones(fine.shape, np.float32)) > 0.5
    extreme = _extreme(coarse) | (warp(_extreme(fine).astype(np.float32)) > 0.5)
    left, right = _blocks(_detail(coarse, 1)), _blocks(warp(_detail(fine, 1 / scale)))
    spread, other = left.std(axis=1), right.std(axis=1)
    is_shown = _blocks(shown).mean(axis=1) > 0.95
    is_shown &= (np.minimum(spread, other) > _MIN_CONTRAST) & (_blocks(extreme).mean(axis=1) <= _MOST_EXTREME)
    if is_shown.sum() < _MIN_BLOCKS:
        return -1.0, int(shown.sum())
    left, right = (planes[is_shown] - planes[is_shown].mean(axis=1, keepdims=True) for planes in (left, right))
    correlation = (left * right).mean(axis=1) / (spread * other)[is_shown]
    return float(np.median(correlation)), int(shown.sum())


def _detail(grey: NDArray[np.uint8], scale: float) -> NDArray[np.float32]:
    """What lies between two blurs, whose widths grow with `scale`."""
    import cv2

    plane = grey.astype(np.float32)
    near, far = (cv2.GaussianBlur(plane, (0, 0), scale * width) for width in (_NEAR_PX, _FAR_PX))
    return np.asarray(near - far, np.float32)


def _extreme(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (grey < _DARK) | (grey > _LIGHT)


def _blocks(plane: NDArray[Any]) -> NDArray[np.float32]:
    """[h,w] as whole blocks [n,256]."""
    rows, columns = (length // _BLOCK_PX for length in plane.shape)
    whole = plane[: rows * _BLOCK_PX, : columns * _BLOCK_PX].astype(np.float32)
    return whole.reshape(rows, _BLOCK_PX, columns, _BLOCK_PX).swapaxes(1, 2).reshape(-1, _BLOCK_PX**2)


def _match_whole(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Match | None:
    """The match of all of b, squashed if need be, with all of a in the best orientation."""
    grey, other = grey_version(a), grey_version(b)
    views = np.stack([apply_symmetry(other, symmetry) for symmetry in range(NUM_SYMMETRIES)])
    scores = similarity(np.broadcast_to(grey, views.shape), views)
    symmetry = int(scores.argmax())
    if scores[symmetry] < MIN_SIMILARITY:
        return None
    matrix = (
        np.diag([a.shape[1], a.shape[0], 1]) @ _of_unit_square(symmetry) @ np.diag([1 / b.shape[1], 1 / b.shape[0], 1])
    )
    return Match(float(scores[symmetry]), 1.0, _words(matrix, 1.0, 1.0, False), 0, _rows(matrix), False)


# ---- transforms ------------------------------------------------------------------------------------------------------


def _scale(matrix: Matrix) -> float:
    return math.sqrt(abs(float(np.linalg.det(matrix[:2, :2]))))


def _squash(matrix: Matrix) -> float:
    """The least length, over the greatest, that a matrix gives to lines of one length in all directions."""
    greatest, least = np.linalg.svd(matrix[:2, :2], compute_uv=False)
    return float(least / greatest)


def _rows(matrix: Matrix) -> Rows:
    first, second, *_ = (tuple(map(float, row)) for row in matrix)
    return first, second


def _of_unit_square(symmetry: int) -> Matrix:
    """The matrix [3,3] of `apply_symmetry` on the unit square."""
    matrix = np.eye(3)
    if symmetry & 4:
        matrix = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])
    if symmetry & 2:
        matrix = np.array([[1.0, 0, 0], [0, -1, 1], [0, 0, 1]]) @ matrix
    return np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]]) @ matrix if symmetry & 1 else matrix


def _words(matrix: Matrix, of_a: float, of_b: float, is_inverted: bool) -> str:
    """What was done to a to give b: the matrix [3,3] from b's pixels to a's, and which fraction of each is shown."""
    words = []
    is_mirrored = np.linalg.det(matrix[:2, :2]) < 0
    if is_mirrored:
        words.append("mirrored")
    turn = np.linalg.inv(matrix[:2, :2] @ np.diag([-1.0 if is_mirrored else 1.0, 1.0]))
    angle = round(abs(math.degrees(math.atan2(turn[1, 0] - turn[0, 1], turn[0, 0] + turn[1, 1]))))
    if angle:
        words.append(f"rotated by {angle}°")
    squash, factor = _squash(matrix), 1 / _scale(matrix)
    if squash < _UNSQUASHED:
        words.append(f"squashed to {round(100 * squash)} %")
        factor /= math.sqrt(squash)  # of the longer side, which squashing leaves as it is
    if min(of_a, of_b) < _WHOLE:
        if of_b >= _WHOLE:
            words.append(f"cropped to {round(100 * math.sqrt(of_a))} %")
        elif of_a >= _WHOLE:
            words.append(f"the first cropped to {round(100 * math.sqrt(of_b))} %")
        else:
            words.append(f"overlapping by {round(100 * max(of_a, of_b))} %")
    elif not 1 / 1.05 < factor < 1.05:
        words.append(f"resized to {round(100 * factor)} %")
    if is_inverted:
        words.append("colours inverted")
    return ", ".join(words) or "the same field"

"""A picture reduced to what a search for copies needs: a small grey version, and local features that mark its details.

Local features are found again where a picture was rotated, cropped, framed or relit, which a hash of all of it is not.
Source: Lowe 2004, "Distinctive Image Features from Scale-Invariant Keypoints", as OpenCV has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE_PX = 128  # of the grey version: the square root of its area
MOST_FEATURES = 192  # of a sketch: those of the highest contrast
LENGTH = 128  # of a descriptor

_SHORTEST_PX = 16  # of a grey version's side
_FEWEST_PX = 32  # of a picture's shorter side: a smaller one has details of one pixel, and no features
_LAYERS = 3  # scales per octave
_MIN_CONTRAST = 0.02  # of a feature, as OpenCV counts it: half of its default, as tissue is pale
_MAX_EDGE = 15.0  # ratio of curvatures above which a feature is an edge and slides along it
_ORDER = np.arange(LENGTH).reshape(4, 4, 8)  # 4×4 cells of 8 directions each
_MIRRORED = _ORDER[::-1, :, -np.arange(8) % 8]

# The order of a descriptor's values in a picture that is mirrored, inverted or both. Mirroring swaps the rows of cells
# and the sense of directions; inverting turns every gradient, and so the feature's own direction, by half a circle.
VARIANTS = {
    (False, False): _ORDER.ravel(),
    (True, False): _MIRRORED.ravel(),
    (False, True): _ORDER[::-1, ::-1].ravel(),
    (True, True): _MIRRORED[::-1, ::-1].ravel(),
}


@dataclass(frozen=True)
class Sketch:
    """A picture as the search sees it."""

    size: tuple[int, int]  # width and height of the picture
    grey: NDArray[np.uint8]  # [h,w]
    points: NDArray[np.float32]  # [k,2]: x and y of the features in the grey version
    descriptors: NDArray[np.uint8]  # [k,128]

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the grey version per pixel of the picture, across and down."""
        height, width = self.grey.shape
        return width / self.size[0], height / self.size[1]


def sketch(image: NDArray[np.uint8]) -> Sketch:
    """The sketch of u8 [H,W,3], by itself; an even field, or one below 32 px, has no features."""
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    factor = SIDE_PX / (width * height) ** 0.5
    small = (max(_SHORTEST_PX, round(width * factor)), max(_SHORTEST_PX, round(height * factor)))
    reduced = cv2.resize(grey, small, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    found: Sequence[cv2.KeyPoint] = ()
    descriptors = None
    if min(width, height) >= _FEWEST_PX:
        detector = cv2.SIFT_create(MOST_FEATURES, _LAYERS, _MIN_CONTRAST, _MAX_EDGE, enable_precise_upscale=True)
        found, descriptors = detector.detectAndCompute(reduced, None)
    points = np.array([feature.pt for feature in found], np.float32).reshape(-1, 2)
    values = np.empty((0, LENGTH), np.uint8) if descriptors is None else descriptors.astype(np.uint8)
    return Sketch((width, height), reduced, points, values)

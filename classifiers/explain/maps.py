"""Maps out of the layers that explain a classifier, whichever way a network lays them out."""

from math import isqrt

from torch import Tensor

from classifiers.models.entry import Layout

AXES = {"NCHW": 4, "NHWC": 4, "NLC": 3}


def as_map(output: Tensor, layout: Layout) -> Tensor:
    """The output of a layer, or its gradient, as a map [N,C,H,W].

    NCHW: as it is. NHWC: transposed. NLC: the last tokens that make up a square grid, row by row; tokens before them,
    such as the class token, are dropped. A grid of side s may follow at most 2·s such tokens.

    Raises ValueError where the output has another number of axes.
    """
    if output.ndim != AXES[layout]:
        raise ValueError(
            f"an output of shape {tuple(output.shape)}; expected {AXES[layout]} axes as in {layout}; "
            "name a layer of this layout"
        )
    if layout == "NCHW":
        return output
    if layout == "NHWC":
        return output.permute(0, 3, 1, 2)
    side = isqrt(output.shape[1])
    tokens = output[:, -side * side :].transpose(1, 2)
    return tokens.reshape(*tokens.shape[:2], side, side)

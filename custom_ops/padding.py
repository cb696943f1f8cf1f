"""The sizes and paddings of FIR operators: parsing, output sizes, and the padding of the adjoint; no tensors."""

from collections.abc import Sequence
from typing import Any

Factor = int | Sequence[int]
Pair = tuple[int, int]  # along x, along y
Pads = tuple[int, int, int, int]  # left, right, top, bottom


def out_size(size: Sequence[int], taps: Sequence[int], up: Pair, down: Pair, pads: Pads) -> Pair:
    """The height and width of the output, from the last two of `size`, the input's."""
    height = (size[-2] * up[1] + pads[2] + pads[3] - taps[0]) // down[1] + 1
    return height, (size[-1] * up[0] + pads[0] + pads[1] - taps[1]) // down[0] + 1


def adjoint_padding(
    size: Sequence[int], out: Sequence[int], taps: Sequence[int], up: Pair, down: Pair, pads: Pads
) -> Pads:
    """The padding with which the adjoint maps the output's size, the last two of `out`, back onto the input's."""
    right = size[-1] * up[0] - out[-1] * down[0] + pads[0] - up[0] + 1
    bottom = size[-2] * up[1] - out[-2] * down[1] + pads[2] - up[1] + 1
    return taps[1] - 1 - pads[0], right, taps[0] - 1 - pads[2], bottom


def add_pads(pads: Pads, more: Pads) -> Pads:
    """The sum of two paddings, side by side."""
    left, right, top, bottom = (side + extra for side, extra in zip(pads, more, strict=True))
    return left, right, top, bottom


def parse_pair(value: Factor, name: str) -> Pair:
    """A factor n or [x, y] as [x, y]; raises ValueError for anything but whole numbers from 1 up."""
    sides = _whole_numbers(value)
    if len(sides) not in (1, 2) or min(sides) < 1:
        raise ValueError(f"upfirdn2d: {name} is {value!r}; expected a whole number from 1 up, or [x, y] of them")
    return sides[0], sides[-1]


def parse_padding(value: Factor) -> Pads:
    """A padding n, [x, y] or [left, right, top, bottom] as [left, right, top, bottom]; raises ValueError otherwise."""
    sides = _whole_numbers(value)
    if len(sides) not in (1, 2, 4):
        raise ValueError(f"upfirdn2d: padding is {value!r}; expected n, [x, y] or [left, right, top, bottom]")
    left, right, top, bottom = {1: sides * 4, 2: [s for s in sides for _ in range(2)], 4: sides}[len(sides)]
    return left, right, top, bottom


def _whole_numbers(value: Factor) -> list[int]:
    """The numbers of a factor or padding; none where it holds anything else."""
    sides: list[Any] = list(value) if isinstance(value, list | tuple) else [value]
    return sides if all(isinstance(side, int) and not isinstance(side, bool) for side in sides) else []

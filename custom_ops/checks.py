"""The checks of arguments that the public functions make before any kernel runs."""

import math

import torch
from torch import Tensor

AUTOCAST_DEVICES = ("cpu", "cuda", "mps", "xpu")  # torch.compile cannot ask for them before PyTorch 2.12
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def check_dtype(where: str, value: Tensor) -> None:
    """Raise TypeError unless `value` is a tensor of a dtype of DTYPES; `where` names operator and argument."""
    if not isinstance(value, Tensor) or value.dtype not in DTYPES:
        raise TypeError(f"{where} is {kind_of(value)}; expected a tensor of float64, float32, float16 or bfloat16")


def check_number(where: str, value: float, low: float = -math.inf, high: float = math.inf) -> None:
    """Raise TypeError or ValueError unless `value` is a number from `low` to `high`; NaN is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{where} is {kind_of(value)}; expected a number")
    if not low <= value <= high:
        raise ValueError(f"{where} is {value}; expected a number from {low:g} to {high:g}")


def check_whole(where: str, value: int, low: int | None = None) -> None:
    """Raise TypeError or ValueError unless `value` is a whole number, from `low` up; None is no limit."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{where} is {kind_of(value)}; expected a whole number")
    if low is not None and value < low:
        raise ValueError(f"{where} is {value}; expected a whole number from {low} up")


def kind_of(value: object) -> str:
    """Name a value's dtype and device, or its class."""
    return f"{value.dtype} on {value.device}" if isinstance(value, Tensor) else type(value).__name__


def is_autocast(x: Tensor) -> bool:
    """Whether automatic mixed precision is on where x lies."""
    device = x.device.type
    return device in AUTOCAST_DEVICES and torch.is_autocast_enabled(device)

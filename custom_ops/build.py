"""Which implementation of an operator runs, and why; this version has the PyTorch references only."""

from typing import Literal

Impl = Literal["ref", "native"]

OPERATORS = ("bias_act", "upfirdn2d")
REASON = "this version holds no native operators, so PyTorch's own kernels run"


class NativeUnavailable(RuntimeError):
    """`impl='native'` was asked for where no native operator exists."""


def select(operator: str, impl: str | None) -> Impl:
    """Return the implementation that runs `operator`; `None` leaves the choice to us.

    Raises NativeUnavailable for 'native', ValueError for a name that is neither 'ref' nor 'native'.
    """
    if impl in (None, "ref"):
        return "ref"
    if impl == "native":
        raise NativeUnavailable(f"{operator}: impl='native' was asked for; {REASON}; use impl='ref' or leave impl out")
    raise ValueError(f"{operator}: impl is {impl!r}; expected 'ref', 'native' or None")


def info() -> list[dict[str, str]]:
    """List for every operator which path runs and why, as `{'op', 'path', 'reason'}`."""
    return [{"op": operator, "path": "ref", "reason": REASON} for operator in OPERATORS]


def build() -> None:
    """Build the native operators; raises NativeUnavailable, as there are none yet."""
    raise NativeUnavailable(f"nothing to build: {REASON}")

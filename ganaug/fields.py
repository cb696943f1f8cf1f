"""The check that JSON values are of the kinds that the fields of a dataclass are annotated with."""

import math
from collections.abc import Mapping
from dataclasses import is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ganaug.errors import ConfigError

MAX_INTEGER = 2**63 - 1  # what arrays and tensors can be as large as


def require_kinds(dataclass: type, values: Mapping[str, Any]) -> None:
    """Raise ConfigError for a value that the field of its name cannot have; unknown names are left to the dataclass.

    A list may stand for a tuple, and a whole number for a float; True and False are no numbers, and NaN, infinity and
    whole numbers of more than 64 bits are none either.
    """
    hints = get_type_hints(dataclass)
    for name, value in values.items():
        if name in hints and not _fits(value, hints[name]):
            shown = str(value)[:40] if isinstance(value, str | float | bool | NoneType) else f"a {type(value).__name__}"
            raise ConfigError(f"{name} is {shown}", expected=str(getattr(hints[name], "__name__", hints[name])))


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, kind) for kind in inner)
    if origin is Literal:
        return type(value) is str and value in inner
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return False
        if inner[-1] is Ellipsis:
            return all(_fits(entry, inner[0]) for entry in value)
        return len(value) == len(inner) and all(map(_fits, value, inner))
    if hint is float:
        return (type(value) is float and math.isfinite(value)) or _fits(value, int)
    if hint is int:
        return type(value) is int and abs(value) <= MAX_INTEGER
    return isinstance(value, dict | hint) if is_dataclass(hint) else isinstance(value, hint)

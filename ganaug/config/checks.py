"""Checks of configs, and their form as plain values."""

import re
from dataclasses import asdict
from typing import Any

from ganaug.errors import ConfigError


def require(holds: bool, seen: str, expected: str) -> None:
    if not holds:
        raise ConfigError(seen, expected=expected)


def require_name(name: str) -> None:
    """Raise ConfigError where a data set cannot bear this name, which becomes part of file names."""
    safe = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name)
    require(bool(safe), f"the name {name!r}", "at most 100 letters, digits, dots, dashes and underscores")


def is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain JSON values (tuples become lists)."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}

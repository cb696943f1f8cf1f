"""The share of one process in work that several do, told by the user or by what started the process."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ganaug.errors import ConfigError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """Share `index`, counted from 0, of `count`."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(f"shard {self}", expected="I/N with I from 0 to N - 1")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Its items: together the shards have every item once, in order, and about equally many."""
        return items[self.index * len(items) // self.count : (self.index + 1) * len(items) // self.count]


WHOLE = Shard()


def read_shard(text: str, environment: Mapping[str, str] = os.environ) -> Shard:
    """The shard that `I/N` means, or `auto`: that of torchrun's RANK and WORLD_SIZE, else of a Slurm array."""
    if text == "auto":
        return _of_environment(environment)
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match:
        raise ConfigError(f"shard {text}", expected="I/N, such as 0/4, or auto")
    return Shard(int(match[1]), int(match[2]))


def _of_environment(environment: Mapping[str, str]) -> Shard:
    for index, count, first in (
        ("RANK", "WORLD_SIZE", None),
        ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN"),
    ):
        if index in environment and count in environment:
            numbers = [environment[index], environment[count], environment.get(first, "0") if first else "0"]
            if not all(number.isdigit() for number in numbers):
                raise ConfigError(f"{index} {numbers[0]} and {count} {numbers[1]}", expected="numbers")
            return Shard(int(numbers[0]) - int(numbers[2]), int(numbers[1]))
    raise ConfigError(
        "shard auto, and neither RANK and WORLD_SIZE nor SLURM_ARRAY_TASK_ID and _COUNT are set",
        todo="start it with torchrun or as a Slurm array, or name the shard: --shard 0/4",
    )

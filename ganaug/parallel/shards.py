"""One of several parts of the same work, each done by a process of its own."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ganaug.errors import ConfigError
from ganaug.parallel.launcher import find_shard

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """Shard `index`, counted from 0, of `count`."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(f"shard {self}", expected="I/N with I from 0 to N - 1")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """The items of this shard: together the shards have every item once, in order, and about equally many."""
        return items[self.index * len(items) // self.count : (self.index + 1) * len(items) // self.count]


WHOLE = Shard()


def read_shard(text: str) -> Shard:
    """The shard that `I/N` names, or with `auto` the one of this process under torchrun or in a Slurm array."""
    if text == "auto":
        return Shard(*find_shard())
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match:
        raise ConfigError(f"shard {text}", expected="I/N, such as 0/4, or auto")
    return Shard(int(match[1]), int(match[2]))

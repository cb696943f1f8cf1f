"""The environment variables that torchrun and Slurm set for each process; read nowhere else."""

import os
from dataclasses import dataclass

from ganaug.errors import ConfigError


@dataclass(frozen=True)
class MeetingPoint:
    """The address at which the processes of torchrun find each other."""

    rank: int  # of this process
    host: str
    port: int
    has_store: bool  # whether torchrun itself keeps a store there; else the main process opens one
    attempt: str  # counts how often torchrun started the processes again


def num_processes() -> int:
    """How many processes torchrun started; 1 without it. Raises ConfigError where its variable is no number."""
    return max(_read_number("WORLD_SIZE", 1), 1)


def process_rank() -> int:
    """The number of this process among those of torchrun, from 0; 0 without it. Raises as `num_processes` does."""
    return _read_number("RANK", 0)


def local_rank() -> int | None:
    """The number of this process among those on its machine, from 0; None without torchrun."""
    return _read_number("LOCAL_RANK", 0) if os.environ.get("LOCAL_RANK") else None


def read_meeting_point() -> MeetingPoint:
    """This process's way to the others; raises KeyError where torchrun did not start this one, ValueError where a
    number is none."""
    return MeetingPoint(
        rank=int(os.environ["RANK"]),
        host=os.environ["MASTER_ADDR"],
        port=int(os.environ["MASTER_PORT"]),
        has_store=os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        attempt=os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"),
    )


def find_shard() -> tuple[int, int]:
    """Index, from 0, and count of this process: torchrun's RANK and WORLD_SIZE, else those of a Slurm array.

    Raises ConfigError where neither is set, or they are no numbers.
    """
    for index, count, first in (
        ("RANK", "WORLD_SIZE", ""),
        ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN"),
    ):
        if index in os.environ and count in os.environ:
            numbers = [os.environ[index], os.environ[count], os.environ.get(first, "0")]
            if not all(number.isdigit() for number in numbers):
                raise ConfigError(f"{index} {numbers[0]} and {count} {numbers[1]}", expected="numbers")
            return int(numbers[0]) - int(numbers[2]), int(numbers[1])
    raise ConfigError(
        "shard auto, and neither RANK and WORLD_SIZE nor SLURM_ARRAY_TASK_ID and _COUNT are set",
        todo="start it with torchrun or as a Slurm array, or name the shard: --shard 0/4",
    )


def _read_number(name: str, default: int) -> int:
    text = os.environ.get(name)
    try:
        return int(text) if text else default
    except ValueError:
        raise ConfigError(f"{name} is {text!r}", expected="a number, as torchrun sets") from None

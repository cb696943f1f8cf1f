"""The processes that torchrun started to train one generator: how they meet, and what they agree on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from ganaug.errors import ConfigError, UserError
from ganaug.parallel.launcher import MeetingPoint, local_rank, num_processes, process_rank, read_meeting_point

SECONDS_BETWEEN_LOOKS = 0.2  # while the processes find each other
ONE_TRY = timedelta(seconds=1)  # to reach the store where they meet
PATIENCE = timedelta(hours=2)  # that the others wait while the first scores a snapshot


@dataclass(frozen=True)
class Team:
    """The processes that train one generator together; one alone needs nobody."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    def mean(self, value: Tensor) -> Tensor:
        """The mean of `value` over all processes."""
        return value if self.size == 1 else self.sum(value) / self.size

    def sum(self, value: Tensor) -> Tensor:
        if self.size == 1:
            return value
        value = value.detach().to(self.device, copy=True)
        dist.all_reduce(value)
        return value

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in any process."""
        return flag if self.size == 1 else bool(self.sum(torch.tensor(float(flag))) > 0)


@contextmanager
def joined_team(device: str) -> Iterator[Team]:
    """Join the processes that torchrun started, each on a GPU of its own where `device` is one; else be alone.

    Raises UserError where they do not find each other, or a GPU is missing.
    """
    size = num_processes()
    if size == 1:
        yield Team(device=torch.device(device))
        return
    local = local_rank() or 0
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        if local >= torch.cuda.device_count():
            raise ConfigError(
                f"process {local} of this machine finds {torch.cuda.device_count()} GPUs",
                expected="one for each process",
                todo="give torchrun a smaller --nproc-per-node",
            )
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    try:
        _find_each_other("nccl" if on_gpu else "gloo")
    except (RuntimeError, ValueError, KeyError) as error:
        raise UserError(
            f"the {size} processes did not find each other ({str(error).splitlines()[0]})",
            todo="start them by torchrun, with a --master-port that is free, or with --standalone",
        ) from error
    try:
        yield Team(dist.get_rank(), size, torch.device(device))
    finally:
        dist.destroy_process_group()


def _find_each_other(backend: str) -> None:
    """Form the process group once all its processes are there; a request to stop is heeded meanwhile.

    torch itself would wait inside C++, where no signal is handled, so the processes first meet at a store that is asked
    now and then. Raises RuntimeError where somebody is missing after PATIENCE.
    """
    rank, size, place = process_rank(), num_processes(), read_meeting_point()
    deadline = time.monotonic() + PATIENCE.total_seconds()
    store = dist.PrefixStore(f"ganaug/{place.attempt}", _store(rank, size, place, deadline))
    store.set(f"here/{rank}", "1")
    missing = {f"here/{other}" for other in range(size)}
    while missing := {key for key in missing if not store.check([key])}:
        _wait(deadline, f"{len(missing)} of {size} processes are missing")
    store.set_timeout(PATIENCE)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)


def _store(rank: int, size: int, place: MeetingPoint, deadline: float) -> dist.TCPStore:
    """The store where the processes meet: torchrun's own, else one that the first process holds."""
    holds = rank == 0 and not place.has_store
    while True:
        try:
            return dist.TCPStore(
                place.host, place.port, size, holds, timeout=ONE_TRY, wait_for_workers=False, multi_tenant=True
            )
        except dist.DistNetworkError:  # nobody holds it yet
            if holds:
                raise
            _wait(deadline, f"nobody answers at {place.host}:{place.port}")


def _wait(deadline: float, reason: str) -> None:
    """A moment in which signals are handled; raises RuntimeError after the deadline."""
    if time.monotonic() > deadline:
        raise RuntimeError(reason)
    time.sleep(SECONDS_BETWEEN_LOOKS)

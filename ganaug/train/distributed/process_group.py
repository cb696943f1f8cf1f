"""The processes that torchrun started to train one generator: how they meet, and what they agree on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import TCPStore  # type: ignore[attr-defined, unused-ignore]  # as documented
from torch.distributed.distributed_c10d import PrefixStore, Store

from ganaug.errors import ConfigError, UserError
from ganaug.parallel.launcher import MeetingPoint, local_rank, num_processes, read_meeting_point

SECONDS_BETWEEN_CHECKS = 0.2  # while the processes find each other
TRY_TIMEOUT = timedelta(seconds=1)  # to reach the store where they meet
GROUP_TIMEOUT = timedelta(hours=2)  # that the others wait while the main process scores a snapshot


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train one generator together, as one of them sees it; alone it needs no others."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        """Whether this is the main process, which writes files and shows progress."""
        return self.rank == 0

    def mean(self, value: Tensor) -> Tensor:
        """The mean of `value` over all processes."""
        return value if self.size == 1 else self.sum(value) / self.size

    def sum(self, value: Tensor) -> Tensor:
        """The sum of `value` over all processes."""
        if self.size == 1:
            return value
        value = value.detach().to(self.device, copy=True)
        dist.all_reduce(value)
        return value

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in any process."""
        return flag if self.size == 1 else bool(self.sum(torch.tensor(float(flag))) > 0)


@contextmanager
def join_process_group(device: str) -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started, each on a GPU of its own where `device` is one; without it be alone.

    Raises UserError where they do not find each other, or a GPU is missing.
    """
    size = num_processes()
    if size == 1:
        yield ProcessGroup(device=torch.device(device))
        return
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        local, num_gpus = local_rank() or 0, torch.cuda.device_count()
        if local >= num_gpus:
            raise ConfigError(
                f"process {local} of this machine finds {num_gpus} GPUs",
                expected="one for each process",
                todo="give torchrun a smaller --nproc-per-node",
            )
        device = f"cuda:{local}"
        torch.cuda.set_device(local)
    try:
        _form_group("nccl" if on_gpu else "gloo")
    except (RuntimeError, ValueError, KeyError) as error:
        raise UserError(
            f"the {size} processes did not find each other ({str(error).splitlines()[0]})",
            todo="start them by torchrun, with a --master-port that is free, or with --standalone",
        ) from error
    try:
        yield ProcessGroup(dist.get_rank(), size, torch.device(device))
    finally:
        dist.destroy_process_group()


def _form_group(backend: str) -> None:
    """Form the process group once all its processes are there; a request to stop is handled meanwhile.

    torch itself would wait inside C++, where no signal is handled, so the processes first meet at a store that is asked
    now and then. Raises RuntimeError where one is missing after GROUP_TIMEOUT.
    """
    # Every optimizer imports this module; imported after the group it would hold it beyond its end, and the group's
    # threads, which need the interpreter to free a tensor, would still run while the interpreter ends: a rare abort.
    import torch._dynamo  # noqa: F401

    size, place = num_processes(), read_meeting_point()
    rank = place.rank
    deadline = time.monotonic() + GROUP_TIMEOUT.total_seconds()
    store = PrefixStore(f"ganaug/{place.attempt}", _open_store(size, place, deadline))
    store.set(f"here/{rank}", "1")
    missing = {f"here/{other}" for other in range(size)}
    while missing := {key for key in missing if not store.check([key])}:
        _wait(deadline, f"{len(missing)} of {size} processes are missing")
    store.set_timeout(GROUP_TIMEOUT)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=GROUP_TIMEOUT)


def _open_store(size: int, place: MeetingPoint, deadline: float) -> Store:
    """The store where the processes meet: torchrun's own, else one that the main process opens."""
    is_host = place.rank == 0 and not place.has_store
    while True:
        try:
            return TCPStore(
                place.host, place.port, size, is_host, timeout=TRY_TIMEOUT, wait_for_workers=False, multi_tenant=True
            )
        except dist.DistNetworkError:  # it is not open yet
            if is_host:
                raise
            _wait(deadline, f"nobody answers at {place.host}:{place.port}")


def _wait(deadline: float, reason: str) -> None:
    """Sleep a moment in which signals are handled; raise RuntimeError after the deadline."""
    if time.monotonic() > deadline:
        raise RuntimeError(reason)
    time.sleep(SECONDS_BETWEEN_CHECKS)

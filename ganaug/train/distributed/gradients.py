"""Gradients of several processes, brought to their mean."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ganaug.train.distributed.process_group import ProcessGroup

BUCKET_BYTES = 8 * 2**20  # of gradients that travel together: large enough for the network, small enough to overlap


class Gradients:
    """The mean of a network's gradients over all processes, taken while the backward pass still computes others.

    Parameters are taken in buckets, the last first, as backward passes reach them; a bucket travels once it is complete
    and those before it have left, so that all processes send in one order. The hooks sit where gradients come to rest
    in `.grad`: what a penalty computes by torch.autograd.grad stays where it is.
    """

    def __init__(self, network: nn.Module, processes: ProcessGroup, bucket_bytes: int = BUCKET_BYTES) -> None:
        self.processes = processes
        self._buckets = list(_split(list(network.parameters())[::-1], bucket_bytes)) if processes.size > 1 else []
        self._missing = [0] * len(self._buckets)
        self._next = len(self._buckets)  # the bucket that leaves next; all have left
        self._travelling: list[tuple[list[Tensor], Tensor, dist.Work]] = []
        for index, bucket in enumerate(self._buckets):
            for parameter in bucket:
                register: Callable[..., object] = parameter.register_post_accumulate_grad_hook
                register(partial(self._count_arrived, index))

    def backward(self, loss: Tensor, last: bool = True) -> None:
        """Add the gradients of `loss`; the `last` of several losses also brings their sum to the processes' mean."""
        if last:
            self._missing, self._next = [len(bucket) for bucket in self._buckets], 0
        torch.autograd.backward(loss)
        if last:
            self._receive_means()

    def _count_arrived(self, index: int, parameter: Tensor) -> None:
        if self._next == len(self._buckets):
            return
        self._missing[index] -= 1
        while self._next < len(self._buckets) and self._missing[self._next] == 0:
            self._send()

    def _send(self) -> None:
        """Send the next bucket; a parameter that this loss does not reach has no gradient, in no process."""
        grads = [parameter.grad for parameter in self._buckets[self._next] if parameter.grad is not None]
        self._next += 1
        if grads:
            flat = torch.cat([grad.reshape(-1) for grad in grads])
            work = dist.all_reduce(flat, async_op=True)
            assert work is not None
            self._travelling.append((grads, flat, work))

    def _receive_means(self) -> None:
        while self._next < len(self._buckets):
            self._send()
        for grads, flat, work in self._travelling:
            work.wait()
            means = torch.split(flat / self.processes.size, [grad.numel() for grad in grads])
            torch._foreach_copy_(grads, [mean.view_as(grad) for mean, grad in zip(means, grads, strict=True)])
        self._travelling.clear()


def _split(parameters: list[nn.Parameter], bucket_bytes: int) -> Iterator[list[nn.Parameter]]:
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        bucket.append(parameter)
        if sum(member.nbytes for member in bucket) >= bucket_bytes:
            yield bucket
            bucket = []
    if bucket:
        yield bucket

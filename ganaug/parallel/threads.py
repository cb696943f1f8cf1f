"""Work on many images in threads, with limits on the bytes of files and the pixels in memory at a time."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition
from typing import Generic, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True)
class Job(Generic[Result]):
    """Work on the image at a position, and the bytes of its files."""

    position: int
    work: Callable[[], Result]
    num_bytes: int


def run_in_threads(jobs: Iterable[Job[Result]], num_threads: int, max_bytes: int) -> Iterator[tuple[int, Result]]:
    """Positions and results in the order given; only a few jobs, of `max_bytes` together, run at a time.

    A job that is larger by itself runs alone.
    """
    underway: deque[tuple[Job[Result], Future[Result]]] = deque()
    num_bytes = 0
    with ThreadPoolExecutor(num_threads) as pool:
        try:
            for job in jobs:
                while underway and (len(underway) > 3 * num_threads or num_bytes + job.num_bytes > max_bytes):
                    first, future = underway.popleft()
                    num_bytes -= first.num_bytes
                    yield first.position, future.result()
                underway.append((job, pool.submit(job.work)))
                num_bytes += job.num_bytes
            while underway:
                first, future = underway.popleft()
                yield first.position, future.result()
        finally:  # after an interruption nothing more is begun
            for _, future in underway:
                future.cancel()


class PixelBudget:
    """A limit on the pixels that threads decode together; an image that exceeds it alone waits for all others."""

    def __init__(self, num_pixels: int) -> None:
        self._limit = self._free = num_pixels
        self._changed = Condition()

    @contextmanager
    def hold(self, num_pixels: int) -> Iterator[None]:
        """Wait until `num_pixels` are free, and hold them within the block."""
        taken = min(num_pixels, self._limit)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= taken)
            self._free -= taken
        try:
            yield
        finally:
            with self._changed:
                self._free += taken
                self._changed.notify_all()

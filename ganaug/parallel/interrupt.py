"""Requests to stop, which take effect between two iterations, so that what is saved is complete."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ganaug.parallel.processes import STOPS


class StopRequest:
    """True once the process was asked to stop."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def is_by_hand(self) -> bool:
        """Whether the user asked, by Ctrl-C."""
        return self.signal == signal.SIGINT


@contextmanager
def note_stop_requests() -> Iterator[StopRequest]:
    """Note SIGINT, SIGTERM and SIGUSR1 instead of ending at them; a second SIGINT ends the process at once.

    Outside the main thread, where Python forbids handlers, nothing is noted.
    """
    request = StopRequest()
    previous: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        if request and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.signal = number

    try:
        for stop in STOPS:
            previous[stop] = signal.signal(stop, note)
    except ValueError:
        pass
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

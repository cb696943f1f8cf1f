"""Results about a file, kept within the process for as long as it is the same file."""

import time
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")

SECONDS_TO_SETTLE = 2.0  # in which another change of a file could leave its times as they are


def once_per_file(maxsize: int) -> Callable[[Callable[[Path], Result]], Callable[[Path], Result]]:
    """A decorator for functions of a path: the results of `maxsize` files are kept while their size and times stay.

    Callers share a result, so nobody may change it. A file that was changed just now is read each time, and one that
    cannot be looked at is left to the function. Nothing but the file's content may decide the result.
    """

    def decorate(function: Callable[[Path], Result]) -> Callable[[Path], Result]:
        @lru_cache(maxsize)
        def known(path: Path, *identity: int) -> Result:
            return function(path)

        @wraps(function)
        def call(path: Path) -> Result:
            try:
                status = path.stat()
            except OSError:
                return function(path)
            if time.time() - max(status.st_mtime, status.st_ctime) < SECONDS_TO_SETTLE:
                return function(path)
            return known(path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

        return call

    return decorate

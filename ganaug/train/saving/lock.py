"""The lock of a run: one process group trains it at a time."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ganaug.errors import WorkspaceError
from ganaug.files import try_lock
from ganaug.train.distributed.process_group import ProcessGroup
from ganaug.workspace import GanRun, os_errors_as_workspace_errors


@contextmanager
def run_lock(run: GanRun, processes: ProcessGroup) -> Iterator[None]:
    """Keep every other process from training the run; the system releases the lock however this one ends.

    All processes of a group call this together, and the main process holds the lock. Raises WorkspaceError where it is
    held already.
    """
    with os_errors_as_workspace_errors(run.trainer):
        run.root.mkdir(parents=True, exist_ok=True)
        file = run.trainer.open("ab+", buffering=0)  # else a full disk would only show at the end
    with file:
        if processes.any(processes.is_main and not try_lock(file.fileno())):
            file.seek(0)
            raise WorkspaceError(
                f"another process trains {run.root}: {' '.join(file.read().decode('utf-8', 'replace').split())}",
                todo="wait for it, or stop it first, here or on the machine that shares the folder: this command then "
                "resumes from its state",
            )
        if processes.is_main:
            with os_errors_as_workspace_errors(run.trainer):
                file.truncate(0)
                file.write(json.dumps({"process": os.getpid()}).encode())
        yield

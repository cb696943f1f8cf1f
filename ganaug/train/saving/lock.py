"""The lock of a run: one process group trains it at a time."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ganaug.errors import WorkspaceError
from ganaug.files import try_lock
from ganaug.train.distributed.process_group import Team
from ganaug.workspace import GanRun, explained


@contextmanager
def run_lock(run: GanRun, team: Team) -> Iterator[None]:
    """Keep every other process from training the run; the system lets go of it however this one ends.

    All processes of a team call this together, and the first one holds it. Raises WorkspaceError where another does.
    """
    with explained(run.trainer):
        run.root.mkdir(parents=True, exist_ok=True)
        file = run.trainer.open("ab+", buffering=0)  # a buffer that a full disk does not take would fail at the end
    with file:
        if team.any(team.leads and not try_lock(file.fileno())):
            file.seek(0)
            raise WorkspaceError(
                f"another process trains {run.root}: {' '.join(file.read().decode('utf-8', 'replace').split())}",
                todo="wait for it, or stop it first, here or on the machine that shares the folder: this command then "
                "resumes from its state",
            )
        if team.leads:
            with explained(run.trainer):
                file.truncate(0)
                file.write(json.dumps({"process": os.getpid()}).encode())
        yield

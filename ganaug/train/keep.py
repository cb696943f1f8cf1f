"""Which states and snapshots of a run stay on the disk, which state is taken up, and that one process writes them."""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from ganaug.checkpoint.snapshot import best_ema
from ganaug.errors import CorruptFile, WorkspaceError
from ganaug.train.distributed import Team
from ganaug.train.state import TrainingState
from ganaug.train.task import Task
from ganaug.workspace import GanRun, explained

try:
    import fcntl
except ImportError:  # outside of Unix, where nothing keeps two trainings apart
    fcntl = None  # type: ignore[assignment]


@contextmanager
def held_alone(run: GanRun, team: Team) -> Iterator[None]:
    """Keep every other process from training the run; the system lets go of it however this one ends.

    All processes of a team call this together, and the first one holds it. Raises WorkspaceError where another does.
    """
    with explained(run.trainer):
        run.root.mkdir(parents=True, exist_ok=True)
        file = run.trainer.open("ab+", buffering=0)  # a buffer that a full disk does not take would fail at the end
    with file:
        if team.any(team.leads and not _locked(file.fileno())):
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


def _locked(descriptor: int) -> bool:
    """Lock an open file until it is closed; False where another process has. A file system without locks is trusted."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def take_up(task: Task, state: TrainingState) -> bool:
    """Load the newest complete state of the run; False where it has none.

    A corrupt one, as a failing disk leaves it, is passed over with a warning as long as there is another.
    Raises WorkspaceError where all are corrupt, or one is of another configuration.
    """
    paths = task.run.states()[::-1]
    for path in paths:
        try:
            state.load(path, task.digest)
            return True
        except CorruptFile as error:
            if path == paths[-1]:
                raise
            warnings.warn(f"ganaug: {error}; an older state is used", stacklevel=2)
    return False


def save_state(task: Task, state: TrainingState) -> None:
    """Write the state, then remove all but the newest `keep_states`; a state that fails to be written costs none.

    All processes call this together, and the first one writes.
    """
    state.save(task.run.state(state.num_images), task.digest)
    if not state.game.team.leads:
        return
    for path in task.run.states()[: -task.config.keep_states]:
        with explained(path):
            path.unlink(missing_ok=True)


def drop_snapshots(task: Task) -> None:
    """Remove all snapshots but the newest `keep_snapshots` and the best."""
    best = best_ema(task.run)
    for path in task.run.snapshots()[: -task.config.keep_snapshots]:
        if path != best:
            with explained(path):
                path.unlink(missing_ok=True)

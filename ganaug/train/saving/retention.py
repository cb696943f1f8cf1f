"""The states and snapshots of a run that stay on the disk."""

from ganaug.checkpoint.snapshot import best_ema
from ganaug.train.state import TrainingState
from ganaug.train.task import Task
from ganaug.workspace import os_errors_as_workspace_errors


def save_state(task: Task, state: TrainingState) -> None:
    """Write the state, then remove all but the newest `keep_states`; a state that fails to be written costs none.

    All processes call this together, and the main process writes.
    """
    state.save(task.run.state(state.num_images), task.digest)
    if not state.trainer.processes.is_main:
        return
    for path in task.run.states()[: -task.config.keep_states]:
        with os_errors_as_workspace_errors(path):
            path.unlink(missing_ok=True)


def drop_snapshots(task: Task) -> None:
    """Remove all snapshots but the newest `keep_snapshots` and the best."""
    best = best_ema(task.run)
    for path in task.run.snapshots()[: -task.config.keep_snapshots]:
        if path != best:
            with os_errors_as_workspace_errors(path):
                path.unlink(missing_ok=True)

"""Which states and snapshots of a run stay on the disk, and which state is taken up."""

import warnings

from ganaug.errors import WorkspaceError
from ganaug.train.state import TrainingState
from ganaug.train.task import Task
from ganaug.workspace import explained


def take_up(task: Task, state: TrainingState) -> bool:
    """Load the newest complete state of the run; False where it has none.

    A torn one, as a failing disk leaves it, is passed over with a warning as long as there is another.
    Raises WorkspaceError where all are torn, or one is of another configuration.
    """
    paths = task.run.states()[::-1]
    for path in paths:
        try:
            state.load(path, task.digest)
            return True
        except WorkspaceError as error:
            if "torn" not in str(error) or path == paths[-1]:
                raise
            warnings.warn(f"ganaug: {error}; an older state is taken up", stacklevel=2)
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
    best = task.run.best_ema()
    for path in task.run.snapshots()[: -task.config.keep_snapshots]:
        if path != best:
            with explained(path):
                path.unlink(missing_ok=True)

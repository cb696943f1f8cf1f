"""The state that a run resumes from: the newest one that is whole."""

import warnings

from ganaug.errors import CorruptFile
from ganaug.train.state import TrainingState
from ganaug.train.task import Task


def resume_latest(task: Task, state: TrainingState) -> bool:
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

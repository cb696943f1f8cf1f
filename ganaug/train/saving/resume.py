"""Resuming a run from its newest complete state."""

import warnings

from ganaug.errors import CorruptFile
from ganaug.train.state import TrainingState
from ganaug.train.task import Task
from ganaug.workspace import NUMBER, GanRun, read_jsonl, write_jsonl


def resume_latest(task: Task, state: TrainingState) -> bool:
    """Load the newest complete state of the run; False where it has none.

    A corrupt one, as a failing disk leaves it, is skipped with a warning as long as there is another.
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


def drop_lines_after(run: GanRun, num_images: int) -> None:
    """Drop the lines between the state from which the run resumes and the moment it was killed."""
    for path in (run.stats, run.scores, run.alarms):
        if path.exists():
            lines = read_jsonl(path, {"kimg": NUMBER})
            kept = [line for line in lines if line["kimg"] * 1000 <= num_images]
            *whole, truncated = path.read_bytes().split(b"\n")
            if truncated or len(whole) != len(kept):  # else nothing is written, as what follows may still be refused
                write_jsonl(path, kept)

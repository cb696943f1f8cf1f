"""The executors by name."""

from ganaug.study.executors.dry_run import DryRunExecutor
from ganaug.study.executors.executor import Executor
from ganaug.study.executors.local import LocalExecutor
from ganaug.study.executors.slurm import SlurmExecutor

EXECUTORS: dict[str, type[Executor]] = {"local": LocalExecutor, "slurm": SlurmExecutor, "dry-run": DryRunExecutor}

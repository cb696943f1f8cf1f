"""An executor on a Slurm cluster: a job array of which each element trains some cells."""

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ganaug.config import Compute
from ganaug.errors import ConfigError, CorruptFile, UserError, WorkspaceError
from ganaug.study.design import Cell, Design
from ganaug.study.executors.executor import Executor
from ganaug.study.executors.local import raise_faults, run_safely
from ganaug.workspace import Workspace, read_json, write_json

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission

POLL_SECONDS = 2.0
LOST_SECONDS = 20.0  # that the files of a job may take to appear after it has left the queue
MOST_ELEMENTS = 500  # of an array: many clusters allow a thousand


@dataclass(frozen=True)
class CellJob:
    """What an element of the array runs: its cells one after the other, those that are done already left alone."""

    workspace: Workspace
    design: Design
    device: str

    def __call__(self, cells: Sequence[Cell]) -> list[str | None]:
        """The error of each cell, None where it finished."""
        study, faults = self.design.study(self.workspace), []
        for cell in cells:
            is_done = study.cell(cell.name).exists()
            fault = None if is_done else run_safely(self.workspace, self.design, cell, self.device)
            faults.append(str(fault) if fault else None)
        return faults

    def checkpoint(self, cells: Sequence[Cell]) -> "DelayedSubmission":
        """What Slurm queues again where it preempts the element, or ends it at its time limit."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, cells)


@dataclass(frozen=True)
class SlurmExecutor(Executor):
    """Submits the cells as one job array and waits for them; what is finished stays whatever happens to the rest.

    The options of sbatch come with `compute.slurm`, such as ("partition", "gpu"). Its records are in the study's folder
    until all jobs have ended well. Stopped while it waits, it leaves the jobs in the queue; the same call waits for
    these and submits what no job has. Cells whose job failed, or left no result, are named in a UserError at the end.
    """

    workspace: Workspace
    design: Design
    compute: Compute

    def run(self, cells: Sequence[Cell]) -> Iterator[Cell]:
        if not cells:
            return
        require_slurm()
        waiting = self._queued(cells)
        queued = {cell.name for each in waiting.values() for cell in each}
        waiting |= self._submit([cell for cell in cells if cell.name not in queued])
        yield from self._collect_all(waiting, cells)

    @property
    def folder(self) -> Path:
        return self.design.study(self.workspace).root / "slurm"

    def _submit(self, cells: Sequence[Cell]) -> dict[str, list[Cell]]:
        """The cells by the job that trains them; each job is recorded before anything is waited for."""
        import submitit

        if not cells:
            return {}
        size = -(-len(cells) // MOST_ELEMENTS)
        parts = [list(cells[start : start + size]) for start in range(0, len(cells), size)]
        executor = submitit.SlurmExecutor(folder=self.folder.resolve(), max_num_timeout=10)
        try:
            executor.update_parameters(**self._parameters(len(parts)))
            jobs = executor.map_array(CellJob(self.workspace, self.design, self.compute.device), parts)
        except (submitit.core.utils.FailedJobError, subprocess.CalledProcessError, OSError, ValueError) as error:
            raise UserError(
                f"Slurm refused the cells ({_last_line(error)})",
                todo="change --slurm KEY=VALUE, or use --executor local",
            ) from error
        submitted = {job.job_id: part for job, part in zip(jobs, parts, strict=True)}
        record = self._recorded() | {job_id: [cell.name for cell in part] for job_id, part in submitted.items()}
        write_json(self.folder / "jobs.json", record)
        return submitted

    def _parameters(self, num_elements: int) -> dict[str, Any]:
        """The options of sbatch: ours, and those of the user, which come last."""
        given = {name.replace("-", "_"): int(value) if value.isdigit() else value for name, value in self.compute.slurm}
        parallel = min(num_elements, self.compute.num_workers or num_elements)
        own = {"job_name": f"ganaug-{self.design.name}", "array_parallelism": parallel, "cpus_per_task": 1, "time": 60}
        if self.compute.device != "cpu":
            own["gpus_per_node"] = 1
        return {**own, "stderr_to_stdout": True, **given}

    def _recorded(self) -> dict[str, list[str]]:
        """The cells of every job that was submitted for this study; empty where the record is missing or corrupt."""
        try:
            return dict(read_json(self.folder / "jobs.json"))
        except (CorruptFile, WorkspaceError):
            return {}

    def _queued(self, cells: Sequence[Cell]) -> dict[str, list[Cell]]:
        """Of these cells those of jobs that an earlier call submitted and that are in the queue, by job."""
        recorded, by_name = self._recorded(), {cell.name: cell for cell in cells}
        present = queue_of(list(recorded))
        found = {job: [by_name[name] for name in recorded[job] if name in by_name] for job in present}
        return {job: mine for job, mine in found.items() if mine}

    def _collect_all(self, waiting: dict[str, list[Cell]], cells: Sequence[Cell]) -> Iterator[Cell]:
        """The cells that finish; raises UserError at the end where others did not."""
        names, faults = [cell.name for cell in cells], {}
        with tqdm(total=len(cells), desc="cells", unit="cell", disable=not self.compute.progress or None) as bar:
            for cell, fault in self._collect(waiting):
                bar.update()
                if fault is None:
                    yield cell
                else:
                    faults[names.index(cell.name)] = UserError(fault)
        raise_faults(names, faults)
        shutil.rmtree(self.folder, ignore_errors=True)  # it names paths and computers

    def _collect(self, waiting: dict[str, list[Cell]]) -> Iterator[tuple[Cell, str | None]]:
        """Each cell with its error as its job ends, in the order in which they do."""
        left_at: dict[str, float] = {}
        while waiting:
            present = queue_of(list(waiting))
            for job_id in list(waiting):
                faults = self._result_of(job_id)
                if faults is None and job_id in present:
                    continue
                since = left_at.setdefault(job_id, time.monotonic())
                if faults is None and time.monotonic() - since < LOST_SECONDS:
                    continue
                yield from self._judge(job_id, waiting.pop(job_id), faults)
            if waiting:
                time.sleep(POLL_SECONDS)

    def _judge(
        self, job_id: str, cells: Sequence[Cell], faults: list[str | None] | None
    ) -> Iterator[tuple[Cell, str | None]]:
        study = self.design.study(self.workspace)
        for position, cell in enumerate(cells):
            if study.cell(cell.name).exists():
                yield cell, None
            elif faults is not None and faults[position : position + 1] != [None]:
                yield cell, str(faults[position])
            else:
                log = self.folder / f"{job_id}_0_log.out"
                yield cell, f"the cell {cell.name} has no result: its Slurm job {job_id} died; its log is {log}"

    def _result_of(self, job_id: str) -> list[str | None] | None:
        """The errors that a job returned, None while it has returned nothing."""
        import submitit

        paths = submitit.core.utils.JobPaths(self.folder.resolve(), job_id=job_id, task_id=0)
        if not paths.result_pickle.exists():
            return None
        try:
            kind, value = submitit.core.utils.pickle_load(paths.result_pickle)
        except (OSError, EOFError, ValueError):
            return None
        if kind == "success":
            return list(value)
        return []


def require_slurm() -> None:
    """Raise ConfigError where no Slurm can be reached from here, or the package that speaks to it is missing."""
    if find_spec("submitit") is None:
        raise ConfigError("the package submitit is missing", todo="install it with `pip install 'ganaug[slurm]'`")
    missing = [name for name in ("sbatch", "squeue") if shutil.which(name) is None]
    if missing:
        raise ConfigError(
            f"no {' and no '.join(missing)} on this machine",
            expected="a login node of a Slurm cluster",
            todo="use --executor local, or --shard I/N in jobs of your own",
        )


def queue_of(job_ids: Sequence[str]) -> set[str]:
    """Those of these jobs that wait or run; raises UserError where Slurm does not answer."""
    if not job_ids:
        return set()
    arrays = sorted({job_id.partition("_")[0] for job_id in job_ids})
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(arrays)}"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode and "Invalid job id" not in answer.stderr:
        raise UserError(
            f"squeue failed ({answer.stderr.strip().splitlines()[-1:] or answer.returncode})",
            todo="run the same command again when Slurm answers; jobs that are queued go on",
        )
    return set(answer.stdout.split()) & set(job_ids)


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__

"""The means that a command works with."""

from dataclasses import dataclass
from pathlib import Path

from ganaug.config.checks import require


@dataclass(frozen=True)
class Compute:
    """What a run uses and no figure depends on; it takes part in no digest."""

    device: str = "cpu"
    num_workers: int | None = None  # processes at a time; None: one per core on a CPU, one on a GPU
    weights_dir: Path | None = None  # folder of published weights
    progress: bool = False  # whether progress is shown
    executor: str = "local"  # of the cells of a study, see `ganaug.study.executors`
    slurm: tuple[tuple[str, str], ...] = ()  # options of sbatch, such as ("partition", "gpu")

    def __post_init__(self) -> None:
        require(self.num_workers is None or self.num_workers >= 1, f"{self.num_workers} workers", "at least 1")


CPU = Compute()  # the default means: a CPU, nothing shown

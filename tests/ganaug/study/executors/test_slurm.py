"""Cells run as jobs of a real Slurm of one node, and nothing is lost where jobs are, or Slurm is."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ganaug.config import Compute, StudyConfig
from ganaug.errors import ConfigError, UserError
from ganaug.study.design import Design, plan_cells
from ganaug.study.executors import slurm
from ganaug.study.executors.local import LocalExecutor
from ganaug.study.executors.slurm import SlurmExecutor
from ganaug.workspace import Workspace

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World

SCRIPT = Path(__file__).parents[4] / "scripts" / "slurm.sh"
OPTIONS = (("time", "5"), ("exclusive", "no"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running Slurm; every test process has its own."""
    pytest.importorskip("submitit")
    if shutil.which("slurmctld", path=f"{os.environ['PATH']}:/usr/sbin") is None or os.geteuid() != 0:
        pytest.skip("no Slurm here, or no root to start one; Debian's are slurm-wlm and munge")
    folder = tmp_path_factory.mktemp("slurm")
    port = 20000 + os.getpid() % 20000
    ports = {"SLURMCTLD_PORT": str(port), "SLURMD_PORT": str(port + 20000)}
    subprocess.run([SCRIPT, "start", folder], check=True, env={**os.environ, **ports}, timeout=120)
    yield folder
    subprocess.run([SCRIPT, "stop", folder], check=True, timeout=60)


@pytest.fixture
def design(world: "World", quick: StudyConfig, cluster: Path, monkeypatch: pytest.MonkeyPatch) -> Design:
    monkeypatch.setenv("SLURM_CONF", str(cluster / "slurm.conf"))
    monkeypatch.setattr(slurm, "LOST_SECONDS", 3.0)
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.5)
    return world.design(replace(quick, arms=("real", "real-oversampled", "real+synthetic")))


def executor_of(workspace: Workspace, design: Design, **options: object) -> SlurmExecutor:
    given = {"executor": "slurm", "slurm": (("time", "5"),), **options}
    return SlurmExecutor(workspace, design, Compute(**given))  # type: ignore[arg-type]


def predictions(workspace: Workspace, design: Design, name: str) -> bytes:
    return design.study(workspace).predictions(name).read_bytes()


def test_jobs_give_the_predictions_that_this_process_gives(world: "World", design: Design) -> None:
    cells = plan_cells(design)
    assert {cell.name for cell in executor_of(world.workspace, design).run(cells)} == {cell.name for cell in cells}
    assert not executor_of(world.workspace, design).folder.exists()  # which names computers and paths
    by_slurm = {cell.name: predictions(world.workspace, design, cell.name) for cell in cells}
    for cell in cells:
        design.study(world.workspace).cell(cell.name).unlink()
    assert len(list(LocalExecutor(world.workspace, design, Compute(num_workers=1)).run(cells))) == len(cells) == 3
    assert {cell.name: predictions(world.workspace, design, cell.name) for cell in cells} == by_slurm


def test_cells_that_fail_or_die_are_named_and_the_others_finish(
    world: "World", design: Design, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = plan_cells(design)
    design.supply_of(0, 0).synthetic.unlink()  # which one of the cells reads
    with pytest.raises(UserError, match=r"the cell \S*real_synthetic\S* failed|the cell \S*real\+synthetic\S* failed"):
        for _ in executor_of(world.workspace, design).run(cells):
            pass
    study = design.study(world.workspace)
    assert [study.cell(cell.name).exists() for cell in cells] == [True, True, False]


def test_a_job_that_is_cancelled_is_named_and_the_same_call_finishes_the_study(world: "World", design: Design) -> None:
    cells = plan_cells(design)[:1]
    executor = executor_of(world.workspace, design)
    submitted = executor._submit(cells)
    assert sorted(executor._queued(cells)) == sorted(submitted)
    subprocess.run(["scancel", *submitted], check=True)
    with pytest.raises(UserError, match=r"its Slurm job \S+ died"):
        for _ in executor._collect_all(submitted, cells):
            pass
    assert [cell.name for cell in executor.run(cells)] == [cells[0].name]


def test_a_second_call_waits_for_the_jobs_of_the_first(
    world: "World", design: Design, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = plan_cells(design)[:2]
    executor = executor_of(world.workspace, design)
    submitted = executor._submit(cells)
    monkeypatch.setattr(SlurmExecutor, "_submit", lambda self, left: {} if not left else pytest.fail("submitted again"))
    assert len(list(executor.run(cells))) == 2
    assert len(submitted) == 2


def test_options_that_slurm_refuses_are_an_error_of_one_line(world: "World", design: Design) -> None:
    wrong = executor_of(world.workspace, design, slurm=(("partition", "nowhere"),))
    with pytest.raises(UserError, match="Slurm refused the cells") as caught:
        list(wrong.run(plan_cells(design)))
    assert "\n" not in str(caught.value)
    assert wrong._recorded() == {}


def test_without_slurm_the_error_says_so(
    world: "World", quick: StudyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    design = world.design(quick)
    with pytest.raises(ConfigError, match="no sbatch and no squeue"):
        list(executor_of(world.workspace, design).run(plan_cells(design)))


def test_a_record_of_jobs_that_is_torn_is_no_record(world: "World", design: Design) -> None:
    executor = executor_of(world.workspace, design)
    executor.folder.mkdir(parents=True)
    (executor.folder / "jobs.json").write_text('{"12_0": [')
    assert executor._recorded() == {}
    assert executor._queued(plan_cells(design)) == {}
    assert np.all([cell.arm for cell in plan_cells(design)])

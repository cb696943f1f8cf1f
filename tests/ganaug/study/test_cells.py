"""Cells: fair by construction, kept when a run stops, and reused by later runs."""

import json
import pickle
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.torch import save_file

from classifiers.registry import build_seeded
from ganaug.config import Compute, StudyConfig
from ganaug.errors import ConfigError, DiskFull, UserError
from ganaug.provenance import digest_of_file, sealed
from ganaug.study.cells import load_cell, run_cell
from ganaug.study.design import Cell, Design, plan_cells
from ganaug.study.executors import local
from ganaug.study.looks import other_looks, warning_of
from ganaug.study.run import Outcome
from ganaug.workspace import Workspace, read_json, read_jsonl

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World


def rows_of(outcome: Outcome) -> list[dict[str, Any]]:
    return read_jsonl(outcome.study.results)


def test_arms_start_from_equal_weights_and_take_equal_steps(world: "World", quick: StudyConfig) -> None:
    outcome = world.run(replace(quick, seeds=(0, 1), folds=(0, 1)))
    rows = rows_of(outcome)
    assert len(rows) == 4 * 2 * 2
    starts: dict[tuple[int, int], set[str]] = {}
    for row in rows:
        starts.setdefault((row["fold"], row["seed"]), set()).add(row["initial_weights"])
    assert all(len(digests) == 1 for digests in starts.values())
    assert len(set.union(*starts.values())) == 4
    assert {row["num_steps"] for row in rows} == {2}
    assert {row["by_image"]["accuracy"] is not None for row in rows} == {True}


def test_every_patient_is_tested_once_a_seed_and_arm(world: "World", quick: StudyConfig) -> None:
    every_fold = replace(quick, folds=None, arms=quick.arms[:3])
    outcome = world.run(every_fold)
    design = world.design(every_fold)
    results = [load_cell(outcome.study, cell, world.dataset) for cell in plan_cells(design) if cell.arm == "real"]
    tested = np.concatenate([np.unique(result.predictions.groups) for result in results if result])
    assert sorted(tested) == sorted(map(world.dataset.table.patient_digest, world.dataset.folds.groups))
    assert outcome.verdict.differences[0].num_patients == 12


def test_done_cells_are_kept_and_broken_ones_done_again(
    world: "World", quick: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.run(quick)
    design = world.design(quick)
    names = [cell.name for cell in plan_cells(design)]
    before = first.study.results.read_bytes()
    first.study.cell(names[0]).unlink()  # interrupted before the record was written
    first.study.predictions(names[1]).write_bytes(b"truncated")
    record = read_json(first.study.cell(names[2])) | {"predictions": "0" * 64}
    first.study.cell(names[2]).write_text(json.dumps(record))

    trained = []

    def record_and_run(workspace: Workspace, design: Design, cell: Cell, device: str) -> None:
        trained.append(cell.name)
        run_cell(workspace, design, cell, device)

    monkeypatch.setattr(local, "run_cell", record_and_run)
    second = world.run(quick)
    assert trained == names[:3]
    assert (second.num_cells, second.num_reused) == (4, 1)

    def untimed(text: bytes) -> list[dict[str, Any]]:
        return [{**json.loads(line), "seconds": 0} for line in text.splitlines()]

    assert untimed(before) == untimed(second.study.results.read_bytes())


def test_changed_generator_leaves_the_real_cells_standing(world: "World", quick: StudyConfig) -> None:
    supplies = world.supply_all()
    world.run(quick, supplies)
    others = [world.supply(fold, world.synthesize(fold, seed=1)) for fold in range(3)]
    again = world.run(quick, others)
    assert again.num_reused == 2  # real and real-oversampled
    assert len(list((world.workspace.root / "studies").iterdir())) == 2


def test_failing_cells_let_the_others_finish_and_are_named(
    world: "World", quick: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, failing = run_cell, {"real", "synthetic-only"}

    def faulty(*given: Any) -> None:
        if given[2].arm in failing:
            raise ValueError("the training loss is nan by step 1\nand more")
        honest(*given)

    monkeypatch.setattr(local, "run_cell", faulty)
    with pytest.raises(UserError, match=r"2 of 4 cells failed, \S*-real-\S* \S*-synthetic-only-.*nan by step 1\)"):
        world.run(quick)
    failing.remove("real")
    message = r"synthetic-only.*failed \(ValueError: the training loss is nan by step 1\)(; what is complete is .*)?$"
    with pytest.raises(UserError, match=message):
        world.run(quick)
    monkeypatch.setattr(local, "run_cell", honest)
    assert world.run(quick).num_reused == 3


def test_a_full_disk_ends_the_study_before_another_cell_is_trained_in_vain(
    world: "World", quick: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def full(*given: Any) -> None:
        tried.append(given)
        raise DiskFull("the disk is full")

    monkeypatch.setattr(local, "run_cell", full)
    with pytest.raises(DiskFull):
        world.run(quick)
    assert len(tried) == 1


def test_a_killed_process_and_a_failed_cell_are_both_reported(
    world: "World", quick: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    design = world.design(quick)
    cells = plan_cells(design)

    def killed(*given: Any, **options: Any) -> Iterator[tuple[int, UserError]]:
        yield 0, UserError("the cell fails")
        raise UserError(f"lost: {given[3][2]}")

    monkeypatch.setattr(local, "run_parallel", killed)
    first, third = re.escape(cells[0].name), re.escape(cells[2].name)
    with pytest.raises(UserError, match=rf"1 of 4 cells failed, {first}; the cell fails; lost: {third}"):
        list(local.LocalExecutor(world.workspace, design, Compute(num_workers=2)).run(cells))


def test_interrupt_keeps_what_is_finished_and_leaves_no_part_of_a_file(
    world: "World", quick: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, count = run_cell, []

    def interrupted(*given: Any) -> None:
        count.append(given)
        if len(count) == 3:
            raise KeyboardInterrupt
        honest(*given)

    monkeypatch.setattr(local, "run_cell", interrupted)
    with pytest.raises(KeyboardInterrupt):
        world.run(quick)
    monkeypatch.setattr(local, "run_cell", honest)
    assert not list(world.workspace.root.rglob("*.part"))
    assert world.run(quick).num_reused == 2


def test_several_processes_give_the_same_predictions_as_one(
    world: "World", quick: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # of the processes, as of this one: sums are cut by thread
    config = replace(quick, arms=quick.arms[:3])
    outcome = world.run(config, num_workers=2)
    spread = {path.name: np.load(path)["probs"] for path in (outcome.study.root / "cells").glob("*.npz")}
    for path in (outcome.study.root / "cells").iterdir():
        path.unlink()
    world.run(config)
    here = {path.name: np.load(path)["probs"] for path in (outcome.study.root / "cells").glob("*.npz")}
    assert len(spread) == len(here) == 3
    for name, probs in spread.items():
        np.testing.assert_array_equal(probs, here[name])


def test_error_of_a_worker_crosses_the_border_of_processes_unchanged() -> None:
    error = UserError("the cell failed", expected="that it does not", todo="try again")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_every_arm_starts_from_the_weights_given_and_other_weights_are_other_cells(
    world: "World", quick: StudyConfig, tmp_path: Path
) -> None:
    def run_from(seed: int) -> list[dict[str, Any]]:
        start = build_seeded("dalaresnet50_small", 2, seed, image_size_px=16)
        path = tmp_path / f"{seed}.safetensors"
        save_file({name: value.contiguous() for name, value in start.state_dict().items()}, path)
        saw = (("dalaresnet50_small", "nothing: its weights are drawn"),)
        config = replace(quick, pretrained=(("dalaresnet50_small", str(path)),), pretrained_saw=saw)
        outcome = world.run(config)
        assert outcome.num_reused == 0
        return rows_of(outcome)

    first, second = run_from(5), run_from(6)
    assert len({row["initial_weights"] for row in first}) == 1
    assert first[0]["initial_weights"] != second[0]["initial_weights"]


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_weights_that_do_not_fit_are_refused_before_anything_is_written(
    world: "World", quick: StudyConfig, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    config = replace(quick, pretrained=(("dalaresnet50_small", str(path)),))
    with pytest.raises(ConfigError, match=r"weights\.pth cannot be read as weights"):
        world.run(config)
    assert not (world.workspace.root / "studies").exists()


def test_weights_for_a_classifier_that_is_not_studied_are_refused(quick: StudyConfig) -> None:
    with pytest.raises(ConfigError, match="weights for resnet"):
        replace(quick, pretrained=(("resnet", "x.pth"),))


def damaged(array: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Probabilities that are none, by what is wrong with them."""
    nan, negative = array.copy(), array.copy()
    nan[0, 0], negative[0] = np.nan, [-1.0, 2.0]
    return {"one column": array[:, 0], "a row less": array[1:], "three classes": np.hstack([array, array[:, :1]]),
            "doubles": array.astype(np.float64), "NaN": nan, "negative": negative, "twice": 2 * array,
            "text": array.astype(str)}  # fmt: skip


def test_cells_that_hold_no_cell_are_not_taken_however_they_are_sealed(world: "World", quick: StudyConfig) -> None:
    """Whoever has this library can seal a record again; what the verdict computes with is looked at for itself."""
    study = world.run(quick).study
    cell = plan_cells(world.design(quick))[0]
    record, path = read_json(study.cell(cell.name)), study.predictions(cell.name)
    with np.load(path) as stored:
        arrays = dict(stored)

    def is_taken(changed_record: dict[str, Any], changed_arrays: dict[str, Any] | bytes, packed: bool = False) -> bool:
        if isinstance(changed_arrays, bytes):
            path.write_bytes(changed_arrays)
        else:
            (np.savez_compressed if packed else np.savez)(path, **changed_arrays)
        given = sealed({**changed_record, "predictions": digest_of_file(path)})
        study.cell(cell.name).write_text(json.dumps(given))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load_cell(study, cell, world.dataset) is not None

    assert is_taken(record, arrays)
    for what, probs in damaged(arrays["probs"]).items():
        assert not is_taken(record, {**arrays, "probs": probs}), what
    assert not is_taken(record, {name: array for name, array in arrays.items() if name != "probs"})
    assert not is_taken(record, {**arrays, "image_ids": np.zeros((2000, 2000))}, packed=True)
    np.savez(path, **arrays)
    for old, new in ((b"(", b"9"), (b"'<f4'", b"'<f4("), (b"PK", b"pk"), (b"fortran", b"\0\0\0\0\0\0\0")):
        assert not is_taken(record, path.read_bytes().replace(old, new)), old
        np.savez(path, **arrays)
    for name in ("scores", "train_images", "seconds", "device", "best_step", "num_steps", "initial_weights"):
        values: tuple[Any, ...] = (None, "x", [1], {}, 2**70)
        for value in values:
            if not (value == "x" and name in ("device", "initial_weights")):
                assert not is_taken({**record, name: value}, arrays), (name, value)
        assert not is_taken({key: value for key, value in record.items() if key != name}, arrays), name


def test_earlier_studies_of_any_content_are_counted_as_unreadable(world: "World", quick: StudyConfig) -> None:
    study = world.run(quick).study
    honest = read_json(study.design)
    (whole,) = other_looks(world.workspace, "another", honest["tested"])
    assert (whole.study, whole.num_patients) == (study.root.name, len(honest["tested"]))
    config = {"classifiers": ["a"], "ratio": 1.0, "num_steps": 2, "seeds": [0]}
    odd_values: list[dict[str, Any]] = [{"classifiers": [1]}, {"ratio": "a"}, {"ratio": 10**400}]
    odd_configs = [5, {}, *({**config, **odd} for odd in odd_values)]
    changes: list[dict[str, Any]] = [{"created": 5}, {"created": None}, {"tested": [[1]]}, {"tested": "p"}]
    for change in [*changes, *({"config": odd} for odd in odd_configs)]:
        study.design.write_text(json.dumps(sealed({**honest, **change})))
        (look,) = other_looks(world.workspace, "another", honest["tested"])
        assert (look.study, look.created, look.verdict) == (study.root.name, "", "cannot be read"), change
        assert warning_of([look], "2026")

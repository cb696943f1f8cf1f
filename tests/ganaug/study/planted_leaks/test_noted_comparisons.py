"""A comparison with held-out pictures that went well is noted, and stands for nothing but what was compared."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ganaug.data import held_out, synthetic
from ganaug.data.dataset import DataSet
from ganaug.data.hdf5 import seals
from ganaug.data.schema import ImageReader
from ganaug.study.admission.guard import admit

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The folds whose held-out pictures files were really compared with."""
    folds: list[int] = []
    honest = held_out.require_none_shown

    def count(dataset: DataSet, fold: int, reader: ImageReader, file: Path | str, *, expected: str, todo: str) -> None:
        folds.append(fold)
        honest(dataset, fold, reader, file, expected=expected, todo=todo)

    monkeypatch.setattr(synthetic, "require_none_shown", count)
    return folds


def test_the_same_images_are_compared_once(world: "World", compared: list[int]) -> None:
    supply = world.supply(0)
    for _ in range(2):
        admit(world.workspace, world.dataset, supply)
    assert compared == [0]


def test_other_images_are_compared_again(world: "World", compared: list[int]) -> None:
    admit(world.workspace, world.dataset, world.supply(0))
    admit(world.workspace, world.dataset, world.supply(0, world.synthesize(0, seed=1)))
    admit(world.workspace, world.dataset, world.supply(1))
    assert compared == [0, 0, 1]


def test_who_asks_to_verify_has_everything_compared_again(world: "World", compared: list[int]) -> None:
    supply = world.supply(0)
    admit(world.workspace, world.dataset, supply)
    seals.insist()
    admit(world.workspace, world.dataset, supply)
    assert compared == [0, 0]


@pytest.mark.parametrize("edit", [lambda values: values | {"fold": 1}, lambda values: {"shows_nothing_held_out": []}])
def test_an_edited_note_says_nothing(
    world: "World", compared: list[int], edit: Callable[[dict[str, object]], dict[str, object]]
) -> None:
    supply = world.supply(0)
    admit(world.workspace, world.dataset, supply)
    for note in (world.workspace.root / "cache" / "checked").iterdir():
        note.write_text(json.dumps(edit(json.loads(note.read_text(encoding="utf-8")))), encoding="utf-8")
    admit(world.workspace, world.dataset, supply)
    assert compared == [0, 0]


def test_a_dry_run_notes_nothing(world: "World", compared: list[int]) -> None:
    supply = world.supply(0)
    seals.keep_no_notes()
    for _ in range(2):
        admit(world.workspace, world.dataset, supply)
    assert compared == [0, 0]

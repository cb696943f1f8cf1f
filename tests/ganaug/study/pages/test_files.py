"""What stands next to the page: tables that other programs read, the answer as text, a card for the images."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ganaug.config import StudyConfig
from ganaug.study.maps import MAP_PX, read_maps
from ganaug.study.run import Outcome
from ganaug.workspace import read_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ganaug.study.conftest import World


CLASS_NAMES = ("Benign-with-a-rather-long-name", "Malignant")


@pytest.fixture
def world(shown: "tuple[World, Outcome]") -> "World":
    return shown[0]


@pytest.fixture
def outcome(shown: "tuple[World, Outcome]") -> Outcome:
    return shown[1]


def read(outcome: Outcome, name: str) -> list[dict[str, str]]:
    with outcome.study.table(name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tables_hold_the_numbers_of_the_verdict(outcome: Outcome) -> None:
    stored = read_json(outcome.study.verdict)["differences"]
    rows = read(outcome, "differences")
    assert [(row["arm"], row["baseline"]) for row in rows] == [(each["arm"], each["baseline"]) for each in stored]
    assert [float(row["difference"]) for row in rows] == pytest.approx([d["estimate"] for d in stored], abs=1e-5)
    assert [float(row["low"]) for row in rows] == pytest.approx([d["low"] for d in stored], abs=1e-5)
    assert [row["part"] for row in read(outcome, "parts")] == [f"class {name}" for name in CLASS_NAMES]
    assert [row["arm"] for row in read(outcome, "scores")] == list(dict.fromkeys(outcome_arms(outcome)))
    curves = read(outcome, "curves")
    assert {(row["arm"], row["fraction_of_real"]) for row in curves} == {
        (arm, fraction) for arm in ("real", "real+synthetic") for fraction in ("0.5", "1")
    }


def outcome_arms(outcome: Outcome) -> list[str]:
    arms: list[str] = read_json(outcome.study.design)["config"]["arms"]
    return arms


def test_text_and_card_say_the_answer_and_name_no_patient(outcome: Outcome, world: "World") -> None:
    text, card = (path.read_text(encoding="utf-8") for path in (outcome.study.text, outcome.study.data_card))
    assert outcome.verdict.sentence in text
    assert all(warning in text for warning in outcome.verdict.warnings)
    assert outcome.verdict.word in card
    everything = text + card
    for path in (outcome.study.root / "tables").iterdir():
        everything += path.read_text(encoding="utf-8")
    assert not [name for name in set(world.dataset.table.group_id.tolist()) if name in everything]
    assert str(world.workspace.root) not in everything + outcome.study.report.read_text(encoding="utf-8")


def test_a_leak_audit_is_marked_wherever_it_is_seen(outcome: Outcome) -> None:
    page = outcome.study.report.read_text(encoding="utf-8")
    assert '<p class="leak">Leak audit: real+leaky-synthetic' in page
    assert page.count(' leak">') >= 2
    assert "LEAK:" in page
    assert any("leak audit" in warning for warning in outcome.verdict.warnings)
    assert "leak audit" in outcome.study.text.read_text(encoding="utf-8")


def test_maps_of_the_two_arms_in_question_are_kept_for_the_first_seed(outcome: Outcome, world: "World") -> None:
    kept = sorted(outcome.study.root.glob("cells/*.maps.npy"))
    folds = world.dataset.folds.num_folds
    assert len(kept) == 2 * folds
    assert all("seed0" in path.name for path in kept)
    num_images = len(world.dataset.test(0))
    maps = read_maps(next(path for path in kept if "fold0" in path.name), num_images)
    assert maps is not None
    assert maps.shape == (num_images, MAP_PX, MAP_PX)
    assert read_maps(kept[0], num_images + 1) is None


def test_what_is_no_map_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "cell.maps.npy"
    assert read_maps(path, 1) is None
    path.write_bytes(b"no array")
    assert read_maps(path, 1) is None
    np.save(path, np.zeros((1, MAP_PX, MAP_PX)))
    assert read_maps(path, 1) is None


def test_a_study_is_shown_again_where_its_maps_are_gone(world_of: "Callable[..., World]", quick: StudyConfig) -> None:
    world = world_of()
    supplies = world.supply_all()
    first = world.run(quick, supplies)
    for path in first.study.root.glob("cells/*.maps.npy"):
        path.unlink()
    again = world.run(quick, supplies)
    assert again.num_reused == again.num_cells
    assert "<h2>Test images whose answer changed</h2>" in again.study.report.read_text(encoding="utf-8")

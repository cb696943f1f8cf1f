"""What stands beside the page: tables that other programs read, the answer as text, a card for the images."""

import csv
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ganaug.config import DEFAULT_ARMS, StudyConfig
from ganaug.study.arms.names import name_arms
from ganaug.study.maps import MAP_PX, read_maps
from ganaug.study.run import Outcome
from ganaug.workspace import read_json

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World


@pytest.fixture
def outcome(world: "World") -> Outcome:
    arms = name_arms((*DEFAULT_ARMS, "real+synthetic@0.5"), (0.5,), leak_audit=True)
    return world.run(
        StudyConfig(
            classifiers=("dalaresnet50_small",), shortcuts=(), seeds=(0, 1), num_steps=2, batch=4, num_resamples=100,
            arms=arms, leak_audit=True,
        )
    )  # fmt: skip


def read(outcome: Outcome, name: str) -> list[dict[str, str]]:
    with outcome.study.table(name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tables_hold_the_numbers_of_the_verdict(outcome: Outcome) -> None:
    stored = read_json(outcome.study.verdict)["differences"]
    rows = read(outcome, "differences")
    assert [(row["arm"], row["baseline"]) for row in rows] == [(each["arm"], each["baseline"]) for each in stored]
    assert [float(row["difference"]) for row in rows] == pytest.approx([d["estimate"] for d in stored], abs=1e-5)
    assert [float(row["low"]) for row in rows] == pytest.approx([d["low"] for d in stored], abs=1e-5)
    assert {row["part"] for row in read(outcome, "parts")} == {"class Benign", "class Malignant"}
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
    kept[0].write_bytes(b"no array")
    assert read_maps(kept[0], num_images) is None


def test_a_study_is_shown_again_where_its_maps_are_gone(outcome: Outcome, world: "World") -> None:
    for path in outcome.study.root.glob("cells/*.maps.npy"):
        path.unlink()
    config = StudyConfig(
        classifiers=("dalaresnet50_small",), shortcuts=(), seeds=(0, 1), num_steps=2, batch=4, num_resamples=100,
        arms=name_arms((*DEFAULT_ARMS, "real+synthetic@0.5"), (0.5,), leak_audit=True), leak_audit=True,
    )  # fmt: skip
    again = world.run(
        config, [world.supply(fold, path) for fold, path in enumerate(sorted(world.workspace.synthetics()))]
    )
    assert again.num_reused == again.num_cells
    assert np.isclose(again.verdict.differences[0].estimate, outcome.verdict.differences[0].estimate)

"""Answers are scored by the key, per class and reader, and only answers to this very study."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from ganaug.errors import CorruptFile, DataError, LeakError
from ganaug.provenance import sealed
from ganaug.reader.score import ALL, EVERYBODY, fleiss_kappa, score_readers, wilson_interval
from ganaug.workspace import write_json

NUM_ITEMS = 40
TRUTH = [number % 2 == 0 for number in range(NUM_ITEMS)]
CLASSES = ["Benign" if number % 4 < 2 else "Malignant" for number in range(NUM_ITEMS)]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    items = [
        {"number": number + 1, "is_real": TRUTH[number], "class_name": CLASSES[number]} for number in range(NUM_ITEMS)
    ]
    write_json(tmp_path / "key.json", sealed({"study": "abc", "items": items}))
    return tmp_path / "key.json"


def answers(folder: Path, reader: str, called_real: list[bool], study: str = "abc") -> Path:
    given = {str(number + 1): "real" if real else "generated" for number, real in enumerate(called_real)}
    path = folder / f"{reader}.json"
    path.write_text(json.dumps({"study": study, "reader": reader, "answers": given, "seconds": {}}))
    return path


def test_perfect_and_guessing_readers_are_scored_as_such(key: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    guesses = rng.integers(0, 2, NUM_ITEMS).astype(bool).tolist()
    rows, _ = score_readers(key, [answers(tmp_path, "ann", TRUTH), answers(tmp_path, "bob", guesses)])
    score = {(row.reader, row.class_name): row for row in rows}
    assert len(score) == 9
    assert score["ann", ALL].accuracy == 1
    assert score["bob", ALL].accuracy == np.mean(np.array(guesses) == TRUTH)
    assert score["ann", "Benign"].num_answers == 20
    assert score[EVERYBODY, ALL].accuracy == pytest.approx((1 + score["bob", ALL].accuracy) / 2)
    assert score["ann", ALL].real_called_real == 1
    assert score["ann", ALL].generated_called_real == 0
    assert score["bob", ALL].interval.low < 0.5 < score["bob", ALL].interval.high


def test_kappa_of_two_readers_is_between_those_of_chance_and_agreement() -> None:
    rng = np.random.default_rng(1)
    first, other = rng.integers(0, 2, (2, 400)).astype(bool)
    assert fleiss_kappa(np.stack([first, first])) == pytest.approx(1)
    assert abs(fleiss_kappa(np.stack([first, other]))) < 0.15
    mixed = np.where(rng.random(400) < 0.3, other, first)
    assert fleiss_kappa(np.stack([first, mixed])) == pytest.approx(cohen_kappa_score(first, mixed), abs=0.02)
    assert np.isnan(fleiss_kappa(first[None]))


@pytest.mark.parametrize(("right", "images"), [(0, 10), (10, 10), (5, 10), (37, 80)])
def test_interval_keeps_within_zero_and_one_and_holds_the_accuracy(right: int, images: int) -> None:
    from scipy.stats import binomtest

    found = wilson_interval(right, images, 0.95)
    expected = binomtest(right, images).proportion_ci(0.95, method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"answers": 3, "reader": "a", "study": "abc"}', "\x00"])
def test_files_that_hold_no_answers_are_named(key: Path, tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(CorruptFile, match=r"bad\.json"):
        score_readers(key, [path])


def test_answers_to_another_study_or_too_few_or_twice_are_refused(key: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the study xyz; expected to abc"):
        score_readers(key, [answers(tmp_path, "ann", TRUTH, study="xyz")])
    with pytest.raises(DataError, match="image 31, 32, 33, 34, 35 and others"):
        score_readers(key, [answers(tmp_path, "ann", TRUTH[:30])])
    with pytest.raises(DataError, match="two files of answers of the reader ann"):
        score_readers(key, [answers(tmp_path, "ann", TRUTH)] * 2)


def test_a_key_that_was_edited_scores_nobody(key: Path, tmp_path: Path) -> None:
    key.write_text(key.read_text().replace("Benign", "Normal", 1))
    with pytest.raises(LeakError):
        score_readers(key, [answers(tmp_path, "ann", TRUTH)])

"""Which copies the audit finds at which fraction, in the short form of `scripts/bench_copies.py`."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest

NUM_RUNS = 20

# The smallest fraction of copies among 500 images at which every run ends in an alarm.
FOUND_FROM = {
    "exact": 0.004,
    "blurred": 0.004,
    "oriented": 0.004,
    "tilted 2–10°": 0.004,
    "stain jitter": 0.004,
    "90 % crop": 0.004,
    "80 % crop": 0.01,
    "shifted": 0.004,
    "noise": 0.004,
    "combined": 0.01,
}


@pytest.fixture(scope="module")
def table(bench: ModuleType, phantom: Any) -> dict[str, Any]:
    pool = bench.Pool("phantom", phantom.images, phantom.group)
    sizes = bench.Sizes(train=500, held_out=250, copies=20)
    row: dict[str, Any] = bench.measure(pool, sizes, bench.DISGUISES, NUM_RUNS, 1)
    return row


def test_the_table_is_of_500_images_and_all_disguises(bench: ModuleType, table: dict[str, Any]) -> None:
    assert table["synthetic_images"] == 500
    assert set(table["found"]) == set(FOUND_FROM) == set(bench.DISGUISES)


@pytest.mark.parametrize("disguise", FOUND_FROM)
def test_copies_are_found_from_their_fraction_on(disguise: str, table: dict[str, Any]) -> None:
    found = {float(fraction): num for fraction, num in table["found"][disguise].items()}
    assert len(found) == 5
    assert {fraction: num for fraction, num in found.items() if fraction >= FOUND_FROM[disguise]} == {
        fraction: NUM_RUNS for fraction in found if fraction >= FOUND_FROM[disguise]
    }
    assert table["right_training_image"][disguise] >= (0.7 if disguise == "80 % crop" else 0.95)


@pytest.mark.parametrize("honest", ["other patients", "training patients"])
def test_further_images_of_other_patients_and_of_the_training_patients_raise_no_alarm(
    honest: str, table: dict[str, Any]
) -> None:
    assert table["false_alarms"][honest] <= 0.05 * NUM_RUNS


def test_alarms_need_copies(bench: ModuleType, phantom: Any) -> None:
    """The table can fail: a limit that nothing reaches finds nothing, one that all reach alarms at honest images."""
    null = bench.Null(np.zeros(100), np.repeat([f"p{number}" for number in range(10)], 10), np.zeros(100, np.bool_))
    leads = np.full(500, 0.5)
    assert not bench.is_alarm(leads, null, 1.0)
    assert bench.is_alarm(leads, null, 0.4)

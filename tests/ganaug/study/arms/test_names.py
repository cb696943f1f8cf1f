"""Names of arms are read as they are written, and say what each is compared with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganaug.errors import ConfigError
from ganaug.study.arms.names import ArmName, name_arms, pairs_of, pool, pooled_arms, read_fractions, read_name
from ganaug.study.arms.registry import ARMS

NAMES = st.builds(
    ArmName,
    base=st.sampled_from(sorted(ARMS)),
    ratio=st.none() | st.sampled_from([0.1, 0.25, 0.5, 2.0, 1000.0]),
    fraction=st.sampled_from([0.01, 0.1, 0.5]),
    has_fraction=st.just(True),
)


@given(NAMES)
def test_a_name_is_read_as_it_was_written(name: ArmName) -> None:
    assert read_name(name.text) == name


@pytest.mark.parametrize("text", ["real/0.50", "real@", "real/", "/0.5", "real/0.5@1", "real@1@2", "real/x", ""])
def test_what_is_written_otherwise_is_no_name(text: str) -> None:
    assert read_name(text) is None


def test_a_fraction_asks_the_question_with_baselines_of_its_own() -> None:
    arms = name_arms(("real", "real-oversampled", "real+synthetic"), (0.25, 1.0))
    assert arms[3:] == ("real/0.25", "real-oversampled/0.25", "real+synthetic/0.25")
    pairs = pairs_of(arms)
    assert ("real+synthetic/0.25", pool("real/0.25", "real-oversampled/0.25")) in pairs
    assert ("real-oversampled/0.25", "real/0.25") in pairs
    assert ("real/0.25", "real") in pairs
    assert len(set(pairs)) == len(pairs)


def test_an_arm_of_a_fraction_brings_its_baseline() -> None:
    assert name_arms(("real", "real+more-real@2/0.5")) == ("real", "real/0.5", "real+more-real@2/0.5")


def test_a_leak_audit_compares_the_leak_with_the_clean_arm() -> None:
    pairs = pairs_of(name_arms(("real", "real-oversampled", "real+synthetic"), leak_audit=True))
    assert ("real+leaky-synthetic", "real+synthetic") in pairs


def test_classes_filled_up_by_a_generator_stand_against_those_filled_up_by_repeats() -> None:
    arms = ("real", "real-oversampled", "real+synthetic", "real-weighted", "real+synthetic-balanced")
    assert ("real+synthetic-balanced", "real-weighted") in pairs_of(arms)
    assert not any(baseline == "real-weighted" for _, baseline in pairs_of(arms[:3] + arms[4:]))


def test_the_mean_of_two_arms_is_read_back() -> None:
    assert pooled_arms(pool("real/0.5", "real-oversampled@2/0.5")) == ("real/0.5", "real-oversampled@2/0.5")
    assert pooled_arms("real+synthetic") == ("real+synthetic",)


@pytest.mark.parametrize("text", ["", "0", "1.5", "0.1;0.2", "nan", "-1", "0.1,"])
def test_what_is_no_list_of_fractions_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="real fractions"):
        read_fractions(text)

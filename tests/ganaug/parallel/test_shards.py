"""Shards: every item in exactly one of them, named by the user, torchrun or Slurm."""

from collections.abc import Callable

import pytest

from ganaug.errors import ConfigError
from ganaug.parallel.shards import Shard, read_shard

ARRAY = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "1"}


@pytest.mark.parametrize("count", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("number", [0, 1, 4, 7, 100])
def test_the_shards_have_every_item_once_in_order_and_evenly(number: int, count: int) -> None:
    shards = [Shard(index, count).of(range(number)) for index in range(count)]
    assert [item for share in shards for item in share] == list(range(number))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize("text", ["2/2", "0/0", "1", "a/b", "-1/2", "1/2/3", ""])
def test_a_shard_that_makes_no_sense_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError, match="expected I/N") as refusal:
        read_shard(text)
    assert "\n" not in str(refusal.value)


@pytest.fixture
def set_environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Sets these variables, and removes all others of torchrun and Slurm."""

    def set_only(variables: dict[str, str]) -> None:
        for name in ("RANK", "WORLD_SIZE", *ARRAY):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_only


@pytest.mark.parametrize(
    ("text", "variables", "expected"),
    [
        ("auto", {"RANK": "1", "WORLD_SIZE": "8", **ARRAY}, Shard(1, 8)),
        ("auto", ARRAY, Shard(2, 4)),
        ("0/3", ARRAY, Shard(0, 3)),
    ],
)
def test_the_named_shard_comes_before_torchruns_and_that_before_slurms(
    text: str, variables: dict[str, str], expected: Shard, set_environment: Callable[[dict[str, str]], None]
) -> None:
    set_environment(variables)
    assert read_shard(text) == expected


@pytest.mark.parametrize(
    "variables", [{}, {"RANK": "0"}, {"RANK": "x", "WORLD_SIZE": "2"}, {**ARRAY, "SLURM_ARRAY_TASK_ID": "9"}]
)
def test_an_environment_that_names_no_shard_is_one_line(
    variables: dict[str, str], set_environment: Callable[[dict[str, str]], None]
) -> None:
    set_environment(variables)
    with pytest.raises(ConfigError) as refusal:
        read_shard("auto")
    assert "\n" not in str(refusal.value)

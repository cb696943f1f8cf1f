"""Stored features: streamed into their file, found again, and never wrong, whatever the disk and other processes do."""

import hashlib
import resource
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganaug import remember
from ganaug.data.dataset import DataSet
from ganaug.errors import WeightsError
from ganaug.evaluate import features
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.evaluate.extractors.registry import open_extractor
from ganaug.evaluate.features import feature_paths, features_of, map_features
from ganaug.workspace import Workspace

HEADER_BYTES = 128  # of a NumPy file of this size
DEADLINE_S = 30.0


@pytest.fixture(autouse=True)
def _nothing_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_noted", set())


def watched(extractor: Extractor, watch: Callable[[int], None]) -> Extractor:
    """The extractor, which calls `watch` with the images it has seen before each batch."""
    seen = 0

    def embed(img: Tensor) -> Tensor:
        nonlocal seen
        watch(seen)
        seen += len(img)
        return extractor.embed(img)

    return replace(extractor, embed=embed)


def recorded(function: Callable[[Path], Any], paths: list[Path]) -> Callable[[Path], Any]:
    """The function, which adds what it is called with to `paths`."""

    def call(path: Path) -> Any:
        paths.append(path)
        return function(path)

    return call


def cache_of(workspace: Workspace) -> Path:
    return workspace.root / "cache" / "features"


@contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    """A real limit: what is written beyond it fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_cached_features_are_not_recomputed_unless_images_or_extractor_change(
    workspace: Workspace, dataset: DataSet, pixels: Extractor
) -> None:
    calls = []

    def counting(img: torch.Tensor) -> torch.Tensor:
        calls.append(len(img))
        return pixels.embed(img)

    extractor = replace(pixels, embed=counting)
    first = features_of(workspace, dataset.reader, extractor)
    done = len(calls)
    np.testing.assert_array_equal(features_of(workspace, dataset.reader, extractor), first)
    assert len(calls) == done, "a second look must come from the cache"
    for changed in (replace(extractor, digest="e" * 64), replace(extractor, preprocessing="another")):
        done = len(calls)
        features_of(workspace, dataset.reader, changed)
        assert len(calls) > done, "other weights or another preprocessing must not get old features"


def test_a_cache_that_cannot_be_written_is_a_note_and_no_error(
    workspace: Workspace, dataset: DataSet, pixels: Extractor
) -> None:
    (workspace.root / "cache").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match=r"cache/features.* the features are not stored"):
        found = features_of(workspace, dataset.reader, pixels)
    assert len(found) == len(dataset.table)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is noted once
        np.testing.assert_array_equal(features_of(workspace, dataset.reader, pixels), found)


def test_a_cache_of_another_shape_is_not_used(workspace: Workspace, dataset: DataSet, pixels: Extractor) -> None:
    found = features_of(workspace, dataset.reader, pixels)
    (cached,) = cache_of(workspace).iterdir()
    for other in (found[1:], found[0], np.array(5.0)):
        np.save(cached, other)
        assert np.allclose(features_of(workspace, dataset.reader, pixels), found)


def test_a_corrupt_cache_is_computed_again(workspace: Workspace, dataset: DataSet, pixels: Extractor) -> None:
    first = features_of(workspace, dataset.reader, pixels)
    (cached,) = cache_of(workspace).iterdir()
    whole = cached.read_bytes()
    cached.write_bytes(whole[:100])
    np.testing.assert_array_equal(features_of(workspace, dataset.reader, pixels), first)
    for place in range(0, 128, 9):  # of the header, which NumPy parses as Python
        for byte in (b"(", b"\0"):
            cached.write_bytes(whole[:place] + byte + whole[place + 1 :])
            np.testing.assert_array_equal(features_of(workspace, dataset.reader, pixels), first)


def test_rows_are_in_the_file_while_later_ones_are_computed(
    workspace: Workspace, dataset: DataSet, pixels: Extractor
) -> None:
    sizes = []

    def watch(seen: int) -> None:
        (part,) = cache_of(workspace).glob(".*.part")
        sizes.append((seen, part.stat().st_size))

    features_of(workspace, dataset.reader, watched(pixels, watch))
    assert len(sizes) == len(dataset.table) / 16
    assert all(size == (HEADER_BYTES + 4 * 6 * seen if seen else 0) for seen, size in sizes)


def test_the_next_batch_is_read_while_the_network_works(pixels: Extractor) -> None:
    images = np.zeros((40, 8, 8, 3), np.uint8)
    is_read = [threading.Event() for _ in range(3)]

    class Recorded:
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
            is_read[int(indices[0]) // 16].set()
            return images[indices]

    def watch(seen: int) -> None:
        following = seen // 16 + 1
        assert following == len(is_read) or is_read[following].wait(DEADLINE_S)

    assert watched(pixels, watch).features(Recorded()).shape == (40, 6)


def test_some_rows_are_those_of_all(workspace: Workspace, dataset: DataSet, pixels: Extractor) -> None:
    rows = np.array([7, 2, 2, 30])
    found = features_of(workspace, dataset.reader, pixels, rows=rows)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, features_of(workspace, dataset.reader, pixels)[rows])


@pytest.mark.parametrize("num_bytes", [50, HEADER_BYTES + 4 * 6 * 16 * 3 + 40], ids=["at once", "in the middle"])
def test_a_disk_that_fills_is_one_note_and_no_image_is_computed_twice(
    workspace: Workspace, dataset: DataSet, pixels: Extractor, num_bytes: int
) -> None:
    starts: list[int] = []
    extractor = watched(pixels, starts.append)
    features_of(workspace, dataset.reader, replace(pixels, digest="0" * 64))  # the folder is there
    with pytest.warns(UserWarning, match="disk is full.*are not stored") as caught, files_of_at_most(num_bytes):
        maps = map_features(workspace, dataset.reader, extractor, (0, 1))
    assert len(caught) == 1
    assert len(starts) == 2 * len(dataset.table) / 16
    for orientation, found in enumerate(maps):
        expected = pixels.features(dataset.reader, orientation=orientation)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert len(list(cache_of(workspace).iterdir())) == 1, "no part of a file stays"


def test_features_that_vanish_as_soon_as_they_are_stored_are_computed_again(
    workspace: Workspace, dataset: DataSet, pixels: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "_read_cached", lambda *_: None)
    np.testing.assert_allclose(
        features_of(workspace, dataset.reader, pixels), pixels.features(dataset.reader), rtol=1e-6
    )


def test_two_processes_that_extract_the_same_do_not_disturb_each_other(
    workspace: Workspace, dataset: DataSet, pixels: Extractor
) -> None:
    """The second begins and ends while the first is in its last batch; what it has mapped stays as it was."""
    (path,) = feature_paths(workspace, dataset.reader, pixels, (0,))
    inner: list[NDArray[np.float32]] = []

    def watch(seen: int) -> None:
        assert path.exists() == bool(inner), "a file has its name when it is whole"
        if seen + 16 >= len(dataset.table) and not inner:
            inner.extend(map_features(workspace, dataset.reader, pixels, (0,)))

    (outer,) = map_features(workspace, dataset.reader, watched(pixels, watch), (0,))
    assert len(inner) == 1
    np.testing.assert_array_equal(outer, inner[0])
    np.testing.assert_array_equal(np.load(path), outer)
    assert list(cache_of(workspace).iterdir()) == [path]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused_and_not_stored(
    workspace: Workspace, dataset: DataSet, pixels: Extractor, value: float
) -> None:
    def embed(img: Tensor) -> Tensor:
        is_last = (img == torch.from_numpy(last).permute(2, 0, 1)).flatten(1).all(1)
        return torch.where(is_last[:, None], value, pixels.embed(img))

    last = dataset.reader[np.array([len(dataset.table) - 3])][0]
    with pytest.raises(WeightsError, match=f"pixels gives NaN or infinity for image {len(dataset.table) - 3};"):
        features_of(workspace, dataset.reader, replace(pixels, embed=embed))
    assert list(cache_of(workspace).iterdir()) == []


def test_stored_features_that_are_not_finite_or_of_another_kind_are_computed_again(
    workspace: Workspace, dataset: DataSet, pixels: Extractor
) -> None:
    extractor = replace(pixels, num_features=6)
    first = features_of(workspace, dataset.reader, extractor)
    (path,) = cache_of(workspace).iterdir()
    planted = first.astype(np.float32)
    planted[100, 3] = np.nan
    for other in (planted, first, first[:, :5].astype(np.float32), np.asfortranarray(first.astype(np.float16))):
        np.save(path, other)
        np.testing.assert_array_equal(features_of(workspace, dataset.reader, extractor), first)


def test_stored_features_are_looked_through_once_per_process(
    workspace: Workspace, dataset: DataSet, pixels: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    features_of(workspace, dataset.reader, pixels)
    looked: list[Path] = []
    monkeypatch.setattr(remember, "SECONDS_TO_SETTLE", -1.0)
    monkeypatch.setattr(np, "isfinite", recorded(cast(Any, np.isfinite), looked))
    for _ in range(3):
        features_of(workspace, dataset.reader, pixels)
    assert len(looked) == 1


def test_a_file_of_weights_is_hashed_once(
    workspace: Workspace, dataset: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Any] = []
    compute = hashlib.file_digest
    monkeypatch.setattr(remember, "SECONDS_TO_SETTLE", -1.0)

    def record(*file: Any) -> Any:
        hashed.append(file)
        return compute(*file)

    monkeypatch.setattr(hashlib, "file_digest", record)
    for _ in range(3):
        extractor = open_extractor("efficientnet_lite0", ExtractorInputs(dataset, 0))
        feature_paths(workspace, dataset.reader, extractor, range(8))
    assert len(hashed) <= 1, "by an earlier test of this process, or here"

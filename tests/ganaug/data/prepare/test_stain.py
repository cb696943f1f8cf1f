"""Stain normalisation brings laboratories together, keeps what it cannot judge, and learns from training alone."""

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ganaug.config import PhantomConfig
from ganaug.data.prepare.stain import (
    TISSUE_DENSITY,
    WHITE,
    Reference,
    StainedFolds,
    fit_one,
    normalise,
    reference_of,
    stain_folds,
)
from ganaug.data.sources.phantom import draw as phantom
from ganaug.errors import DataError

METHODS = ("macenko", "reinhard")
CONFIG = PhantomConfig(resolution_px=64, num_patients=8, images_per_patient=2)
SIDE = 64


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def tissue() -> NDArray[np.uint8]:
    """Images u8 [16,H,W,3] of eight patients, two each, next to each other."""
    return np.stack([item.image for item in phantom.draw(CONFIG, 3)])


@pytest.fixture
def stained_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, float], NDArray[np.uint8]]:
    """The same tissue as one laboratory and one strength of its dyes show it."""
    draw_patient = phantom.draw_patient

    def at(site: int, strength: float) -> NDArray[np.uint8]:
        absorbance = strength * np.array(phantom.SITES[site], np.float32)
        with monkeypatch.context() as patch:
            patch.setattr(phantom, "draw_patient", lambda *of: replace(draw_patient(*of), absorbance=absorbance))
            return np.stack([item.image for item in phantom.draw(CONFIG, 3)])

    return at


def noise(mean: float, std: float) -> NDArray[np.uint8]:
    """Grey noise, the same in the three channels."""
    shade = np.random.default_rng(0).normal(mean, std, (SIDE, SIDE, 1))
    return np.clip(shade, 0, 255).astype(np.uint8).repeat(3, axis=2)


BACKGROUND = {
    "white": noise(255, 0),
    "camera noise": noise(243, 3),
    "black": noise(0, 0),
    "grey": noise(128, 20),
    "one pink": np.full((SIDE, SIDE, 3), (230, 160, 200), np.uint8),
}


def distance(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Mean absolute difference in shades of 256."""
    return float(np.abs(a.astype(float) - b).mean())


def reference_to(images: NDArray[np.uint8], method: str) -> Reference:
    return reference_of([item for image in images if (item := fit_one(image, method))])


def cut(images: NDArray[np.uint8], size: int = 5) -> Callable[[], Iterator[NDArray[np.uint8]]]:
    return lambda: (images[start : start + size] for start in range(0, len(images), size))


def as_seen(folds: StainedFolds) -> list[NDArray[np.uint8]]:
    """All images of every fold."""
    seen: list[list[NDArray[np.uint8]]] = [[] for _ in folds.references]
    for fold, block in folds:
        seen[fold].append(block)
    return [np.concatenate(blocks) for blocks in seen]


def same(a: Reference, b: Reference) -> bool:
    return a.to_dict() == b.to_dict()


def test_an_image_brought_to_its_own_stain_stays_as_it_is(method: str) -> None:
    """Of two dyes and nothing else, as Macenko keeps two dimensions of colour only."""
    dyes = np.random.default_rng(0).gamma(2, 0.25, (SIDE, SIDE, 2))
    image = np.rint(255 * np.exp(-dyes @ np.array(phantom.SITES[0]))).astype(np.uint8)
    own = fit_one(image, method)
    assert own is not None
    again = normalise(image, own)
    assert again is not None
    assert distance(again, image) < 1  # torchstain rounds down


def test_the_stain_that_is_found_is_the_dyes_own(stained_at: Callable[[int, float], NDArray[np.uint8]]) -> None:
    found = reference_to(stained_at(1, 1.0), "macenko").values["stains"]
    dyes = np.array(phantom.SITES[1]).T / np.linalg.norm(phantom.SITES[1], axis=1)
    assert np.degrees(np.arccos((found * dyes).sum(axis=0))).max() < 7
    assert np.allclose(np.linalg.norm(found, axis=0), 1)


@pytest.mark.parametrize(("site", "strength"), [(1, 1.3), (2, 0.8), (3, 1.2)])
def test_two_stains_of_the_same_tissue_come_closer(
    stained_at: Callable[[int, float], NDArray[np.uint8]], method: str, site: int, strength: float
) -> None:
    here, there = stained_at(0, 1.0), stained_at(site, strength)
    reference = reference_to(here, method)
    both = [(normalise(a, reference), normalise(b, reference)) for a, b in zip(here, there, strict=True)]
    after = [distance(a, b) for a, b in both if a is not None and b is not None]
    assert len(after) == len(here)
    assert np.mean(after) < 0.6 * distance(here, there)


def test_macenko_is_torchstains_own(tissue: NDArray[np.uint8]) -> None:
    from torchstain.numpy.normalizers import NumpyMacenkoNormalizer

    peer = NumpyMacenkoNormalizer()
    peer.fit(tissue[0], Io=WHITE, beta=TISSUE_DENSITY)
    expected, _, _ = peer.normalize(tissue[5], Io=WHITE, beta=TISSUE_DENSITY)
    reference = fit_one(tissue[0], "macenko")
    assert reference is not None
    np.testing.assert_array_equal(normalise(tissue[5], reference), expected)


def test_reinhard_is_torchstains_own(tissue: NDArray[np.uint8]) -> None:
    from torchstain.numpy.normalizers import NumpyReinhardNormalizer

    peer = NumpyReinhardNormalizer()
    peer.fit(tissue[0])
    reference = fit_one(tissue[0], "reinhard")
    assert reference is not None
    difference = np.abs(peer.normalize(tissue[5]).astype(int) - normalise(tissue[5], reference))
    assert difference.max() <= 1  # ours keeps the reference in double precision


def test_extreme_references_do_not_wrap_around(tissue: NDArray[np.uint8]) -> None:
    greyish = Reference("reinhard", {"means": np.array([50.0, 0, 0]), "stds": np.array([90.0, 0.01, 0.01])})
    image = tissue[0]
    brought = normalise(image, greyish)
    assert brought is not None
    assert brought.min() == 0
    assert brought.max() == 255
    lightness = image @ np.array([0.2126, 0.7152, 0.0722])
    darkest, brightest = lightness < np.quantile(lightness, 0.1), lightness > np.quantile(lightness, 0.9)
    assert brought[darkest].max() < brought[brightest].min()


def test_a_reference_is_the_median_channel_by_channel() -> None:
    ones = [Reference("reinhard", {"means": np.full(3, m), "stds": np.full(3, s)}) for m, s in ((1, 9), (5, 2), (3, 4))]
    assert reference_of(ones).to_dict() == {"method": "reinhard", "means": [3.0] * 3, "stds": [4.0] * 3}


def test_median_stains_are_unit_vectors_and_one_odd_image_does_not_decide() -> None:
    usual, other, odd = (
        np.array(columns).T for columns in ([[3, 4, 0], [0, 1, 0]], [[3, 4, 1], [0, 1, 1]], -np.eye(2, 3))
    )
    ones = [Reference("macenko", {"stains": 0.2 * x, "max_concentration": x[1]}) for x in (usual, usual, other, odd)]
    reference = reference_of(ones)
    np.testing.assert_allclose(reference.values["stains"], np.array([[0.6, 0], [0.8, 1], [0, 0]]), atol=1e-12)
    np.testing.assert_allclose(reference.values["max_concentration"], [4, 1])


def test_a_training_set_without_stain_is_an_error() -> None:
    with pytest.raises(DataError, match="no training image shows a stain"):
        stain_folds(cut(np.stack(list(BACKGROUND.values()))), [np.arange(5)], "macenko", workers=1)


@pytest.mark.parametrize("name", BACKGROUND)
def test_background_is_refused_without_a_warning(name: str, method: str, tissue: NDArray[np.uint8]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit_one(BACKGROUND[name], method) is None
        assert normalise(BACKGROUND[name], reference_to(tissue, method)) is None


def test_a_stroke_of_ink_on_glass_is_no_tissue() -> None:
    glass = np.full((SIDE, SIDE, 3), 250, np.uint8)
    glass[:3] = np.random.default_rng(0).integers(20, 200, (3, SIDE, 3))
    assert fit_one(glass, "macenko") is None
    glass[:12] = np.random.default_rng(0).integers(20, 200, (12, SIDE, 3))
    assert fit_one(glass, "macenko") is not None  # so it is the fraction that decides


def test_background_is_kept_and_noted(tissue: NDArray[np.uint8], method: str) -> None:
    images = tissue.copy()
    images[[2, 11]] = BACKGROUND["camera noise"], BACKGROUND["white"]
    folds = stain_folds(cut(images), [np.arange(6), np.arange(6, 16)], method, workers=1)
    assert folds.failed.tolist() == [2, 11]
    assert len(folds.references) == 2
    for seen in as_seen(folds):
        np.testing.assert_array_equal(seen[[2, 11]], images[[2, 11]])
        assert len(seen) == 16
        assert all(distance(seen[index], images[index]) > 0.5 for index in range(16) if index not in (2, 11))


def test_folds_see_every_image_brought_to_their_own_reference(tissue: NDArray[np.uint8], method: str) -> None:
    train = [np.arange(8), np.array([9, 15, 12])]
    folds = stain_folds(cut(tissue), train, method, workers=1)
    assert len(folds.references) == len(train)
    for fold, seen in enumerate(as_seen(folds)):
        reference = reference_to(tissue[train[fold]], method)
        assert same(folds.references[fold], reference)
        for image, brought in zip(tissue, seen, strict=True):
            np.testing.assert_array_equal(brought, normalise(image, reference))


@pytest.mark.parametrize(("size", "workers"), [(1, 1), (16, 3), (3, 2)])
def test_blocks_and_workers_change_nothing(tissue: NDArray[np.uint8], method: str, size: int, workers: int) -> None:
    train = [np.arange(10), np.arange(6, 16)]
    expected = as_seen(stain_folds(cut(tissue), train, method, workers=1))
    found = as_seen(stain_folds(cut(tissue, size), train, method, workers=workers))
    assert [len(seen) for seen in found] == [16, 16]
    for seen, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(seen, wanted)


@pytest.mark.parametrize("held_out", [0, 1, 2, 3])
def test_a_held_out_patient_changes_nothing_but_its_own_images(
    tissue: NDArray[np.uint8], method: str, held_out: int
) -> None:
    """The leak: fold k tests patients 2k and 2k + 1, validates on the next two and trains on the other four."""
    patient = np.arange(16) // 2
    part = patient // 2
    train = [np.flatnonzero((part != fold) & (part != (fold + 1) % 4)) for fold in range(4)]
    changed = tissue.copy()
    of_it = patient == 2 * held_out
    changed[of_it] = 255 - (255 - changed[of_it]) // 3 * np.array([1, 2, 3], np.uint8)  # pale and of another hue
    before, after = (stain_folds(cut(images), train, method, workers=1) for images in (tissue, changed))
    assert len(before.references) == 4
    for fold, (old, new) in enumerate(zip(as_seen(before), as_seen(after), strict=True)):
        unseen = held_out in (fold, (fold + 1) % 4)
        assert same(before.references[fold], after.references[fold]) == unseen
        assert np.array_equal(old[~of_it], new[~of_it]) == unseen
        assert not np.array_equal(old[of_it], new[of_it])


def test_references_go_into_a_file_as_json(tissue: NDArray[np.uint8], method: str) -> None:
    reference = reference_to(tissue, method)
    stored = json.loads(json.dumps(reference.to_dict()))
    assert stored.pop("method") == method
    assert {name: np.shape(value) for name, value in stored.items()} == (
        {"stains": (3, 2), "max_concentration": (2,)} if method == "macenko" else {"means": (3,), "stds": (3,)}
    )


def test_real_tissue_is_neither_refused_nor_bleached(shared: Path, method: str) -> None:
    """With torchstain's own limits the stroma of every thirteenth of these images turns white."""
    paths = sorted((shared / "BreaKHis_v1").rglob("*.png"))[::8]
    assert len(paths) > 50
    images = np.stack([np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE), 1)) for path in paths])
    folds = stain_folds(cut(images, 64), [np.arange(len(images))], method, workers=1)
    assert folds.failed.tolist() == []
    (seen,) = as_seen(folds)
    tissue = images.min(axis=3) < 200
    bleached = (seen.min(axis=3) >= 240) & tissue
    assert (bleached.sum(axis=(1, 2)) / tissue.sum(axis=(1, 2))).max() < 0.05
    colours = [stack.mean(axis=(1, 2)).std(axis=0).mean() for stack in (images, seen)]
    assert colours[1] < 0.7 * colours[0]  # slides differ less

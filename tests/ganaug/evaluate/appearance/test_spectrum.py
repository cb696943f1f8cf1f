"""Planted grids, repeated pixels, blur and noise in textures of known spectrum."""

import base64
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ganaug.evaluate.appearance.grid import MIN_IMAGES, find_grid, grid_places
from ganaug.evaluate.appearance.spectrum import DETAIL, judge_spectrum
from ganaug.evaluate.judged import Chapter, Judged
from ganaug.evaluate.scores import ALL, ImageScore

SIDE = 64
Pixels = NDArray[np.float64]


def textures(label: NDArray[np.int64], group: NDArray[np.str_], rng: np.random.Generator) -> Pixels:
    """Images [n,64,64,3], smooth noise and some fine noise; patients and classes differ in contrast."""
    _, owner = np.unique(group, return_inverse=True)
    contrast = 25 * (1 + 0.1 * rng.normal(size=owner.max() + 1))[owner] * (1 + 0.2 * label)
    noise = gaussian_filter(rng.normal(size=(len(label), SIDE, SIDE, 1)), (0, 1.5, 1.5, 0), mode="wrap")
    fine = rng.normal(0, 0.1, size=(len(label), SIDE, SIDE, 3))
    pixels: Pixels = 128 + contrast[:, None, None, None] * (noise / noise.std() + fine)
    return pixels


def checkerboard(period_px: int) -> Pixels:
    down, across = np.mgrid[:SIDE, :SIDE] * 2 // period_px
    return np.where((down + across) % 2 == 0, 1.0, -1.0)[None, :, :, None]


def spectra_with(change: Callable[[Pixels], Pixels], per_class: int = 60, seed: int = 0) -> Chapter:
    return judge_spectrum(textures_with(change, per_class, seed), seed=0)


def textures_with(change: Callable[[Pixels], Pixels], per_class: int = 60, seed: int = 0) -> Judged:
    from ganaug.evaluate.judged import ImageSet

    rng = np.random.default_rng(seed)
    label, group = np.repeat(np.arange(16) % 2, 6), np.repeat([f"patient-{k}" for k in range(16)], 6)
    made_label = np.arange(2 * per_class) % 2
    real = textures(label, group, rng)
    made = change(textures(made_label, np.arange(len(made_label)).astype(str), rng))
    sets = []
    for pixels, own, names in ((real, label, group), (made, made_label, np.full(len(made), ""))):
        stored = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        sets.append(ImageSet(stored, np.arange(len(own)), own, names))
    nobody = ImageSet(real[:0].astype(np.uint8), np.arange(0), label[:0], group[:0])
    return Judged(sets[0], nobody, sets[1], ("Benign", "Malignant"), "validation patients")


def row(chapter: Chapter, metric: str, class_name: str) -> ImageScore:
    (score,) = (each for each in chapter.scores if (each.metric, each.class_name) == (metric, class_name))
    return score


@pytest.mark.parametrize("seed", range(5))
def test_honest_images_raise_no_alarm(seed: int) -> None:
    chapter = spectra_with(lambda pixels: pixels, seed=seed)
    assert chapter.findings == ()
    distances = [score for score in chapter.scores if "distance" in score.metric]
    assert len(distances) == 3
    for score in distances:
        assert score.ratio is not None
        assert score.ratio < 2


# The amplitude in grey levels from which a checkerboard is found at 60 images per class; a quarter of it is not.
STRENGTHS = {2: 0.12, 4: 0.12, 8: 0.5}


@pytest.mark.parametrize("period_px", STRENGTHS)
def test_a_faint_checkerboard_is_found_from_its_amplitude_in_the_table(period_px: int) -> None:
    for amplitude, is_found in ((STRENGTHS[period_px], True), (STRENGTHS[period_px] / 4, False)):
        chapter = spectra_with(lambda pixels, a=amplitude: pixels + a * checkerboard(period_px))  # type: ignore[misc]
        sentences = [finding.sentence for finding in chapter.findings if finding.is_alarm]
        assert any(f"period of {period_px} px" in sentence for sentence in sentences) == is_found
        assert len(sentences) == is_found


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_repeated_pixels_are_a_grid_of_their_period(factor: int) -> None:
    def enlarge(pixels: Pixels) -> Pixels:
        small: Pixels = pixels.reshape(len(pixels), SIDE // factor, factor, SIDE // factor, factor, 3).mean((2, 4))
        return small.repeat(factor, 1).repeat(factor, 2)

    grid = spectra_with(enlarge).findings[0]
    assert grid.is_alarm
    assert f"period of {factor} px" in grid.sentence
    assert "steps between neighbouring pixels" in grid.sentence


@pytest.mark.parametrize("sigma_px", [0.7, 1.0, 2.0, 3.0])
def test_blur_lacks_fine_detail_and_is_no_grid(sigma_px: float) -> None:
    chapter = spectra_with(lambda pixels: gaussian_filter(pixels, (0, sigma_px, sigma_px, 0)))
    assert len(chapter.findings) == 2
    for finding in chapter.findings:
        assert finding.is_alarm
        assert "weaker" in finding.sentence
    detail = row(chapter, DETAIL, "Benign")
    assert detail.high is not None
    assert detail.floor_low is not None
    assert detail.high < detail.floor_low


def test_noise_is_named_as_such() -> None:
    rng = np.random.default_rng(5)
    chapter = spectra_with(lambda pixels: pixels + rng.normal(0, 12, pixels.shape))
    assert [("stronger" in finding.sentence, finding.is_alarm) for finding in chapter.findings] == [(True, True)] * 2


def test_the_distance_of_scaled_contrast_is_its_decibels() -> None:
    judged = textures_with(lambda pixels: pixels)
    real = judged.train
    halved = np.rint(128 + (real.pixels().astype(np.float64) - 128) / 2).astype(np.uint8)
    same = replace(judged, synthetic=replace(real, images=halved, group=np.full(len(real), "")))
    distance = row(judge_spectrum(same, seed=0), "log spectral distance (dB)", ALL)
    assert distance.value == pytest.approx(20 * np.log10(2), abs=0.3)


def test_the_order_of_the_images_does_not_matter() -> None:
    judged = textures_with(lambda pixels: pixels + checkerboard(4), per_class=30)
    order = np.random.default_rng(0).permutation(len(judged.synthetic))
    made = judged.synthetic
    other = replace(judged, synthetic=replace(made, indices=made.indices[order], label=made.label[order]))
    first, second = judge_spectrum(judged, seed=0), judge_spectrum(other, seed=0)
    assert first.findings == second.findings
    assert len(first.scores) == 5
    for ours, theirs in zip(first.scores, second.scores, strict=True):
        assert ours.value == pytest.approx(theirs.value, abs=1e-4)


def test_the_picture_is_a_small_svg_without_patients() -> None:
    (exhibit,) = spectra_with(lambda pixels: pixels, per_class=10).exhibits
    kind, content = exhibit.uri.split(",")
    picture = base64.b64decode(content).decode()
    assert kind == "data:image/svg+xml;base64"
    assert "<svg" in picture
    assert "patient-" not in picture
    assert len(exhibit.uri) < 200_000


@pytest.mark.parametrize("num_images", [2, 6, MIN_IMAGES, 12])
def test_the_accidents_of_few_images_are_no_grid(num_images: int) -> None:
    rng, places = np.random.default_rng(0), len(grid_places(SIDE))
    real = rng.normal(0, 4, size=(96, 3, places, 2)).astype(np.float32)
    patients = np.repeat(np.arange(16), 6).astype(str)
    found = [
        find_grid(made, real, patients, SIDE)
        for made in rng.normal(0, 4, size=(200, num_images, 3, places, 1)).repeat(2, axis=4).astype(np.float32)
    ]
    assert sum(grid is not None for grid in found) <= 1
    assert find_grid(real[:MIN_IMAGES] + 40, real, patients, SIDE) is not None


def test_the_places_of_a_grid_are_multiples_of_an_eighth_where_the_image_is_large_enough() -> None:
    periods = [place[0] for place in grid_places(64)]
    assert [periods.count(period) for period in (2, 4, 8)] == [3, 6, 24]  # 63 places, opposite ones once
    assert {place[0] for place in grid_places(16)} == {2, 4}
    assert grid_places(4) == []


@pytest.mark.parametrize("side", ["train", "synthetic"])
def test_a_class_without_images_has_a_reason_and_the_other_a_figure(side: str) -> None:
    judged = textures_with(lambda pixels: pixels, per_class=10)
    images = getattr(judged, side)
    keep = images.label == 0
    fewer = replace(images, indices=images.indices[keep], label=images.label[keep], group=images.group[keep])
    chapter = judge_spectrum(replace(judged, **{side: fewer}), seed=0)
    assert row(chapter, DETAIL, "Malignant").value is None
    assert "it takes 8" in row(chapter, DETAIL, "Malignant").note
    assert row(chapter, DETAIL, "Benign").value is not None


@pytest.mark.parametrize("value", [0, 255])
def test_constant_images_are_alike_and_not_blurred(value: int) -> None:
    chapter = spectra_with(lambda pixels: np.full_like(pixels, value), per_class=10)
    assert chapter.findings == ()
    for name in ("Benign", "Malignant"):
        assert row(chapter, DETAIL, name).value is None
        assert row(chapter, DETAIL, name).note == f"{name}: all 10 synthetic images are alike"


def test_a_repeated_image_says_nothing_of_a_grid_and_leaves_the_other_class() -> None:
    def repeat(pixels: Pixels) -> Pixels:
        pixels[::2] = pixels[:1] + 3 * checkerboard(4)
        return pixels

    chapter = spectra_with(repeat)
    assert chapter.findings == ()
    assert row(chapter, DETAIL, "Benign").note == "Benign: all 60 synthetic images are alike"
    assert row(chapter, DETAIL, "Malignant").value is not None


def test_the_fine_detail_of_another_class_is_not_said_to_be_blurred() -> None:
    judged = textures_with(lambda pixels: pixels)
    train, made = judged.train, judged.synthetic
    soft = np.where(
        (train.label == 0)[:, None, None, None], gaussian_filter(train.pixels(), (0, 1, 1, 0)), train.pixels()
    )
    shown = replace(judged, train=replace(train, images=soft), synthetic=replace(made, label=np.zeros_like(made.label)))
    (noisy,) = judge_spectrum(shown, seed=0).findings
    assert "asked to be Benign" in noisy.sentence
    assert noisy.sentence.endswith("or show another class")
    for finding in spectra_with(lambda pixels: gaussian_filter(pixels, (0, 1, 1, 0))).findings:
        assert finding.sentence.endswith("they are blurred")


def test_a_distance_at_equal_counts_says_of_how_many_images() -> None:
    scores = [score for score in spectra_with(lambda pixels: pixels).scores if "distance" in score.metric]
    assert [score.n_half for score in scores] == [48, 24, 24]
    few = spectra_with(lambda pixels: pixels, per_class=1).scores
    assert all((score.n_half is None) == (score.value_at_half is None) for score in few)


def test_one_patient_gives_figures_without_a_range() -> None:
    judged = textures_with(lambda pixels: pixels, per_class=10)
    alone = replace(judged.train, group=np.full(len(judged.train), "patient-0"))
    chapter = judge_spectrum(replace(judged, train=alone), seed=0)
    detail = row(chapter, DETAIL, "Benign")
    assert detail.value is not None
    assert detail.floor_low is None
    assert "1 training patients" in detail.note
    assert "no floor" in row(chapter, "log spectral distance (dB)", "Benign").note


def test_another_resolution_gives_a_reason() -> None:
    judged = textures_with(lambda pixels: pixels, per_class=4)
    small = replace(judged.synthetic, images=judged.synthetic.pixels()[:, ::2, ::2])
    (score,) = judge_spectrum(replace(judged, synthetic=small), seed=0).scores
    assert score.value is None
    assert "32 px" in score.note


def test_no_synthetic_image_at_all_gives_reasons() -> None:
    judged = textures_with(lambda pixels: pixels, per_class=4)
    made = judged.synthetic
    nothing = replace(made, indices=made.indices[:0], label=made.label[:0], group=made.group[:0])
    chapter = judge_spectrum(replace(judged, synthetic=nothing), seed=0)
    assert len(chapter.scores) == 5
    assert [score.value for score in chapter.scores] == [None] * 5
    assert chapter.exhibits == ()

"""LPIPS diversity: the published distance, of random pairs of different images, from the published weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ganaug.config import Compute
from ganaug.errors import WeightsError
from ganaug.evaluate import diversity
from ganaug.evaluate.diversity import Pixels, draw_pairs, judge_lpips_diversity, lpips_distance
from ganaug.evaluate.judged import ImageSet, Judged
from ganaug.provenance import digest_of_file
from ganaug.weights import WEIGHTS, WeightsFile


def by_brightness(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    gap: NDArray[np.float64] = first.mean((1, 2, 3)) - second.mean((1, 2, 3))
    return np.abs(gap)


def flat_images(levels: list[int]) -> NDArray[np.uint8]:
    return np.stack([np.full((8, 8, 3), level, np.uint8) for level in levels])


def judged_of(real: Pixels, made: Pixels, per_patient: int = 2) -> Judged:
    """One class; the real images in their order are of patients of so many images each."""

    def set_of(images: Pixels, group: list[str]) -> ImageSet:
        return ImageSet(images, np.arange(len(images)), np.zeros(len(images), np.int64), np.array(group, np.str_))

    train = set_of(real, [f"p{place // per_patient}" for place in range(len(real))])
    return Judged(train, set_of(real[:0], []), set_of(made, [""] * len(made)), ("Benign",), "validation patients")


def test_mean_over_pairs_of_different_images() -> None:
    images, rng = flat_images([0, 200, 10, 90]), np.random.default_rng(0)
    made = judged_of(images, images).synthetic
    only_pair = draw_pairs(made, np.array([0, 2]), np.array([0, 0]), by_brightness, rng, across=False)
    assert only_pair is not None
    assert set(only_pair.distances) == {10}
    everything = draw_pairs(made, np.arange(4), np.arange(4), by_brightness, rng, across=False, num_pairs=6000)
    assert everything is not None
    assert everything.distances.mean() == pytest.approx(np.mean([200, 10, 90, 190, 110, 80]), rel=0.05)
    assert draw_pairs(made, np.array([1]), np.array([0]), by_brightness, rng, across=False) is None


def test_the_images_of_a_real_pair_are_of_different_patients() -> None:
    rng = np.random.default_rng(0)
    images, patients = flat_images([0, 100, 1, 101, 2, 103]), np.array([0, 1, 0, 1, 0, 1])
    train = judged_of(images, images).train
    pairs = draw_pairs(train, np.arange(6), patients, by_brightness, rng, across=True, num_pairs=2000)
    assert pairs is not None
    assert (pairs.blocks[:, 0] != pairs.blocks[:, 1]).all()
    assert pairs.distances.min() >= 98
    assert set(pairs.distances) == {98, 99, 100, 101, 102, 103}, "every such pair comes up"
    assert pairs.sizes.tolist() == [3, 3]
    assert draw_pairs(train, np.arange(3), np.zeros(3, np.int64), by_brightness, rng, across=True) is None


def test_the_interval_holds_the_diversity_of_all_patients_about_as_often_as_it_says() -> None:
    rng, expected, intervals = np.random.default_rng(0), [], []
    for _ in range(150):
        level = rng.uniform(0, 200, size=20)
        images = flat_images(np.clip(np.repeat(level, 3) + rng.normal(0, 5, 60), 0, 255).astype(int).tolist())
        patients = np.repeat(np.arange(20), 3)
        pairs = draw_pairs(judged_of(images, images).train, np.arange(60), patients, by_brightness, rng, across=True)
        assert pairs is not None
        intervals.append(pairs.interval())
        expected.append(pairs.distances.mean())
    hits = sum(interval.low <= np.mean(expected) <= interval.high for interval in intervals)
    assert 0.9 <= hits / 150 <= 1.0


def test_without_weights_the_only_score_says_what_to_get(tmp_path: Path) -> None:
    judged = judged_of(flat_images([0, 9]), flat_images([0, 9]))
    for folder in (None, tmp_path):
        (score,) = judge_lpips_diversity(judged, compute=Compute(weights_dir=folder)).scores
        assert score.value is None
        assert score.question == "diverse"
        assert "weights missing" in score.note
        assert "alexnet-owt-7be5be79.pth" in score.note
    (tmp_path / "alexnet-owt-7be5be79.pth").write_bytes(b"random")
    (score,) = judge_lpips_diversity(judged, compute=Compute(weights_dir=tmp_path)).scores
    assert score.value is None
    assert "not the published file" in score.note


@pytest.fixture(scope="module")
def backbone_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AlexNet's convolutions with weights of this test's own, under the published name."""
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    state = torchvision.models.alexnet(weights=None).features.state_dict()
    path = tmp_path_factory.mktemp("weights") / "alexnet-owt-7be5be79.pth"
    torch.save({f"features.{name}": value for name, value in state.items()}, path)
    return path


@pytest.fixture
def folder(backbone_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of that file, which is taken for the published one."""
    file = WeightsFile(backbone_file.name, digest_of_file(backbone_file), "this test")
    monkeypatch.setitem(WEIGHTS, "alexnet", replace(WEIGHTS["alexnet"], files=(file,)))
    return backbone_file.parent


def by_the_paper(first: NDArray[np.uint8], second: NDArray[np.uint8], backbone_file: Path) -> float:
    """LPIPS of two images u8 [H,W,3], written out: unit-normalised features, squared difference, linear layer, mean."""
    import lpips
    import torchvision

    layers = torchvision.models.alexnet(weights=None).features
    state = torch.load(backbone_file, weights_only=True)
    layers.load_state_dict({name.removeprefix("features."): value for name, value in state.items()})
    weight_file = Path(lpips.__file__).parent / "weights" / "v0.1" / "alex.pth"
    linear = torch.load(weight_file, map_location="cpu", weights_only=True)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = torch.stack([((torch.from_numpy(image) / 255 - mean) / std).permute(2, 0, 1) for image in (first, second)])
    total, layer = 0.0, 0
    for module in layers:
        x = module(x)
        if isinstance(module, torch.nn.ReLU):
            unit = x / x.norm(dim=1, keepdim=True)
            squared = (unit[0] - unit[1]) ** 2
            total += float((squared * linear[f"lin{layer}.model.1.weight"][0]).sum(0).mean())
            layer += 1
    return total


def test_distance_is_that_of_the_paper_on_the_given_weights(folder: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(2, 64, 64, 3), dtype=np.uint8)
    before = torch.random.get_rng_state()
    distance = lpips_distance(folder)
    assert torch.equal(torch.random.get_rng_state(), before), "building it must not touch the global generator"
    with torch.no_grad():
        expected = by_the_paper(images[0], images[1], folder / "alexnet-owt-7be5be79.pth")
    assert distance(images[:1], images[1:])[0] == pytest.approx(expected, rel=5e-3)  # its constants are rounded
    assert distance(images, images) == pytest.approx([0, 0])
    assert (distance(images[:, ::4, ::4], images[::-1, ::4, ::4].copy()) > 0).all(), "small images are enlarged"


def test_changed_linear_layers_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diversity, "_LINEAR_SHA256", "0" * 64)
    with pytest.raises(WeightsError, match="not the published file"):
        lpips_distance(folder)


def test_a_collapsed_class_is_less_diverse_than_the_real_one(folder: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(12, 32, 32, 3), dtype=np.uint8)
    judged = judged_of(images, np.repeat(images[:2], 6, axis=0))
    (score,) = judge_lpips_diversity(judged, compute=Compute(weights_dir=folder)).scores
    assert score.value is not None
    assert score.floor is not None
    assert score.floor_low is not None
    assert score.high is not None
    assert score.value < 0.8 * score.floor
    assert score.ratio == pytest.approx(score.value / score.floor)
    assert score.high < score.floor_low
    assert (score.n_real, score.n_synthetic) == (12, 12)


def test_a_class_of_one_patient_has_no_floor_but_a_reason(folder: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(6, 32, 32, 3), dtype=np.uint8)
    judged = judged_of(images, images, per_patient=6)
    (score,) = judge_lpips_diversity(judged, compute=Compute(weights_dir=folder)).scores
    assert score.value is not None
    assert score.floor is score.ratio is None
    assert "fewer than 2 training patients" in score.note

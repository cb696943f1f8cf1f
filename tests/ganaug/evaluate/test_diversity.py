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
from ganaug.evaluate.diversity import Pool, diversity_scores, lpips_distance, mean_pairwise
from ganaug.provenance import digest_of_file
from ganaug.weights import WEIGHTS, WeightsFile


def by_brightness(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    gap: NDArray[np.float64] = first.mean((1, 2, 3)) - second.mean((1, 2, 3))
    return np.abs(gap)


def flat_images(levels: list[int]) -> NDArray[np.uint8]:
    return np.stack([np.full((8, 8, 3), level, np.uint8) for level in levels])


def test_mean_over_pairs_of_different_images_of_the_pool() -> None:
    images, rng = flat_images([0, 200, 10, 90]), np.random.default_rng(0)
    only_pair = Pool(images, np.array([0, 2]))
    assert mean_pairwise(only_pair, by_brightness, rng) == pytest.approx(10)
    expected = np.mean([200, 10, 90, 190, 110, 80])
    everything = mean_pairwise(Pool(images, np.arange(4)), by_brightness, rng, num_pairs=6000)
    assert everything == pytest.approx(expected, rel=0.05)
    assert mean_pairwise(Pool(images, np.array([1])), by_brightness, rng) is None


def test_without_weights_the_only_score_says_what_to_get(tmp_path: Path) -> None:
    pool = Pool(flat_images([0, 9]), np.arange(2))
    for folder in (None, tmp_path):
        (score,) = diversity_scores({"Benign": (pool, pool)}, compute=Compute(weights_dir=folder))
        assert score.value is None
        assert "weights missing" in score.note
        assert "alexnet-owt-7be5be79.pth" in score.note
    (tmp_path / "alexnet-owt-7be5be79.pth").write_bytes(b"random")
    (score,) = diversity_scores({"Benign": (pool, pool)}, compute=Compute(weights_dir=tmp_path))
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
    collapsed = np.repeat(images[:2], 6, axis=0)
    pools = {"Benign": (Pool(images, np.arange(12)), Pool(collapsed, np.arange(12)))}
    (score,) = diversity_scores(pools, compute=Compute(weights_dir=folder))
    assert score.value is not None
    assert score.floor is not None
    assert score.value < 0.8 * score.floor

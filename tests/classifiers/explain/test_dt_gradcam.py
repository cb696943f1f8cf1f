"""Thresholds from the map's own values: Otsu by brute force, and what a constant map gives."""

import numpy as np
import pytest
import torch
from torch import Tensor

from classifiers.explain.dt_gradcam import parse_threshold

RULES = ("otsu", "mean+sd", "mean+2sd", "mean+0.5sd", "percentile:90", "percentile:0")


def variance_between(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], upper: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> float:
    """Otsu's criterion, as it is defined: the classes' squared distances from the common mean, by their size."""
    total = values.mean()
    return float(sum(part.mean() * (values[part].mean() - total) ** 2 for part in (upper, ~upper)))


def brute_force(image: Tensor) -> list[bool]:
    values = image.double().numpy().ravel()
    masks = [values >= value for value in np.unique(values)[1:]]
    return max(masks, key=lambda mask: variance_between(values, mask)).tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("seed", range(12))
def test_otsu_is_what_brute_force_finds(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(3, 7, 9, generator=generator) ** (1 + seed % 4)
    maps = maps if seed % 2 else (8 * maps).round() / 8  # half of them with many equal values
    masks = parse_threshold("otsu")(maps)
    assert [mask.flatten().tolist() for mask in masks] == [brute_force(image) for image in maps]


def test_otsu_separates_two_heaps() -> None:
    maps = torch.full((1, 10, 10), 0.1)
    maps[0, :3] = 0.8
    assert torch.equal(parse_threshold("otsu")(maps), maps == maps.max())


def test_mean_and_percentile_are_what_numpy_says() -> None:
    maps = torch.rand(4, 8, 8, generator=torch.Generator().manual_seed(0))
    for image, mask, top in zip(
        maps, parse_threshold("mean+1.5sd")(maps), parse_threshold("percentile:75")(maps), strict=True
    ):
        values = image.double().numpy()
        assert np.array_equal(mask.numpy(), values > values.mean() + 1.5 * values.std())
        assert int(top.sum()) == 16


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_a_constant_map_gives_an_empty_mask(rule: str, value: float) -> None:
    constant = torch.full((1, 17, 13), value)
    assert not parse_threshold(rule)(constant).any()
    constant[0, 5, 5] += 0.5
    assert parse_threshold(rule)(constant)[0, 5, 5]


@pytest.mark.parametrize("rule", RULES)
def test_a_mask_is_the_upper_part_of_its_map_and_does_not_depend_on_scale(rule: str) -> None:
    maps = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1)) ** 4
    mask = parse_threshold(rule)(maps)
    assert all(image[area].min() >= image[~area].max() for image, area in zip(maps, mask, strict=True))
    assert torch.equal(mask, parse_threshold(rule)(maps * 4))


@pytest.mark.parametrize(
    "rule", ["", "Otsu", "mean", "mean-sd", "percentile", "percentile:100", "percentile:-1", "0.5"]
)
def test_another_rule_is_refused(rule: str) -> None:
    with pytest.raises(ValueError, match="expected otsu"):
        parse_threshold(rule)

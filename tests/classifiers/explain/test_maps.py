"""Maps out of the layers of classifiers: each layout gives the same map, at the same places."""

import pytest
import torch
from torch import nn

from classifiers.explain.maps import as_map
from classifiers.models.entry import Classifier, Layout, cam_of

MAP = torch.arange(2 * 5 * 3 * 3).view(2, 5, 3, 3).float()


@pytest.mark.parametrize("num_prefix", [0, 1, 5])
def test_tokens_of_a_grid_become_its_map_without_those_before_them(num_prefix: int) -> None:
    tokens = torch.cat([torch.full((2, num_prefix, 5), -1.0), MAP.flatten(2).transpose(1, 2)], dim=1)
    assert torch.equal(as_map(tokens, "NLC"), MAP)


def test_channels_last_become_channels_first() -> None:
    assert torch.equal(as_map(MAP.permute(0, 2, 3, 1).contiguous(), "NHWC"), MAP)
    assert as_map(MAP, "NCHW") is MAP


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "NLC"])
def test_an_output_without_a_map_is_refused(layout: Layout) -> None:
    with pytest.raises(ValueError, match=rf"shape \(2, 5\); expected {len(layout)} axes"):
        as_map(MAP[:, :, 0, 0], layout)


def test_the_layer_of_the_model_counts_for_more_than_the_entrys() -> None:
    entry = Classifier(build=nn.Identity, small=None, source="", cam_layer="a", cam_layout="NHWC")
    assert cam_of(nn.Identity(), entry) == ("a", "NHWC")
    model = nn.Identity()
    model.cam = ("b", "NLC")  # type: ignore[assignment]
    assert cam_of(model, entry) == ("b", "NLC")

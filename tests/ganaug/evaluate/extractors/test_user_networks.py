"""Networks of the user's own: their features are those of the network, and files that are none are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ganaug.errors import ConfigError, UserError, WeightsError
from ganaug.evaluate.extractors.extractor import ExtractorInputs
from ganaug.evaluate.extractors.networks.timm_network import timm_network
from ganaug.evaluate.extractors.networks.torchscript import torchscript

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
IMAGES = np.random.default_rng(0).integers(0, 256, size=(3, 20, 20, 3), dtype=np.uint8)

SaveProgram = Callable[[nn.Module, Path], Path]
SaveTimm = Callable[..., dict[str, Tensor]]


class Scaled(nn.Module):
    """Something that is no network of features."""

    def __init__(self, factor: float, *, flat: bool) -> None:
        super().__init__()
        self.factor, self.flat = factor, flat

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * (x.mean((2, 3)) if self.flat else x)


class Cut(nn.Module):
    """The first `num` features alone."""

    def __init__(self, num: int) -> None:
        super().__init__()
        self.num = num

    def forward(self, x: Tensor) -> Tensor:
        return x[:, : self.num]


def test_a_program_sees_imagenet_scaled_images_of_224_px(tmp_path: Path, save_program: SaveProgram) -> None:
    extractor = torchscript(ExtractorInputs(file=save_program(Scaled(1, flat=True), tmp_path / "net.pt")))
    grey = np.full((2, 20, 20, 3), 128, np.uint8)
    expected = (128 / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(extractor.features(grey), np.tile(expected, (2, 1)), rtol=1e-5)
    assert "224 px" in extractor.preprocessing


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Scaled(1, flat=False), r"gives \[2, 3, 224, 224\] for 2 images; expected features \[2,D\]"),
        (Scaled(float("nan"), flat=True), "NaN"),
        (Scaled(0, flat=True), r"the same features for 2 different images; expected features that differ"),
        (nn.Sequential(Scaled(1, flat=True), Cut(0)), r"0 features per image; expected 1 or more"),
        (nn.Sequential(Scaled(1, flat=True), Cut(1)), ""),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 224 * 224, 2)), ""),
    ],
    ids=["maps", "nan", "blind", "no features", "a single feature", "a network"],
)
def test_a_program_that_gives_no_features_is_refused_when_it_is_opened(
    tmp_path: Path, network: nn.Module, message: str, save_program: SaveProgram
) -> None:
    path = save_program(network, tmp_path / "net.pt")
    if not message:
        extractor = torchscript(ExtractorInputs(file=path))
        assert extractor.features(IMAGES).shape == (3, extractor.num_features)
        return
    with pytest.raises(WeightsError, match=message) as caught:
        torchscript(ExtractorInputs(file=path))
    assert path.name in str(caught.value)
    assert path.name not in caught.value.shared


def test_a_program_that_fails_is_named_in_one_line(tmp_path: Path) -> None:
    small = torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)))
    torch.jit.save(small, str(tmp_path / "net.pt"))
    with pytest.raises(WeightsError, match=r"net\.pt fails on images \[2, 3, 224, 224\]") as caught:
        torchscript(ExtractorInputs(file=tmp_path / "net.pt"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "it is empty"), (b"<!DOCTYPE html>", "an HTML page"), (b"PK\x03\x04 truncated", "")]
)
def test_a_file_that_is_no_program_is_refused_in_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"net\.pt is no TorchScript program.*{reason}") as caught:
        torchscript(ExtractorInputs(file=path))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in caught.value.shared


def test_weights_in_place_of_a_program_are_refused_with_one_plain_reason(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=r"no TorchScript program .it holds weights without a program") as caught:
        torchscript(ExtractorInputs(file=tmp_path / "net.pth"))
    assert "miniz" not in str(caught.value)


def test_a_truncated_program_is_refused_with_one_plain_reason(tmp_path: Path, save_program: SaveProgram) -> None:
    path = save_program(Scaled(1, flat=True), tmp_path / "net.pt")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(WeightsError, match=r"no TorchScript program .it is no whole zip archive") as caught:
        torchscript(ExtractorInputs(file=path))
    assert "miniz" not in str(caught.value)


def test_weights_of_timm_that_see_nothing_are_refused(tmp_path: Path, save_timm: SaveTimm) -> None:
    path = tmp_path / "net.safetensors"
    save_file({key: 0 * value for key, value in save_timm("resnet10t", path).items()}, path)
    with pytest.raises(WeightsError, match="the same features for 2 different images"):
        timm_network(ExtractorInputs(file=path, network="resnet10t"))


def test_a_network_of_timm_gives_the_input_of_its_head_whether_the_file_has_one_or_not(
    tmp_path: Path, save_timm: SaveTimm
) -> None:
    whole = save_timm("resnet10t", tmp_path / "whole.safetensors")
    body = {key: value for key, value in whole.items() if not key.startswith("fc.")}
    assert len(body) < len(whole)
    save_file(body, tmp_path / "body.safetensors")
    features = [
        timm_network(ExtractorInputs(file=tmp_path / f"{part}.safetensors", network="resnet10t")).features(IMAGES)
        for part in ("whole", "body")
    ]
    peer: Any = timm.create_model("resnet10t", pretrained=False)
    peer.load_state_dict(whole)
    side, (mean, std) = peer.pretrained_cfg["input_size"][-1], (peer.pretrained_cfg[key] for key in ("mean", "std"))
    x = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).float() / 255
    x = nn.functional.interpolate(x, size=(side, side), mode="bilinear", antialias=True)
    x = (x - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    with torch.inference_mode():
        expected = peer.eval().forward_head(peer.forward_features(x), pre_logits=True)
    np.testing.assert_array_equal(features[0], features[1])
    np.testing.assert_allclose(features[0], expected, rtol=1e-3, atol=1e-5)


def test_an_encoder_with_layer_scale_and_another_input_size_is_built_as_its_file_has_it(
    tmp_path: Path, save_timm: SaveTimm
) -> None:
    path = tmp_path / "encoder.safetensors"
    save_timm("vit_tiny_patch16_224", path, num_classes=0, init_values=1e-5, img_size=96)
    extractor = timm_network(ExtractorInputs(file=path, network="vit_tiny_patch16_224"))
    assert "96 px" in extractor.preprocessing
    assert extractor.features(IMAGES).shape == (3, 192)


def test_weights_that_do_not_fit_are_refused_with_the_names(tmp_path: Path, save_timm: SaveTimm) -> None:
    state = save_timm("resnet10t", tmp_path / "net.safetensors")
    path = tmp_path / "other.safetensors"
    save_file({("body." if key == "bn1.weight" else "") + key: value for key, value in state.items()}, path)
    pattern = r"other\.safetensors does not fit .* 1 names are missing, the first is bn1\.weight; 1 names are unknown"
    with pytest.raises(WeightsError, match=pattern):
        timm_network(ExtractorInputs(file=path, network="resnet10t"))
    with pytest.raises(WeightsError, match="does not fit timm's resnet18"):
        timm_network(ExtractorInputs(file=tmp_path / "net.safetensors", network="resnet18"))


def test_names_and_files_that_are_none_are_refused(tmp_path: Path, save_timm: SaveTimm) -> None:
    save_timm("resnet10t", tmp_path / "net.safetensors")
    with pytest.raises(ConfigError, match="no model 'no_such_net'"):
        timm_network(ExtractorInputs(file=tmp_path / "net.safetensors", network="no_such_net"))
    (tmp_path / "page.pth").write_bytes(b"<!DOCTYPE html><html>")
    with pytest.raises(UserError, match="HTML page"):
        timm_network(ExtractorInputs(file=tmp_path / "page.pth", network="resnet10t"))

"""Inputs of every entry of EXTRACTORS, with weights of the tests' own where no package ships them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ganaug.config import Compute
from ganaug.data.dataset import DataSet
from ganaug.evaluate.extractors import trained_classifier
from ganaug.evaluate.extractors.extractor import ExtractorInputs
from ganaug.evaluate.extractors.networks import clip, dinov2
from ganaug.evaluate.extractors.networks.timm_network import Tower
from ganaug.provenance import digest_of_file
from ganaug.weights import WEIGHTS, WeightsFile
from ganaug.workspace import GanRun

TINY_VIT = "test_vit"  # timm's own smallest, of 160 px


@pytest.fixture
def save_timm() -> Callable[..., dict[str, Tensor]]:
    """Write random weights of a network of timm to a path, and return them."""

    def save(name: str, path: Path, **options: Any) -> dict[str, Tensor]:
        torch.manual_seed(0)
        state: dict[str, Tensor] = timm.create_model(name, pretrained=False, **options).state_dict()
        state = {key: value.clone() for key, value in state.items()}
        save_file(state, path)
        return state

    return save


@pytest.fixture
def save_program() -> Callable[[nn.Module, Path], Path]:
    """Write a network as a TorchScript program to a path, and return that."""

    def save(network: nn.Module, path: Path) -> Path:
        program = torch.jit.trace(network, torch.zeros(2, 3, 224, 224))  # type: ignore[no-untyped-call]
        torch.jit.save(program, str(path))
        return path

    return save


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained_classifier, "FIT", replace(trained_classifier.FIT, num_steps=2, batch=4))


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], None]:
    """Have a file pass for the published one of an extractor."""

    def publish(name: str, path: Path) -> None:
        file = WeightsFile(path.name, digest_of_file(path), "this test")
        monkeypatch.setitem(WEIGHTS, name, replace(WEIGHTS[name], files=(file,)))

    return publish


@pytest.fixture(scope="session")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of torch-fidelity's Inception."""
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    network = module.FeatureExtractorInceptionV3
    with pytest.MonkeyPatch.context() as patch:  # build it once without a file
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(network, "load_state_dict", lambda *_, **__: None)
        torch.manual_seed(0)
        oracle = network("inception-v3-compat", ["2048"])
    path = tmp_path_factory.mktemp("inception") / "weights-inception-2015-12-05-6726825d.pth"
    torch.save(oracle.state_dict(), path)
    return path


@pytest.fixture
def inputs_of(
    dataset: DataSet,
    run: GanRun,
    tmp_path: Path,
    publish: Callable[[str, Path], None],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    save_timm: Callable[..., dict[str, Tensor]],
    save_program: Callable[[nn.Module, Path], Path],
    quick: None,
) -> Callable[[str], tuple[str, ExtractorInputs]]:
    """The full name of an entry of EXTRACTORS, and inputs that it can be opened from."""

    def inputs_of(kind: str) -> tuple[str, ExtractorInputs]:
        inputs = ExtractorInputs(dataset, 0, run, Compute(weights_dir=tmp_path))
        path = tmp_path / f"{kind}.safetensors"
        if kind in ("dinov2", "clip", "timm"):
            save_timm(TINY_VIT, path)
            monkeypatch.setattr(dinov2, "NETWORK", Tower("vit_tiny_patch16_224", side_px=96))
            monkeypatch.setattr(clip, "NETWORK", Tower(TINY_VIT, side_px=96, has_head=True))
            if kind == "dinov2":
                save_timm("vit_tiny_patch16_224", path, num_classes=0)
            return (f"timm:{TINY_VIT}" if kind == "timm" else kind), replace(inputs, file=path)
        if kind == "torchscript":
            torch.manual_seed(0)
            network = nn.Sequential(nn.Conv2d(3, 7, 16, stride=16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
            return kind, replace(inputs, file=save_program(network, path))
        if kind == "squeezenet":
            from torchvision.models import squeezenet1_0

            torch.manual_seed(0)
            path = tmp_path / "squeezenet1_0-random.pth"
            torch.save(squeezenet1_0(weights=None).state_dict(), path)
            publish(kind, path)
        if kind == "efficientnet_lite1":
            save_timm("tf_efficientnet_lite1", path, num_classes=0)
            publish(kind, path)
        if kind == "inception":
            path = request.getfixturevalue("inception_file")
            publish(kind, path)
            inputs = replace(inputs, compute=Compute(weights_dir=path.parent))
        return kind, inputs

    return inputs_of

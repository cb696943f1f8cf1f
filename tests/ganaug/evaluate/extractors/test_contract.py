"""What every entry of EXTRACTORS holds to, and that every fault of its file or images is one line."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from ganaug.config import FILE_EXTRACTORS, FITTED_EXTRACTORS
from ganaug.errors import ConfigError, DataError, UserError, WeightsError
from ganaug.evaluate.extractors.extractor import ExtractorInputs
from ganaug.evaluate.extractors.networks import clip, dinov2
from ganaug.evaluate.extractors.registry import EXTRACTORS, open_extractor
from ganaug.provenance import digest_of_file
from ganaug.weights import WEIGHTS, WeightsFile

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
InputsOf = Callable[[str], tuple[str, ExtractorInputs]]
IMAGES = np.random.default_rng(0).integers(0, 256, size=(5, 16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("kind", EXTRACTORS)
def test_features_are_finite_and_a_function_of_each_image_alone(kind: str, inputs_of: InputsOf) -> None:
    extractor = open_extractor(*inputs_of(kind))
    features = extractor.features(IMAGES)
    assert features.shape == (len(IMAGES), extractor.num_features or features.shape[1])
    np.testing.assert_array_equal(extractor.features(IMAGES), features)
    close = 1e-4 * np.abs(features).max()
    np.testing.assert_allclose(extractor.features(IMAGES[::-1], batch=2), features[::-1], atol=close)
    assert np.abs(features[0] - features[1]).max() > 10 * close, "it looks at its image"
    constant = extractor.features(np.full((2, 16, 16, 3), 200, np.uint8))
    assert np.isfinite(constant).all()
    assert extractor.feature_scale(constant) > 0
    assert extractor.feature_scale(0 * constant) > 0, "nothing is divided by 0"
    assert re.fullmatch("[0-9a-f]{64}", extractor.digest)
    assert len(extractor.preprocessing) > 10
    assert re.fullmatch(r"[\w.:-]+", extractor.name), "it stands in the names of figures"


def test_every_entry_is_of_one_kind() -> None:
    assert set(EXTRACTORS) == {*FILE_EXTRACTORS, *FITTED_EXTRACTORS, *(name for name in EXTRACTORS if name in WEIGHTS)}


@pytest.mark.parametrize("kind", FILE_EXTRACTORS)
def test_an_extractor_of_a_file_refuses_what_is_none_or_of_another_network(
    kind: str, inputs_of: InputsOf, tmp_path: Path
) -> None:
    name, inputs = inputs_of(kind)
    with pytest.raises(ConfigError, match=f"the extractor {name} without a file of weights; expected {name}=FILE"):
        open_extractor(name, replace(inputs, file=None))
    with pytest.raises(DataError, match="there is no file of weights") as caught_missing:
        open_extractor(name, replace(inputs, file=tmp_path / "missing"))
    assert str(tmp_path) in str(caught_missing.value)
    assert str(tmp_path) not in caught_missing.value.shared, "it may stand on a page"
    other = inputs_of("timm" if kind in ("dinov2", "torchscript") else "dinov2")[1]
    page = tmp_path / "page.pth"
    page.write_bytes(b"<!DOCTYPE html><html>")
    for file in (other.file, page):
        with pytest.raises(UserError, match=r"does not fit|no TorchScript program|HTML page") as caught:
            open_extractor(name, replace(inputs, file=file))
        assert isinstance(caught.value, WeightsError)
        assert "\n" not in str(caught.value)
        assert str(tmp_path) not in caught.value.shared


def test_a_file_of_published_weights_may_be_named_whatever_its_own_name(inputs_of: InputsOf, tmp_path: Path) -> None:
    name, inputs = inputs_of("squeezenet")
    (file,) = tmp_path.glob("squeezenet*")
    elsewhere = replace(inputs, compute=replace(inputs.compute, weights_dir=None))
    found = open_extractor(name, inputs)
    (tmp_path / "folder").mkdir()
    renamed = file.rename(tmp_path / "folder" / "renamed.pth")
    for named in (file.name, "renamed.pth"):
        path = renamed.rename(renamed.with_name(named))
        opened = open_extractor(name, replace(elsewhere, file=path))
        assert (opened.digest, opened.name) == (found.digest, found.name), "it is known by its content"
        renamed = path


@pytest.mark.parametrize("name", [name for name in EXTRACTORS if name in WEIGHTS])
def test_a_file_that_is_not_the_published_one_is_named_as_such_wherever_it_lies(name: str, tmp_path: Path) -> None:
    (tmp_path / "other.pth").write_bytes(b"something else")
    digest = digest_of_file(tmp_path / "other.pth")[:12]
    with pytest.raises(ConfigError, match=rf"other\.pth is not the published .* {name} .SHA-256 {digest}") as caught:
        open_extractor(name, ExtractorInputs(file=tmp_path / "other.pth"))
    assert WEIGHTS[name].files[0].name in str(caught.value)
    assert str(tmp_path) not in caught.value.shared


def test_the_second_of_two_published_files_in_a_folder_may_be_named(
    inputs_of: InputsOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, inputs = inputs_of("squeezenet")
    (file,) = tmp_path.glob("squeezenet*")
    first = WeightsFile("first.pth", digest_of_file(file), "this test")
    shutil.copy(file, tmp_path / "first.pth")
    state = torch.load(file, weights_only=True)
    torch.save({key: value + 0.01 for key, value in state.items()}, file)
    second = WeightsFile(file.name, digest_of_file(file), "this test")
    monkeypatch.setitem(WEIGHTS, name, replace(WEIGHTS[name], files=(first, second)))
    assert open_extractor(name, inputs).digest == first.sha256
    assert open_extractor(name, replace(inputs, file=file)).digest == second.sha256


def test_the_towers_are_networks_of_timm_of_the_size_that_is_said() -> None:
    for tower, side_px in ((dinov2.NETWORK, 224), (clip.NETWORK, 224)):
        assert timm.is_model(tower.network)
        assert tower.side_px == side_px
        assert side_px % int(re.findall(r"patch(\d+)", tower.network)[0]) == 0
    card = timm.get_pretrained_cfg(clip.NETWORK.network)
    assert card is not None
    assert card.num_classes == 512, "its head is CLIP's projection"


def test_the_embedding_of_a_tower_ends_with_its_head_and_positions_are_interpolated(inputs_of: InputsOf) -> None:
    """The tests' towers have the parts of the real ones, which are too large to build here."""
    with_head, without = (open_extractor(*inputs_of(kind)) for kind in ("clip", "dinov2"))
    assert with_head.num_features == timm.create_model("test_vit").num_classes == 1000
    assert without.num_features == timm.create_model("vit_tiny_patch16_224").num_features == 192
    assert with_head.preprocessing.startswith("96 px")
    assert without.preprocessing.startswith("96 px"), "its file has the positions of 224 px"

"""Weights that come with the package: they saw nobody, say who taught them, and are taken where they fit."""

import shutil
from pathlib import Path

import pytest
import torch

from ganaug.checkpoint import builtin
from ganaug.checkpoint.builtin import choose_weights, default_weights, phantom_resolutions, phantom_weights
from ganaug.checkpoint.initial_weights import load_pretrained
from ganaug.checkpoint.snapshot import load_snapshot
from ganaug.config import BREAST_CLASSES, override_preset
from ganaug.errors import ConfigError, LeakError
from ganaug.model.projected.frozen_maps import frozen_digest
from ganaug.presets import gan
from ganaug.train.distributed.process_group import ProcessGroup
from ganaug.train.state import load_initial_weights, new_state
from ganaug.train.task import match_initial_weights

RESOLUTIONS = phantom_resolutions()


def test_there_are_weights_for_the_usual_size() -> None:
    assert 64 in RESOLUTIONS


@pytest.mark.parametrize("resolution_px", RESOLUTIONS)
def test_they_saw_nobody_and_name_their_teacher(resolution_px: int) -> None:
    snapshot, pretrained = (
        load_snapshot(phantom_weights(resolution_px)),
        load_pretrained(phantom_weights(resolution_px)),
    )
    assert snapshot.class_names == BREAST_CLASSES
    assert (pretrained.seen.groups, pretrained.seen.images, pretrained.seen.hashes) == ((), (), ())
    assert {digest for _, digest in pretrained.teachers} == {frozen_digest()}
    assert pretrained.declared == ()
    assert phantom_weights(resolution_px).stat().st_size < 4e6


@pytest.mark.parametrize("resolution_px", RESOLUTIONS)
@pytest.mark.parametrize("num_classes", [1, 2, 4, 8])
@pytest.mark.parametrize("discriminator", ["projected", "stylegan2"])
def test_a_preset_begins_with_them_whatever_its_classes(
    resolution_px: int, num_classes: int, discriminator: str
) -> None:
    path = phantom_weights(resolution_px)
    own = gan("auto", resolution_px, num_classes, "cpu", discriminator=discriminator)
    config, pretrained = match_initial_weights(own, path)
    assert config.network == own.network
    state = new_state(config, ProcessGroup())
    load_initial_weights(state, path)
    name = f"synthesis.b{resolution_px}.conv1.weight"
    assert torch.equal(state.trainer.networks.G.state_dict()[name], pretrained.ema[name].float())
    z, c = torch.randn(2, 128, generator=torch.Generator().manual_seed(0)), torch.eye(num_classes)[[0, -1]]
    img = state.trainer.networks.ema(z, c, noise_mode="const")
    assert 0.05 < float(img.std()) < 1


def test_the_default_is_a_cpu_without_the_papers_presets() -> None:
    assert default_weights("auto", 64, "cpu") == default_weights("quick", 64, "cpu") == phantom_weights(64)
    assert default_weights("auto", 64, "cuda") is None
    assert default_weights("paper256", 64, "cpu") is None


def test_what_is_asked_for_is_taken(tmp_path: Path) -> None:
    assert choose_weights("phantom", "auto", 64, "cuda") == phantom_weights(64)
    assert choose_weights("none", "auto", 64, "cpu") is None
    assert choose_weights(tmp_path, "auto", 64, "cpu") == tmp_path
    assert choose_weights(None, "auto", 64, "cpu") == phantom_weights(64)


def test_a_resolution_without_weights_begins_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for resolution_px in (64, 128):
        (tmp_path / f"phantom-{resolution_px}px.safetensors").touch()
    monkeypatch.setattr(builtin, "BUILTIN_FOLDER", tmp_path)
    nearest = {resolution_px: phantom_weights(resolution_px).stem for resolution_px in (16, 64, 128, 512)}
    assert nearest == {16: "phantom-64px", 64: "phantom-64px", 128: "phantom-128px", 512: "phantom-128px"}


def test_an_installation_without_weights_begins_with_none_unless_they_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(builtin, "BUILTIN_FOLDER", Path("/nowhere"))
    assert default_weights("auto", 64, "cpu") is None
    with pytest.raises(ConfigError, match=r"holds no weights.*--init none"):
        choose_weights("phantom", "auto", 64, "cpu")


@pytest.mark.parametrize("precision", ["mixed", "float32"])
def test_the_precision_is_that_of_the_training(precision: str) -> None:
    own = override_preset(gan("auto", 64, 4, "cpu"), {}, precision)
    config, _ = match_initial_weights(own, phantom_weights(64))
    assert (config.network.num_half, config.network.conv_clamp) == (own.network.num_half, own.network.conv_clamp)
    assert (config.network.num_half > 0) == (precision == "mixed")


def test_a_key_that_did_not_sign_them_accepts_them_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ganaug.key").write_bytes(b"0123456789abcdef" * 2)
    monkeypatch.setenv("GANAUG_KEY", str(tmp_path / "ganaug.key"))
    assert load_pretrained(phantom_weights(64)).seen.groups == ()
    copy = shutil.copy(phantom_weights(64), tmp_path)
    with pytest.raises(LeakError, match="is not signed"):
        load_pretrained(Path(copy))

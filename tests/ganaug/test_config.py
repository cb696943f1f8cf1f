import json

import pytest

from ganaug import presets
from ganaug.config import (
    NetworkConfig,
    PhantomConfig,
    PrepareConfig,
    StudyConfig,
    SynthesisConfig,
    gan_config_from_dict,
    to_dict,
)
from ganaug.errors import ConfigError


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (NetworkConfig, {"resolution_px": 48, "num_classes": 2}),
        (NetworkConfig, {"resolution_px": 64, "num_classes": 0}),
        (SynthesisConfig, {"psi": 1.5}),
        (SynthesisConfig, {"per_class": 0}),
        (PhantomConfig, {"num_patients": 3}),
        (PrepareConfig, {"dataset": "../evil"}),
        (PrepareConfig, {"dataset": "breakhis", "magnification": "50"}),
        (StudyConfig, {"classifiers": ("a", "a")}),
        (StudyConfig, {"seeds": ()}),
        (StudyConfig, {"confidence": 95.0}),
        (StudyConfig, {"classical_augmentation": "heavy"}),
        (StudyConfig, {"body_learning_rate": 0.0}),
    ],
)
def test_impossible_options_are_refused_in_one_line(make: type, options: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as refusal:
        make(**options)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", presets.PRESETS)
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_a_generator_configuration_survives_json(name: str, device: str) -> None:
    config = presets.gan(name, 64, 4, device)
    assert gan_config_from_dict(json.loads(json.dumps(to_dict(config)))) == config


def test_an_unknown_field_of_a_stored_configuration_is_one_line() -> None:
    values = to_dict(presets.gan("quick", 64, 4, "cpu"))
    with pytest.raises(ConfigError, match="does not fit this version"):
        gan_config_from_dict({**values, "colour": "red"})


def test_channels_halve_with_the_resolution_up_to_the_maximum() -> None:
    network = NetworkConfig(256, 2, channel_base=16384, channel_max=512)
    assert [network.channels(r) for r in (4, 32, 64, 256)] == [512, 512, 256, 64]


def test_the_published_rule_sets_gamma_and_half_life() -> None:
    config = presets.gan("standard", 256, 4, "cuda:0")
    assert config.r1_gamma == pytest.approx(0.0002 * 256**2 / config.batch)
    assert config.ema_kimg == pytest.approx(config.batch * 10 / 32)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ConfigError, match="no preset paper9000"):
        presets.gan("paper9000", 64, 4, "cpu")

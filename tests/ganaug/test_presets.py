"""House decisions about training, pinned: the published rules, and what gives way on a CPU."""

from dataclasses import replace

import pytest

from ganaug import presets
from ganaug.config import override_preset
from ganaug.errors import ConfigError


@pytest.mark.parametrize(
    ("resolution", "num_gpus", "batch", "gamma"),
    [(128, 1, 32, 0.1024), (256, 1, 16, 0.8192), (256, 8, 64, 0.2048), (512, 1, 8, 6.5536), (1024, 8, 32, 6.5536)],
)
def test_the_automatic_rule_is_the_published_one(resolution: int, num_gpus: int, batch: int, gamma: float) -> None:
    config = presets.gan("auto", resolution, 4, "cuda", num_gpus)
    assert config.batch == batch
    assert config.r1_gamma == pytest.approx(gamma)
    assert config.ema_kimg == batch * 10 / 32
    assert config.learning_rate == (0.002 if resolution == 1024 else 0.0025)
    assert config.network.channel_base == (16384 if resolution < 512 else 32768)
    assert (config.network.mapping_layers, config.total_kimg) == (2, 25_000)
    assert (config.pl_weight, config.pl_interval, config.r1_interval, config.style_mixing) == (2, 4, 16, 0.9)
    assert config.batch % num_gpus == 0


@pytest.mark.parametrize("num_gpus", [1, 2, 3, 5, 6, 7, 8, 16])
@pytest.mark.parametrize("resolution", [64, 256, 1024])
def test_every_process_gets_an_equal_share_of_two_or_more(resolution: int, num_gpus: int) -> None:
    config = presets.gan("auto", resolution, 4, "cuda", num_gpus)
    assert config.batch % num_gpus == 0
    assert config.batch // num_gpus >= 2


@pytest.mark.parametrize(("name", "resolution", "gamma"), [("paper256", 256, 1.0), ("paper512", 512, 0.5)])
def test_the_papers_configurations(name: str, resolution: int, gamma: float) -> None:
    config = presets.gan(name, resolution, 4, "cpu")
    assert (config.batch, config.r1_gamma, config.ema_kimg, config.ema_rampup) == (64, gamma, 20, None)
    assert (config.network.mapping_layers, config.network.std_group) == (8, 8)
    with pytest.raises(ConfigError, match=f"at 128 px; expected a data set of {resolution} px"):
        presets.gan(name, 128, 4, "cuda")


def test_every_preset_gives_a_configuration_on_every_device() -> None:
    for name in presets.GAN_PRESETS:
        for device in ("cpu", "cuda"):
            resolution = presets.PAPER[name][0] if name in presets.PAPER else 64
            assert presets.gan(name, resolution, 4, device).network.num_classes == 4
    with pytest.raises(ConfigError, match="no preset fast"):
        presets.gan("fast", 64, 4, "cpu")


def test_a_cpu_trains_with_a_projected_discriminator_and_a_gpu_as_published_unless_another_is_asked_for() -> None:
    for name in ("auto", "quick", "standard", "small-data"):
        own, other = presets.gan(name, 64, 4, "cpu"), presets.gan(name, 64, 4, "cpu", discriminator="stylegan2")
        assert (own.discriminator, own.r1_gamma) == ("projected", 0)
        assert other.discriminator == "stylegan2"
        assert other.r1_gamma > 0
        assert presets.gan(name, 64, 4, "cuda").discriminator == "stylegan2"
        assert presets.gan(name, 64, 4, "cuda", discriminator="projected").r1_gamma == 0
    assert presets.gan("paper256", 256, 4, "cpu").discriminator == "stylegan2"


def test_a_penalty_that_the_discriminator_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--gamma.*--discriminator stylegan2"):
        override_preset(presets.gan("auto", 64, 4, "cpu"), {"r1_gamma": 1.0})


def test_a_class_penalty_comes_with_what_it_needs() -> None:
    own = presets.gan("auto", 64, 4, "cpu")
    assert own.class_penalty == presets.CLASS_PENALTY > 0
    assert presets.gan("auto", 64, 1, "cpu").class_penalty == 0  # there is nothing to show
    for name in ("auto", "quick", "standard", "small-data"):
        for device, discriminator in (("cpu", "stylegan2"), ("cuda", None)):
            assert presets.gan(name, 64, 4, device, discriminator=discriminator).class_penalty == 0
    assert presets.gan("small-data", 64, 4, "cpu").class_penalty == 0
    assert override_preset(own, {"ada_pipeline": "bgc"}).class_penalty == 0
    assert override_preset(own, {"class_penalty": 0.0, "ada_pipeline": None}).class_penalty == 0
    for given in ({"class_penalty": 0.3, "ada_pipeline": "bgc"}, {"discriminator": "stylegan2"}):
        with pytest.raises(ConfigError, match=r"a class penalty of 0\.(3|15) with .*; leave one of them out"):
            override_preset(own, given)
    with pytest.raises(ConfigError, match="zero or more"):
        override_preset(own, {"class_penalty": -1.0})


def test_few_images_are_augmented_and_classes_come_late() -> None:
    for device in ("cpu", "cuda"):
        config = presets.gan("small-data", 64, 4, device)
        assert config.ada_pipeline != "none"
        assert config.ada_p is None
        assert config.transition_kimg is not None
        assert config.transition_kimg[1] < config.total_kimg / 2


def test_what_is_planned_in_kimg_keeps_its_place_in_a_shorter_training() -> None:
    preset = presets.gan("small-data", 64, 4, "cpu")
    assert preset.transition_kimg is not None
    assert preset.snapshot_kimg is not None
    half = override_preset(preset, {"total_kimg": preset.total_kimg / 2, "batch": None})
    assert half.transition_kimg == (preset.transition_kimg[0] / 2, preset.transition_kimg[1] / 2)
    assert half.snapshot_kimg == preset.snapshot_kimg / 2
    assert half.batch == preset.batch


def test_a_fixed_probability_needs_a_pipeline() -> None:
    preset = replace(presets.gan("auto", 64, 4, "cpu"), ada_pipeline="none")
    with pytest.raises(ConfigError, match="name one with --ada-pipeline"):
        override_preset(preset, {"ada_p": 0.2})
    assert override_preset(preset, {"ada_p": 0.0, "ada_pipeline": "bgc"}).ada_p == 0.0


def test_precision_is_chosen_apart_from_the_preset() -> None:
    preset = presets.gan("auto", 64, 4, "cuda")
    assert override_preset(preset, {}, "float32").network.num_half == 0
    assert override_preset(presets.gan("auto", 64, 4, "cpu"), {}, "mixed").network.num_half == 4

"""Named configurations: `quick` answers on a laptop's processor within minutes, `standard` is meant to be believed."""

from dataclasses import replace

from ganaug.config import FoldsConfig, GanConfig, NetworkConfig, PhantomConfig, StudyConfig, SynthesisConfig
from ganaug.errors import ConfigError

PRESETS = ("quick", "standard")


def require_preset(name: str) -> None:
    if name not in PRESETS:
        raise ConfigError(f"there is no preset {name}", expected=" or ".join(PRESETS))


def phantom(preset: str) -> tuple[PhantomConfig, FoldsConfig]:
    """How large the built-in data set is, and how it is cut."""
    require_preset(preset)
    if preset == "quick":
        return PhantomConfig(resolution_px=64, num_patients=48, images_per_patient=16), FoldsConfig(num_folds=3)
    return PhantomConfig(resolution_px=64, num_patients=80, images_per_patient=20), FoldsConfig(num_folds=5)


def gan(preset: str, resolution_px: int, num_classes: int) -> GanConfig:
    """How a generator is trained at a resolution, the published automatic rule for its penalty and average included.

    Source: Karras et al. 2020a, 2020b; see the automatic preset of StyleGAN2-ADA for gamma and the half-life.
    """
    require_preset(preset)
    batch = 16 if preset == "quick" else 32
    network = NetworkConfig(resolution_px, num_classes)
    config = GanConfig(
        network,
        total_kimg=40.0,
        batch=batch,
        r1_gamma=0.0002 * resolution_px**2 / batch,
        ema_kimg=batch * 10 / 32,
    )
    if preset == "quick":
        small = replace(network, z_dim=128, w_dim=128, channel_base=2048, channel_max=128)
        return replace(config, network=small, total_kimg=16.0)
    return config


def synthesis(preset: str) -> SynthesisConfig:
    """How many images are made of each class."""
    require_preset(preset)
    return SynthesisConfig(per_class=250 if preset == "quick" else 500)


def study(preset: str) -> StudyConfig:
    """How the gain is measured."""
    require_preset(preset)
    if preset == "quick":
        return StudyConfig(classifiers=("dalaresnet50_small",), seeds=(0,), num_steps=300, num_resamples=2000)
    return StudyConfig()

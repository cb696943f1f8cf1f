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
        return PhantomConfig(resolution_px=64, num_patients=80, images_per_patient=12), FoldsConfig(num_folds=4)
    return PhantomConfig(resolution_px=64, num_patients=100, images_per_patient=20), FoldsConfig(num_folds=5)


def gan(preset: str, resolution_px: int, num_classes: int, device: str) -> GanConfig:
    """How a generator is trained at a resolution on a kind of device.

    On a GPU the published automatic rule for network, penalty and average; on a processor a compact network, small
    batches and a strong penalty, found by trial to show tissue of the asked class soonest.
    Source: Karras et al. 2020a, 2020b, and the automatic preset of StyleGAN2-ADA.
    """
    require_preset(preset)
    network = NetworkConfig(resolution_px, num_classes)
    if device == "cpu":
        compact = replace(network, z_dim=128, w_dim=128, channel_base=512, channel_max=64)
        total_kimg = 12.0 if preset == "quick" else 40.0
        gamma = (resolution_px / 64) ** 2  # ten times the published rule, without which short runs show no glands
        return GanConfig(compact, total_kimg, batch=8, learning_rate=0.004, r1_gamma=gamma, ema_kimg=2.0)
    batch = 32
    return GanConfig(
        network,
        total_kimg=100.0 if preset == "quick" else 5000.0,
        batch=batch,
        r1_gamma=0.0002 * resolution_px**2 / batch,
        ema_kimg=batch * 10 / 32,
        state_kimg=50.0,
    )


def synthesis(preset: str) -> SynthesisConfig:
    """How many images are made of each class."""
    require_preset(preset)
    return SynthesisConfig(per_class=250 if preset == "quick" else 500)


def study(preset: str) -> StudyConfig:
    """How the gain is measured."""
    require_preset(preset)
    if preset == "quick":
        return StudyConfig(classifiers=("dalaresnet50_small",), num_steps=250, num_resamples=2000)
    return StudyConfig()


def num_folds_studied(preset: str) -> int | None:
    """Of how many folds generators are trained and studied where nothing is said; None is all."""
    require_preset(preset)
    return 2 if preset == "quick" else None

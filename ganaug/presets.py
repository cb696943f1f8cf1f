"""Named configurations: `quick` answers on a laptop's CPU within minutes, `standard` gives results to rely on."""

from dataclasses import replace

from ganaug.config import FoldsConfig, GanConfig, NetworkConfig, PhantomConfig, StudyConfig, SynthesisConfig
from ganaug.errors import ConfigError

PRESETS = ("quick", "standard")
PAPER = {"paper256": (256, 8, 1.0), "paper512": (512, 8, 0.5)}  # resolution in px, std_group, r1_gamma
CLASS_PENALTY = 0.15  # with the discriminator projected, by trials on the phantom
GAN_PRESETS = (*PRESETS, "auto", "small-data", *PAPER)


def require_preset(name: str) -> None:
    """Raise ConfigError for an unknown name; those that only generators know mean `standard` to everything else."""
    if name not in GAN_PRESETS:
        raise ConfigError(f"there is no preset {name}", expected=" or ".join(GAN_PRESETS))


def phantom(preset: str) -> tuple[PhantomConfig, FoldsConfig]:
    """How large the built-in data set is, and how it is cut."""
    require_preset(preset)
    if preset == "quick":
        return PhantomConfig(resolution_px=64, num_patients=160, images_per_patient=4), FoldsConfig(num_folds=4)
    return PhantomConfig(resolution_px=64, num_patients=100, images_per_patient=20), FoldsConfig(num_folds=5)


def paired_phantom(preset: str) -> tuple[PhantomConfig, FoldsConfig]:
    """The same for the one that is paired with expression: many patients of few images, as a patient is a sample."""
    require_preset(preset)
    if preset == "quick":
        return PhantomConfig(resolution_px=64, num_patients=120, images_per_patient=4), FoldsConfig(num_folds=5)
    return PhantomConfig(resolution_px=64, num_patients=240, images_per_patient=4), FoldsConfig(num_folds=5)


def gan(
    preset: str,
    resolution_px: int,
    num_classes: int,
    device: str,
    num_gpus: int = 1,
    discriminator: str | None = None,
) -> GanConfig:
    """How a generator is trained at a resolution on a kind of device; `standard` is `auto`.

    The paper's presets are the same everywhere. The others follow the published automatic rule on a GPU; on a
    CPU, where that rule would take months, they train a compact network with small batches and a projected
    discriminator, by the race in scripts/results/learning-race.json.
    discriminator: one of DISCRIMINATORS; None is the preset's own, and all else is set to suit it.
    Source: Karras et al. 2020a, 2020b, and the automatic preset of StyleGAN2-ADA; Sauer et al. 2021.
    """
    require_preset(preset)
    if preset in PAPER:
        return _with_discriminator(_paper(preset, resolution_px, num_classes), discriminator)
    if device == "cpu":
        config = _compact(resolution_px, num_classes, 2.5 if preset == "quick" else 40.0)
        config = _with_discriminator(config, discriminator or "projected")
    else:
        config = _automatic(resolution_px, num_classes, num_gpus, 100.0 if preset == "quick" else 25_000.0)
        config = _with_discriminator(config, discriminator)
    if preset == "quick":
        return replace(config, snapshot_kimg=None, extractor="none")
    if preset == "small-data":
        third = config.total_kimg / 3  # classes come in when their images have something in common already
        pipeline = "histology" if config.ada_pipeline == "none" else config.ada_pipeline
        augmented = replace(config, ada_pipeline=pipeline, class_penalty=0.0)
        return replace(augmented, transition_kimg=(third / 2, third), r1_gamma=2 * config.r1_gamma)
    return config


def _with_discriminator(config: GanConfig, discriminator: str | None) -> GanConfig:
    """A configuration for the discriminator stylegan2, changed to suit the one that is asked for."""
    if discriminator is None or discriminator == "stylegan2":
        return config
    # It has no R1 penalty: its layers are of bounded slope.
    penalty = CLASS_PENALTY if config.network.num_classes > 1 and config.ada_pipeline == "none" else 0.0
    return replace(config, discriminator=discriminator, r1_gamma=0.0, learning_rate=0.0025, class_penalty=penalty)


def _compact(resolution_px: int, num_classes: int, total_kimg: float) -> GanConfig:
    network = NetworkConfig(resolution_px, num_classes, z_dim=128, w_dim=128, channel_base=1024, channel_max=64)
    return GanConfig(
        network,
        total_kimg,
        batch=8,
        learning_rate=0.004,
        r1_gamma=(resolution_px / 64) ** 2,  # ten times the published rule, without which short runs show no glands
        style_mixing=0.0,  # neither brings, in so short a run, what it costs
        pl_weight=0.0,
        ema_kimg=2.0,
        ema_rampup=0.1,  # single iterations' colours differ, which averages over fewer of them show
        snapshot_kimg=total_kimg / 4,
        extractor="auto",
    )


def _automatic(resolution_px: int, num_classes: int, num_gpus: int, total_kimg: float) -> GanConfig:
    batch = max(min(num_gpus * min(4096 // resolution_px, 32), 64), num_gpus)
    batch = max(batch // num_gpus, 2) * num_gpus  # equal numbers per GPU, each with images to compare
    network = NetworkConfig(
        resolution_px,
        num_classes,
        channel_base=16384 if resolution_px < 512 else 32768,
        num_half=4,
        conv_clamp=256.0,
        std_group=min(batch // num_gpus, 4),
    )
    return GanConfig(
        network,
        total_kimg,
        batch=batch,
        learning_rate=0.0025 if resolution_px < 1024 else 0.002,
        r1_gamma=0.0002 * resolution_px**2 / batch,
        ema_kimg=batch * 10 / 32,
        ada_pipeline="bgc",
        state_kimg=20.0,
        snapshot_kimg=200.0,
        extractor="auto",
    )


def _paper(preset: str, resolution_px: int, num_classes: int) -> GanConfig:
    """The configurations of the paper's own runs, for batches spread over eight GPUs; any number will do."""
    expected, std_group, gamma = PAPER[preset]
    if resolution_px != expected:
        raise ConfigError(
            f"the preset {preset} at {resolution_px} px",
            expected=f"a data set of {expected} px",
            todo=f"use the preset auto, or prepare the data set with --resolution {expected}",
        )
    base = 16384 if preset == "paper256" else 32768
    network = NetworkConfig(
        resolution_px,
        num_classes,
        mapping_layers=8,
        channel_base=base,
        num_half=4,
        conv_clamp=256.0,
        std_group=std_group,
    )
    return GanConfig(
        network,
        25_000.0,
        batch=64,
        r1_gamma=gamma,
        ema_kimg=20.0,
        ema_rampup=None,
        ada_pipeline="bgc",
        state_kimg=20.0,
        snapshot_kimg=200.0,
        extractor="auto",
    )


def synthesis(preset: str) -> SynthesisConfig:
    """How many images are made of each class."""
    require_preset(preset)
    return SynthesisConfig(per_class=80 if preset == "quick" else 500)


def study(preset: str) -> StudyConfig:
    """How the gain is measured."""
    require_preset(preset)
    if preset == "quick":
        return StudyConfig(classifiers=("dalaresnet50_small",), num_steps=250, num_resamples=2000)
    return StudyConfig()


def num_generators(preset: str) -> int:
    """The generators of each fold that a study trains: with two, the luck of one is seen and averaged."""
    require_preset(preset)
    return 1 if preset == "quick" else 2


def num_folds_studied(preset: str) -> int | None:
    """The number of folds whose generators are trained and studied by default; None is all."""
    require_preset(preset)
    return 2 if preset == "quick" else None

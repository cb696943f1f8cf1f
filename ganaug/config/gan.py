"""The networks of a generator, and how they are trained."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from ganaug.config.checks import is_power_of_two, require
from ganaug.config.choices import ADA_PIPELINES, DISCRIMINATORS, ON_ALARM, SNAPSHOT_EXTRACTORS
from ganaug.errors import ConfigError
from ganaug.fields import require_kinds


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of a StyleGAN2 generator and its discriminator."""

    resolution_px: int
    num_classes: int
    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 2
    channel_base: int = 16384  # channels at resolution r are min(channel_base / r, channel_max)
    channel_max: int = 512
    num_half: int = 0  # highest resolutions that run in half precision, on devices that have it
    conv_clamp: float | None = None  # limit of the activations, times their gain; None is no limit
    std_group: int = 4  # images whose standard deviation the discriminator computes together, at most

    def __post_init__(self) -> None:
        fits = is_power_of_two(self.resolution_px) and 8 <= self.resolution_px <= 1024
        require(fits, f"resolution {self.resolution_px} px", "a power of two from 8 to 1024")
        require(self.num_classes >= 1, f"{self.num_classes} classes", "at least 1")
        fewest = min(self.z_dim, self.w_dim, self.mapping_layers, self.channels(self.resolution_px))
        require(fewest >= 1, f"layers of {fewest} channels", "widths and numbers of layers of at least 1")
        require(self.num_half >= 0, f"{self.num_half} resolutions in half precision", "zero or more")
        require(self.conv_clamp is None or self.conv_clamp > 0, f"a clamp of {self.conv_clamp}", "a positive number")
        require(self.std_group >= 1, f"groups of {self.std_group} images", "at least 1")

    def channels(self, resolution_px: int) -> int:
        return min(self.channel_base // resolution_px, self.channel_max)


@dataclass(frozen=True)
class GanConfig:
    """One training run of a generator on the training groups of one fold."""

    network: NetworkConfig
    total_kimg: float  # thousands of real images shown to the discriminator
    real_fraction: float = 1.0  # of the fold's training images per class; others are not shown
    batch: int = 32  # images per iteration, over all processes
    micro_batch: int | None = None  # images at a time in memory, in each process; None is all that it gets of a batch
    learning_rate: float = 0.0025
    discriminator: str = "stylegan2"  # one of DISCRIMINATORS
    r1_gamma: float = 0.1  # of the R1 penalty, which only the discriminator stylegan2 has; 0 is none
    class_penalty: float = 0.0  # of images that show their class less than real ones; only with projected; 0 is none
    r1_interval: int = 16  # iterations between two R1 penalties
    style_mixing: float = 0.9  # probability that an image's styles come from two latents
    pl_weight: float = 2.0  # of the path length penalty; 0 is none
    pl_interval: int = 4  # iterations between two path length penalties
    ema_kimg: float = 10.0  # half-life of the averaged generator, in thousands of images
    ema_rampup: float | None = (
        0.05  # the half-life is at most this fraction of the images seen so far; None sets no limit
    )
    seed: int = 0
    init: str | None = None  # SHA-256 of the weights that training begins with; None draws them
    pretrained: tuple[tuple[str, str], ...] = ()  # pairs (role, SHA-256 of the weights of a network that teaches it)

    # what the discriminator is shown
    dihedral: bool = True  # each real image in one of its eight orientations; False: as stored
    ada_pipeline: str = "none"  # transformations of real and generated images alike: one of ADA_PIPELINES
    ada_p: float | None = None  # their probability; None lets ADA control it
    ada_target: float = 0.6  # ADA's aim for E[sign D(real)]
    ada_kimg: float = 500.0  # in which ADA moves the probability by 1
    ada_interval: int = 4  # iterations between two of its moves
    transition_kimg: tuple[float, float] | None = None  # classes are taken into account from the one to the other

    # what is kept; no part of the run's identity
    state_kimg: float = 2.0  # how often the state to resume from is written
    keep_states: int = 2  # of which the newest are kept
    snapshot_kimg: float | None = None  # how often the averaged generator is written and scored; None is at the end
    keep_snapshots: int = 3  # of which the newest are kept, and the best
    on_alarm: str = "continue"  # what an alarm does: one of ON_ALARM
    extractor: str = "none"  # extractor whose Fréchet distance scores a snapshot; auto is the best at hand

    def __post_init__(self) -> None:
        require(0 < self.real_fraction <= 1, f"a real fraction of {self.real_fraction}", "above 0 and up to 1")
        require(0 < self.total_kimg <= 1e6, f"{self.total_kimg} kimg", "a positive number up to a million")
        require(self.batch >= 2, f"batch {self.batch}", "at least 2, as the discriminator compares images of a batch")
        micro = self.micro_batch
        require(micro is None or micro >= 1, f"{micro} images at a time", "at least 1")
        for name in ("r1_interval", "pl_interval", "ada_interval", "keep_states", "keep_snapshots"):
            require(getattr(self, name) >= 1, f"{name} {getattr(self, name)}", "at least 1")
        for name in ("learning_rate", "ada_kimg", "state_kimg"):
            require(0 < getattr(self, name) < inf, f"{name} {getattr(self, name)}", "a positive number")
        for name in ("r1_gamma", "pl_weight", "ema_kimg", "class_penalty"):
            require(0 <= getattr(self, name) < inf, f"{name} {getattr(self, name)}", "zero or more")
        for name in ("style_mixing", "ada_target", "ada_p"):
            value = getattr(self, name)
            require(value is None or 0 <= value <= 1, f"{name} {value}", "a number from 0 to 1")
        require(
            self.discriminator in DISCRIMINATORS,
            f"the discriminator {self.discriminator}",
            " or ".join(DISCRIMINATORS),
        )
        require(self.on_alarm in ON_ALARM, f"on_alarm {self.on_alarm}", " or ".join(ON_ALARM))
        if self.discriminator == "projected" and self.r1_gamma > 0:
            raise ConfigError(
                f"an R1 penalty of {self.r1_gamma} (--gamma) with the discriminator projected",
                expected="none, as its layers are of bounded slope",
                todo="leave it out, or pass --discriminator stylegan2",
            )
        if self.class_penalty > 0 and (self.discriminator != "projected" or self.ada_pipeline != "none"):
            with_what = f"the discriminator {self.discriminator}, ADA pipeline {self.ada_pipeline}"
            raise ConfigError(
                f"a class penalty of {self.class_penalty:g} with {with_what}",
                expected="the discriminator projected without a pipeline: its probe knows real images as they are",
                todo="leave one of them out",
            )
        require(self.ada_pipeline in ADA_PIPELINES, f"the ADA pipeline {self.ada_pipeline}", " or ".join(ADA_PIPELINES))
        require(
            self.extractor in SNAPSHOT_EXTRACTORS, f"the extractor {self.extractor}", " or ".join(SNAPSHOT_EXTRACTORS)
        )
        every = self.snapshot_kimg
        require(every is None or every > 0, f"a snapshot every {every} kimg", "a positive number")
        start, end = self.transition_kimg or (0.0, 0.0)
        ordered = 0 <= start <= end <= self.total_kimg
        require(
            ordered,
            f"a class transition from {start:g} to {end:g} kimg",
            f"a start and a later end from 0 to {self.total_kimg:g}, the length of the training",
        )


def override_preset(preset: GanConfig, given: Mapping[str, Any], precision: str | None = None) -> GanConfig:
    """The preset with the given fields instead; those that are None keep its values.

    What the preset plans in kimg keeps its place in a shorter or longer training. precision: "mixed" computes the four
    highest resolutions in half precision, "float32" none. Raises ConfigError where a value cannot work.
    """
    fields = {name: value for name, value in given.items() if value is not None}
    stretch = fields.get("total_kimg", preset.total_kimg) / preset.total_kimg
    if stretch != 1 and preset.transition_kimg:
        start, end = preset.transition_kimg
        fields.setdefault("transition_kimg", (start * stretch, end * stretch))
    if stretch < 1 and preset.snapshot_kimg:
        fields.setdefault("snapshot_kimg", preset.snapshot_kimg * stretch)
    if fields.get("ada_pipeline", "none") != "none":
        fields.setdefault("class_penalty", 0.0)
    if fields.get("ada_p") is not None and fields.get("ada_pipeline", preset.ada_pipeline) == "none":
        raise ConfigError("--ada-p without a pipeline", todo="name one with --ada-pipeline")
    if precision is not None:
        half: dict[str, Any] = {"num_half": 4, "conv_clamp": 256.0} if precision == "mixed" else {"num_half": 0}
        preset = replace(preset, network=replace(preset.network, **half))
    return replace(preset, **fields)


def network_config_from_dict(values: dict[str, Any]) -> NetworkConfig:
    """The inverse of `to_dict` for a `NetworkConfig`; raises ConfigError, or TypeError for unknown fields."""
    require_kinds(NetworkConfig, values)
    return NetworkConfig(**values)


def gan_config_from_dict(values: dict[str, Any]) -> GanConfig:
    """The inverse of `to_dict` for a `GanConfig`; raises ConfigError where a field is unknown or missing."""
    try:
        given = {**values, "network": network_config_from_dict(values["network"])}
        require_kinds(GanConfig, given)
        if given.get("transition_kimg") is not None:  # JSON knows no tuples
            given["transition_kimg"] = tuple(given["transition_kimg"])
        given["pretrained"] = tuple((role, digest) for role, digest in given.get("pretrained", ()))
        return GanConfig(**given)
    except (TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"a generator's configuration does not fit this version ({error})", todo="train it again with this version"
        ) from error

"""The options of the trunk as frozen dataclasses, free of torch: every field with its unit, checked where made."""

import re
from dataclasses import asdict, dataclass, field
from math import inf
from typing import Any, get_args

from classifiers.config import Augmentation
from ganaug.errors import ConfigError
from ganaug.fields import require_kinds

BREAST_CLASSES = ("Benign", "InSitu", "Invasive", "Normal")
SOURCE_NAMES = ("phantom", "bach", "breakhis", "mini-ddsm", "tcga-brca", "folder", "zip")
MOST_FOLDS = 500  # of all repeats together, as every fold has a generator of its own
EXTRACTOR_NAMES = ("inception", "squeezenet", "classifier")  # of features, the best known first
SNAPSHOT_METRICS = ("auto", "none", *EXTRACTOR_NAMES)  # what may score snapshots
MOST_IMAGES = 10_000_000  # of a class, that a generator is asked for
SCHEMES = ("k-fold", "repeated", "leave-one-out", "hold-out", "fixed")
STAINS = ("none", "macenko", "reinhard")
TRUNCATIONS = ("global", "class")  # whose mean w truncation draws towards
AUGMENTATIONS = ("none", "blit", "bg", "bgc", "bgcfnc", "histology")  # of the discriminator's images
LAYOUT_LEVELS = ("class", "part", "magnification", "site", "patient", "other")  # what a folder level can be
_CHOICES = {
    "fit": ("crop", "tile", "resize"),
    "stain": STAINS,
    "magnification": ("40", "100", "200", "400", "all"),
    "task": ("binary", "subtype"),
    "group": ("accession", "folder"),
    "part": ("train", "test"),
    "near_names": ("merge", "keep"),
}


def _require(holds: bool, seen: str, expected: str) -> None:
    if not holds:
        raise ConfigError(seen, expected=expected)


def require_name(name: str) -> None:
    """Raise ConfigError where a data set cannot bear this name, which becomes part of file names."""
    safe = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name)
    _require(bool(safe), f"the name {name!r}", "at most 100 letters, digits, dots, dashes and underscores")


def _require_layout(layout: str | None) -> None:
    levels = layout.split("/") if layout is not None else ["class"]
    named = [level for level in levels if level != "other"]
    fits = set(levels) <= set(LAYOUT_LEVELS) and named.count("class") == 1 and len(set(named)) == len(named)
    _require(
        fits,
        f"layout {layout!r}",
        f"the folder levels from the top with slashes between them: class once, and of {', '.join(LAYOUT_LEVELS[1:])} "
        "each at most once but for other, such as class/magnification/patient",
    )


def is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


@dataclass(frozen=True)
class PhantomConfig:
    """How many procedural images `ganaug.data.sources.phantom.draw` draws, and how large."""

    resolution_px: int = 64  # side of the square images
    num_patients: int = 60  # spread evenly over the classes; a patient has one class
    images_per_patient: int = 20
    um_per_px: float = 2.0  # the field of view is resolution_px * um_per_px micrometres wide

    def __post_init__(self) -> None:
        _require(self.resolution_px >= 16, f"resolution {self.resolution_px} px", "at least 16")
        _require(self.num_patients >= 4, f"{self.num_patients} patients", "at least one for each of the four classes")
        _require(self.images_per_patient >= 1, f"{self.images_per_patient} images a patient", "at least 1")
        _require(self.um_per_px > 0, f"{self.um_per_px} micrometres per pixel", "a positive number")


@dataclass(frozen=True)
class FoldsConfig:
    """How the groups are cut into training, validation and test parts."""

    num_folds: int = 5  # parts; each fold tests one, validates on another and trains on the rest
    seed: int = 0
    scheme: str = "k-fold"  # one of SCHEMES
    num_repeats: int = 3  # repeated: how many times the groups are cut anew
    by: str = "group"  # what is kept together: group (a patient), or site (all patients of a laboratory)
    fixed: str = ""  # fixed: a CSV of group and part, or the name of a split that the source offers

    def __post_init__(self) -> None:
        enough = "at least 3, as train, validation and test are disjoint"
        _require(self.num_folds >= 3, f"{self.num_folds} folds", enough)
        most = f"at most {MOST_FOLDS} in all, as every fold has a generator of its own"
        _require(self.num_folds <= MOST_FOLDS, f"{self.num_folds} folds", most)
        _require(self.scheme in SCHEMES, f"scheme {self.scheme}", " or ".join(SCHEMES))
        _require(self.num_repeats >= 2, f"{self.num_repeats} repeats", "at least 2")
        number = self.num_folds * self.num_repeats
        _require(self.scheme != "repeated" or number <= MOST_FOLDS, f"{self.num_repeats} repeats of them", most)
        _require(self.by in ("group", "site"), f"folds by {self.by}", "group or site")
        fits = bool(self.fixed) == (self.scheme == "fixed")
        _require(fits, f"scheme {self.scheme} with the split {self.fixed or '(none)'}", "a --split for fixed, only")


@dataclass(frozen=True)
class PrepareConfig:
    """What `ganaug prepare` reads and how it writes it; an option that is None is the source's own default."""

    dataset: str  # one of SOURCE_NAMES
    source: str | None = None  # folder, archive or manifest; the phantom needs none
    name: str = ""  # of the data set in the workspace; that of the source where empty
    seed: int = 0
    exclude_classes: tuple[str, ...] = ()  # names of classes to leave out
    folds: FoldsConfig = field(default_factory=FoldsConfig)

    # how an image of any size becomes square ones
    resolution_px: int = 64  # side of the square images
    fit: str = "crop"  # crop: the central square; tile: a grid of squares; resize: all of it, whatever the aspect
    field_px: int | None = None  # side of the square that becomes one image, in the source's own pixels
    field_um: float | None = None  # the same in micrometres
    stain: str = "none"  # normalisation of the stain, fitted on the training groups of each fold: one of STAINS

    # what only some sources know
    magnification: str | None = None  # breakhis: 40, 100, 200, 400 or all
    task: str | None = None  # breakhis, tcga-brca: binary or subtype
    group: str | None = None  # breakhis: what counts as one patient, accession or folder
    layout: str | None = None  # folder: what the folder levels are, from the top, such as class/magnification/patient
    near_names: str | None = None  # near-equal names of classes, patients and sites: merge, keep, or note and refuse
    same_patient: str | None = None  # a CSV of patient and same_as, which joins patients of several names
    part: str | None = None  # bach: train, or test, the organisers' images without labels
    patients_csv: str | None = None  # bach: a CSV of file and patient
    expression: str | None = None  # tcga-brca: table of genes × samples
    clinical: str | None = None  # tcga-brca: table with the PAM50 call of each sample
    um_per_px: float | None = None  # micrometres per pixel of the files; of bach and breakhis instead of the published
    phantom: PhantomConfig = field(default_factory=PhantomConfig)

    def __post_init__(self) -> None:
        _require(16 <= self.resolution_px <= 1024, f"resolution {self.resolution_px} px", "a number from 16 to 1024")
        require_name(self.workspace_name)
        for name, values in _CHOICES.items():
            value = getattr(self, name)
            _require(value is None or value in values, f"{name} {value}", " or ".join(values))
        for name in ("field_px", "field_um", "um_per_px"):
            value = getattr(self, name)
            _require(value is None or 0 < value < 1e6, f"{name} {value}", "a positive number below a million")
        _require(self.field_px is None or self.field_um is None, "a field in pixels and in micrometres", "one of them")
        _require_layout(self.layout)
        takes_field = self.fit != "resize" or (self.field_px or self.field_um) is None
        _require(takes_field, "a field for the fit resize", "a field for crop or tile only")

    @property
    def workspace_name(self) -> str:
        return self.name or self.dataset


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
    std_group: int = 4  # images that the discriminator's minibatch deviation compares, at most

    def __post_init__(self) -> None:
        fits = is_power_of_two(self.resolution_px) and 8 <= self.resolution_px <= 1024
        _require(fits, f"resolution {self.resolution_px} px", "a power of two from 8 to 1024")
        _require(self.num_classes >= 1, f"{self.num_classes} classes", "at least 1")
        fewest = min(self.z_dim, self.w_dim, self.mapping_layers, self.channels(self.resolution_px))
        _require(fewest >= 1, f"layers of {fewest} channels", "widths and numbers of layers of at least 1")
        _require(self.num_half >= 0, f"{self.num_half} resolutions in half precision", "zero or more")
        _require(self.conv_clamp is None or self.conv_clamp > 0, f"a clamp of {self.conv_clamp}", "a positive number")
        _require(self.std_group >= 1, f"groups of {self.std_group} images", "at least 1")

    def channels(self, resolution_px: int) -> int:
        return min(self.channel_base // resolution_px, self.channel_max)


@dataclass(frozen=True)
class GanConfig:
    """One training run of a generator on the training groups of one fold."""

    network: NetworkConfig
    total_kimg: float  # thousands of real images shown to the discriminator
    batch: int = 32  # images an iteration, over all processes
    micro_batch: int | None = None  # images at a time in memory, in each process; None is all of its share
    learning_rate: float = 0.0025
    r1_gamma: float = 0.1
    r1_interval: int = 16  # iterations between two R1 penalties
    style_mixing: float = 0.9  # chance that an image's styles come from two latents
    pl_weight: float = 2.0  # of the path length penalty; 0 is none
    pl_interval: int = 4  # iterations between two path length penalties
    ema_kimg: float = 10.0  # half-life of the averaged generator, in thousands of images
    ema_rampup: float | None = 0.05  # the half-life is at most this share of the images seen so far; None is no limit
    seed: int = 0
    init: str | None = None  # SHA-256 of the weights that training begins with; None draws them

    # what the discriminator is shown
    dihedral: bool = True  # each real image in one of its eight orientations; False: as it lies
    augment: str = "none"  # transformations of real and generated images alike: one of AUGMENTATIONS
    augment_p: float | None = None  # their chance; None lets ADA control it
    ada_target: float = 0.6  # ADA's aim for E[sign D(real)]
    ada_kimg: float = 500.0  # in which ADA moves the chance by 1
    ada_interval: int = 4  # iterations between two of its moves
    transition_kimg: tuple[float, float] | None = None  # classes are taken into account from the one to the other

    # what is kept; no part of the run's identity
    state_kimg: float = 2.0  # how often the state to resume from is written
    keep_states: int = 2  # of which the newest are kept
    snapshot_kimg: float | None = None  # how often the averaged generator is written and scored; None is at the end
    keep_snapshots: int = 3  # of which the newest are kept, and the best
    metric: str = "none"  # extractor whose Fréchet distance scores a snapshot; auto is the best at hand

    def __post_init__(self) -> None:
        _require(0 < self.total_kimg <= 1e6, f"{self.total_kimg} kimg", "a positive number up to a million")
        _require(self.batch >= 2, f"batch {self.batch}", "at least 2, as the minibatch deviation compares images")
        micro = self.micro_batch
        _require(micro is None or micro >= 1, f"{micro} images at a time", "at least 1")
        for name in ("r1_interval", "pl_interval", "ada_interval", "keep_states", "keep_snapshots"):
            _require(getattr(self, name) >= 1, f"{name} {getattr(self, name)}", "at least 1")
        for name in ("learning_rate", "ada_kimg", "state_kimg"):
            _require(0 < getattr(self, name) < inf, f"{name} {getattr(self, name)}", "a positive number")
        for name in ("r1_gamma", "pl_weight", "ema_kimg"):
            _require(0 <= getattr(self, name) < inf, f"{name} {getattr(self, name)}", "zero or more")
        for name in ("style_mixing", "ada_target", "augment_p"):
            value = getattr(self, name)
            _require(value is None or 0 <= value <= 1, f"{name} {value}", "a number from 0 to 1")
        _require(self.augment in AUGMENTATIONS, f"augmentation {self.augment}", " or ".join(AUGMENTATIONS))
        _require(self.metric in SNAPSHOT_METRICS, f"the metric {self.metric}", " or ".join(SNAPSHOT_METRICS))
        every = self.snapshot_kimg
        _require(every is None or every > 0, f"a snapshot every {every} kimg", "a positive number")
        start, end = self.transition_kimg or (0.0, 0.0)
        ordered = 0 <= start <= end <= self.total_kimg
        _require(ordered, f"a class transition from {start} to {end} kimg", f"within the {self.total_kimg} of training")


@dataclass(frozen=True)
class SynthesisConfig:
    """Which images a generator writes: all that decides what they look like, and nothing of how they are computed."""

    per_class: int = 500  # images of every class that `counts` does not name
    counts: tuple[tuple[str, int], ...] = ()  # pairs (class, images)
    psi: float = 1.0  # truncation of every class that `psi_of` does not name; 1 is none, 0 shows the centre alone
    psi_of: tuple[tuple[str, float], ...] = ()  # pairs (class, psi)
    truncation: str = "global"  # towards the mean of all classes, or of each class: one of TRUNCATIONS
    reject: tuple[tuple[str, float], ...] = ()  # pairs (filter, value): see `ganaug.generate.filters`
    seed: int = 0

    def __post_init__(self) -> None:
        _require(1 <= self.per_class <= MOST_IMAGES, f"{self.per_class} images a class", f"1 to {MOST_IMAGES}")
        for name, count in self.counts:
            _require(0 <= count <= MOST_IMAGES, f"{count} images of {name}", f"0 to {MOST_IMAGES}")
        for where, psi in (("", self.psi), *((f" of {name}", psi) for name, psi in self.psi_of)):
            _require(0 <= psi <= 1, f"psi {psi}{where}", "a number from 0 to 1")
        for name, value in self.reject:
            _require(0 < value < 1, f"the filter {name}={value}", "a number between 0 and 1")
        for pairs in (self.counts, self.psi_of, self.reject):
            names = [name for name, _ in pairs]
            _require(len(set(names)) == len(names), f"values for {', '.join(names)}", "each name once")
        _require(self.truncation in TRUNCATIONS, f"truncation {self.truncation}", " or ".join(TRUNCATIONS))


@dataclass(frozen=True)
class StudyConfig:
    """The experiment: which classifiers are trained on which arms, how often, how long, and how the gain is judged."""

    classifiers: tuple[str, ...] = ("resvit_gannet_small", "dalaresnet50_small")
    pretrained: tuple[tuple[str, str], ...] = ()  # pairs (classifier, local file of the weights that it starts from)
    pretrained_saw: tuple[tuple[str, str], ...] = ()  # pairs (classifier, the user's word for what these weights saw)
    arms: tuple[str, ...] = ("real", "real-oversampled", "real+synthetic", "synthetic-only")
    folds: tuple[int, ...] | None = None  # None: every fold of the data set
    seeds: tuple[int, ...] = (0, 1)
    ratio: float = 1.0  # synthetic images added, per real training image of the same class
    num_steps: int = 300  # optimiser steps, the same for every cell
    batch: int = 32
    learning_rate: float = 3e-3
    augmentation: Augmentation = "standard"  # classical, of every arm alike; strong also varies the stain
    metric: str = "balanced_accuracy"  # what the verdict is about
    confidence: float = 0.95  # of the verdict's intervals, shared among the classifiers
    num_resamples: int = 5000  # bootstrap resamples of patients

    def __post_init__(self) -> None:
        strays = [name for name, _ in self.pretrained if name not in self.classifiers]
        _require(not strays, f"weights for {', '.join(strays)}", f"for one of {', '.join(self.classifiers)}")
        given = [name for name, _ in self.pretrained]
        strays = [name for name, _ in self.pretrained_saw if name not in given]
        _require(not strays, f"what the weights of {', '.join(strays)} saw", "weights for it, with --pretrained")
        for name in ("classifiers", "arms", "seeds"):
            values = getattr(self, name)
            _require(len(values) > 0, f"no {name}", f"at least one of the {name}")
            _require(len(set(values)) == len(values), f"{name} {', '.join(map(str, values))}", "each one once")
        _require(0.5 < self.confidence < 1, f"confidence {self.confidence}", "a number between 0.5 and 1")
        _require(0 < self.ratio <= 1000, f"ratio {self.ratio}", "a positive number up to 1000")
        _require(self.num_steps >= 1, f"{self.num_steps} steps", "at least 1")
        _require(self.batch >= 2, f"batch {self.batch}", "at least 2, as batch normalisation compares images")
        _require(self.num_resamples >= 100, f"{self.num_resamples} resamples", "at least 100")
        levels = get_args(Augmentation)
        _require(self.augmentation in levels, f"augmentation {self.augmentation}", " or ".join(levels))


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain JSON values (tuples become lists)."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}


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
        return GanConfig(**given)
    except (TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"a generator's configuration does not fit this version ({error})", todo="train it anew with this version"
        ) from error

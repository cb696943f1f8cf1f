"""ARMS: the training images of each arm, what decides them, and what each is there for."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from classifiers.config import ClassicalAugmentation
from ganaug.config.choices import (
    BALANCED,
    BASELINE,
    CONTROL,
    EXTERNAL,
    FILTERED,
    LEAKY,
    ORACLE,
    SHUFFLED,
    SYNTHETIC_ONLY,
    TREATMENT,
    WEIGHTED,
)
from ganaug.data.mixture import Mixture
from ganaug.errors import ConfigError
from ganaug.study.arms import compose
from ganaug.study.arms.compose import Context
from ganaug.study.arms.names import MOST_ADDED, ArmName, read_name

Dependency = Literal["ratio", "synthetic", "filter", "external", "leak"]  # the option --ratio, or the content of files


@dataclass(frozen=True)
class Arm:
    """One way of filling the training set."""

    name: str
    compose: Callable[[Context], Mixture]
    depends_on: tuple[Dependency, ...]  # what makes it another experiment when it changes, as do data, fold and seed
    meaning: str  # for the reader of the report
    ratio: float | None = None  # of its own, in place of --ratio
    classical_augmentation: ClassicalAugmentation | None = None  # of its own, in place of the study's
    fills: float = 0.0  # images that it may add in addition to its ratio, per real one of the largest class
    fraction: float = 1.0  # of the fold's real training images, that it holds

    @property
    def base(self) -> str:
        """The arm of `ARMS` that it is, whatever its ratio and fraction."""
        return re.split("[@/]", self.name)[0]

    def ratio_of(self, study: float) -> float:
        """Images that the arm adds per real one, in a study with this --ratio."""
        return study if self.ratio is None else self.ratio


_ARMS = (
    Arm(BASELINE, compose.compose_real, (), "the real training images of the fold; the baseline"),
    Arm(
        CONTROL,
        compose.compose_real_oversampled,
        ("ratio",),
        "as many images of each class as in real+synthetic, the added ones being repeats of real ones; "
        "the control: it holds nothing new, so whatever it gains does not come from the generator",
    ),
    Arm(
        TREATMENT,
        compose.compose_real_and_synthetic,
        ("ratio", "synthetic"),
        "the real training images and images drawn from the generator",
    ),
    Arm(
        SYNTHETIC_ONLY,
        compose.compose_synthetic_only,
        ("ratio", "synthetic"),
        "the drawn images alone; how much of the task the generator has taken over",
    ),
    Arm(
        WEIGHTED,
        compose.compose_real_weighted,
        (),
        "the real training images, those of rarer classes repeated until all classes have as many",
    ),
    Arm(
        "real-classical",
        compose.compose_real,
        (),
        "the real training images under strong classical augmentation, which also varies the stain",
        classical_augmentation="strong",
    ),
    Arm(
        BALANCED,
        compose.compose_balanced,
        ("ratio", "synthetic"),
        "the real training images and more drawn ones of rarer classes, so that all classes have as many",
        fills=1.0,
    ),
    Arm(
        FILTERED,
        compose.compose_filtered,
        ("ratio", "synthetic", "filter"),
        "real+synthetic, of the drawn images only those that a classifier of the fold's training images assigns to "
        "their class",
    ),
    Arm(
        SHUFFLED,
        compose.compose_shuffled,
        ("ratio", "synthetic"),
        "real+synthetic with the labels of the drawn images permuted; they teach nothing of the classes, so what this "
        "arm gains is no gain",
    ),
    Arm(
        ORACLE,
        compose.compose_more_real,
        ("ratio",),
        "real images of training patients that the other arms of its fraction do not have, in place of drawn ones; "
        "what images as good as real ones would bring",
    ),
    Arm(
        EXTERNAL,
        compose.compose_external,
        ("ratio", "external"),
        "the real training images and images that another tool generated; no record says what it was trained on",
    ),
    Arm(
        LEAKY,
        compose.compose_leaky,
        ("ratio", "leak"),
        "LEAK: the real training images and images of another fold's generator, which was trained on patients under "
        "test here; what a study without separate patients would have reported, and never an answer",
    ),
)
ARMS: dict[str, Arm] = {arm.name: arm for arm in _ARMS}


def find_arm(name: str) -> Arm:
    """The arm of a name, as in `ARMS` or with a ratio after an @ and a fraction after a /; raises ConfigError."""
    parts = read_name(name)
    if parts is None or parts.base not in ARMS or not _is_meant(ARMS[parts.base], parts):
        raise ConfigError(
            f"unknown arm {name!r}",
            expected=f"{', '.join(ARMS)}; those that add images also with a ratio, such as {TREATMENT}@0.5, and all "
            f"with a fraction of the real images, such as {TREATMENT}/0.25",
        )
    arm = ARMS[parts.base]
    depends_on = tuple(each for each in arm.depends_on if parts.ratio is None or each != "ratio")
    return replace(arm, name=name, depends_on=depends_on, ratio=parts.ratio, fraction=parts.fraction)


def _is_meant(arm: Arm, parts: ArmName) -> bool:
    """Whether the arm can have this ratio and this fraction."""
    return (parts.ratio is None or (0 < parts.ratio <= MOST_ADDED and "ratio" in arm.depends_on)) and (
        0 < parts.fraction < 1 or (parts.fraction == 1 and not parts.has_fraction)
    )


def most_added(arms: Iterable[str], ratio: float) -> float:
    """Synthetic images per real one of the largest class, that any of these arms draws in a study with this --ratio."""
    drawing = [find_arm(name) for name in arms]
    return max((arm.ratio_of(ratio) + arm.fills for arm in drawing if draws(arm)), default=0.0)


def draws(arm: Arm) -> bool:
    """Whether the arm holds images of this data set's generators."""
    return "synthetic" in arm.depends_on or "leak" in arm.depends_on

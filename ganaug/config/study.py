"""The options of a study: what it trains, and how it judges."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from classifiers.config import ClassicalAugmentation
from ganaug.config.checks import require
from ganaug.config.choices import COLOUR_PROBE, DEFAULT_ARMS


@dataclass(frozen=True)
class StudyConfig:
    """The experiment: which classifiers are trained on which arms, how often, how long, and how the gain is judged."""

    classifiers: tuple[str, ...] = ("resvit_gannet_small", "dalaresnet50_small")
    pretrained: tuple[tuple[str, str], ...] = ()  # pairs (classifier, local file of the weights that it starts from)
    pretrained_saw: tuple[tuple[str, str], ...] = ()  # pairs (classifier, the user's word for what these weights saw)
    arms: tuple[str, ...] = DEFAULT_ARMS
    shortcuts: tuple[str, ...] = (COLOUR_PROBE,)  # classifiers of what needs no tissue, on the real images alone
    folds: tuple[int, ...] | None = None  # None: every fold of the data set
    seeds: tuple[int, ...] = (0, 1)
    ratio: float = 1.0  # synthetic images added, per real training image of the same class
    num_steps: int = 300  # optimiser steps, the same for every cell
    batch: int = 32
    learning_rate: float = 3e-3
    body_learning_rate: float = 3e-3  # of pretrained layers; of 3e-3 to 1e-4 the best on phantom validation patients
    classical_augmentation: ClassicalAugmentation = "standard"  # of every arm alike; strong also varies the stain
    metric: str = "balanced_accuracy"  # what the verdict is about
    confidence: float = 0.95  # of the verdict's intervals
    external: tuple[tuple[str, str], ...] = ()  # pairs (fold, or empty for all; dataset.zip of another tool)
    external_saw: str = ""  # the user's word for what that tool was trained on
    leak_audit: bool = False  # whether an arm may leak, to show what that would do; every report of it says so
    replicate: str = ""  # a paper whose protocol runs as well, see `ganaug.study.replication`; empty: none
    margin: float = 0.02  # of the metric: an effect that would not matter, see "equivalent"
    num_resamples: int = 5000  # bootstrap resamples of patients

    def __post_init__(self) -> None:
        strays = [name for name, _ in self.pretrained if name not in self.classifiers]
        require(not strays, f"weights for {', '.join(strays)}", f"for one of {', '.join(self.classifiers)}")
        given = [name for name, _ in self.pretrained]
        strays = [name for name, _ in self.pretrained_saw if name not in given]
        require(not strays, f"what the weights of {', '.join(strays)} saw", "weights for it, with --pretrained")
        folds = [fold for fold, _ in self.external]
        require(len(set(folds)) == len(folds), f"several external files for fold {', '.join(folds)}", "one of each")
        is_said = bool(self.external) == bool(self.external_saw.strip())
        require(is_said, "external images without what their tool saw", "both, with --external and --external-saw")
        for name in ("classifiers", "arms", "seeds"):
            values = getattr(self, name)
            require(len(values) > 0, f"no {name}", f"at least one of the {name}")
            require(len(set(values)) == len(values), f"{name} {', '.join(map(str, values))}", "each one once")
        both = set(self.shortcuts) & set(self.classifiers)
        require(not both, f"{', '.join(sorted(both))} as classifier and as shortcut", "one of them")
        require(0.5 < self.confidence < 1, f"confidence {self.confidence}", "a number between 0.5 and 1")
        require(0 < self.margin < 1, f"margin {self.margin}", "a number between 0 and 1, such as 0.02 for two points")
        require(0 < self.ratio <= 1000, f"ratio {self.ratio}", "a positive number up to 1000")
        require(self.num_steps >= 1, f"{self.num_steps} steps", "at least 1")
        require(self.batch >= 2, f"batch {self.batch}", "at least 2, as batch normalisation compares images")
        for name in ("learning_rate", "body_learning_rate"):
            rate = getattr(self, name)
            require(0 < rate < float("inf"), f"{name.replace('_', ' ')} {rate}", "a positive number")
        require(self.num_resamples >= 100, f"{self.num_resamples} resamples", "at least 100")
        levels = get_args(ClassicalAugmentation)
        require(
            self.classical_augmentation in levels, f"augmentation {self.classical_augmentation}", " or ".join(levels)
        )

    def external_of(self, fold: int) -> Path | None:
        """The file of another tool's images for a fold; None where there is none."""
        by_fold = dict(self.external)
        file = by_fold.get(str(fold), by_fold.get(""))
        return None if file is None else Path(file)

    def weights_of(self, classifier: str) -> Path | None:
        """The local file of the weights that a classifier starts from; None where they are drawn."""
        return next((Path(file) for name, file in self.pretrained if name == classifier), None)


@dataclass(frozen=True)
class SubtypeConfig:
    """How the arms of the cross-attention model are compared: every arm is trained alike."""

    seeds: tuple[int, ...] = (0, 1, 2)
    num_steps: int = 100  # optimiser steps
    batch: int = 32  # patients per step
    learning_rate: float = 3e-3
    label_smoothing: float = 0.1  # without it, tiles learnt by heart end the training before the genes are learnt
    max_tiles: int = 50  # of a patient
    extractor: str | None = None  # of the tiles' features; None: the default one
    confidence: float = 0.95  # of the intervals
    num_resamples: int = 2000  # bootstrap resamples of patients

    def __post_init__(self) -> None:
        require(len(self.seeds) > 0 and len(set(self.seeds)) == len(self.seeds), f"seeds {self.seeds}", "each one once")
        require(self.num_steps >= 1, f"{self.num_steps} steps", "at least 1")
        require(self.batch >= 2, f"batch {self.batch}", "at least 2")
        require(0 < self.learning_rate < 1e3, f"learning rate {self.learning_rate}", "a positive number")
        require(0 <= self.label_smoothing < 1, f"label smoothing {self.label_smoothing}", "at least 0 and below 1")
        require(self.max_tiles >= 1, f"{self.max_tiles} tiles", "at least 1 of each patient")
        require(0.5 < self.confidence < 1, f"confidence {self.confidence}", "a number between 0.5 and 1")
        require(self.num_resamples >= 100, f"{self.num_resamples} resamples", "at least 100")


def change_study(config: StudyConfig, *, seed: int, num_seeds: int | None, **options: Any) -> StudyConfig:
    """The study with the options that were chosen; None and () leave what `config` has.

    Its seeds are `num_seeds` from `seed` on; None leaves their number.
    """
    chosen = {name: value for name, value in options.items() if value not in (None, ())}
    return replace(config, seeds=tuple(range(seed, seed + (num_seeds or len(config.seeds)))), **chosen)

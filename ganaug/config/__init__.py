"""The options of the trunk as frozen dataclasses, free of torch: every field with its unit, checked where made."""

from ganaug.config.checks import is_power_of_two, require_name, to_dict
from ganaug.config.choices import (
    ADA_PIPELINES,
    ARM_NAMES,
    BREAST_CLASSES,
    BUILT_IN,
    DISCRIMINATORS,
    DRAWN,
    EXTRACTOR_NAMES,
    FILE_EXTRACTORS,
    FITTED_EXTRACTORS,
    LAYOUT_LEVELS,
    MAP_METHODS,
    MOST_FOLDS,
    MOST_IMAGES,
    NAMED_EXTRACTORS,
    NO_WEIGHTS,
    ON_ALARM,
    PHANTOM,
    SCHEME_NAMES,
    SNAPSHOT_EXTRACTORS,
    SOURCE_NAMES,
    STAINS,
    STOP,
    TRUNCATIONS,
)
from ganaug.config.compute import CPU, Compute
from ganaug.config.folds import FoldsConfig
from ganaug.config.gan import (
    GanConfig,
    NetworkConfig,
    gan_config_from_dict,
    network_config_from_dict,
    override_preset,
)
from ganaug.config.phantom import PairedConfig, PhantomConfig
from ganaug.config.prepare import PrepareConfig
from ganaug.config.study import StudyConfig, SubtypeConfig
from ganaug.config.synthesis import SynthesisConfig

__all__ = [
    "ADA_PIPELINES",
    "ARM_NAMES",
    "BREAST_CLASSES",
    "BUILT_IN",
    "CPU",
    "DISCRIMINATORS",
    "DRAWN",
    "EXTRACTOR_NAMES",
    "FILE_EXTRACTORS",
    "FITTED_EXTRACTORS",
    "LAYOUT_LEVELS",
    "MAP_METHODS",
    "MOST_FOLDS",
    "MOST_IMAGES",
    "NAMED_EXTRACTORS",
    "NO_WEIGHTS",
    "ON_ALARM",
    "PHANTOM",
    "SCHEME_NAMES",
    "SNAPSHOT_EXTRACTORS",
    "SOURCE_NAMES",
    "STAINS",
    "STOP",
    "TRUNCATIONS",
    "Compute",
    "FoldsConfig",
    "GanConfig",
    "NetworkConfig",
    "PairedConfig",
    "PhantomConfig",
    "PrepareConfig",
    "StudyConfig",
    "SubtypeConfig",
    "SynthesisConfig",
    "gan_config_from_dict",
    "is_power_of_two",
    "network_config_from_dict",
    "override_preset",
    "require_name",
    "to_dict",
]

"""The sources of images: one file each, with a function `scan(config) -> Scan`, and the options that each uses."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ganaug.config import PrepareConfig
from ganaug.data.sources import bach, breakhis, dataset_zip, folder, mini_ddsm, tcga_brca
from ganaug.data.sources.phantom import paired
from ganaug.data.sources.phantom import source as phantom_scan
from ganaug.data.sources.scans.reconcile import reconcile
from ganaug.data.sources.scans.scan import Scan
from ganaug.errors import ConfigError
from ganaug.workspace import os_errors_as_workspace_errors

_FILES = ("source", "fit", "field_px", "field_um", "whole_copies_only")  # of every source that reads files
_DRAWN = ("num_patients", "images_per_patient")  # of every source that is drawn
_NAMES = {"near_names": None, "same_patient": None}  # of every source whose names come from people


@dataclass(frozen=True)
class Source:
    """A kind of data set that can be read or drawn, and which options it uses."""

    scan: Callable[[PrepareConfig], Scan]
    options: Mapping[str, Any] = field(default_factory=dict)  # fields of PrepareConfig, with this source's defaults
    further_options: tuple[str, ...] = _FILES  # fields of PrepareConfig or PhantomConfig
    fold_by: str = "group"  # what folds keep together unless the user says so

    def uses(self, option: str) -> bool:
        """Whether the source uses an option that not every source uses."""
        return option in self.options or option in self.further_options


SOURCES: dict[str, Source] = {
    "phantom": Source(phantom_scan.scan, further_options=_DRAWN),
    "paired-phantom": Source(paired.scan, further_options=_DRAWN),
    "bach": Source(bach.scan, {"part": "train", "patients_csv": None, "um_per_px": None, **_NAMES}),
    "breakhis": Source(
        breakhis.scan, {"magnification": "200", "task": "binary", "group": "accession", "um_per_px": None, **_NAMES}
    ),
    "mini-ddsm": Source(mini_ddsm.scan, _NAMES),
    "tcga-brca": Source(
        tcga_brca.scan,
        {"task": "binary", "expression": None, "clinical": None, "um_per_px": None, **_NAMES},
        fold_by="site",  # a laboratory can be read off its stain, so its patients are held out together
    ),
    "folder": Source(folder.scan, {"layout": None, "um_per_px": None, **_NAMES}),
    "zip": Source(dataset_zip.scan, {"um_per_px": None, **_NAMES}),
}
_FLAGS = {"num_patients": "--patients"}  # of the options whose flag is not their name


def source_of(name: str) -> Source:
    """The source of this name; raises ConfigError where there is none."""
    if name not in SOURCES:
        raise ConfigError(f"there is no source {name}", expected=" or ".join(SOURCES))
    return SOURCES[name]


def require_used(dataset: str, given: Iterable[str]) -> None:
    """Raise ConfigError for the first of the options `given` that only other sources use."""
    chosen = source_of(dataset)
    for name in given:
        users = [source for source, entry in SOURCES.items() if entry.uses(name)]
        if users and not chosen.uses(name):
            flag = _FLAGS.get(name, "--" + name.replace("_", "-"))
            raise ConfigError(f"{flag} with {dataset}", expected=f"it with {' or '.join(users)}", todo="remove it")


def resolve(config: PrepareConfig) -> PrepareConfig:
    """The configuration with its source's defaults; raises ConfigError for an option that the source does not use."""
    plain = PrepareConfig(config.dataset)
    given = [item.name for item in fields(config) if getattr(config, item.name) != getattr(plain, item.name)]
    require_used(config.dataset, given)
    defaults = SOURCES[config.dataset].options
    return replace(config, **{name: value for name, value in defaults.items() if getattr(config, name) is None})


def scan_source(config: PrepareConfig) -> Scan:
    """What the source that a configuration names holds, with its names reconciled, less the classes it excludes."""
    config = resolve(config)
    with os_errors_as_workspace_errors(Path(config.source or config.dataset)):
        scan = SOURCES[config.dataset].scan(config)
        return scan.without(config.exclude_classes) if scan.drawn else reconcile(scan, config)

"""Where images come from: one file a source, each with a function `scan(config) -> Scan`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ganaug.config import PrepareConfig
from ganaug.data.sources import bach, breakhis, dataset_zip, folder, mini_ddsm, tcga_brca
from ganaug.data.sources.phantom import source as phantom_scan
from ganaug.data.sources.same import reconcile
from ganaug.data.sources.scan import Scan
from ganaug.errors import ConfigError
from ganaug.workspace import explained


@dataclass(frozen=True)
class Source:
    """A kind of data set that can be read, and the options that not every kind knows, with their defaults."""

    scan: Callable[[PrepareConfig], Scan]
    options: Mapping[str, Any] = field(default_factory=dict)  # fields of PrepareConfig


_NAMES = {"near_names": None, "same_patient": None}  # of every source whose names come from people

SOURCES: dict[str, Source] = {
    "phantom": Source(phantom_scan.scan),
    "bach": Source(bach.scan, {"part": "train", "patients_csv": None, "um_per_px": None, **_NAMES}),
    "breakhis": Source(
        breakhis.scan, {"magnification": "200", "task": "binary", "group": "accession", "um_per_px": None, **_NAMES}
    ),
    "mini-ddsm": Source(mini_ddsm.scan, _NAMES),
    "tcga-brca": Source(
        tcga_brca.scan, {"task": "binary", "expression": None, "clinical": None, "um_per_px": None, **_NAMES}
    ),
    "folder": Source(folder.scan, {"layout": None, "um_per_px": None, **_NAMES}),
    "zip": Source(dataset_zip.scan, {"um_per_px": None, **_NAMES}),
}


def resolved(config: PrepareConfig) -> PrepareConfig:
    """The configuration with its source's defaults; raises ConfigError for an option that the source does not know."""
    if config.dataset not in SOURCES:
        raise ConfigError(f"there is no source {config.dataset}", expected=" or ".join(SOURCES))
    known = SOURCES[config.dataset].options
    for name in sorted({name for source in SOURCES.values() for name in source.options} - set(known)):
        if getattr(config, name) is not None:
            option = "--" + name.replace("_", "-")
            knowing = [source for source, entry in SOURCES.items() if name in entry.options]
            raise ConfigError(f"{option} for {config.dataset}", expected=f"it only for {' or '.join(knowing)}")
    return replace(config, **{name: value for name, value in known.items() if getattr(config, name) is None})


def scan_source(config: PrepareConfig) -> Scan:
    """What the source that a configuration names holds, with its names reconciled, less the classes it excludes."""
    config = resolved(config)
    with explained(Path(config.source or config.dataset)):
        scan = SOURCES[config.dataset].scan(config)
        return scan.without(config.exclude_classes) if scan.drawn else reconcile(scan, config)

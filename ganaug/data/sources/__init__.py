"""Where images come from: one file a source, each with a function `scan(config) -> Scan`."""

from collections.abc import Callable
from pathlib import Path

from ganaug.config import PrepareConfig
from ganaug.data.sources import breakhis, folder, phantom_scan
from ganaug.data.sources.scan import Scan
from ganaug.errors import ConfigError
from ganaug.workspace import explained

SOURCES: dict[str, Callable[[PrepareConfig], Scan]] = {
    "phantom": phantom_scan.scan,
    "breakhis": breakhis.scan,
    "folder": folder.scan,
}


def scan_source(config: PrepareConfig) -> Scan:
    """What the source that a configuration names holds, less the classes it excludes."""
    if config.dataset not in SOURCES:
        raise ConfigError(f"there is no source {config.dataset}", expected=" or ".join(SOURCES))
    with explained(Path(config.source or config.dataset)):
        return SOURCES[config.dataset](config).without(config.exclude_classes)

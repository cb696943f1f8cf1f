"""The options of `ganaug prepare` as a PrepareConfig: each source's and preset's defaults, and the options it uses."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from ganaug import presets
from ganaug.config import DRAWN, FoldsConfig, PhantomConfig, PrepareConfig
from ganaug.data.sources import require_used, source_of
from ganaug.errors import ConfigError

_OF_PHANTOM = ("num_patients", "images_per_patient")
_CUT_FLAGS = {"num_folds": "--folds", "scheme": "--scheme", "num_repeats": "--repeats", "fixed": "--split"}
_OF_FOLDS = tuple(field.name for field in fields(FoldsConfig))


def prepare_config(dataset: str, options: Mapping[str, Any], *, preset: str, seed: int) -> PrepareConfig:
    """What to prepare. `options` are fields of PrepareConfig, FoldsConfig and PhantomConfig by name; None: not given.

    Raises ConfigError for an option that the source does not use, or that does not fit the others.
    """
    given = {name: value for name, value in options.items() if value is not None}
    require_used(dataset, given)
    others = [flag for name, flag in _CUT_FLAGS.items() if name in given and "folds_csv" in given]
    if others:
        raise ConfigError(f"{' and '.join(others)} with --folds-csv", expected="the list alone", todo="remove one")
    if "num_repeats" in given and given.get("scheme") != "repeated":
        raise ConfigError(
            f"--repeats with the scheme {given.get('scheme', 'k-fold')}",
            expected="the scheme repeated",
            todo="add --scheme repeated, or remove --repeats",
        )
    phantom, folds = presets.phantom(preset) if dataset == "phantom" else presets.paired_phantom(preset)
    drawn = {name: given.pop(name) for name in _OF_PHANTOM if name in given}
    cut = {name: given.pop(name) for name in _OF_FOLDS if name in given}
    cut = {"by": source_of(dataset).fold_by, **({"scheme": "fixed"} if "fixed" in cut else {}), **cut}
    is_drawn = dataset in DRAWN
    config = PrepareConfig(
        dataset, seed=seed, folds=replace(folds if is_drawn else FoldsConfig(), seed=seed, **cut), **given
    )
    return replace(config, phantom=_drawn_at(config.resolution_px, phantom, drawn)) if is_drawn else config


def _drawn_at(resolution_px: int, phantom: PhantomConfig, drawn: Mapping[str, int]) -> PhantomConfig:
    """The phantom with this many pixels to the side; the field of view stays."""
    um_per_px = phantom.um_per_px * phantom.resolution_px / resolution_px
    return replace(phantom, resolution_px=resolution_px, um_per_px=um_per_px, **drawn)

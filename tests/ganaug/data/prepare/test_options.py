"""The options of `ganaug prepare`: each source takes those that it uses, and its own defaults."""

import re
from dataclasses import fields
from typing import Any

import pytest

from ganaug import presets
from ganaug.config import FoldsConfig, PhantomConfig, PrepareConfig
from ganaug.data.prepare.options import prepare_config
from ganaug.data.prepare.pipeline import plan_preparation
from ganaug.data.sources import SOURCES
from ganaug.errors import ConfigError

GIVEN: dict[str, Any] = {
    "source": "images", "fit": "tile", "field_px": 32, "field_um": 32.0, "magnification": "40", "task": "subtype",
    "group": "folder", "layout": "class/patient", "near_names": "merge", "same_patient": "same.csv", "part": "test",
    "patients_csv": "patients.csv", "expression": "table.txt", "clinical": "clinical.txt", "um_per_px": 0.5,
    "num_patients": 8, "images_per_patient": 3, "whole_copies_only": True,
}  # fmt: skip
OF_ALL = {"dataset", "name", "seed", "exclude_classes", "folds", "resolution_px", "stain", "phantom", "paired"}
OF_PHANTOM = {"num_patients", "images_per_patient"}


def config_of(dataset: str, preset: str = "standard", **options: Any) -> PrepareConfig:
    return prepare_config(dataset, {"resolution_px": 64, "exclude_classes": (), **options}, preset=preset, seed=3)


def test_every_option_that_not_all_sources_use_is_in_the_table() -> None:
    assert {*GIVEN} == {item.name for item in fields(PrepareConfig)} - OF_ALL | OF_PHANTOM
    assert all(0 < sum(entry.uses(name) for entry in SOURCES.values()) < len(SOURCES) for name in GIVEN)


@pytest.mark.parametrize("option", GIVEN)
@pytest.mark.parametrize("dataset", SOURCES)
def test_a_source_takes_the_options_it_uses_and_no_other(dataset: str, option: str) -> None:
    if SOURCES[dataset].uses(option):
        config = config_of(dataset, **{option: GIVEN[option]})
        assert getattr(config.phantom if option in OF_PHANTOM else config, option) == GIVEN[option]
        return
    with pytest.raises(ConfigError) as refused:
        config_of(dataset, **{option: GIVEN[option]})
    seen, expected, *_ = str(refused.value).split("; ")
    flag = {"num_patients": "--patients"}.get(option, "--" + option.replace("_", "-"))
    assert {flag, dataset} <= set(seen.split())
    assert set(re.findall(r"[a-z-]+", expected)) & {*SOURCES} == {
        n for n, entry in SOURCES.items() if entry.uses(option)
    }
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("option", ["fit", "field_px", "source", "task"])
def test_a_config_made_by_hand_is_held_to_the_same_table(option: str) -> None:
    with pytest.raises(ConfigError, match=f"--{option.replace('_', '-')} with phantom"):
        plan_preparation(PrepareConfig("phantom", **{option: GIVEN[option]}))


def test_an_option_that_is_given_with_the_default_value_is_refused_as_well() -> None:
    with pytest.raises(ConfigError, match="--fit with phantom"):
        config_of("phantom", fit="crop")
    with pytest.raises(ConfigError, match="--patients with bach"):
        config_of("bach", num_patients=PhantomConfig().num_patients)


def test_an_unknown_source_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no source mars.*phantom or bach or"):
        config_of("mars")


@pytest.mark.parametrize("preset", presets.PRESETS)
def test_the_preset_sizes_the_phantom_and_cuts_it(preset: str) -> None:
    phantom, folds = presets.phantom(preset)
    config = config_of("phantom", preset, resolution_px=32, images_per_patient=3)
    assert (config.phantom.num_patients, config.phantom.images_per_patient) == (phantom.num_patients, 3)
    assert config.phantom.resolution_px == 32
    assert 32 * config.phantom.um_per_px == phantom.resolution_px * phantom.um_per_px
    assert config.folds == FoldsConfig(folds.num_folds, seed=3)
    assert config_of("zip", preset).folds == FoldsConfig(seed=3)
    assert config_of("phantom", preset, num_folds=7).folds.num_folds == 7


@pytest.mark.parametrize("dataset", SOURCES)
def test_folds_keep_laboratories_together_where_the_source_asks_for_it(dataset: str) -> None:
    assert config_of(dataset).folds.by == ("site" if dataset == "tcga-brca" else "group")
    assert config_of(dataset, by="group").folds.by == "group"


def test_a_split_makes_the_scheme_fixed_and_repeats_need_their_scheme() -> None:
    assert config_of("bach", fixed="patient-safe").folds.scheme == "fixed"
    assert config_of("bach", scheme="repeated", num_repeats=4).folds.num_repeats == 4
    for options in (
        {"num_repeats": 4},
        {"num_repeats": 4, "scheme": "hold-out"},
        {"fixed": "a.csv", "scheme": "k-fold"},
    ):
        with pytest.raises(ConfigError):
            config_of("bach", **options)

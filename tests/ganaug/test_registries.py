"""What every entry of a registry keeps: one contract each, and the options offer the names that exist."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import fields

import numpy as np
import pytest
import torch

from classifiers.registry import CLASSIFIERS, build
from ganaug.augment.spec import SPECS, AugmentSpec
from ganaug.config import ARM_NAMES, AUGMENTATIONS, EXTRACTOR_NAMES, SOURCE_NAMES, PrepareConfig
from ganaug.data.sources import SOURCES
from ganaug.evaluate.extractors.registry import EXTRACTORS
from ganaug.evaluate.metrics.registry import METRICS
from ganaug.generate.filters import REJECTORS
from ganaug.study.arms import ARMS


@pytest.mark.parametrize(
    ("registry", "offered"),
    [(SOURCES, SOURCE_NAMES), (SPECS, AUGMENTATIONS), (EXTRACTORS, EXTRACTOR_NAMES), (ARMS, ARM_NAMES)],
    ids=["sources", "augmentations", "extractors", "arms"],
)
def test_the_options_offer_what_exists_in_the_same_order(registry: Iterable[str], offered: tuple[str, ...]) -> None:
    assert tuple(registry) == offered


@pytest.mark.parametrize("name", SOURCES)
def test_the_options_of_a_source_are_fields_that_say_nothing_by_default(name: str) -> None:
    default = PrepareConfig(name)
    assert set(SOURCES[name].options) <= {field.name for field in fields(PrepareConfig)}
    assert all(getattr(default, option) is None for option in SOURCES[name].options)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_gives_logits_and_features_of_its_images(name: str) -> None:
    model = build(name, 3, image_size_px=32).eval()
    with torch.inference_mode():
        img = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        logits, features = model(img), model.features(img)
    assert logits.shape == (2, 3)
    assert features.ndim == 2
    assert len(features) == 2
    assert logits.isfinite().all()
    assert not torch.equal(logits[0], logits[1]), "it looks at the image"


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_layer_that_explains_a_classifier_gives_a_map_that_its_logits_depend_on(name: str) -> None:
    model = build(name, 3, image_size_px=32).eval()
    maps: list[torch.Tensor] = []
    model.get_submodule(CLASSIFIERS[name].cam_layer).register_forward_hook(lambda _, x, output: maps.append(output))
    logits = model(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    (activations,) = maps
    assert activations.ndim == 4
    assert min(activations.shape[2:]) >= 2
    (gradient,) = torch.autograd.grad(logits[0, 0], activations)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_names_its_small_variant_and_takes_images(name: str) -> None:
    classifier = CLASSIFIERS[name]
    assert CLASSIFIERS[classifier.small].small == classifier.small
    assert CLASSIFIERS[classifier.small].weights is None, "published weights are of the full size"
    assert classifier.inputs == "image"


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_grows_with_the_distance_and_gives_numbers(name: str) -> None:
    rng = np.random.default_rng(0)
    real, same, far = (rng.normal(mean, 1, size=(200, 4)) for mean in (0, 0, 2))
    near = METRICS[name](real, same, np.random.default_rng(0))
    assert all(isinstance(value, float) for value in near.values())
    assert abs(near["value"]) < 0.1 * METRICS[name](real, far, np.random.default_rng(0))["value"]


def test_a_spec_of_every_name_and_none_that_does_nothing() -> None:
    assert all(isinstance(spec, AugmentSpec) for spec in SPECS.values())
    assert SPECS["none"] == AugmentSpec()
    assert len(set(SPECS.values())) == len(SPECS)


def test_an_arm_says_what_it_is_for_and_only_synthetic_ones_use_the_file() -> None:
    assert {name for name, arm in ARMS.items() if arm.uses_synthetic} == {name for name in ARMS if "synthetic" in name}
    assert all(len(arm.meaning) > 20 for arm in ARMS.values())


@pytest.mark.parametrize("entry", [*EXTRACTORS.values(), *REJECTORS.values()], ids=[*EXTRACTORS, *REJECTORS])
def test_what_is_made_from_a_setting_says_what_it_is(entry: Callable[..., object]) -> None:
    assert inspect.getdoc(entry)
    assert "setting" in inspect.signature(entry).parameters

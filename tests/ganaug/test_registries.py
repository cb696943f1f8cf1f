"""What every entry of a registry keeps: one contract each, and the options offer the names that exist."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch

from classifiers.explain.maps import as_map
from classifiers.models.cross_attention import PatientBatch
from classifiers.models.entry import cam_of
from classifiers.registry import CLASSIFIERS, build
from ganaug.augment.spec import SPECS, AugmentSpec
from ganaug.config import (
    ADA_PIPELINES,
    ARM_NAMES,
    EXTRACTOR_NAMES,
    SOURCE_NAMES,
    Compute,
    PrepareConfig,
    StudyConfig,
)
from ganaug.config.choices import PAPER_NAMES
from ganaug.data.sources import SOURCES
from ganaug.evaluate.extractors.registry import EXTRACTORS
from ganaug.evaluate.metrics.registry import METRICS
from ganaug.generate.filters import REJECTORS
from ganaug.study.arms.registry import ARMS, draws
from ganaug.study.design import Cell, Design
from ganaug.study.executors import local
from ganaug.study.executors.registry import EXECUTORS
from ganaug.study.replication import PAPERS
from ganaug.workspace import Workspace


@pytest.mark.parametrize(
    ("registry", "offered"),
    [
        (SOURCES, SOURCE_NAMES),
        (SPECS, ADA_PIPELINES),
        (EXTRACTORS, EXTRACTOR_NAMES),
        (ARMS, ARM_NAMES),
        (PAPERS, PAPER_NAMES),
    ],
    ids=["sources", "ada-pipelines", "extractors", "arms", "papers"],
)
def test_the_options_offer_what_exists_in_the_same_order(registry: Iterable[str], offered: tuple[str, ...]) -> None:
    assert tuple(registry) == offered


@pytest.mark.parametrize("name", SOURCES)
def test_the_options_of_a_source_are_fields_that_say_nothing_by_default(name: str) -> None:
    default = PrepareConfig(name)
    assert set(SOURCES[name].options) <= {field.name for field in fields(PrepareConfig)}
    assert all(getattr(default, option) is None for option in SOURCES[name].options)


@lru_cache(maxsize=1)
def built(name: str) -> torch.nn.Module:
    """One classifier at a time: with `scope="module"` the tests of a name follow each other."""
    return build(name, 3, image_size_px=32).eval()


def two_samples(name: str) -> torch.Tensor | PatientBatch:
    """What a classifier is called with: images of 32 px, or patients of 4 tiles."""
    generator = torch.Generator().manual_seed(0)
    if CLASSIFIERS[name].inputs == "image":
        return torch.rand(2, 3, 32, 32, generator=generator)
    tiles, expression = torch.rand(2, 4, 1280, generator=generator), torch.rand(2, 50, generator=generator)
    return PatientBatch(tiles, torch.ones(2, 4, dtype=torch.bool), expression)


@pytest.mark.parametrize("name", CLASSIFIERS, scope="module")
def test_a_classifier_gives_logits_and_features_of_its_samples(name: str) -> None:
    model: Any = built(name)
    with torch.inference_mode():
        x = two_samples(name)
        logits, features = model(x), model.features(x)
        torch.testing.assert_close(model.classify(features), logits)
    assert logits.shape == (2, 3)
    assert features.ndim == 2
    assert len(features) == 2
    assert logits.isfinite().all()
    assert not torch.equal(logits[0], logits[1]), "it looks at its input"


@pytest.mark.parametrize(
    "name", [name for name, entry in CLASSIFIERS.items() if entry.inputs == "image"], scope="module"
)
def test_the_layer_that_explains_a_classifier_gives_a_map_that_its_logits_depend_on(name: str) -> None:
    model = built(name)
    outputs: list[torch.Tensor] = []
    layer, layout = cam_of(model, CLASSIFIERS[name])
    assert layer
    hook = model.get_submodule(layer).register_forward_hook(lambda _, x, output: outputs.append(output))
    logits = model(torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    hook.remove()
    (output,) = outputs
    assert min(as_map(output, layout).shape[2:]) >= 2
    (gradient,) = torch.autograd.grad(logits[0, 0], output)
    assert as_map(gradient, layout).abs().sum() > 0


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_names_its_small_variant_and_what_it_takes(name: str) -> None:
    classifier = CLASSIFIERS[name]
    if classifier.small is not None:
        assert CLASSIFIERS[classifier.small].small == classifier.small
        assert CLASSIFIERS[classifier.small].weights is None, "published weights are of the full size"
    assert classifier.inputs in ("image", "image+expression")
    assert (classifier.inputs == "image") or (classifier.cam_layer is None)


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_says_where_it_is_from_and_is_better_for_images_like_the_real_ones(name: str) -> None:
    metric, rng = METRICS[name], np.random.default_rng(0)
    assert metric.name == name
    assert metric.source
    real, similar, distant = (rng.normal(mean, 1, size=(200, 4)) for mean in (0, 0, 2))
    near, far = (metric.compute(real, side, np.random.default_rng(0)) for side in (similar, distant))
    assert all(isinstance(figure.value, float) for figure in (near, far))
    assert all(figure.std is None or figure.std >= 0 for figure in (near, far))
    assert abs(near.value - far.value) > 0.5 * max(abs(near.value), abs(far.value))
    assert (near.value > far.value) == metric.higher_is_better


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_needs_no_more_images_than_it_says(name: str) -> None:
    metric, rng = METRICS[name], np.random.default_rng(0)
    real, synthetic = rng.normal(size=(2, metric.needs, 16))
    assert np.isfinite(metric.compute(real, synthetic, rng).value)


def test_a_spec_of_every_name_and_none_that_does_nothing() -> None:
    assert all(isinstance(spec, AugmentSpec) for spec in SPECS.values())
    assert SPECS["none"] == AugmentSpec()
    assert len(set(SPECS.values())) == len(SPECS)


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_says_what_it_is_for_and_what_it_depends_on(name: str) -> None:
    arm = ARMS[name]
    assert arm.name == name
    assert len(arm.meaning) > 20
    assert draws(arm) == ("synthetic" in name)
    assert ("leak" in arm.depends_on) == ("LEAK" in arm.meaning)
    assert arm.ratio is None  # a ratio of its own stands in its name
    assert "ratio" in arm.depends_on or "synthetic" not in name


@pytest.mark.parametrize("name", [name for name in EXECUTORS if name != "slurm"])  # whose own tests start a Slurm
def test_an_executor_yields_the_cells_that_it_finished_and_no_others(
    name: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = []
    monkeypatch.setattr(local, "run_cell", lambda workspace, design, cell, device: finished.append(cell))
    cells = [Cell("net", arm, 0, seed, digest="0") for arm in ARM_NAMES for seed in range(2)]
    executor = EXECUTORS[name](workspace, Design("tiny", "", "", {}, StudyConfig()), Compute(num_workers=1))
    assert list(executor.run([])) == []
    assert list(executor.run(cells)) == finished
    shown = capsys.readouterr().err
    assert len(finished) == len(cells) or all(cell.name in shown for cell in cells)


@pytest.mark.parametrize("entry", [*EXTRACTORS.values(), *REJECTORS.values()], ids=[*EXTRACTORS, *REJECTORS])
def test_an_extractor_and_a_filter_are_made_from_their_inputs_and_documented(entry: Callable[..., object]) -> None:
    assert inspect.getdoc(entry)
    assert "inputs" in inspect.signature(entry).parameters

"""Leaks planted in the weights that a classifier starts from: each is refused, or declared and reported."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from safetensors.torch import save_file

from classifiers.registry import build_seeded
from ganaug.checkpoint.snapshot import load_tensors
from ganaug.config import StudyConfig
from ganaug.errors import DataError, LeakError
from ganaug.evaluate.extractors.trained_classifier import content_of_weights
from ganaug.provenance import Provenance

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World


def weights(tmp_path: Path, record: Provenance | None = None, seed: int = 5, **about: str) -> Path:
    """Weights of a classifier, sealed with a record as the extractor of a generator is, or without any."""
    start = build_seeded("dalaresnet50_small", 2, seed, image_size_px=16)
    state = {name: value.contiguous() for name, value in start.state_dict().items()}
    path = tmp_path / "start.safetensors"
    metadata = {**about, "provenance": record.sealed(content_of_weights(state)).to_json()} if record else about
    save_file(state, path, metadata=metadata or None)
    return path


def test_weights_that_name_test_patients_of_a_fold_are_refused(
    world: "World", quick: StudyConfig, tmp_path: Path
) -> None:
    path = weights(tmp_path, world.provenance(1))
    config = replace(quick, pretrained=(("dalaresnet50_small", str(path)),))
    with pytest.raises(LeakError, match="of the validation or test part of fold 0"):
        world.design(config)
    path = weights(tmp_path, world.provenance(0))
    design = world.design(config)
    assert design.origins["dalaresnet50_small"].startswith("trained by ganaug on fold 0 of tiny")


def test_weights_under_the_record_of_others_are_refused(world: "World", quick: StudyConfig, tmp_path: Path) -> None:
    _, honest = load_tensors(weights(tmp_path, world.provenance(0)))
    path = weights(tmp_path, seed=6)  # which may have seen anybody
    save_file(load_tensors(path)[0], path, metadata=honest)
    config = replace(quick, pretrained=(("dalaresnet50_small", str(path)),))
    with pytest.raises(LeakError, match="was changed after its provenance was sealed"):
        world.design(config)


UNKNOWN: dict[str, dict[str, Any]] = {
    "patients of another data set": {"groups_seen": ("a" * 24, "b" * 24), "images_seen": (), "hashes_seen": ()},
    "an import": {"groups_seen": ("unknown:0123",), "images_seen": (), "hashes_seen": ()},
    "nobody": {"groups_seen": (), "images_seen": (), "hashes_seen": ()},
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_weights_whose_patients_are_unknown_need_a_word_which_the_report_repeats(
    world: "World", quick: StudyConfig, tmp_path: Path, kind: str
) -> None:
    path = weights(tmp_path, replace(world.provenance(0), **UNKNOWN[kind]))
    config = replace(quick, pretrained=(("dalaresnet50_small", str(path)),))
    with pytest.raises(LeakError, match="--pretrained-saw"):
        world.design(config)
    config = replace(config, pretrained_saw=(("dalaresnet50_small", "patients of Graz"),))
    origin = world.design(config).origins["dalaresnet50_small"]
    assert origin.startswith("declared, and checked by nothing: patients of Graz")  # by which the verdict warns


def test_weights_that_began_with_declared_ones_say_so(world: "World", quick: StudyConfig, tmp_path: Path) -> None:
    path = weights(tmp_path, replace(world.provenance(0), declared=("weights 0123: birds",)))
    config = replace(quick, pretrained=(("dalaresnet50_small", str(path)),))
    origin = world.design(config).origins["dalaresnet50_small"]
    assert origin.startswith("declared, and checked by nothing: weights 0123: birds")


def test_weights_of_unknown_origin_are_refused_until_it_is_declared_and_then_reported(
    world: "World", quick: StudyConfig, tmp_path: Path
) -> None:
    config = replace(quick, pretrained=(("dalaresnet50_small", str(weights(tmp_path))),))
    with pytest.raises(LeakError, match="carries no record of what it saw"):
        world.design(config)
    config = replace(config, pretrained_saw=(("dalaresnet50_small", "photographs of birds"),))
    outcome = world.run(config)
    assert any("photographs of birds" in warning for warning in outcome.verdict.warnings)
    assert "photographs of birds" in outcome.study.report.read_text()


def test_weights_of_as_many_other_classes_are_refused(world: "World", quick: StudyConfig, tmp_path: Path) -> None:
    own = list(world.dataset.table.class_names)
    for classes, is_right in ((own, True), (own[::-1], False), (["a", "b"], False)):
        path = weights(tmp_path, world.provenance(0), class_names=json.dumps(classes))
        config = replace(quick, pretrained=(("dalaresnet50_small", str(path)),))
        if is_right:
            world.design(config)
            continue
        with pytest.raises(DataError, match=f"is of the classes {', '.join(classes)}"):
            world.design(config)

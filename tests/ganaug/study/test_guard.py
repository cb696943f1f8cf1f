"""Each way in which a test patient could reach the training set is planted and refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import pytest
import torch

from classifiers.registry import CLASSIFIERS
from ganaug.checkpoint.snapshot import content_of, save_tensors
from ganaug.config import StudyConfig
from ganaug.errors import ConfigError, DataError, LeakError
from ganaug.provenance import Provenance, digest_of
from ganaug.study.admission.guard import TORCHVISION, admit

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World


def test_honest_file_is_admitted(world: "World") -> None:
    supply = world.supply(0)
    assert admit(world.workspace, world.dataset, supply).synthetic == supply.synthetic


@pytest.mark.parametrize("part", ["test_groups", "val_groups"])
def test_generator_that_saw_a_held_out_patient_is_refused(world: "World", part: str) -> None:
    record = world.provenance(1)
    leaked = getattr(world.dataset.folds, part)(1)[0]
    seen = (*record.groups_seen, world.dataset.table.patient_digest(leaked))
    path = world.synthesize(1, replace(record, groups_seen=seen))
    with pytest.raises(LeakError, match=leaked):
        admit(world.workspace, world.dataset, world.supply(1, path))


def test_generator_of_another_fold_is_refused(world: "World") -> None:
    with pytest.raises(LeakError, match="validation or test part of fold 0"):
        admit(world.workspace, world.dataset, world.supply(0, world.synthesize(1)))


def test_generator_that_saw_nobody_is_refused(world: "World") -> None:
    path = world.synthesize(0, replace(world.provenance(0), groups_seen=()))
    with pytest.raises(LeakError, match="does not say which patients"):
        admit(world.workspace, world.dataset, world.supply(0, path))


@pytest.mark.parametrize("field", ["dataset_fingerprint", "folds_digest"])
def test_other_data_set_or_other_folds_are_refused(world: "World", field: str) -> None:
    change: dict[str, Any] = {field: digest_of("another")}
    path = world.synthesize(0, replace(world.provenance(0), **change))
    with pytest.raises(LeakError, match=r"another data set|other folds"):
        admit(world.workspace, world.dataset, world.supply(0, path))


def test_edited_provenance_is_refused(world: "World") -> None:
    path = world.synthesize(1)
    mine, honest = world.dataset.folds.train_groups(0), world.provenance(1)
    with h5py.File(path, "r+") as file:
        edited = file.attrs["provenance"]
        wanted_ones = map(world.dataset.table.patient_digest, sorted(mine))
        for seen, wanted in zip(honest.groups_seen, wanted_ones, strict=True):
            edited = edited.replace(f'"{seen}"', f'"{wanted}"')
        file.attrs["provenance"] = edited
    with pytest.raises(LeakError, match="edited"):
        admit(world.workspace, world.dataset, world.supply(0, path))


@pytest.mark.parametrize("text", ["null", '""', '"{"', "[]", '{"dataset": "tiny"}', "5"])
def test_missing_or_broken_provenance_is_refused(world: "World", text: str) -> None:
    path = world.synthesize(0)
    with h5py.File(path, "r+") as file:
        file.attrs["provenance"] = text
    with pytest.raises(LeakError, match=r"no provenance|malformed"):
        admit(world.workspace, world.dataset, world.supply(0, path))


@pytest.mark.parametrize("dataset", ["images", "label"])
def test_edited_content_is_refused(world: "World", dataset: str) -> None:
    path = world.synthesize(0)
    with h5py.File(path, "r+") as file:
        file[dataset][0] = 1 - file[dataset][0] % 2
    with pytest.raises(LeakError, match="content"):
        admit(world.workspace, world.dataset, world.supply(0, path))


def test_classes_in_another_order_are_refused(world: "World", reseal: Callable[..., None]) -> None:
    path = world.synthesize(0)
    with h5py.File(path, "r+") as file:
        file.attrs["class_names"] = '["Malignant", "Benign"]'
    reseal(path)
    with pytest.raises(DataError, match="Malignant, Benign"):
        admit(world.workspace, world.dataset, world.supply(0, path))


def save_generator(world: "World", fold: int, record: Provenance) -> tuple[Path, str]:
    """A snapshot's stand-in where the workspace looks for it, and the digest of its weights."""
    tensors = {"weight": torch.full((2,), float(fold))}
    digest = content_of(tensors, {})
    path = world.workspace.gan("tiny", fold, record.config_digest).ema(record.kimg)
    save_tensors(path, tensors, {"provenance": replace(record, generator=digest).sealed(digest).to_json()})
    return path, digest


def test_snapshot_that_agrees_is_admitted(world: "World") -> None:
    record = world.provenance(0)
    _, digest = save_generator(world, 0, record)
    assert admit(
        world.workspace, world.dataset, world.supply(0, world.synthesize(0, replace(record, generator=digest)))
    )


def test_snapshot_with_other_weights_is_refused(world: "World") -> None:
    save_generator(world, 0, world.provenance(0))
    with pytest.raises(LeakError, match="synthesize again"):
        admit(world.workspace, world.dataset, world.supply(0, world.synthesize(0)))


def test_images_that_hide_what_their_snapshot_saw_are_refused(world: "World") -> None:
    record = world.provenance(0)
    leaked = world.dataset.folds.test_groups(0)[0]
    seen = (*record.groups_seen, world.dataset.table.patient_digest(leaked))
    _, digest = save_generator(world, 0, replace(record, groups_seen=seen))
    with pytest.raises(LeakError, match=leaked):
        admit(world.workspace, world.dataset, world.supply(0, world.synthesize(0, replace(record, generator=digest))))


def test_images_that_hide_what_was_declared_of_their_generator_are_refused(world: "World") -> None:
    record = world.provenance(0)
    _, digest = save_generator(world, 0, replace(record, declared=("network.pkl: others",)))
    with pytest.raises(LeakError, match="synthesize again"):
        admit(world.workspace, world.dataset, world.supply(0, world.synthesize(0, replace(record, generator=digest))))


def test_refusal_comes_before_anything_is_written(world: "World", quick: StudyConfig) -> None:
    supplies = world.supply_all()
    supplies[2] = world.supply(2, supplies[0].synthetic)
    with pytest.raises(LeakError) as refusal:
        world.run(replace(quick, folds=None), supplies)
    assert "\n" not in str(refusal.value)
    assert not (world.workspace.root / "studies").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"classifiers": ("resnet",)}, "unknown classifier 'resnet'"),
        ({"classifiers": ("cross_attention[arm=image]",)}, "expected a classifier of images"),
        ({"arms": ("real", "real+synthetic")}, "real-oversampled"),
        ({"arms": ("real", "real-oversampled", "real+synthetic", "magic")}, "unknown arm 'magic'"),
        ({"metric": "luck"}, "balanced_accuracy, accuracy, macro_f1"),
        ({"folds": (7,)}, "folds from 0 to 2"),
    ],
)
def test_study_that_cannot_answer_is_refused(world: "World", options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        world.run(StudyConfig(**options))


def test_missing_and_too_few_synthetic_images_are_refused(world: "World", quick: StudyConfig) -> None:
    every_fold = replace(quick, folds=None)
    with pytest.raises(ConfigError, match="no synthetic images for fold 1, 2"):
        world.run(every_fold, [world.supply(0)])
    few = [world.supply(fold, world.synthesize(fold, per_class=3)) for fold in range(3)]
    with pytest.raises(DataError, match="--per-class 8"):
        world.run(quick, few)
    assert not (world.workspace.root / "studies").exists()


def published_by_torchvision(model: str) -> dict[str, str]:
    """The versions of a model's ImageNet weights at torchvision, by the eight digits in the name of their file."""
    from torchvision.models import get_model_weights

    return {member.url.rsplit("-", 1)[1].removesuffix(".pth"): member.name for member in get_model_weights(model)}


@pytest.mark.parametrize("digits", TORCHVISION)
def test_the_digits_of_a_published_file_are_those_of_its_name(digits: str) -> None:
    model, _, version = TORCHVISION[digits].partition(" ")
    assert published_by_torchvision(model)[digits] == f"IMAGENET1K_{version.strip('()') or 'V1'}"


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_published_weights_that_the_registry_names_are_known(name: str) -> None:
    for source in (CLASSIFIERS[name].weights or {}).values():
        library, model = source.split()
        if library == "torchvision":
            known = [version for digits, version in published_by_torchvision(model).items() if digits in TORCHVISION]
            assert "IMAGENET1K_V1" in known

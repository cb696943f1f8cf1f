"""A stored classifier is what was trained: any edit is refused, and its predictions are probabilities."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from classifiers.predict import predict
from ganaug.checkpoint.snapshot import content_of, load_snapshot, load_tensors, save_tensors
from ganaug.classify.pixel_rule import PixelRule, pixel_rule_of
from ganaug.classify.stored import find_classifier, open_classifier_run
from ganaug.errors import ConfigError, CorruptFile, LeakError, UserError, WorkspaceError
from ganaug.provenance import read_provenance
from ganaug.workspace import ClassifierRun, read_json, write_json

if TYPE_CHECKING:
    from tests.ganaug.classify.conftest import Lab


def rewrite(run: ClassifierRun, changed: dict[str, str], *, reseal: bool = False) -> None:
    """Change metadata of the file of weights, and seal it again if asked, as anybody with this library can."""
    tensors, metadata = load_tensors(run.weights)
    metadata |= changed
    if reseal:
        record = read_provenance(metadata["provenance"], run.weights)
        metadata["provenance"] = record.sealed(content_of(tensors, metadata)).to_json()
    save_tensors(run.weights, tensors, metadata)


def config_of(run: ClassifierRun) -> dict[str, object]:
    values = json.loads(load_tensors(run.weights)[1]["config"])
    assert isinstance(values, dict)
    return values


def test_what_is_opened_is_what_was_kept(lab: "Lab") -> None:
    run = find_classifier(lab.workspace)
    stored, dataset = open_classifier_run(run), lab.dataset
    assert (stored.name, stored.dataset, stored.fold) == ("dalaresnet50_small", "lab", 0)
    assert stored.class_names == dataset.table.class_names
    assert stored.image_size_px == dataset.table.resolution_px
    assert not stored.model.training
    assert all(weight.requires_grad for weight in stored.model.parameters()), "maps of a decision need gradients"
    images = dataset.images(0)[np.arange(6)]
    whole = stored.probabilities(images)
    np.testing.assert_allclose(whole.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(stored.probabilities(images, batch=2), whole, atol=1e-6)
    plain = predict(stored.model, images, temperature=stored.temperature)
    np.testing.assert_array_equal(stored.probabilities(images, average_orientations=False), plain)
    for path in (run.root, run.weights):
        np.testing.assert_array_equal(open_classifier_run(path).probabilities(images), whole)


def test_probabilities_are_the_same_for_an_image_and_its_orientations(lab: "Lab") -> None:
    stored, images = open_classifier_run(find_classifier(lab.workspace)), lab.dataset.images(0)[np.arange(3)]
    upright = stored.probabilities(images)
    for turned in (np.rot90(images, axes=(1, 2)), images[:, ::-1], images.swapaxes(1, 2)):
        np.testing.assert_allclose(stored.probabilities(np.ascontiguousarray(turned)), upright, atol=1e-5)
    views = (images, np.ascontiguousarray(images[:, ::-1]))
    upright, turned_alone = (stored.probabilities(view, average_orientations=False) for view in views)
    assert np.abs(upright - turned_alone).max() > 1e-5


def test_an_edit_of_anything_that_decides_a_probability_is_refused(lab: "Lab") -> None:
    run = find_classifier(lab.workspace)
    whole, config = run.weights.read_bytes(), config_of(run)
    for changed in (
        {"class_names": json.dumps(["Malignant", "Benign"])},
        {"config": json.dumps({**config, "temperature": 1.5})},
        {"config": json.dumps({**config, "pixels": PixelRule("resize").to_dict()})},
    ):
        rewrite(run, changed)
        with pytest.raises(LeakError, match="was changed after"):
            open_classifier_run(run)
        run.weights.write_bytes(whole)
    record = json.loads(load_tensors(run.weights)[1]["provenance"])
    rewrite(run, {"provenance": json.dumps({**record, "groups_seen": []})})
    with pytest.raises(LeakError, match="edited"):
        open_classifier_run(run)
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    run.weights.write_bytes(flipped)
    with pytest.raises(LeakError, match="was changed after"):
        open_classifier_run(run)


def test_a_truncated_file_and_other_content_are_refused_in_one_line(lab: "Lab") -> None:
    run = find_classifier(lab.workspace)
    whole = run.weights.read_bytes()
    for damage in (b"", b"<!doctype html>", whole[:100], whole[:-10]):
        run.weights.write_bytes(damage)
        with pytest.raises(CorruptFile) as caught:
            open_classifier_run(run)
        assert "\n" not in str(caught.value)
    save_tensors(run.weights, {"weight": torch.zeros(3)}, {})
    with pytest.raises(LeakError, match="no provenance"):
        open_classifier_run(run)
    run.weights.unlink()
    with pytest.raises(WorkspaceError, match="no finished classifier"):
        open_classifier_run(run)
    with pytest.raises(ConfigError):
        open_classifier_run(run.config)


@pytest.mark.parametrize(
    "changed",
    [
        {"classifier": "resvit_gannet_small"},
        {"classifier": "nobody"},
        {"image_size_px": 2**40},
        {"image_size_px": "32"},
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"fit": 3},
        {"pixels": {}, "more": 1},
        {"pixels": {"fit": "stretch", "field_px": None, "field_um": None, "stain": None}},
        {"pixels": {"fit": "crop", "field_px": None, "field_um": None, "stain": {"method": "macenko"}}},
        {"pixels": {"fit": "crop", "field_px": None, "field_um": None,
                    "stain": {"method": "reinhard", "means": [1, 2], "stds": [1, 2, 3]}}},
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_is_refused_though_it_is_sealed(lab: "Lab", changed: dict[str, object]) -> None:
    run = find_classifier(lab.workspace)
    rewrite(run, {"config": json.dumps({**config_of(run), **changed})}, reseal=True)
    with pytest.raises(CorruptFile):
        open_classifier_run(run)


@pytest.mark.parametrize("names", ["3", '["a"]', '["a", "a"]', '["a", "b", "c"]', '["a", 5]', "[", "null"])
def test_classes_that_do_not_fit_the_weights_are_refused_though_they_are_sealed(lab: "Lab", names: str) -> None:
    run = find_classifier(lab.workspace)
    rewrite(run, {"class_names": names}, reseal=True)
    with pytest.raises(CorruptFile):
        open_classifier_run(run)


def test_the_weights_of_another_run_are_refused_in_its_folder(lab: "Lab") -> None:
    first, second = find_classifier(lab.workspace), lab.train(1).run
    shutil.copy(first.weights, second.weights)
    with pytest.raises(LeakError, match="another classifier"):
        open_classifier_run(second)
    assert open_classifier_run(first).fold == 0


def test_nothing_unsigned_is_opened_where_a_key_is_set(
    lab: "Lab", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = find_classifier(lab.workspace)
    (tmp_path / "ganaug.key").write_bytes(b"0" * 32)
    monkeypatch.setenv("GANAUG_KEY", str(tmp_path / "ganaug.key"))
    with pytest.raises(UserError, match="not signed"):
        open_classifier_run(run)


def test_the_classifier_configured_last_is_found_and_others_by_what_they_are(lab: "Lab") -> None:
    workspace, first = lab.workspace, find_classifier(lab.workspace)
    second, third = lab.train(1).run, lab.train(0, seeds=(1,)).run
    assert find_classifier(workspace) == third
    assert find_classifier(workspace, "lab", 1, "dalaresnet50_small") == second
    assert find_classifier(workspace, fold=0) == third
    about = {name: value for name, value in read_json(third.config).items() if name != "seal"}
    write_json(third.config, {**about, "created": "1999"})
    assert find_classifier(workspace, fold=0) == first, "an edited configuration is of no classifier"
    second.weights.unlink()
    for asked in ({"fold": 1}, {"dataset": "other"}, {"name": "resvit_gannet_small"}):
        with pytest.raises(WorkspaceError, match="dalaresnet50_small of fold 0 of lab"):
            find_classifier(workspace, **asked)


def test_a_classifier_is_no_generator(lab: "Lab") -> None:
    with pytest.raises(ConfigError, match="a classifier"):
        load_snapshot(find_classifier(lab.workspace).weights)


def test_the_way_of_pixels_is_that_of_the_data_set(lab: "Lab") -> None:
    dataset = lab.dataset
    assert pixel_rule_of(dataset, 0) == PixelRule("crop")
    drawn = replace(dataset.table, attrs={**dataset.table.attrs, "pixels": {"fit": "drawn"}})
    assert pixel_rule_of(replace(dataset, table=drawn), 0) == PixelRule("crop")


def test_a_classifier_whose_options_were_edited_is_named_where_none_is_found(lab: "Lab") -> None:
    run = find_classifier(lab.workspace)
    write_json(run.config, {**read_json(run.config), "fold": 1})
    with pytest.raises(WorkspaceError, match=f"{run.root.name}, whose config.json was edited or is damaged"):
        find_classifier(lab.workspace)
    with pytest.raises(LeakError, match="remove the folder"):
        open_classifier_run(run)

"""Maps of a stored classifier: which images, what is measured, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from classifiers.explain.measures import MEASURES
from classifiers.explain.registry import METHODS
from classifiers.registry import build_seeded
from ganaug.classify.explain.explain import Explanations, choose_shown, explain_classifier, read_masks
from ganaug.classify.explain.page import write_page
from ganaug.classify.explain.request import ExplainConfig, choose_methods, layer_of, require_same_data
from ganaug.classify.predictions import find_tested, find_tested_images
from ganaug.classify.stored import StoredClassifier, find_classifier, open_classifier_run
from ganaug.classify.train import images_of
from ganaug.config import MAP_METHODS, FoldsConfig, PhantomConfig, PrepareConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.errors import ConfigError, DataError, LeakError
from ganaug.workspace import open_workspace

if TYPE_CHECKING:
    from tests.ganaug.classify.conftest import Lab

QUICK = ExplainConfig(per_class=1, num_measured=4)


def test_the_options_offer_the_methods_that_exist() -> None:
    assert tuple(METHODS) == MAP_METHODS


def test_every_method_is_measured_on_the_same_images_and_the_masks(found: Explanations) -> None:
    assert [row.method for row in found.scores] == list(MAP_METHODS)
    assert (found.num_measured, found.skipped, found.layer) == (4, {}, "gates.0")
    for row in found.scores:
        assert list(row.scores) == list(MEASURES)
        for name in ("deletion_blur", "insertion_tissue", "iou_half"):
            score = row.scores[name]
            assert score is not None
            assert 0 <= score.mean <= 1
            assert score.num_images == 4 - ((found.num_without_mask or 0) if name == "iou_half" else 0)
    by_name = {row.method: row.scores for row in found.scores}
    assert by_name["gradcam"]["iou_threshold"] == by_name["dt_gradcam"]["iou_threshold"], "by definition"
    assert [row.fraction for row in found.randomised][::5] == [0.0, 1.0]
    assert set(found.randomised[0].ssim) == {"gradcam", "dt_gradcam", "winsor_cam"}


def test_a_seed_gives_the_same_explanations_and_leaves_the_classifier_as_it_was(
    stored: StoredClassifier, tiny: DataSet, found: Explanations
) -> None:
    before = {name: value.clone() for name, value in stored.model.state_dict().items()}
    two = replace(QUICK, methods=("gradcam", "random"))
    again = explain_classifier(stored, tiny, two)
    assert again.scores == (found.scores[0], found.scores[3])
    assert str(again.randomised) == str(explain_classifier(stored, tiny, two).randomised)
    assert explain_classifier(stored, tiny, replace(two, methods=("random",), seed=1)).scores != again.scores[1:]
    assert all(torch.equal(value, before[name]) for name, value in stored.model.state_dict().items())


def test_shown_images_are_of_test_patients_with_the_masks_that_belong_to_them(
    tiny: DataSet, found: Explanations
) -> None:
    tested, indices = find_tested_images(tiny, 1), find_tested(tiny, 1)
    masks = read_masks(tiny, indices)
    assert masks is not None
    assert len(found.shown) >= 4
    for shown in found.shown:
        position = tested.image_ids.tolist().index(shown.image_id)
        assert shown.label == tested.labels[position]
        np.testing.assert_array_equal(shown.image, tiny.images(1)[indices[[position]]][0])
        assert shown.mask is not None
        np.testing.assert_array_equal(shown.mask, masks[position])
        assert all(heat.shape == (16, 16) for heat in shown.maps.values())


def test_right_and_wrong_images_come_class_by_class_and_few_of_each() -> None:
    labels, predicted = np.array([0, 1, 0, 0, 1, 0]), np.array([0, 0, 1, 0, 1, 0])
    assert choose_shown(labels, predicted, 2, 2).tolist() == [0, 3, 2, 4, 1]
    assert choose_shown(labels, predicted, 9, 3).tolist() == [0, 3, 5, 2, 4, 1]


def test_without_masks_only_deletion_and_insertion_are_measured(lab: "Lab") -> None:
    stored = open_classifier_run(find_classifier(lab.workspace))
    found = explain_classifier(stored, lab.dataset, replace(QUICK, methods=("gradcam", "centre")))
    assert found.num_without_mask is None
    assert [row.method for row in found.scores] == ["gradcam", "centre"]
    assert {name for name, score in found.scores[0].scores.items() if score is None} == {
        name for name, item in MEASURES.items() if item.needs_mask
    }
    page = write_page(lab.workspace.root / "out", stored, lab.dataset, found, "ganaug explain").read_text()
    assert "no masks" in page
    assert "Pointing" not in page


def test_probabilities_and_accuracy_are_those_of_predict(stored: StoredClassifier, tiny: DataSet) -> None:
    stored = replace(stored, temperature=3.0)
    stored.model.register_forward_hook(  # logits by the quadrants, so that orientations disagree
        lambda module, inputs, output: 40 * F.adaptive_avg_pool2d(inputs[0].mean(1, keepdim=True), 2).flatten(1)
    )
    found = explain_classifier(stored, tiny, replace(QUICK, per_class=4, methods=("random",)))
    tested, images = find_tested_images(tiny, 1), images_of(tiny, 1, find_tested(tiny, 1))
    probs = stored.probabilities(images)
    unturned = stored.probabilities(images, average_orientations=False)
    assert (probs.argmax(1) != unturned.argmax(1)).any(), "else nothing is tested"
    assert found.accuracy == (probs.argmax(1) == tested.labels).mean()
    assert len(found.shown) > 1
    for shown in found.shown:
        position = tested.image_ids.tolist().index(shown.image_id)
        assert shown.predicted == probs[position].argmax()
        assert shown.probability == pytest.approx(probs[position].max())
        assert shown.predicted_unturned == unturned[position].argmax()


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ("saliency",)}, "saliency"),
        ({"per_class": 0}, "0 shown"),
        ({"num_measured": 0}, "0 measured"),
        ({"threshold": "half"}, "'half'"),
    ],
)
def test_an_option_that_cannot_work_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ExplainConfig(**options)  # type: ignore[arg-type]


def test_a_classifier_without_a_layer_to_look_at_is_refused(stored: StoredClassifier, tiny: DataSet) -> None:
    for name in ("timm:resnet18", "probe:efficientnet_lite0"):
        with pytest.raises(ConfigError, match="no layer with a map"):
            explain_classifier(replace(stored, name=name), tiny, QUICK)


def test_a_model_in_training_mode_is_refused_in_one_line(stored: StoredClassifier, tiny: DataSet) -> None:
    stored.model.train()
    with pytest.raises(ConfigError, match="training mode"):
        explain_classifier(stored, tiny, QUICK)


def test_another_data_set_or_a_leak_is_refused(stored: StoredClassifier, tiny: DataSet) -> None:
    require_same_data(stored, tiny)
    with pytest.raises(DataError, match="a, b"):
        require_same_data(replace(stored, class_names=("a", "b")), tiny)
    with pytest.raises(LeakError, match="4 test patients of fold 0"):
        require_same_data(replace(stored, fold=0), tiny)


def test_a_data_set_that_was_prepared_again_is_refused(stored: StoredClassifier, tmp_path: Path) -> None:
    phantom = PhantomConfig(resolution_px=16, num_patients=12, images_per_patient=4, um_per_px=8.0)
    for number, (seed, of_folds) in enumerate(((0, 0), (1, 0), (0, 1))):
        workspace = open_workspace(tmp_path / str(number))
        folds = FoldsConfig(3, seed=of_folds)
        prepare_dataset(workspace, PrepareConfig("phantom", resolution_px=16, phantom=phantom, folds=folds, seed=seed))
        dataset = open_dataset(workspace, "phantom")
        if number == 0:
            require_same_data(stored, dataset)
            continue
        with pytest.raises(LeakError, match="is not what the classifier"):
            explain_classifier(stored, dataset, QUICK)


def test_other_folds_or_another_resolution_alone_are_refused(stored: StoredClassifier, tiny: DataSet) -> None:
    for other, what in (
        (replace(stored, provenance=replace(stored.provenance, folds_digest="0" * 64)), "division into folds"),
        (replace(stored, provenance=replace(stored.provenance, dataset_fingerprint="0" * 64)), "content"),
        (replace(stored, image_size_px=32), "resolution"),
    ):
        with pytest.raises(LeakError, match=f"the {what} of phantom"):
            require_same_data(other, tiny)


def test_a_method_that_does_not_suit_is_found_without_explaining(stored: StoredClassifier) -> None:
    vit = replace(stored, name="vit_small", model=build_seeded("vit_small", 4, 0, image_size_px=16).eval())
    layer = layer_of(vit, QUICK)
    methods, skipped = choose_methods(vit, layer, QUICK)
    assert methods == tuple(name for name in MAP_METHODS if name != "winsor_cam")
    assert "convolutional layer" in skipped["winsor_cam"]
    assert "1 convolutional layers" not in skipped["winsor_cam"]
    with pytest.raises(ConfigError, match="Winsor-CAM"):
        choose_methods(vit, layer, replace(QUICK, methods=("gradcam", "winsor_cam")))

"""Maps of a stored classifier: which images, what is measured, what the page shows and what it withholds."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from classifiers.explain.measures import MEASURES
from classifiers.explain.registry import METHODS
from classifiers.registry import build_seeded
from ganaug.classify.explain.explain import (
    Explanations,
    MethodScores,
    choose_shown,
    explain_classifier,
    read_masks,
)
from ganaug.classify.explain.page import draw_contour, notes_of, overlay, pictures_of, unlike_a_prior, write_page
from ganaug.classify.explain.request import ExplainConfig, choose_methods, layer_of, require_same_data
from ganaug.classify.predictions import find_tested, find_tested_images
from ganaug.classify.stored import StoredClassifier, find_classifier, open_classifier_run
from ganaug.classify.train import images_of
from ganaug.classify.train_stored import train_stored
from ganaug.config import MAP_METHODS, FoldsConfig, PhantomConfig, PrepareConfig, StudyConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.errors import ConfigError, DataError, LeakError
from ganaug.study.training_set import plan_classifiers
from ganaug.workspace import open_workspace

if TYPE_CHECKING:
    from tests.ganaug.classify.conftest import Lab

QUICK = ExplainConfig(per_class=1, num_measured=4)
STUDY = StudyConfig(classifiers=("dalaresnet50_small",), seeds=(0,), num_steps=2, batch=4)


@dataclass(frozen=True)
class Made:
    """A phantom of 16 px, a classifier of its fold 1, and what was found; tests change copies of these."""

    dataset: DataSet
    stored: StoredClassifier
    found: Explanations


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    workspace = open_workspace(tmp_path_factory.mktemp("workspace"))
    phantom = PhantomConfig(resolution_px=16, num_patients=12, images_per_patient=4, um_per_px=8.0)
    prepare_dataset(workspace, PrepareConfig("phantom", resolution_px=16, phantom=phantom, folds=FoldsConfig(3)))
    dataset = open_dataset(workspace, "phantom")
    (task,) = plan_classifiers(workspace, dataset, [1], STUDY)
    stored = train_stored(task).stored
    return Made(dataset, stored, explain_classifier(stored, dataset, QUICK))


@pytest.fixture
def tiny(made: Made) -> DataSet:
    return made.dataset


@pytest.fixture
def stored(made: Made) -> StoredClassifier:
    return replace(made.stored, model=copy.deepcopy(made.stored.model))


@pytest.fixture
def found(made: Made) -> Explanations:
    return made.found


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


# ---- the page --------------------------------------------------------------------------------------------------------


def test_the_page_and_its_pictures_name_nobody(
    stored: StoredClassifier, tiny: DataSet, found: Explanations, tmp_path: Path
) -> None:
    page = write_page(tmp_path, stored, tiny, found, "ganaug explain --seed 0")
    text = page.read_text()
    files = sorted(tmp_path.glob("*.png"))
    assert len(files) == 7 * len(found.shown)
    assert text.count("data:image/png;base64,") == len(files)
    assert "http" not in text.replace("https://", ""), "nothing is loaded"
    assert 'src="data:' in text
    for path in files:
        with Image.open(path) as image:
            assert image.info == {}
            assert image.size == (160, 160)
    table = tiny.table
    for names in (table.group_id, table.path, table.image_id):
        assert not [name for name in np.unique(names).tolist() if name in text]
    for heading in ("Are the maps faithful?", "Do the maps depend", "It is no finding", "ganaug explain --seed 0"):
        assert heading in text


def test_a_second_page_removes_the_pictures_of_the_first_and_nothing_else(
    stored: StoredClassifier, tiny: DataSet, found: Explanations, tmp_path: Path
) -> None:
    write_page(tmp_path, stored, tiny, found, "")
    (tmp_path / "mine.png").write_bytes(b"mine")
    write_page(tmp_path, stored, tiny, replace(found, shown=found.shown[:1]), "")
    assert len(list(tmp_path.glob("*.png"))) == 7 + 1
    assert (tmp_path / "mine.png").read_bytes() == b"mine"


def test_pictures_show_what_their_captions_say(found: Explanations) -> None:
    shown = found.shown[0]
    kinds = [kind for kind, _, _ in pictures_of(shown)]
    assert kinds == [
        "image",
        *(f"{m}_{k}" for m in ("gradcam", "winsor_cam") for k in ("map", "thresholded", "contour")),
    ]
    only = replace(shown, maps={"dt_gradcam": shown.maps["dt_gradcam"]}, mask=None)
    assert [kind for kind, _, _ in pictures_of(only)] == ["image", "dt_gradcam_thresholded", "dt_gradcam_contour"]
    image = np.full((8, 8, 3), (200, 100, 150), np.uint8)
    assert (overlay(image, np.zeros((8, 8), np.float32)) == 150).all()
    area = np.zeros((8, 8), bool)
    area[:, :6] = True
    drawn = draw_contour(image, area, (1, 2, 3))
    assert (drawn[:, 4:6] == (1, 2, 3)).all()
    assert (drawn[:, 6:] == image[:, 6:]).all()
    assert (drawn[:, :4] == image[:, :4]).all(), "an area that goes on beyond the image has no border there"


def test_the_page_says_where_no_method_beats_a_map_that_never_looks(found: Explanations) -> None:
    def with_deletion(change: Callable[[str], float]) -> Explanations:
        rows = []
        for row in found.scores:
            value = row.scores["deletion_blur"]
            assert value is not None
            scores = {
                **row.scores,
                **{f"deletion_{fill}": replace(value, mean=change(row.method)) for fill in ("blur", "tissue")},
                **{f"insertion_{fill}": replace(value, mean=1 - change(row.method)) for fill in ("blur", "tissue")},
            }
            rows.append(MethodScores(row.method, scores))
        return replace(found, scores=tuple(rows))

    poor = unlike_a_prior(with_deletion(lambda method: 0.5))
    assert poor is not None
    assert "no method is better than centre and random" in poor or "no method is better than random and centre" in poor
    assert unlike_a_prior(with_deletion(lambda method: 0.5 if method == "random" else 0.6)) is not None
    faithful = with_deletion(lambda method: 0.1 if method == "gradcam" else 0.5)
    assert unlike_a_prior(faithful) is None
    last = replace(found.randomised[-1], rank_correlation={"gradcam": 0.9, "winsor_cam": 0.1})
    notes = notes_of(replace(faithful, randomised=(last,)))
    assert [note for note in notes if note.startswith("gradcam: the maps stay")]


def test_the_page_speaks_of_intervals_and_blind_maps_only_where_they_are(
    stored: StoredClassifier, tiny: DataSet, found: Explanations, tmp_path: Path
) -> None:
    whole = write_page(tmp_path, stored, tiny, found, "").read_text()
    assert "bootstrap interval" in whole
    assert "maps that never look at the network" in " ".join(whole.split())
    assert f"With {found.num_patients} patients these intervals are too narrow" in whole
    gradcam = MethodScores(
        "gradcam",
        {name: score and replace(score, low=None, high=None) for name, score in found.scores[0].scores.items()},
    )
    alone = replace(found, scores=(gradcam,), methods=("gradcam",), num_measured=1, num_patients=1)
    page = write_page(tmp_path, stored, tiny, alone, "").read_text()
    assert "1 test image of 1 patient," in page
    assert "bootstrap interval" not in page
    assert "too narrow" not in page
    assert "never look" not in page
    many = replace(found, num_patients=10)
    assert "too narrow" not in write_page(tmp_path, stored, tiny, many, "").read_text()


def test_the_page_says_where_the_image_as_it_lies_gets_another_class(
    stored: StoredClassifier, tiny: DataSet, found: Explanations, tmp_path: Path
) -> None:
    first = found.shown[0]
    other = replace(first, predicted_unturned=(first.predicted + 1) % 4)
    same = replace(first, predicted_unturned=first.predicted)
    pages = [
        write_page(tmp_path, stored, tiny, replace(found, shown=(shown,), num_disagreeing=num), "").read_text()
        for shown, num in ((other, 1), (same, 0))
    ]
    assert [f"as {stored.class_names[other.predicted_unturned]})" in page for page in pages] == [True, False]
    assert ["Images that get another class" in page for page in pages] == [True, False]
    assert "without averaging" in pages[1]


def test_on_a_narrow_screen_every_figure_of_a_table_has_its_label(
    stored: StoredClassifier, tiny: DataSet, found: Explanations, tmp_path: Path
) -> None:
    page = write_page(tmp_path, stored, tiny, found, "").read_text()
    assert page.count("<td") > len(MEASURES)
    assert page.count("<td") == page.count('data-label="')
    assert page.count("<table") == page.count('class="wide"'), "the tables that the narrow layout is of"
    assert "@media screen and (max-width: 40rem)" in page

"""Extractors: features in the order of the images, their cache, the weights they need, and the trained one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ganaug import weights
from ganaug.config import Compute
from ganaug.data.dataset import DataSet
from ganaug.errors import ConfigError, LeakError, UserError, WeightsError, WorkspaceError
from ganaug.evaluate.extractors import trained_classifier
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.evaluate.extractors.registry import EXTRACTORS, available_extractors, open_extractor
from ganaug.evaluate.metrics.frechet import frechet_distance
from ganaug.weights import WEIGHTS, survey, weights_folder
from ganaug.workspace import GanRun


def test_features_keep_the_order_whatever_the_batch(pixels: Extractor) -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(11, 8, 8, 3), dtype=np.uint8)
    whole = pixels.features(images, batch=64)
    assert whole.shape == (11, 6)
    assert whole.dtype == np.float64
    np.testing.assert_array_equal(pixels.features(images, batch=3), whole)
    np.testing.assert_allclose(whole[:, :3], images.mean((1, 2)) / 255, rtol=1e-6)


def test_an_extractor_that_is_blind_to_these_images_is_refused_and_images_that_are_alike_are_not(
    pixels: Extractor,
) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(20, 8, 8, 3), dtype=np.uint8)
    blind = replace(pixels, embed=lambda img: torch.ones(len(img), 4))
    with pytest.raises(WeightsError, match="same features for 20 different images; expected features that differ"):
        blind.features(images)
    late = np.concatenate([images[:1].repeat(18, axis=0), images[:2]])  # the first of another kind is in a later batch
    with pytest.raises(WeightsError, match="same features for 20 different images"):
        blind.features(late)
    for alike in (images[:1], images[:1].repeat(20, axis=0)):
        assert (blind.features(alike) == 1).all()
    assert len(pixels.features(late)) == 20


@pytest.mark.parametrize("name", [name for name in EXTRACTORS if name in WEIGHTS])
def test_missing_and_wrong_weights_are_refused_in_one_line(
    dataset: DataSet, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda package: None)  # no package with weights is installed
    for folder in (None, tmp_path):
        with pytest.raises(WeightsError, match=r"weights missing.*get .* and pass --weights-dir"):
            open_extractor(name, ExtractorInputs(dataset, 0, compute=Compute(weights_dir=folder)))
    for file in WEIGHTS[name].files:
        (tmp_path / file.name).write_bytes(b"something else")
        with pytest.raises(WeightsError, match="not the published file"):
            open_extractor(name, ExtractorInputs(dataset, 0, compute=Compute(weights_dir=tmp_path)))
        (tmp_path / file.name).unlink()


def test_the_best_extractor_at_hand_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert available_extractors(None)[0] == "efficientnet_lite0"  # its weights come with a package
    monkeypatch.setattr(weights, "find_spec", lambda package: None)
    assert available_extractors(None) == ["classifier", "pixels_pca"]
    assert available_extractors(tmp_path) == ["classifier", "pixels_pca"]
    (tmp_path / WEIGHTS["squeezenet"].files[1].name).touch()
    assert available_extractors(tmp_path) == ["squeezenet", "classifier", "pixels_pca"]
    (tmp_path / WEIGHTS["inception"].files[0].name).touch()
    assert available_extractors(tmp_path)[0] == "inception"


def test_unknown_extractor_is_named_with_the_known_ones(dataset: DataSet) -> None:
    with pytest.raises(ConfigError, match=r"vgg.*inception, efficientnet_lite0, .*classifier"):
        open_extractor("vgg", ExtractorInputs(dataset, 0))


def test_weights_folder_is_the_option_then_the_environment_then_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(weights.ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr(weights, "find_spec", lambda package: None)
    assert weights_folder(None) is None
    monkeypatch.setenv(weights.ENVIRONMENT_VARIABLE, str(tmp_path))
    assert weights_folder(None) == tmp_path
    with pytest.raises(WeightsError, match="no folder"):
        weights_folder(tmp_path / "elsewhere")
    assert [(row.name, row.found) for row in survey(tmp_path)] == [(name, None) for name in WEIGHTS]


@pytest.mark.usefixtures("quick")
def test_trained_extractor_is_trained_once_on_training_images_alone(
    dataset: DataSet, run: GanRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = ExtractorInputs(dataset, 0, run)
    first = open_extractor("classifier", inputs)
    written = run.extractor.stat().st_mtime_ns
    again = open_extractor("classifier", inputs)
    assert run.extractor.stat().st_mtime_ns == written
    assert first.digest == again.digest
    images = dataset.reader[np.arange(5)]
    np.testing.assert_array_equal(first.features(images), again.features(images))
    assert first.name == "dalaresnet50_small-toy-fold0"

    class Forbidden:
        """Gives training images, and fails on any other."""

        def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
            assert set(indices) <= set(dataset.train(0))
            return reader[indices]

    run.extractor.unlink()
    reader = dataset.reader
    monkeypatch.setattr(DataSet, "images", lambda _, fold: Forbidden())
    assert open_extractor("classifier", ExtractorInputs(dataset, 0, run)).digest == first.digest


@pytest.mark.usefixtures("quick")
def test_trained_extractor_of_another_fold_or_edited_is_refused(dataset: DataSet, run: GanRun) -> None:
    open_extractor("classifier", ExtractorInputs(dataset, 0, run))
    with pytest.raises(LeakError, match="trained on fold 0 of toy"):
        open_extractor("classifier", ExtractorInputs(dataset, 1, run))
    other = replace(dataset, table=replace(dataset.table, attrs={**dataset.table.attrs, "fingerprint": "f" * 64}))
    with pytest.raises(LeakError, match="trained on fold 0 of toy"):
        open_extractor("classifier", ExtractorInputs(other, 0, run))
    whole = run.extractor.read_bytes()
    run.extractor.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(LeakError, match="changed"):
        open_extractor("classifier", ExtractorInputs(dataset, 0, run))
    run.extractor.write_bytes(whole[:50])
    with pytest.raises(WorkspaceError, match="not a readable extractor"):
        open_extractor("classifier", ExtractorInputs(dataset, 0, run))


@pytest.mark.usefixtures("quick")
def test_other_training_options_train_it_again(dataset: DataSet, run: GanRun, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_extractor("classifier", ExtractorInputs(dataset, 0, run))
    monkeypatch.setattr(trained_classifier, "FIT", replace(trained_classifier.FIT, num_steps=3))
    assert open_extractor("classifier", ExtractorInputs(dataset, 0, run)).digest != first.digest


def test_trained_extractor_needs_a_generator_to_be_stored_with(dataset: DataSet) -> None:
    with pytest.raises(UserError, match="no generator"):
        open_extractor("classifier", ExtractorInputs(dataset, 0))


def test_inception_features_are_those_of_torch_fidelity(
    dataset: DataSet, inception_file: Path, publish: Callable[[str, Path], None]
) -> None:
    """From a weights file to features, with weights of this test's own."""
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    path = str(inception_file)
    oracle = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=path)
    publish("inception", inception_file)
    inputs = ExtractorInputs(dataset, 0, compute=Compute(weights_dir=inception_file.parent))
    extractor = open_extractor(None, inputs)
    assert extractor.figure_names == {"frechet": "FID", "kernel": "KID"}
    assert extractor.feature_scale(np.full((2, 3), 7.0)) == 1, "features as they are"
    images = dataset.reader[np.arange(2)]
    expected = oracle.eval()(torch.from_numpy(images).permute(0, 3, 1, 2))[0].double().numpy()
    assert expected.shape == (2, 2048)
    np.testing.assert_allclose(extractor.features(images), expected, rtol=1e-5, atol=1e-6)


def test_squeezenet_sees_what_colour_a_thing_has(shared: Path, dataset: DataSet) -> None:
    """The right order of channels and the right scale, on real weights: a green ball is rather an apple."""
    folder = shared / "weights"
    if not (folder / "squeezenet1_0-imagenet.pth").exists():
        pytest.skip(f"no weights in {folder}")
    extractor = open_extractor("squeezenet", ExtractorInputs(dataset, 0, compute=Compute(weights_dir=folder)))
    assert extractor.name == "squeezenet1_0-imagenet"
    state = torch.load(folder / "squeezenet1_0-imagenet.pth", map_location="cpu", weights_only=True)
    head = state["classifier.1.weight"][:, :, 0, 0].double().numpy()

    def ball(colour: tuple[float, float, float]) -> NDArray[np.uint8]:
        y, x = np.mgrid[:96, :96]
        light = np.clip(1 - np.hypot(y - 36, x - 36) / 76, 0, 1)[..., None] * np.array(colour)
        inside = np.hypot(y - 48, x - 48)[..., None] < 32
        return np.where(inside, 255 * light, 217).astype(np.uint8)

    features = extractor.features(np.stack([ball((0.5, 0.85, 0.2)), ball((1.0, 0.55, 0.05))]))
    assert features.shape == (2, 512)
    green, orange = features @ (head[948] - head[950])  # Granny Smith against orange
    assert green > orange


def test_squeezenet_separates_blurred_tissue_from_sharp(shared: Path, dataset: DataSet) -> None:
    folder = shared / "weights"
    files = sorted((shared / "data" / "BreaKHis_v1").rglob("*.png"))[::28][:30]
    if not files or not (folder / "squeezenet1_0-imagenet.pth").exists():
        pytest.skip(f"no weights or images in {shared}")
    from PIL import Image, ImageFilter

    opened = [Image.open(file).convert("RGB").resize((64, 64), Image.Resampling.LANCZOS) for file in files]
    sharp = np.stack([np.asarray(image) for image in opened])
    blurred = np.stack([np.asarray(image.filter(ImageFilter.GaussianBlur(2))) for image in opened])
    extractor = open_extractor("squeezenet", ExtractorInputs(dataset, 0, compute=Compute(weights_dir=folder)))
    real, soft = extractor.features(sharp), extractor.features(blurred)
    assert frechet_distance(real[::2], soft[1::2]) > 1.5 * frechet_distance(real[::2], real[1::2])

"""Probes of a fold: stored features, orientations drawn by seed, and predictions that no orientation changes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from classifiers.config import FitConfig
from classifiers.predict import predict
from classifiers.transforms import NUM_ORIENTATIONS, orient
from ganaug.classify import probes
from ganaug.classify.predictions import find_tested, predict_test
from ganaug.classify.probes import (
    PROBE,
    ProbeNet,
    draw_orientations,
    extract,
    extractor_of,
    identity_of,
    predict_test_by_probe,
    train_probe,
)
from ganaug.classify.train import TrainedModel, images_of
from ganaug.data.dataset import DataSet
from ganaug.errors import ConfigError, DataError
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.weights import find_weights
from ganaug.workspace import Workspace

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
NAME = "probe:torchscript"
CONFIG = FitConfig(seed=3)


def train(workspace: Workspace, dataset: DataSet, program: Path, config: FitConfig = CONFIG) -> TrainedModel:
    images = images_of(dataset, 0, dataset.train(0))
    return train_probe(workspace, dataset, 0, NAME, images, config, weights=program)


def net_of(trained: TrainedModel) -> ProbeNet:
    assert isinstance(trained.model, ProbeNet)
    return trained.model


def test_a_probe_learns_what_the_features_show(workspace: Workspace, dataset: DataSet, program: Path) -> None:
    trained = train(workspace, dataset, program)
    tested = predict_test_by_probe(workspace, net_of(trained), dataset, 0)
    assert (tested.probs.argmax(1) == tested.labels).all()
    assert len(trained.result.history) == len(PROBE.penalties)
    assert trained.initial_weights == extractor_of(NAME, program).digest


def test_stored_features_give_the_predictions_of_the_images(
    workspace: Workspace, dataset: DataSet, program: Path
) -> None:
    net = net_of(train(workspace, dataset, program))
    stored, computed = predict_test_by_probe(workspace, net, dataset, 0), predict_test(net, dataset, 0, "cpu")
    np.testing.assert_allclose(stored.probs, computed.probs, atol=1e-6)
    np.testing.assert_array_equal(stored.image_ids, computed.image_ids)


def test_an_image_has_the_same_probabilities_in_every_orientation(
    workspace: Workspace, dataset: DataSet, program: Path
) -> None:
    net = net_of(train(workspace, dataset, program))
    images = dataset.images(0)[find_tested(dataset, 0)[:4]]
    upright = predict(net, images)
    features = net.features(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
    for orientation in range(1, NUM_ORIENTATIONS):
        moved = orient(torch.from_numpy(images).permute(0, 3, 1, 2), orientation)
        np.testing.assert_allclose(predict(net, moved.permute(0, 2, 3, 1).numpy()), upright, atol=1e-6)
        assert (net.features(moved / 255) - features).abs().max() > 0.01, "the extractor sees the orientation"


def test_each_orientation_is_extracted_once(
    workspace: Workspace, dataset: DataSet, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    opened = extractor_of(NAME, program)

    def counting(img: torch.Tensor) -> torch.Tensor:
        seen.append(len(img))
        return opened.embed(img)

    monkeypatch.setattr(probes, "extractor_of", lambda *_: replace(opened, embed=counting))
    train(workspace, dataset, program)
    assert sum(seen) == NUM_ORIENTATIONS * len(dataset.table)
    predict_test_by_probe(workspace, net_of(train(workspace, dataset, program)), dataset, 0)
    assert sum(seen) == NUM_ORIENTATIONS * len(dataset.table)
    stored = sorted((workspace.root / "cache" / "features").iterdir())
    assert len(stored) == NUM_ORIENTATIONS
    stored[0].unlink()  # as where it was interrupted
    train(workspace, dataset, program)
    assert sum(seen) == (NUM_ORIENTATIONS + 1) * len(dataset.table)


def test_stored_rows_are_those_of_the_oriented_image(workspace: Workspace, dataset: DataSet, program: Path) -> None:
    extractor, reader = extractor_of(NAME, program), dataset.images(0)
    stored, index = extract(workspace, reader, extractor), np.array([5, 2, 5])
    images = torch.from_numpy(reader[index]).permute(0, 3, 1, 2)
    orientations = np.array([1, 0, 6])
    moved = torch.cat([orient(images[row : row + 1], o) for row, o in enumerate(orientations.tolist())])
    expected = extractor.embed(moved).numpy()
    np.testing.assert_allclose(stored.in_one(index, orientations), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(stored.in_all(index)[orientations, [0, 1, 2]], stored.in_one(index, orientations))


def test_an_occurrence_of_an_image_has_one_orientation_in_every_list_and_repeats_have_others() -> None:
    once, repeated = np.arange(50), np.tile(np.arange(50)[::-1], 8)
    first, eight = draw_orientations(once, 60, seed=1), draw_orientations(repeated, 60, seed=1)
    np.testing.assert_array_equal(eight[:50][::-1], first)
    assert all(set(eight[repeated == image].tolist()) == set(range(8)) for image in range(50))
    assert not np.array_equal(draw_orientations(once, 60, seed=2), first)
    np.testing.assert_array_equal(draw_orientations(np.array([7, 3, 7]), 60, seed=1)[:2], first[[7, 3]])


def test_the_seed_decides_the_probe_to_the_byte(workspace: Workspace, dataset: DataSet, program: Path) -> None:
    states = [net_of(train(workspace, dataset, program, replace(CONFIG, seed=seed))).state_dict() for seed in (3, 3, 4)]
    assert len(states[0]) == 4
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert not torch.equal(states[0]["probe.mean"], states[2]["probe.mean"])


def test_without_classical_augmentation_training_images_stay_as_they_lie(
    workspace: Workspace, dataset: DataSet, program: Path
) -> None:
    net = net_of(train(workspace, dataset, program, replace(CONFIG, classical_augmentation="none")))
    rows = extract(workspace, dataset.images(0), net.extractor).maps[0][dataset.train(0)]
    np.testing.assert_allclose(net.probe.mean, rows.mean(0), atol=1e-5)


def test_weights_inside_a_wheel_make_a_probe(workspace: Workspace, dataset: DataSet) -> None:
    weights = find_weights(None, "efficientnet_lite0")
    extractor = extractor_of("probe:efficientnet_lite0", weights)
    assert extractor is extractor_of("probe:efficientnet_lite0", weights), "opened once"
    assert extractor.features(dataset.images(0)[np.arange(2)], orientation=3).shape == (2, 1280)


def test_what_decides_a_probe_is_its_preprocessing_and_its_effort(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identity_of(NAME, program)
    monkeypatch.setattr(probes, "PROBE", replace(PROBE, num_iterations=5))
    assert identity_of(NAME, program) != before
    other: Extractor = replace(extractor_of(NAME, program), preprocessing="another")
    monkeypatch.setattr(probes, "PROBE", PROBE)
    monkeypatch.setattr(probes, "extractor_of", lambda *_: other)
    assert identity_of(NAME, program) != before


@pytest.mark.parametrize("name", ["probe:", "probe:classifier", "probe:vgg", "probe:timm:", "probe:squeezenet:2"])
def test_unknown_extractors_are_refused_with_the_known_ones(program: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"probe:inception, probe:efficientnet_lite0, .*probe:timm:NAME"):
        extractor_of(name, program)


def test_a_probe_needs_a_file_and_a_published_name_the_published_one(program: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"without weights.*--pretrained probe:torchscript:a=FILE"):
        extractor_of("probe:torchscript:a", None)
    with pytest.raises(DataError, match="no file of weights"):
        extractor_of(NAME, tmp_path / "missing.pt")
    with pytest.raises(ConfigError, match=r"pooled\.pt is not the published file of efficientnet_lite0"):
        extractor_of("probe:efficientnet_lite0", program)

"""A classifier of any kind trained on a fold and tested there: a network from images, a probe from stored features."""

from pathlib import Path

from classifiers.config import FitConfig
from ganaug.classify.predictions import Predictions, predict_test
from ganaug.classify.probes import ProbeNet, is_probe, predict_test_by_probe, train_probe
from ganaug.classify.train import TrainedModel, train_classifier
from ganaug.data.dataset import DataSet
from ganaug.data.mixture import Mixture
from ganaug.workspace import Workspace


def train_and_test(
    workspace: Workspace,
    dataset: DataSet,
    fold: int,
    name: str,
    images: Mixture,
    config: FitConfig,
    *,
    seed: int,
    weights: Path | None,
) -> tuple[TrainedModel, Predictions]:
    """Train a classifier on `images`, and predict the test images of the fold.

    seed: of the initial weights of a network; a probe begins with zeros. weights: local file of pretrained ones, which
    a probe must have. The test images of a network stay as they lie, those of a probe are averaged over orientations.

    Raises what `train_classifier` and `train_probe` raise.
    """
    if is_probe(name):
        probe = train_probe(workspace, dataset, fold, name, images, config, weights=weights)
        assert isinstance(probe.model, ProbeNet)
        return probe, predict_test_by_probe(workspace, probe.model, dataset, fold)
    trained = train_classifier(dataset, fold, name, images, config, seed=seed, weights=weights)
    return trained, predict_test(trained.model, dataset, fold, config.device)

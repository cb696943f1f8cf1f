"""One call trains and tests a classifier of any kind, as its own functions would."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifiers.config import FitConfig
from ganaug.classify.fold import train_and_test
from ganaug.classify.predictions import predict_test
from ganaug.classify.probes import ProbeNet, predict_test_by_probe
from ganaug.classify.train import images_of, train_classifier
from ganaug.data.dataset import DataSet
from ganaug.workspace import Workspace

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
CONFIG = FitConfig(num_steps=2, batch=4, seed=3)


def test_a_probe_and_a_network_are_trained_and_tested_by_the_same_call(
    workspace: Workspace, dataset: DataSet, program: Path
) -> None:
    images = images_of(dataset, 0, dataset.train(0))
    probe, tested = train_and_test(workspace, dataset, 0, "probe:torchscript", images, CONFIG, seed=5, weights=program)
    assert isinstance(probe.model, ProbeNet)
    np.testing.assert_array_equal(tested.probs, predict_test_by_probe(workspace, probe.model, dataset, 0).probs)
    name = "dalaresnet50_small"
    network, tested = train_and_test(workspace, dataset, 0, name, images, CONFIG, seed=5, weights=None)
    alone = train_classifier(dataset, 0, name, images, CONFIG, seed=5)
    assert network.initial_weights == alone.initial_weights
    np.testing.assert_array_equal(tested.probs, predict_test(alone.model, dataset, 0, "cpu").probs)
    other, _ = train_and_test(workspace, dataset, 0, name, images, replace(CONFIG, seed=4), seed=6, weights=None)
    assert other.initial_weights != alone.initial_weights

"""The scores of a kept classifier: each image predicted once, and the likelihood that the temperature minimises."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.predict import predict_views
from ganaug.classify import train_stored as module
from ganaug.classify.stored import StoredClassifier, find_classifier, open_classifier_run
from ganaug.classify.train import images_of
from ganaug.classify.train_stored import train_stored
from ganaug.data.mixture import Mixture
from ganaug.provenance import sealed
from ganaug.workspace import read_json, write_json

if TYPE_CHECKING:
    from tests.ganaug.classify.conftest import Lab


def loss_of(stored: StoredClassifier, images: Mixture) -> float:
    return -float(np.log(stored.probabilities(images)[np.arange(len(images)), images.labels]).mean())


def test_the_validation_images_are_predicted_once_in_each_orientation(
    lab: "Lab", monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []

    def count(model: nn.Module, samples: Mixture, *, device: str = "cpu") -> Tensor:
        passes.append(len(samples))
        return predict_views(model, samples, device=device)

    monkeypatch.setattr(module, "predict_views", count)
    predicted: list[int] = []
    probabilities = StoredClassifier.probabilities

    def watch(self: StoredClassifier, images: Mixture) -> NDArray[np.float32]:
        predicted.append(len(images))
        return probabilities(self, images)

    monkeypatch.setattr(StoredClassifier, "probabilities", watch)
    lab.train(2)
    assert passes == [len(lab.dataset.val(2))]
    assert predicted == [len(lab.dataset.test(2))]


def test_the_temperature_never_makes_the_likelihood_worse_and_both_are_kept(lab: "Lab") -> None:
    stored, dataset = open_classifier_run(find_classifier(lab.workspace)), lab.dataset
    validation = read_json(stored.run.scores)["validation"]
    images = images_of(dataset, 0, dataset.val(0))
    assert validation["nll_after"] == pytest.approx(loss_of(stored, images), abs=1e-6)
    assert validation["nll_before"] == pytest.approx(loss_of(replace(stored, temperature=1.0), images), abs=1e-6)
    assert validation["nll_after"] <= validation["nll_before"] + 1e-9


def test_scores_of_an_earlier_version_without_a_likelihood_are_computed_again(lab: "Lab") -> None:
    run = find_classifier(lab.workspace)
    whole, values = run.scores.read_bytes(), read_json(run.scores)
    del values["validation"]["nll_after"]
    write_json(run.scores, sealed(values))
    train_stored(lab.task())
    assert run.scores.read_bytes() == whole

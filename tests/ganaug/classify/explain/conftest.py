"""A small classifier, its data set, and what `explain_classifier` finds of it; tests change copies of these."""

import copy
from dataclasses import dataclass, replace

import pytest

from ganaug.classify.explain.explain import Explanations, explain_classifier
from ganaug.classify.explain.request import ExplainConfig
from ganaug.classify.stored import StoredClassifier
from ganaug.classify.train_stored import train_stored
from ganaug.config import FoldsConfig, PhantomConfig, PrepareConfig, StudyConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.study.training_set import plan_classifiers
from ganaug.workspace import open_workspace

QUICK = ExplainConfig(per_class=1, num_measured=4)
STUDY = StudyConfig(classifiers=("dalaresnet50_small",), seeds=(0,), num_steps=2, batch=4)


@dataclass(frozen=True)
class Made:
    """A phantom of 16 px, a classifier of its fold 1, and what was found; tests change copies of these."""

    dataset: DataSet
    stored: StoredClassifier
    found: Explanations


@pytest.fixture(scope="package")
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

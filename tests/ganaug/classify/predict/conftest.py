"""A user's images, the classifier that predicts them, and its predictions."""

import csv
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ganaug.classify.predict.predict import Predictions, predict_images
from ganaug.classify.predict.seen import dataset_of
from ganaug.classify.predict.user_images import list_images
from ganaug.classify.stored import StoredClassifier, find_classifier, open_classifier_run

if TYPE_CHECKING:
    from tests.ganaug.classify.conftest import Lab


def predict(stored: StoredClassifier, source: Path, **options: Any) -> Predictions:
    return predict_images(stored, list_images(source, stored.class_names), **{"dataset": dataset_of(stored), **options})


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def stored(lab: "Lab") -> StoredClassifier:
    return open_classifier_run(find_classifier(lab.workspace))


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """An empty folder for what a user has."""
    (tmp_path / "given").mkdir()
    return tmp_path / "given"


@pytest.fixture
def unseen(lab: "Lab", tmp_path: Path) -> Path:
    """The folder of the fold's test images, in their classes and patients."""
    for path in lab.files("test"):
        target = tmp_path / "unseen" / path.relative_to(lab.source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return tmp_path / "unseen"

"""The files of predictions: tables by image and by patient, and the scores of a test."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.scores import score
from ganaug.classify.predict.predict import Predictions
from ganaug.classify.predict.user_images import UserImages
from ganaug.classify.stored import StoredClassifier
from ganaug.data.dataset import DataSet
from ganaug.errors import DataError, LeakError, WorkspaceError, private, some_of
from ganaug.workspace import atomic_path, os_errors_as_workspace_errors, parse_json, require_place, write_json

OF_IMAGES = ("image", "patient", "seen in training", "predicted")  # and a probability per class
OF_PATIENTS = ("patient", "images", "seen in training", "predicted")
MADE_BY = "ganaug predict"  # by which a file of scores is recognised
_OF_CLASS = "probability "
_LONGEST_BYTES = 2**24  # of a file that is read to see whether predict wrote it

# ---- where they go ---------------------------------------------------------------------------------------------------


def table_paths(out: Path) -> tuple[Path, Path, Path]:
    """Where the table of images, the table of patients and the scores go."""
    return out, out.with_name(f"{out.stem}-patients.csv"), out.with_name(f"{out.stem}-scores.json")


def require_writable(out: Path, *, is_test: bool) -> None:
    """Raise WorkspaceError where a file that predict did not write would be lost, or none can be written."""
    of_images, of_patients, scores = table_paths(out)
    if out.suffix.lower() != ".csv":
        raise WorkspaceError(f"the file {out}", expected="a .csv file to write", todo="name another with --out")
    _require_own(of_images, lambda content: _is_table(content, OF_IMAGES))
    _require_own(of_patients, lambda content: _is_table(content, OF_PATIENTS))
    if is_test:
        _require_own(scores, _is_scores)
    require_place(out)


def _require_own(path: Path, is_own: Callable[[bytes], bool]) -> None:
    with os_errors_as_workspace_errors(path):
        if not path.exists():
            return
        is_ours = path.is_file() and is_own(path.open("rb").read(_LONGEST_BYTES))
    if not is_ours:
        raise WorkspaceError(
            f"{path} is there, and `{MADE_BY}` did not write it", todo="name another with --out, or move it away"
        )


def _is_table(content: bytes, columns: tuple[str, ...]) -> bool:
    """Whether it is a table of these columns with a probability per class."""
    try:
        header = next(csv.reader(content.decode("utf-8", "replace").splitlines(keepends=True)), [])
    except csv.Error:
        return False
    others = header[len(columns) :]
    return header[: len(columns)] == list(columns) and len(others) > 1 and all(x.startswith(_OF_CLASS) for x in others)


def _is_scores(content: bytes) -> bool:
    try:
        value = parse_json(content)
    except ValueError:
        return False
    return isinstance(value, dict) and value.get("made_by") == MADE_BY and "compared" in value


# ---- tables ----------------------------------------------------------------------------------------------------------


def write_tables(out: Path, found: Predictions) -> list[Path]:
    """Write the table of images, and of patients where any is known, as RFC 4180 has them; returns the paths."""
    columns = [f"{_OF_CLASS}{name}" for name in found.class_names]
    of_images, of_patients, _ = table_paths(out)
    words = found.compared.words()
    rows = [
        [image.name, image.patient, seen, *_cells(found, probs)]
        for image, seen, probs in zip(found.images, words, found.probs, strict=True)
    ]
    _write_csv(of_images, [*OF_IMAGES, *columns], rows)
    patients = [
        [name, len(own), _most({words[at] for at in own}), *_cells(found, found.probs[own].mean(0, np.float64))]
        for name, own in found.by_patient()
    ]
    if not patients:
        return [of_images]
    _write_csv(of_patients, [*OF_PATIENTS, *columns], patients)
    return [of_images, of_patients]


def _most(words: set[str]) -> str:
    return next(word for word in ("yes", "patient", "no") if word in words)


def _cells(found: Predictions, probs: NDArray[Any]) -> list[object]:
    return [found.class_names[int(probs.argmax())], *(f"{value:.6f}" for value in probs.tolist())]


def _write_csv(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with atomic_path(path) as part, part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file, lineterminator="\r\n").writerows([header, *rows])


# ---- a test ----------------------------------------------------------------------------------------------------------


def require_testable(source: UserImages, stored: StoredClassifier, dataset: DataSet | None) -> None:
    """Raise LeakError where patients cannot be compared, DataError where an image stands in no folder of a class."""
    if dataset is None:
        raise _without_dataset(stored)
    without = [image.name for image in source.images if not image.class_name]
    if without:
        raise DataError(
            f"{len(without)} of {len(source.images)} images stand in no folder of a class, such as "
            f"{private(without[0])}",
            expected="class folders that are named as the classifier's classes",
            todo="name the levels with --layout class/…, or leave --test out",
        )


def _without_dataset(stored: StoredClassifier) -> LeakError:
    return LeakError(
        f"--test without the classifier's data set {stored.dataset}: names of patients cannot be compared",
        expected="the data set as it was when the classifier was trained",
        todo="give the workspace that holds it with --workspace, or leave --test out",
    )


def score_test(out: Path, stored: StoredClassifier, found: Predictions) -> dict[str, Any]:
    """Score predictions against the classes that folders or names give, write the scores and return them.

    Raises LeakError where the classifier was trained or selected on any of the pictures or patients, or where that
    cannot be excluded because its data set is not at hand.
    """
    compared = found.compared
    if not compared.has_dataset:
        raise _without_dataset(stored)
    if compared.is_seen.any() or compared.patients_seen:
        named = some_of([private(name) for name in compared.patients_seen])
        patients = f" and on patients of the names {named}" if named else ""
        by_name = int((compared.is_named & ~compared.is_picture).sum())
        names = f" ({by_name} by the names of their files alone)" if by_name else ""
        raise LeakError(
            f"the classifier was trained or selected on {int(compared.is_seen.sum())} of {len(found.images)} images"
            f"{names}{patients}",
            expected="images of patients whom it has not seen",
            todo="leave these out, or leave --test out: predictions without scores are allowed",
        )
    labels = np.array([stored.class_names.index(image.class_name) for image in found.images], dtype=np.int64)
    groups = [image.patient or f"image {image.name}" for image in found.images]
    are_known = any(image.patient for image in found.images)
    scores = score(labels, found.probs, groups if are_known else None, stored.class_names)
    scores = {
        "made_by": MADE_BY,
        "classifier": stored.run.root.name,
        "weights": stored.provenance.content,
        "compared": compared.to_dict(),
        **scores,
    }
    write_json(table_paths(out)[2], scores)
    return scores

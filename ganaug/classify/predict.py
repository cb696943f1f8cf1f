"""Predictions of a stored classifier on a user's own images, by image and by patient, and whether they can be a test.

The images go the way that those of the classifier's data set went in `ganaug prepare`: the same decoding, squares and
stain. Each is compared with the pictures that the classifier was trained or selected on, so that no figure on these is
taken for one on unseen patients.
"""

import csv
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.scores import score
from ganaug.classify.pixel_rule import squares_config
from ganaug.classify.stored import StoredClassifier
from ganaug.classify.user_images import UserImage, UserImages
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.hdf5.image_writer import ImageWriter, writing_images
from ganaug.data.held_out import find_pictures, is_listed
from ganaug.data.prepare.read_images import Facts, read_pixels
from ganaug.data.prepare.stain import Reference, normalise
from ganaug.errors import ConfigError, DataError, LeakError, private, some_of
from ganaug.files import require_output
from ganaug.provenance import keyed_digest
from ganaug.workspace import Workspace, atomic_path, write_json

NUM_COMPARED = 256  # images compared at a time


@dataclass(frozen=True)
class Predictions:
    """Class probabilities of N of a user's images, with what the classifier had seen of them."""

    class_names: tuple[str, ...]
    images: tuple[UserImage, ...]  # N
    probs: NDArray[np.float32]  # [N,K]; of an image that was cut into tiles their mean
    is_seen: NDArray[np.bool_]  # [N], whether the classifier was trained or selected on the picture
    patients_seen: tuple[str, ...]  # patients of the images whose names are those of patients seen, sorted
    are_patients_compared: bool  # whether the data set is at hand, without which no name can be compared
    skipped: tuple[tuple[str, str], ...]  # path and reason
    num_unstained: int = 0  # squares that show no stain to normalise, and are taken as they are

    def by_patient(self) -> list[tuple[str, int, NDArray[np.float64]]]:
        """Each known patient, the number of their images, and the mean of their probabilities [K], sorted by name."""
        names = np.array([image.patient for image in self.images])
        known = [name for name in np.unique(names).tolist() if name]
        return [(name, int((names == name).sum()), self.probs[names == name].mean(0, np.float64)) for name in known]

    def notes(self) -> list[str]:
        """What there is to say of them to who reads them."""
        notes = []
        num_seen, num = int(self.is_seen.sum()), len(self.images)
        if num_seen:
            notes.append(
                f"{num_seen} of {num} images are of pictures that this classifier was trained or selected on; "
                "this is no test of it"
            )
        if self.patients_seen:
            named = some_of([private(name) for name in self.patients_seen])
            notes.append(
                f"{len(self.patients_seen)} patients bear names of patients that this classifier was trained or "
                f"selected on ({named}); this is no test of it"
            )
        if not self.are_patients_compared and any(image.patient for image in self.images):
            notes.append("the classifier's data set is not at hand, so pictures were compared and patients' names not")
        if self.num_unstained:
            notes.append(f"{self.num_unstained} images show no stain to normalise and are taken as they are")
        return notes


def predict_images(
    stored: StoredClassifier, source: UserImages, *, um_per_px: float | None = None, progress: bool = False
) -> Predictions:
    """Predict a user's images; those that cannot be read are skipped, with the reason.

    um_per_px: micrometres per pixel of the images, for a data set whose squares are a field in micrometres. Raises
    DataError where no image can be read, ConfigError where the scale is missing.
    """
    config = squares_config(stored.image_size_px, stored.pixels)
    if config.field_um is not None and um_per_px is None:
        raise ConfigError(
            f"the classifier takes fields of {config.field_um:g} µm, and the scale of the images is not known",
            todo="say how many micrometres a pixel has with --um-per-px",
        )
    scan, dataset = source.scan(stored.class_names, um_per_px), _dataset_of(stored)
    with (
        tempfile.TemporaryDirectory(prefix="ganaug-") as folder,
        writing_images(Path(folder) / "images.h5", stored.image_size_px) as writer,
    ):
        facts, hashes, unread = read_pixels(scan, config, writer, progress)
        skipped = (*source.skipped, *unread)
        if not facts:
            path, reason = skipped[0]
            raise DataError(f"none of {len(skipped)} images can be read, such as {private(path)}: {reason}")
        squares = _Squares(writer, [square.place for square in facts], stored.pixels.stain)
        probs = stored.probabilities(squares)
        is_seen = _find_seen(stored, dataset, facts, hashes, writer)
    of_image = np.array([square.order[0] for square in facts])
    kept, position = np.unique(of_image, return_inverse=True)
    images = tuple(source.images[at] for at in kept.tolist())
    return Predictions(
        class_names=stored.class_names,
        images=images,
        probs=_means(probs, position, len(kept)),
        is_seen=np.bincount(position, weights=is_seen) > 0,
        patients_seen=_patients_seen(stored, dataset, images),
        are_patients_compared=dataset is not None,
        skipped=skipped,
        num_unstained=squares.num_unstained,
    )


class _Squares:
    """Squares that have been written, as the fold of the classifier sees them."""

    def __init__(self, writer: ImageWriter, places: Sequence[int], stain: Reference | None) -> None:
        self._writer, self._places, self._stain = writer, np.array(places), stain
        self.num_unstained = 0

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        images = self._writer.read(self._places[indices].tolist())
        if self._stain is not None:
            for row in images:
                stained = normalise(row, self._stain)
                if stained is None:
                    self.num_unstained += 1
                else:
                    row[...] = stained
        return images


def _means(probs: NDArray[np.float32], position: NDArray[np.int64], num: int) -> NDArray[np.float32]:
    sums = np.zeros((num, probs.shape[1]))
    np.add.at(sums, position, probs)
    return (sums / np.bincount(position)[:, None]).astype(np.float32)


# ---- what the classifier has seen ------------------------------------------------------------------------------------


def _dataset_of(stored: StoredClassifier) -> DataSet | None:
    """The data set that the classifier was trained on, where the workspace around it still has it as it was."""
    workspace = Workspace(stored.run.root.resolve().parent.parent)
    if stored.dataset not in workspace.datasets():
        return None
    dataset = open_dataset(workspace, stored.dataset)
    return dataset if dataset.table.fingerprint == stored.provenance.dataset_fingerprint else None


def _find_seen(
    stored: StoredClassifier,
    dataset: DataSet | None,
    facts: Sequence[Facts],
    hashes: NDArray[np.uint64],
    writer: ImageWriter,
) -> NDArray[np.bool_]:
    """Whether each square is of a picture that the classifier saw: by hash, and by pixels with the data set."""
    seen = stored.provenance.seen
    found = is_listed(hashes, seen)
    if dataset is None:
        return found
    table = dataset.table
    digests = [keyed_digest(table.key, "image", square.sha256) for square in facts]
    found |= np.isin(np.array(digests), np.array(seen.images))
    members = np.flatnonzero(np.isin(np.array(table.image_digests(np.arange(len(table)))), np.array(seen.images)))
    for start in range(0, len(facts), NUM_COMPARED):
        images = writer.read([square.place for square in facts[start : start + NUM_COMPARED]])
        found[start + find_pictures(dataset.reader, members, images)[:, 0]] = True
    return found


def _patients_seen(stored: StoredClassifier, dataset: DataSet | None, images: Sequence[UserImage]) -> tuple[str, ...]:
    """The patients whose names are those of patients that the classifier saw."""
    if dataset is None:
        return ()
    seen = set(stored.provenance.groups_seen)
    named = {image.patient for image in images if image.patient}
    return tuple(sorted(name for name in named if dataset.table.patient_digest(name) in seen))


# ---- files -----------------------------------------------------------------------------------------------------------


def table_paths(out: Path) -> tuple[Path, Path, Path]:
    """Where the table of images, the table of patients and the scores go; raises where another file would be lost."""
    paths = out, out.with_name(f"{out.stem}-patients.csv"), out.with_name(f"{out.stem}-scores.json")
    for path, suffix, head in zip(paths, (".csv", ".csv", ".json"), (rb"image,", rb"patient,", rb"\s*\{"), strict=True):
        require_output(path, suffix, head)
    return paths


def write_tables(out: Path, found: Predictions) -> list[Path]:
    """Write the table of images, and of patients where any is known, as RFC 4180 has them; returns the paths."""
    columns = [f"probability {name}" for name in found.class_names]
    of_images, of_patients, _ = table_paths(out)
    rows = [
        [image.name, image.patient, "yes" if seen else "no", *_cells(found, probs)]
        for image, seen, probs in zip(found.images, found.is_seen.tolist(), found.probs, strict=True)
    ]
    _write_csv(of_images, ["image", "patient", "seen in training", "predicted", *columns], rows)
    patients = [[name, number, *_cells(found, probs)] for name, number, probs in found.by_patient()]
    if not patients:
        return [of_images]
    _write_csv(of_patients, ["patient", "images", "predicted", *columns], patients)
    return [of_images, of_patients]


def _cells(found: Predictions, probs: NDArray[Any]) -> list[object]:
    return [found.class_names[int(probs.argmax())], *(f"{value:.6f}" for value in probs.tolist())]


def _write_csv(path: Path, header: list[str], rows: list[list[object]]) -> None:
    with atomic_path(path) as part, part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file, lineterminator="\r\n").writerows([header, *rows])


# ---- a test ----------------------------------------------------------------------------------------------------------


def require_labelled(source: UserImages) -> None:
    """Raise DataError where an image stands in no folder that is named as a class."""
    without = [image.name for image in source.images if not image.class_name]
    if without:
        raise DataError(
            f"{len(without)} of {len(source.images)} images stand in no folder of a class, such as "
            f"{private(without[0])}",
            expected="class folders that are named as the classifier's classes",
            todo="name the levels with --layout class/…, or leave --test out",
        )


def score_test(out: Path, stored: StoredClassifier, found: Predictions) -> dict[str, Any]:
    """Score predictions against the class folders, write the scores and return them.

    Raises LeakError where the classifier was trained or selected on any of the pictures or patients.
    """
    if found.is_seen.any() or found.patients_seen:
        named = some_of([private(name) for name in found.patients_seen])
        patients = f" and on patients of the names {named}" if named else ""
        raise LeakError(
            f"the classifier was trained or selected on {int(found.is_seen.sum())} of {len(found.images)} images"
            f"{patients}",
            expected="images of patients whom it has not seen",
            todo="leave these out, or leave --test out: predictions without scores are allowed",
        )
    labels = np.array([stored.class_names.index(image.class_name) for image in found.images], dtype=np.int64)
    groups = [image.patient or f"image {image.name}" for image in found.images]
    are_known = any(image.patient for image in found.images)
    scores = score(labels, found.probs, groups if are_known else None, stored.class_names)
    scores = {"classifier": stored.run.root.name, "weights": stored.provenance.content, **scores}
    write_json(table_paths(out)[2], scores)
    return scores

"""What a stored classifier has seen of a user's images: their pictures, the names of their files, their patients."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganaug.classify.pixel_rule import squares_config
from ganaug.classify.predict.names import are_named_as, patients_in
from ganaug.classify.predict.user_images import UserImage
from ganaug.classify.stored import StoredClassifier
from ganaug.config import PrepareConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.hdf5.image_writer import ImageWriter, writing_images
from ganaug.data.held_out import find_pictures, is_listed
from ganaug.data.prepare.read_images import Facts, read_pixels
from ganaug.data.schema import ImageTable, resolve_patients
from ganaug.data.sources.scans.scan import Scan
from ganaug.errors import private, some_of
from ganaug.provenance import Seen, keyed_digest
from ganaug.workspace import Workspace

FULL_BITS = 16  # of 16-bit files where the data set says nothing
NUM_COMPARED = 256  # images compared at a time


@dataclass(frozen=True)
class Comparison:
    """What a classifier was trained or selected on, of N images."""

    is_picture: NDArray[np.bool_]  # [N], whether it shows one of its pictures
    is_named: NDArray[np.bool_]  # [N], whether the file bears the name of one of its images
    patients: tuple[str, ...]  # N, the patient whom it has seen images of; empty where none is known
    num_named: int  # images with names of patients, which were compared where the data set is at hand
    num_known: int  # of these, those with a name that the data set has
    has_dataset: bool  # without which no names can be compared

    @property
    def is_seen(self) -> NDArray[np.bool_]:
        """Whether each image is, by picture or by name, one that was seen, [N]."""
        return self.is_picture | self.is_named

    @property
    def patients_seen(self) -> tuple[str, ...]:
        """The names of patients that were seen, sorted."""
        return tuple(sorted(set(self.patients) - {""}))

    def words(self) -> list[str]:
        """What the tables say of each image: yes, patient (another image of the patient was seen) or no."""
        return [
            "yes" if seen else "patient" if patient else "no"
            for seen, patient in zip(self.is_seen.tolist(), self.patients, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """How many images were compared by what, as JSON values."""
        num, num_named = len(self.patients), self.num_named if self.has_dataset else 0
        return {
            "pictures": num,
            "file_names": num if self.has_dataset else 0,
            "patients": num_named,
            "patients_known_to_the_data_set": self.num_known,
        }

    def notes(self, *, is_test: bool = False) -> list[str]:
        """What there is to say of it to a user; is_test: also what a test has not compared."""
        num, notes = len(self.patients), []
        of = "this classifier was trained or selected on"
        if num_seen := int(self.is_picture.sum()):
            notes.append(f"{num_seen} of {num} images are of pictures that {of}; this is no test of it")
        if num_by_name := int((self.is_named & ~self.is_picture).sum()):
            notes.append(
                f"{num_by_name} of {num} images bear the names of images that {of}, and count as these; this is no "
                "test of it"
            )
        if self.patients_seen:
            named = some_of([private(name) for name in self.patients_seen])
            notes.append(
                f"{len(self.patients_seen)} patients bear names of patients that {of} ({named}); this is no test of it"
            )
        if not self.has_dataset:
            notes.append(
                "the classifier's data set is not at hand, so pictures were compared and the names of patients and "
                "files were not; --workspace names the workspace that holds it"
            )
        elif is_test and not self.num_named:
            notes.append("no patient of these images is known, so only pictures and names of files were compared")
        elif is_test and not self.num_known:
            notes.append(
                f"the patients of {self.num_named} images were compared by name, and none is a patient of the data "
                "set: where it names the same people otherwise, they are not recognised"
            )
        return notes


def dataset_of(stored: StoredClassifier, workspace: Workspace | None = None) -> DataSet | None:
    """The data set that the classifier was trained on, as it was then; None where it is not at hand.

    It is looked for in the workspace around the classifier, and in the one given.
    """
    around = Workspace(stored.run.root.resolve().parent.parent)
    for place in (around, workspace):
        if place is not None and stored.dataset in place.datasets():
            dataset = open_dataset(place, stored.dataset)
            if dataset.table.fingerprint == stored.provenance.dataset_fingerprint:
                return dataset
    return None


# ---- pictures --------------------------------------------------------------------------------------------------------


def find_seen(
    stored: StoredClassifier,
    dataset: DataSet | None,
    facts: Sequence[Facts],
    hashes: NDArray[np.uint64],
    writer: ImageWriter,
) -> NDArray[np.bool_]:
    """Whether each square is of a picture that the classifier saw: by hash, and by pixels with the data set."""
    seen = stored.provenance.seen
    found: NDArray[np.bool_] = is_listed(hashes, seen)
    if dataset is None:
        return found
    table = dataset.table
    digests = [keyed_digest(table.key, "image", square.sha256) for square in facts]
    found |= np.isin(np.array(digests), np.array(seen.images))
    members = _members(table, seen)
    for start in range(0, len(facts), NUM_COMPARED):
        images = writer.read([square.place for square in facts[start : start + NUM_COMPARED]])
        found[start + find_pictures(dataset.reader, members, images)[:, 0]] = True
    return found


def find_seen_otherwise(
    stored: StoredClassifier, dataset: DataSet | None, scan: Scan, facts: Sequence[Facts], found: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """`found`, of all squares, and also those whose image shows such a picture where its square is cut otherwise.

    Compared are all of the image squashed to a square, and its central square: copies that were squashed or cut before
    the classifier's data set was prepared of them are then recognised in the original, and the other way about.
    """
    own = squares_config(stored.image_size_px, stored.pixels)
    of_image = np.array([square.order[0] for square in facts])
    seen = np.zeros(len(scan.items), bool)
    seen[of_image[found]] = True
    todo = np.unique(of_image[~seen[of_image]])
    for fit in ("resize", "crop"):
        config = PrepareConfig("folder", resolution_px=own.resolution_px, fit=fit)
        if not len(todo) or config == own:
            continue
        items = tuple(scan.items[at] for at in todo.tolist())
        with (
            tempfile.TemporaryDirectory(prefix="ganaug-") as folder,
            writing_images(Path(folder) / "images.h5", own.resolution_px) as writer,
        ):
            bits = stored.pixels.grey_bits or FULL_BITS
            others, hashes, _ = read_pixels(replace(scan, items=items), config, writer, False, bits)
            is_seen = find_seen(stored, dataset, others, hashes, writer)
        places = todo[np.array([square.order[0] for square in others], dtype=np.int64)]
        seen[places[is_seen]] = True
        is_open = np.array([fit == "crop" or square.squashed for square in others], dtype=bool)
        todo = places[is_open & ~is_seen]  # of a square image the central square is all of it
    return np.asarray(seen[of_image])


def _members(table: ImageTable, seen: Seen) -> NDArray[np.int64]:
    """The images of a data set that were seen, i64 [n]."""
    return np.flatnonzero(np.isin(np.array(table.image_digests(np.arange(len(table)))), np.array(seen.images)))


# ---- names -----------------------------------------------------------------------------------------------------------


def compare(
    stored: StoredClassifier, dataset: DataSet | None, images: Sequence[UserImage], is_picture: NDArray[np.bool_]
) -> Comparison:
    """The pictures that were seen, with the names of files and patients next to them where the data set is at hand."""
    names = [patients_in(image.path) | ({image.patient} - {""}) for image in images]
    num_named = sum(map(bool, names))
    if dataset is None:
        none = np.zeros(len(images), bool)
        return Comparison(is_picture, none, ("",) * len(images), num_named, 0, has_dataset=False)
    table, seen = dataset.table, stored.provenance.seen
    groups = set(resolve_patients(table, seen.groups).values())
    known = _names_of(table, set(table.group_id.tolist()))
    of_seen = _names_of(table, groups)
    paths = table.path.tolist()
    is_named = are_named_as([image.path for image in images], table.path[_members(table, seen)].tolist(), paths)
    return Comparison(
        is_picture=is_picture,
        is_named=np.array(is_named, dtype=bool),
        patients=tuple(
            (image.patient or min(own)) if own & of_seen else "" for image, own in zip(images, names, strict=True)
        ),
        num_named=num_named,
        num_known=sum(bool(own & known) for own in names),
        has_dataset=True,
    )


def _names_of(table: ImageTable, groups: set[str]) -> set[str]:
    """The names of patients of a data set, with those that the paths of their images give them."""
    paths = {path for path, group in zip(table.path.tolist(), table.group_id.tolist(), strict=True) if group in groups}
    return groups.union(*map(patients_in, paths))

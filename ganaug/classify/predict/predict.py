"""Predictions of a stored classifier on a user's own images, by image and by patient, and whether they can be a test.

The images go the way that those of the classifier's data set went in `ganaug prepare`: the same decoding, squares and
stain. Each is compared with the pictures that the classifier was trained or selected on, so that no figure on these is
taken for one on unseen patients.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganaug.classify.pixel_rule import squares_config
from ganaug.classify.predict.seen import FULL_BITS, Comparison, compare, find_seen, find_seen_otherwise
from ganaug.classify.predict.user_images import UserImage, UserImages
from ganaug.classify.stored import StoredClassifier
from ganaug.data.dataset import DataSet
from ganaug.data.hdf5.image_writer import ImageWriter, writing_images
from ganaug.data.prepare.pixel_notes import pixel_notes
from ganaug.data.prepare.read_images import read_pixels
from ganaug.data.prepare.stain import Reference, normalise
from ganaug.errors import ConfigError, DataError, private


@dataclass(frozen=True)
class Predictions:
    """Class probabilities of N of a user's images, with what the classifier had seen of them."""

    class_names: tuple[str, ...]
    images: tuple[UserImage, ...]  # N
    probs: NDArray[np.float32]  # [N,K]; of an image that was cut into tiles their mean
    compared: Comparison
    skipped: tuple[tuple[str, str], ...]  # path and reason
    pixel_notes: tuple[str, ...] = ()  # on how files were decoded
    num_unstained: int = 0  # squares that show no stain to normalise, and are taken as they are

    def by_patient(self) -> list[tuple[str, NDArray[np.int64]]]:
        """Each known patient and their images, positions i64 [n], sorted by name."""
        names = np.array([image.patient for image in self.images])
        return [(name, np.flatnonzero(names == name)) for name in np.unique(names).tolist() if name]

    def notes(self, *, is_test: bool = False) -> list[str]:
        """What there is to say of them to a user; is_test: also what a test has not compared."""
        notes = [*self.compared.notes(is_test=is_test), *self.pixel_notes]
        if self.num_unstained:
            notes.append(f"{self.num_unstained} images show no stain to normalise and are taken as they are")
        return notes


def predict_images(
    stored: StoredClassifier,
    source: UserImages,
    *,
    dataset: DataSet | None,
    um_per_px: float | None = None,
    progress: bool = False,
) -> Predictions:
    """Predict a user's images; those that cannot be read are skipped, with the reason.

    dataset: that of the classifier, where `dataset_of` finds it. um_per_px: micrometres per pixel of the images, for a
    data set whose squares are a field in micrometres. An image's probabilities do not depend on the other images.
    Raises DataError where no image can be read, ConfigError where the scale is missing.
    """
    config = squares_config(stored.image_size_px, stored.pixels)
    if config.field_um is not None and um_per_px is None:
        raise ConfigError(
            f"the classifier takes fields of {config.field_um:g} µm, and the scale of the images is not known",
            todo="say how many micrometres a pixel has with --um-per-px",
        )
    scan = source.scan(stored.class_names, um_per_px)
    with (
        tempfile.TemporaryDirectory(prefix="ganaug-") as folder,
        writing_images(Path(folder) / "images.h5", stored.image_size_px) as writer,
    ):
        bits = stored.pixels.grey_bits or FULL_BITS
        facts, hashes, unread = read_pixels(scan, config, writer, progress, bits)
        skipped = (*source.skipped, *unread)
        if not facts:
            path, reason = skipped[0]
            raise DataError(f"none of {len(skipped)} images can be read, such as {private(path)}: {reason}")
        squares = _Squares(writer, [square.place for square in facts], stored.pixels.stain)
        probs = stored.probabilities(squares)
        is_seen = find_seen(stored, dataset, facts, hashes, writer)
    is_seen = find_seen_otherwise(stored, dataset, scan, facts, is_seen)
    of_image = np.array([square.order[0] for square in facts])
    kept, position = np.unique(of_image, return_inverse=True)
    images = tuple(source.images[at] for at in kept.tolist())
    return Predictions(
        class_names=stored.class_names,
        images=images,
        probs=_means(probs, position, len(kept)),
        compared=compare(stored, dataset, images, np.bincount(position, weights=is_seen) > 0),
        skipped=skipped,
        pixel_notes=tuple(pixel_notes(facts)),
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

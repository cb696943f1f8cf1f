"""Predictions on the test images of a fold, and the file that they are kept in."""

import io
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from classifiers.predict import predict
from ganaug.classify.train import images_of
from ganaug.data.dataset import DataSet
from ganaug.errors import CorruptFile, LeakError, UserError
from ganaug.provenance import digest_of_file
from ganaug.workspace import atomic_path

LARGEST_ERROR = 1e-3  # of a sum of probabilities


@dataclass(frozen=True)
class TestedImages:
    """The N test images of a fold."""

    labels: NDArray[np.int64]  # [N], the true classes
    groups: NDArray[np.str_]  # [N], keyed digests of the patients
    image_ids: NDArray[np.str_]  # [N], keyed digests of the images


@dataclass(frozen=True)
class Predictions(TestedImages):
    """The test images of a fold, and the probabilities that a classifier gave to their K classes."""

    probs: NDArray[np.float32]  # [N, K]


def predict_test(model: nn.Module, dataset: DataSet, fold: int, device: str) -> Predictions:
    """Predict the test images of a fold."""
    images = images_of(dataset, fold, find_tested(dataset, fold))
    probs = predict(model, images, device=device)
    return Predictions(**vars(find_tested_images(dataset, fold)), probs=probs)


def find_tested(dataset: DataSet, fold: int) -> NDArray[np.int64]:
    """The indices of the test images of a fold, i64 [N], in the order of their digests.

    The order of the data set is mostly that of the patients' names: to whoever knows these it would show who is who.
    """
    return dataset.table.in_shared_order(dataset.test(fold))


@lru_cache(maxsize=8)  # asked for every cell of a study that is read
def find_tested_images(dataset: DataSet, fold: int) -> TestedImages:
    """The test images of a fold, in the order of `find_tested`; its arrays cannot be written to."""
    table, test = dataset.table, find_tested(dataset, fold)
    names, position = np.unique(table.group_id[test], return_inverse=True)
    patients = np.array([table.patient_digest(name) for name in names.tolist()])
    tested = TestedImages(table.label[test], patients[position], np.array(table.image_digests(test)))
    for array in vars(tested).values():
        array.setflags(write=False)
    return tested


def write_predictions(path: Path, predictions: Predictions) -> str:
    """Write the predictions, and return the digest of the file."""
    with atomic_path(path) as part, part.open("wb") as file:
        np.savez(
            file,
            probs=predictions.probs,
            labels=predictions.labels,
            groups=predictions.groups,
            image_ids=predictions.image_ids,
        )
    return digest_of_file(path)


def read_predictions(path: Path, dataset: DataSet, fold: int, digest: str) -> Predictions:
    """Read predictions, once they are those of this digest: probabilities of the images that the fold tests.

    Raises LeakError where they are others or of other images, CorruptFile where they are no probabilities, OSError
    where there is no file.
    """
    content = path.read_bytes()
    if sha256(content).hexdigest() != digest:
        raise LeakError(f"{path} holds other predictions than were written there")
    tested = vars(find_tested_images(dataset, fold))
    arrays = _read_arrays(path, content, _checksums(dataset, fold))
    if any(not np.array_equal(values, tested[name]) for name, values in arrays.items() if name != "probs"):
        raise LeakError(f"{path} is of other test images than fold {fold} has")
    probs, shape = arrays["probs"], (len(tested["labels"]), dataset.table.num_classes)
    if probs.shape != shape or probs.dtype != np.float32 or not are_probabilities(probs):
        raise CorruptFile(f"{path} holds {probs.dtype} {list(probs.shape)}", expected=f"probabilities {list(shape)}")
    return Predictions(**tested, probs=probs)


@lru_cache(maxsize=8)
def _checksums(dataset: DataSet, fold: int) -> dict[str, int]:
    """The CRC of each array of `find_tested_images` as `write_predictions` stores it, by its name."""
    return {name: _checksum(values) for name, values in vars(find_tested_images(dataset, fold)).items()}


def _checksum(array: NDArray[Any]) -> int:
    stored = io.BytesIO()
    np.lib.format.write_array(stored, array, allow_pickle=False)
    return zlib.crc32(stored.getvalue())


def _read_arrays(path: Path, content: bytes, known: dict[str, int]) -> dict[str, NDArray[Any]]:
    """The probabilities in the file, and its arrays whose checksums are not the known ones, as most files' are."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > len(content):
                raise CorruptFile(f"{path} is packed, as no file of predictions is", todo="remove it")
            others = [name for name, checksum in known.items() if checksum != archive.getinfo(f"{name}.npy").CRC]
            return {name: _parse_array(archive.read(f"{name}.npy")) for name in ("probs", *others)}
    except (UserError, OSError):
        raise
    except Exception as error:  # NumPy parses the headers as Python literals, which fails in many ways
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CorruptFile(f"{path} is truncated or corrupt ({reason})", todo="remove it") from error


def _parse_array(content: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    array.setflags(write=False)
    return array


def are_probabilities(probs: NDArray[np.float32]) -> bool:
    """Whether every row [K] of probs [N,K] is a distribution over the classes; one with NaN or infinity is none."""
    return bool((probs >= 0).all() and (np.abs(probs.sum(1) - 1) <= LARGEST_ERROR).all())

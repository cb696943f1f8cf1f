"""Images that another tool generated, as a `dataset.zip`: read into the layout of synthetic files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganaug.config import PrepareConfig
from ganaug.data.dataset import DataSet
from ganaug.data.hdf5.image_writer import writing_images
from ganaug.data.held_out import require_none_shown
from ganaug.data.images.decode import GENERATED
from ganaug.data.prepare.read_images import Facts, read_pixels
from ganaug.data.schema import ImageReader, ImageTable, name_to_share, read_table, require_arrays
from ganaug.data.sources.dataset_zip import scan
from ganaug.data.sources.scans.scan import Scan
from ganaug.errors import DataError, LeakError
from ganaug.provenance import digest_of, digest_of_file
from ganaug.workspace import Workspace


@dataclass(frozen=True)
class ExternalImages:
    """Images of another tool, which no record speaks for."""

    path: Path  # of the file that holds them as synthetic files do
    digest: str  # of what they were read from and how
    name: str  # of the source, in a form that may leave the workspace


def read_external(workspace: Workspace, dataset: DataSet, source: Path) -> ExternalImages:
    """The images of a `dataset.zip`, at the size of the data set's, kept in the workspace so that they are read once.

    Classes go by their names where the file has names, else by their numbers. Raises DataError where the classes are
    others, or an image cannot be read; LeakError where the images are ours, or those kept are of another file.
    """
    if not source.exists():
        raise DataError(f"there is no file {source}", todo="name one with --external FILE")
    if not source.is_file():
        raise DataError(f"{source} is a folder", expected="a dataset.zip", todo="pack it")
    sha256, resolution_px = digest_of_file(source), dataset.table.resolution_px
    digest = digest_of(["external", sha256, resolution_px, list(dataset.table.class_names)])
    path = workspace.external(digest)
    if not path.exists():
        _convert(dataset, source, path, sha256)
    table = read_table(path)
    require_arrays(path, table)
    if table.attrs.get("read_from") != sha256:
        raise LeakError(
            f"{path} holds the images of another file than {source}", todo="remove it; the file is read again"
        )
    return ExternalImages(path, digest, name_to_share(source, sha256))


def require_nothing_held_out(dataset: DataSet, fold: int, images: ExternalImages) -> None:
    """Raise LeakError where an image shows a picture of the validation or test part of a fold."""
    require_none_shown(
        dataset,
        fold,
        ImageReader(images.path),
        images.name,
        expected="images that were generated without it",
        todo="find out what the other tool was trained on, or leave out --external",
    )


def _convert(dataset: DataSet, source: Path, path: Path, sha256: str) -> None:
    config = PrepareConfig("zip", str(source), resolution_px=dataset.table.resolution_px, fit="resize")
    found = scan(config, is_generated=True)
    label_of = _labels(dataset, found, source)
    with writing_images(path, config.resolution_px) as writer:
        facts, hashes, undecodable = read_pixels(found, config, writer, progress=False)
        if any(reason == GENERATED for _, reason in undecodable):
            raise LeakError(
                f"{source} holds images that a generator of ganaug made",
                expected="images of another tool: the record of ours says what they may serve",
                todo="name their HDF5 file with --synthetic",
            )
        if undecodable:
            raise DataError(f"{len(undecodable)} images of {source} cannot be read: {undecodable[0][1]}")
        places = np.array([fact.place for fact in facts])
        writer.keep(places)
        writer.finish(_table(dataset, facts, hashes[:, 0], label_of, sha256))


def _labels(dataset: DataSet, found: Scan, source: Path) -> NDArray[np.int64]:
    """The data set's class by the class of the file."""
    own, theirs = list(dataset.table.class_names), list(found.class_names)
    if sorted(own) == sorted(theirs):
        return np.array([own.index(name) for name in theirs], dtype=np.int64)
    if len(own) == len(theirs) and all(map(str.isdigit, theirs)):
        return np.arange(len(own), dtype=np.int64)
    raise DataError(
        f"{source} has the classes {', '.join(theirs)}",
        expected=f"those of {dataset.name}: {', '.join(own)}",
        todo='name them in dataset.json, as "class_names"',
    )


def _table(
    dataset: DataSet, facts: list[Facts], hashes: NDArray[np.uint64], label_of: NDArray[np.int64], sha256: str
) -> ImageTable:
    """The images under numbers: their own names may say anything."""
    labels = np.array([fact.item.label for fact in facts], dtype=np.int64)
    if (labels < 0).any():
        raise DataError("images without a class among the external ones", expected="a class for each")
    names = np.array([f"external-{number:06d}" for number in range(len(facts))])
    return ImageTable(
        class_names=dataset.table.class_names,
        label=label_of[labels],
        image_id=names,
        group_id=np.full(len(facts), "external"),
        path=names,
        sha256=np.array([fact.sha256 for fact in facts]),
        magnification=np.zeros(len(facts), np.int64),
        um_per_px=np.full(len(facts), np.nan),
        site_id=np.full(len(facts), ""),
        phash=hashes.astype(np.uint64),
        attrs={"source": "external", "resolution_px": dataset.table.resolution_px, "read_from": sha256},
    )

"""A data set or synthetic images as the `dataset.zip` that the StyleGAN family reads; synthetic images also as PNGs.

    00000/img00000000.png …    RGB, uncompressed in the archive, a thousand a folder
    dataset.json               "labels" [[name, class], ...] in the order of the names, or null; and our further keys

`ganaug prepare --dataset zip` reads it back with patients, laboratories, scale and class names, which the further keys
hold. Patients, laboratories and images are named by keyed digests, which keep them apart and say nothing else, and the
images stand in the order of these, unless `with_ids` asks for names. Masks and further tables of a data set are not
exported. A zip of synthetic images also holds `provenance.json`, by which it is refused as a source of patients.
"""

import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ganaug.data.dataset import DataSet, add_folds
from ganaug.data.folds.folds import PARTS
from ganaug.data.images.png import encode_png
from ganaug.data.schema import IMAGES_AT_A_TIME, ImageReader, ImageTable, name_to_share, open_reader, read_table
from ganaug.data.sources.dataset_zip import DATASET_JSON
from ganaug.data.synthetic_file import read_record
from ganaug.errors import ConfigError, DataError, WorkspaceError
from ganaug.provenance import keyed_digest
from ganaug.workspace import (
    PROVENANCE_BESIDE_IMAGES,
    Workspace,
    atomic_folder,
    atomic_path,
    file_name,
    read_json,
    write_json,
)


@dataclass(frozen=True)
class Selection:
    """The images of a file that an archive is made of; see `select`."""

    path: Path
    table: ImageTable
    images: ImageReader  # stain-normalised to a fold where the data set is
    indices: NDArray[np.int64]  # i64 [n]
    origin: dict[str, Any]  # of which file, fold and part they are
    note: str = ""  # what a generator trained on them may not be used for

    @property
    def synthetic(self) -> bool:
        return self.table.attrs.get("source") == "synthetic" or "provenance" in self.table.attrs


def select(path: Path, fold: int | None = None, part: str | None = None) -> Selection:
    """All images of a data set or a synthetic file, or one part of one fold of a data set, `train` where none is said.

    Raises DataError or ConfigError where there is no such file, fold or part, or it has no image.
    """
    if fold is None and part is not None:
        raise ConfigError(f"the part {part} of no fold", expected="a fold", todo="name it with --fold")
    table = read_table(path)
    origin = {"name": Path(name_to_share(path, table.fingerprint)).stem, "fingerprint": table.fingerprint}
    whole = Selection(path, table, open_reader(path, table), np.arange(len(table)), origin)
    if fold is not None:
        return _part_of(whole, fold, part or PARTS[0])
    note = (
        "these are all patients: a generator trained on them has seen every one and can serve no fold; "
        "export what a fold trains on with --fold"
    )
    return whole if whole.synthetic else replace(whole, note=note)


def _part_of(whole: Selection, fold: int, part: str) -> Selection:
    if part not in PARTS:
        raise ConfigError(f"the part {part}", expected=" or ".join(PARTS))
    dataset = _with_folds(whole)
    indices = {"train": dataset.train, "val": dataset.val, "test": dataset.test}[part](fold)
    if len(indices) == 0:
        raise DataError(
            f"the part {part} of fold {fold} of {dataset.name} has no image",
            expected="an image",
            todo="export another part",
        )
    note = f"fold {fold} holds these patients back: a generator trained on them cannot serve it"
    return replace(
        whole,
        images=dataset.images(fold),
        indices=indices,
        origin={
            **whole.origin,
            "folds_digest": dataset.folds.digest,
            "fold": fold,
            "part": part,
            "stained": "stain" in dataset.table.attrs,
        },
        note="" if part == "train" else note,
    )


def open_with_folds(path: Path) -> DataSet:
    """The data set at `path` with its folds; raises ConfigError where the file is not a data set of a workspace."""
    table = read_table(path)
    return _with_folds(Selection(path, table, ImageReader(path), np.arange(len(table)), {}))


def _with_folds(whole: Selection) -> DataSet:
    path = whole.path.resolve()
    workspace = Workspace(path.parent.parent)
    if whole.synthetic or workspace.dataset(path.stem) != path:
        raise ConfigError(f"the folds of {whole.path}", expected="a data set of a workspace: nothing else has folds")
    return add_folds(workspace, path.stem, whole.table)


def export_zip(selection: Selection, out: Path, *, with_ids: bool = False, progress: bool = False) -> int:
    """Write the images as a `dataset.zip`; returns how many. The same images give the same bytes.

    with_ids: name patients, laboratories and images as the data set does, and not by digests, and leave the images in
    its order, which is mostly that of the names. Synthetic images stay in order.

    Raises LeakError where synthetic images are not what their provenance was sealed with, WorkspaceError where the disk
    is full or something other than a `dataset.zip` stands at `out`.
    """
    _require_replaceable(out)
    if not (with_ids or selection.synthetic):
        selection = replace(selection, indices=selection.table.in_shared_order(selection.indices))
    names = [f"{index // 1000:05d}/img{index:08d}.png" for index in range(len(selection.indices))]
    tables = {DATASET_JSON: _description(selection, names, with_ids)}
    if selection.synthetic:
        record = read_record(selection.path, selection.table)
        tables[PROVENANCE_BESIDE_IMAGES] = record.to_dict()
    pngs = tqdm(_pngs(selection), total=len(names), unit="img", desc="export", disable=not progress or None)
    with atomic_path(out) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for name, png in zip(names, pngs):
            archive.writestr(_entry(name), png)
        for name, value in tables.items():
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
            archive.writestr(
                _entry(name), text.encode("utf-8", "backslashreplace")
            )  # JSON's own escape of half a letter
    return len(names)


def _require_replaceable(out: Path) -> None:
    """An earlier export may be replaced; a raw archive or a data set that was named by mistake may not."""
    if not out.exists():
        return
    with suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(out) as archive:
        if DATASET_JSON in archive.namelist():
            return
    raise WorkspaceError(f"{out} is there and is no archive with a {DATASET_JSON}", todo="remove it or name another")


def _entry(name: str) -> zipfile.ZipInfo:
    """A plain file of 1 January 1980, whenever and wherever it is written: the same images give the same bytes."""
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.create_system, entry.external_attr = 3, 0o100644 << 16
    return entry


def _pngs(selection: Selection) -> Iterator[bytes]:
    for start in range(0, len(selection.indices), IMAGES_AT_A_TIME):
        for image in selection.images[selection.indices[start : start + IMAGES_AT_A_TIME]]:
            yield encode_png(image, synthetic=selection.synthetic)


# ---- synthetic images ------------------------------------------------------------------------------------------------


def export_pngs(path: Path, folder: Path, *, progress: bool = False) -> None:
    """Write the images of a synthetic file as `<folder>/<class>/<image id>.png`, and its provenance next to them.

    Names that could lead elsewhere are escaped, see `ganaug.workspace.file_name`.

    They are to look at and for other tools: `ganaug prepare` refuses the folder and every image in it, and the study
    takes synthetic images only as HDF5, whose provenance it can check. A folder that holds them already is kept.

    Raises LeakError as `export_zip` does, WorkspaceError where something else stands at `folder` or the disk is full.
    """
    selection = select(path)
    record = read_record(path, selection.table)
    if folder.exists():
        stored = folder / PROVENANCE_BESIDE_IMAGES
        if stored.exists() and read_json(stored) == record.to_dict():
            return
        raise WorkspaceError(f"{folder} is there and holds something else", todo="remove it or name another --out")
    with atomic_folder(folder) as part:
        _write_pngs(selection, part, progress=progress)
        write_json(part / PROVENANCE_BESIDE_IMAGES, record.to_dict())


def _write_pngs(selection: Selection, folder: Path, *, progress: bool) -> None:
    table = selection.table
    folders = [folder / file_name(name) for name in table.class_names]
    for class_folder in folders:
        class_folder.mkdir(parents=True)
    pngs = tqdm(_pngs(selection), total=len(table), unit="img", desc="export", disable=not progress or None)
    for name, label, png in zip(table.image_id, table.label, pngs):
        (folders[label] / f"{file_name(name)}.png").write_bytes(png)


def export_synthetic(path: Path, kind: str, folder: Path, *, progress: bool = False) -> Path:
    """Write a synthetic file once more into `folder`, as a kind of EXPORTS; returns the archive or folder."""
    export, suffix = EXPORTS[kind]
    target = folder / f"{path.stem}{suffix}"
    export(path, target, progress=progress)
    return target


def _zip_of(path: Path, out: Path, *, progress: bool = False) -> None:
    export_zip(select(path), out, progress=progress)


EXPORTS: dict[str, tuple[Callable[..., None], str]] = {"png": (export_pngs, ""), "zip": (_zip_of, ".zip")}


# ---- dataset.json ----------------------------------------------------------------------------------------------------


def _description(selection: Selection, names: list[str], with_ids: bool) -> dict[str, Any]:
    """Labels, and what the format does not know; facts that are unknown of an image are absent."""
    table = selection.table if with_ids or selection.synthetic else _anonymous(selection.table)
    facts: dict[str, tuple[NDArray[Any], NDArray[np.bool_]]] = {
        "groups": (table.group_id, table.group_id != ""),
        "sites": (table.site_id, table.site_id != ""),
        "image_ids": (table.image_id, table.image_id != ""),
        "magnifications": (table.magnification, table.magnification > 0),
        "um_per_px": (table.um_per_px, np.isfinite(table.um_per_px)),
    }
    chosen = selection.indices
    by_image = {key: _by_image(names, values[chosen], known[chosen]) for key, (values, known) in facts.items()}
    return {
        "labels": _labels(selection, names),
        "class_names": list(table.class_names),
        **{key: values for key, values in by_image.items() if values},
        **{key: table.attrs[key] for key in ("licence", "citation") if key in table.attrs},
        "origin": selection.origin,
        **({"synthetic": True} if selection.synthetic else {}),
    }


def _anonymous(table: ImageTable) -> ImageTable:
    """The table with keyed digests in place of the names of patients, laboratories and images."""
    return replace(
        table,
        group_id=np.array([table.patient_digest(name) for name in table.group_id.tolist()]),
        site_id=np.array([keyed_digest(table.key, "site", name) if name else "" for name in table.site_id.tolist()]),
        image_id=np.array(table.image_digests(np.arange(len(table)))),
    )


def _by_image(names: list[str], values: NDArray[Any], known: NDArray[np.bool_]) -> dict[str, Any]:
    return {name: value for name, value, is_known in zip(names, values.tolist(), known.tolist()) if is_known}


def _labels(selection: Selection, names: list[str]) -> list[list[Any]] | None:
    labels = selection.table.label[selection.indices]
    if np.all(labels < 0):
        return None
    if np.any(labels < 0):
        raise DataError(
            f"{np.sum(labels < 0)} of {len(labels)} images of {selection.path} have no label",
            expected="a label for every image or for none, as StyleGAN does",
        )
    return [[name, label] for name, label in zip(names, labels.tolist())]

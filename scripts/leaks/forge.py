"""What somebody can do to the files of a workspace who has this library, and may seal records again."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ganaug.checkpoint.snapshot import content_of, load_tensors, save_tensors
from ganaug.data import schema
from ganaug.data.hdf5 import seals
from ganaug.evaluate.extractors.trained_classifier import content_of_weights
from ganaug.provenance import Provenance, digest_of, read_provenance, sealed
from ganaug.workspace import read_json, write_json

# ---- files of images -------------------------------------------------------------------------------------------------


def edit_array(path: Path, name: str, rows: Any, values: Any) -> None:
    """Write values into rows of an array of a file of images."""
    with h5py.File(path, "r+") as file:
        for row, value in zip(np.atleast_1d(rows).tolist(), values, strict=True):
            file[name][row] = value


def edit_attribute(path: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change an attribute, which is kept as JSON."""
    with h5py.File(path, "r+") as file:
        file.attrs[name] = json.dumps(change(json.loads(file.attrs[name])), ensure_ascii=False)


def record_in(path: Path) -> Provenance:
    """The record of a synthetic file."""
    return read_provenance(schema.read_table(path).attrs["provenance"], path)


def seal_images(path: Path, record: Provenance | None = None, **attrs: Any) -> None:
    """Compute fingerprint and seal of an edited file again, and seal its record, or another one, to it."""
    with h5py.File(path, "r+") as file:
        numbers = {name: file[name][:] for name in schema.NUMBERS}
        texts = {name: file[name].asstr()[:].astype(str) for name in schema.TEXTS}
        known = {name: json.loads(text) for name, text in file.attrs.items() if name != "schema_version"} | attrs
        class_names, stored = tuple(known.pop("class_names")), known.pop("provenance", None)
        known["content"] = seals.digests_of(file, less=(*schema.NUMBERS, *schema.TEXTS))
        table = schema.ImageTable(class_names=class_names, attrs=known, **numbers, **texts)
        known["fingerprint"] = schema.fingerprint_of(table)
        known["seal"] = schema.seal_of(table)
        if record is not None or stored is not None:
            fields: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in (stored or {}).items()}
            record = record or Provenance(**fields)
            known["provenance"] = record.sealed(known["seal"]).to_dict()
        for name, value in known.items():
            file.attrs[name] = json.dumps(value, ensure_ascii=False)


def note_check(path: Path, name: str, digest: str, *, seal: bool) -> None:
    """Note that an array was found to be what it was sealed with, under the seal of the earlier note or a new one."""
    note = seals._note_of(path, name)
    assert note is not None
    edit_json(note, {"status": seals._status(path), "digest": digest}, seal=seal)


# ---- records ---------------------------------------------------------------------------------------------------------


def edit_json(path: Path, change: Mapping[str, Any], *, seal: bool = False) -> None:
    """Change fields of a JSON file, and perhaps seal it again."""
    values = {**read_json(path), **change}
    write_json(path, sealed(values) if seal else values)


def edit_folds(path: Path, change: Callable[[list[dict[str, list[str]]]], None], *, seal: bool = False) -> None:
    """Change the lists of patients of a file of folds, and perhaps compute its digest again."""
    values = read_json(path)
    change(values["folds"])
    if seal:
        values["digest"] = digest_of({k: v for k, v in values.items() if k not in ("digest", "signature")})
    path.write_text(json.dumps(values), encoding="utf-8")


# ---- weights ---------------------------------------------------------------------------------------------------------


def record_of_weights(path: Path) -> Provenance:
    """The record of a generator's or a classifier's file."""
    return read_provenance(load_tensors(path)[1]["provenance"], path)


def edit_metadata(path: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change one entry of the metadata of a safetensors file, which is JSON; nothing is sealed again."""
    tensors, metadata = load_tensors(path)
    save_tensors(path, tensors, {**metadata, name: json.dumps(change(json.loads(metadata[name])))})


def seal_snapshot(path: Path, target: Path, **changes: Any) -> None:
    """A generator's snapshot with fields of its record changed, sealed again."""
    tensors, metadata = load_tensors(path)
    content = content_of(tensors, metadata)
    record = replace(record_of_weights(path), generator=content, **changes).sealed(content)
    save_tensors(target, tensors, {**metadata, "provenance": record.to_json()})


def seal_weights(path: Path, target: Path, record: Provenance | None, **about: str) -> None:
    """The weights of a classifier alone, with another record or without any."""
    tensors, _ = load_tensors(path)
    stated = {"provenance": record.sealed(content_of_weights(tensors)).to_json()} if record else {}
    save_tensors(target, tensors, {**about, **stated})


def swap_bytes(path: Path, other: Path) -> None:
    """Put one file in another's place."""
    data = other.read_bytes()
    path.unlink()
    path.write_bytes(data)


def as_images(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.clip(values, 0, 255)).astype(np.uint8)

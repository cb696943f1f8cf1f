"""Mutations of what zip, NumPy, safetensors and HDF5 files hold, and of sealed files, which are then sealed again."""

import io
import json
import struct
import zipfile
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

from fuzz.mutations import ODD_TEXTS, dump, edit_bytes, mutate
from ganaug.checkpoint.snapshot import content_of, load_tensors
from ganaug.data import schema
from ganaug.data.hdf5 import seals
from ganaug.evaluate.extractors.trained_classifier import content_of_weights
from ganaug.provenance import Provenance, digest_of, digest_of_file, sealed

# ---- archives --------------------------------------------------------------------------------------------------------


def edit_member(random: Random, path: Path, other: Path) -> None:
    """A zip with a member renamed, doubled, changed, or marked as a link."""
    if not zipfile.is_zipfile(path):
        edit_bytes(random, path, other)
        return
    with zipfile.ZipFile(path) as archive:
        members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    at = random.randrange(len(members))
    name, data = members[at]
    names = (
        "/etc/passwd.png",
        "../../up.png",
        "a\\b\\c.png",
        "C:\\x.png",
        "é.png",
        "a\nb.png",
        "x" * 60_000,
        ".png",
        "d/",
    )
    action = random.randrange(4)
    listed = [number for number, (name, _) in enumerate(members) if name.endswith(".json")]
    if listed and random.random() < 0.6:
        at = listed[0]
        members[at] = (members[at][0], dump(random, mutate(random, json.loads(members[at][1]))))
    elif action == 0:
        members[at] = (random.choice(names), data)
    elif action == 1:
        members.append((name, bytes(reversed(data))))
    elif action == 2:
        members[at] = (name, random.randbytes(len(data)))
    else:
        members.append((random.choice(names), data))
    with zipfile.ZipFile(
        path, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    ) as archive:
        for name, data in members:
            member = zipfile.ZipInfo(name)
            member.external_attr = random.choice((0, 0, 0, 0, 0o120777 << 16))
            archive.writestr(member, data)


def edit_arrays(random: Random, path: Path, other: Path) -> None:
    """One array of an .npz, or the array of an .npy: another type, shape or value, or only another header."""

    def edit(array: Any) -> bytes:
        if random.random() < 0.5:
            with_type = random.choice(("<f4", "<f8", "<i8", "<u1", "<c16", "<U3", "|S2", "<M8[s]", "?"))
            shape = random.choice(((), (0,), (1,), array.shape[:1], (*array.shape, 1), array.shape[::-1], (2, 2)))
            array = np.zeros(shape, with_type) if random.random() < 0.7 else np.resize(array, shape)
        elif array.dtype.kind in "fiu" and array.size:
            array = array.copy()
            array.reshape(-1)[random.randrange(array.size)] = random.choice((-1, 0, 7, 2**62))
            if array.dtype.kind == "f":
                array.reshape(-1)[random.randrange(array.size)] = random.choice((np.nan, np.inf, -5.0, 1e30))
        buffer = io.BytesIO()
        np.save(buffer, array)
        data = bytearray(buffer.getvalue())
        if random.random() < 0.3:
            for old, new in random.sample(((b"(", b"(9"), (b"'<", b"'>"), (b"False", b"True "), (b"f", b"O")), 1):
                data = data.replace(old, new, 1)
        return bytes(data)

    if path.suffix == ".npy":
        path.write_bytes(edit(np.load(path)))
        return
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored}
    victim = random.choice(sorted(arrays))
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            if name != victim or random.random() < 0.9:
                archive.writestr(f"{name}.npy", edit(array) if name == victim else buffer.getvalue())


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, and the bytes behind it."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def write_header(path: Path, header: Any, rest: bytes) -> None:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + rest)


def edit_header(random: Random, path: Path, other: Path) -> None:
    """Names, types, shapes and places of tensors, or the metadata, which is JSON in JSON."""
    header, rest = header_of(path)
    about = header.get("__metadata__", {})
    if about and random.random() < 0.7:
        name = random.choice(sorted(about))
        value = mutate(random, json.loads(about[name])) if about[name][:1] in "{[" else random.choice(ODD_TEXTS)
        about[name] = json.dumps(value)
    else:
        header = mutate(random, header)
    write_header(path, header, rest)


# ---- sealed again ----------------------------------------------------------------------------------------------------


def edit_json_sealed(random: Random, path: Path, other: Path) -> None:
    """The object changed and sealed again, as anybody with this library can."""
    value = mutate(random, json.loads(path.read_bytes()))
    if isinstance(value, dict):
        try:
            value = sealed(value)
        except RecursionError:
            value["seal"] = "0" * 64
    path.write_bytes(json.dumps(value).encode())


def edit_json_signed(random: Random, path: Path, other: Path) -> None:
    """Only the signature changed, as without the key nobody can sign again."""
    record = json.loads(path.read_bytes())
    record["signature"] = random.choice((*ODD_TEXTS, None, 5, ["a"], "ü" * 64, record["signature"][:-1]))
    path.write_bytes(dump(random, record))


def edit_jsonl_sealed(random: Random, path: Path, other: Path) -> None:
    lines = path.read_bytes().splitlines()
    at = random.randrange(len(lines))
    value = mutate(random, json.loads(lines[at]))
    lines[at] = json.dumps(sealed(value) if isinstance(value, dict) else value).encode()
    path.write_bytes(b"\n".join(lines) + b"\n")


def reseal_images(path: Path) -> None:
    """Seal a file of images again after a change, as anybody with this library and without the key could."""
    with h5py.File(path, "r+") as file:
        numbers = {name: file[name][:] for name in schema.NUMBERS}
        texts = {name: file[name].asstr()[:].astype(str) for name in schema.TEXTS}
        known = {name: json.loads(text) for name, text in file.attrs.items() if name != "schema_version"}
        class_names, stored = tuple(known.pop("class_names")), known.pop("provenance", None)
        if isinstance(known["content"], dict):
            known["content"] |= seals.digests_of(file, less=(*schema.NUMBERS, *schema.TEXTS))
        table = schema.ImageTable(class_names=class_names, attrs=known, **numbers, **texts)
        known["fingerprint"] = schema.fingerprint_of(table)
        known["seal"] = schema.seal_of(table)
        if isinstance(stored, dict):
            known["provenance"] = reseal_record(stored, known["seal"])
        for name, value in known.items():
            file.attrs[name] = json.dumps(value)


def reseal_record(values: dict[str, Any], content: str) -> dict[str, Any]:
    """A provenance record bound to a content, whatever its fields are."""
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
    record = Provenance(**fields)
    return record.sealed(content).to_dict()


def edit_images(random: Random, path: Path, other: Path) -> None:
    """An attribute, a column or an array of an .h5 file changed, and the file sealed again."""
    with h5py.File(path, "r+") as file:
        if random.random() < 0.6:
            name = random.choice(sorted(set(file.attrs) - {"schema_version"}))
            file.attrs[name] = json.dumps(mutate(random, json.loads(file.attrs[name])))
        else:
            _edit_array(random, file)
    try:
        reseal_images(path)
    except Exception:
        return  # what cannot be sealed is read as it is


def _edit_array(random: Random, file: h5py.File) -> None:
    name = random.choice([name for name in file if isinstance(file[name], h5py.Dataset)])
    array, action = file[name][:], random.randrange(4)
    if action == 0:
        del file[name]
    elif action == 1:
        shape = random.choice(((), (0,), array.shape[:1], (*array.shape, 1), array.shape[::-1], (len(array) - 1,)))
        kind = random.choice(("i1", "i8", "u8", "f4", "f8", "u1", "c8", "?"))
        del file[name]
        file[name] = np.zeros(shape, kind)
    elif array.dtype.kind == "O":
        array[random.randrange(len(array))] = random.choice(("", "é", "x" * 3000, "a\nb", "../../x", "synthetic:1"))
        file[name][:] = array
    else:
        value = random.choice((0, 1, 7, 127, 255, 2**31, 2**62, -1, -2, np.nan, np.inf))
        with suppress(ValueError, OverflowError):  # not a value of this type
            array[random.randrange(len(array))] = value
            file[name][:] = array


def edit_folds(random: Random, path: Path, other: Path) -> None:
    value = mutate(random, json.loads(path.read_bytes()))
    if isinstance(value, dict):
        try:
            value["digest"] = digest_of({key: entry for key, entry in value.items() if key != "digest"})
        except (RecursionError, UnicodeError):
            value["digest"] = "0" * 64
    path.write_bytes(json.dumps(value).encode())


def edit_snapshot(random: Random, path: Path, other: Path) -> None:
    """The header changed, and the record sealed to what the file then holds."""
    edit_header(random, path, other)
    header, rest = header_of(path)
    try:
        tensors, about = load_tensors(path)
        content = content_of(tensors, about) if "class_names" in about else content_of_weights(tensors)
        about["provenance"] = json.dumps(reseal_record(json.loads(about["provenance"]), content))
    except Exception:
        return
    write_header(path, header, rest)


def edit_cell(random: Random, path: Path, other: Path) -> None:
    """Predictions changed, and their digest in the cell's record with it."""
    edit_arrays(random, path, other)
    record = path.with_suffix(".json")
    record.write_text(json.dumps(sealed(json.loads(record.read_bytes()) | {"predictions": digest_of_file(path)})))

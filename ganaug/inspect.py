"""A description of any file that this tool writes, in one function: `describe`.

A file may be damaged, or be of another tool with the same suffix. Each reader says what it saw and expected; sizes that
a file declares are compared with its own before memory is taken.
"""

import math
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ganaug.checkpoint.snapshot import content_of, load_tensors
from ganaug.data.archives.files import IMAGE_SUFFIXES
from ganaug.data.archives.zip_files import read_member
from ganaug.data.describe import LISTED, as_text, contact_sheet, describe_images, format_images
from ganaug.data.images.sheet import save_sheet
from ganaug.data.schema import read_table, resolve_patients
from ganaug.errors import ConfigError, DataError, UserError
from ganaug.evaluate.extractors.trained_classifier import content_of_weights
from ganaug.files import MAX_DEPTH, parse_json, require_output
from ganaug.provenance import read_provenance, require_content, require_seal
from ganaug.workspace import MARKER, Workspace, os_errors_as_workspace_errors

MAX_TEXT_BYTES = 256 * 2**20  # of a file or a member that is read whole
_AGAIN = "make it again with the command that wrote it"

Description = dict[str, Any]


def describe(path: Path) -> tuple[Description, str]:
    """What a file holds, as JSON values and as text; raises UserError where it is missing, corrupt or of other kind."""
    if path.is_dir():
        raise DataError(f"{path} is a folder", expected="a file", todo="name one of the files in it")
    if not path.is_file():
        raise DataError(f"there is no file {path}", expected=f"a file of this tool: {', '.join(_DESCRIBERS)}")
    describer = _DESCRIBERS.get(path.suffix.lower())
    if describer is None:
        raise DataError(f"{path} is no file of this tool", expected=" or ".join(_DESCRIBERS))
    with _faults_as_data_errors(path):
        description, text = describer(path)
        known = _known_patients(path, description.get("provenance"))
        return (description | known, "\n".join([text, *known.values()])) if known else (description, text)


def _known_patients(path: Path, record: Any) -> dict[str, str]:
    """How many of the patients that a record lists by digest are of the data set in the workspace around the file.

    Empty where there is no such data set; `ganaug.data.schema.resolve_patients` gives their names.
    """
    root = next((folder for folder in path.resolve().parents if (folder / MARKER).is_file()), None)
    name = record.get("dataset") if isinstance(record, dict) else None
    groups = record.get("groups_seen") if isinstance(record, dict) else None
    if root is None or name not in Workspace(root).datasets() or not isinstance(groups, list):
        return {}
    try:
        found = len(resolve_patients(read_table(Workspace(root).dataset(str(name))), map(str, groups)))
    except UserError:  # a data set that cannot be read is no fault of this file
        return {}
    return {"patients_known": f"{found} of the {len(groups)} patients seen are of the data set {name} in {root}"}


@contextmanager
def _faults_as_data_errors(path: Path) -> Iterator[None]:
    """Whatever the readers of damaged files raise names the file in one line."""
    with os_errors_as_workspace_errors(path):
        try:
            yield
        except (UserError, OSError):
            raise
        except MemoryError as error:
            raise DataError(f"{path} declares more than fits in memory", todo=_AGAIN) from error
        except RecursionError as error:
            raise DataError(f"{path} nests too deep", expected=f"at most {MAX_DEPTH} levels", todo=_AGAIN) from error
        except Exception as error:  # the readers of these formats raise many kinds, some undocumented
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise DataError(f"{path} is damaged ({reason})", expected="a file of this tool", todo=_AGAIN) from error


def write_sheet(path: Path, out_png: Path) -> None:
    """Write a contact sheet of images, or of what a generator's weights make; raises ConfigError for other files."""
    require_output(out_png, ".png", rb"\x89PNG")
    if path.suffix.lower() == ".h5":
        with _faults_as_data_errors(path):
            contact_sheet(path, out_png)
    elif path.suffix.lower() == ".safetensors":
        with _faults_as_data_errors(path):
            _sheet_of_generator(path, out_png)
    else:
        raise ConfigError(f"a contact sheet of {path.name}", expected="an .h5 of images or .safetensors of a generator")


def _images(path: Path) -> tuple[Description, str]:
    description = describe_images(path)
    return description, format_images(description)


def _weights(path: Path) -> tuple[Description, str]:
    """The metadata of a snapshot, a classifier or a training state, and the sizes of its tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            sizes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DataError(f"{path} is truncated or no safetensors file ({error})", todo=_AGAIN) from error
    numbers = sum(math.prod(shape) for shape in sizes.values())
    about = {name: _value(text) for name, text in metadata.items()}
    config, record = about.get("config"), about.get("provenance")
    values = {"tensors": len(sizes), "numbers": numbers, **about}
    if isinstance(record, dict):
        values["seal_check"] = _check_weights(path)
    if not (isinstance(config, dict) and isinstance(record, dict) and "classifier" in config):
        return _plain(path, "weights", values)
    seen = {name: record.get(name) for name in ("dataset", "fold", "groups_seen")}
    groups = seen.pop("groups_seen")
    patients = len(groups) if isinstance(groups, list) else None
    about_it = {
        "classifier": config["classifier"],
        **seen,
        "classes": about.get("class_names"),
        "patients_seen": patients,
    }
    if not isinstance(config.get("genes"), list):
        return _plain(path, "classifier", {**about_it, **values})
    inputs = {"genes": config["genes"], "features": config.get("num_features"), "extractor": config.get("extractor")}
    return _plain(path, "model of tiles and expression", {**about_it, **inputs, **values})


def _value(text: str) -> Any:
    """What JSON text means; other text is itself."""
    try:
        return parse_json(text)
    except ValueError:
        return text


def _text_of(path: Path) -> str:
    size = path.stat().st_size
    if size > MAX_TEXT_BYTES:
        raise DataError(f"{path} has {size:,} bytes", expected=f"at most {MAX_TEXT_BYTES:,}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8 (byte {error.start})", expected="JSON", todo=_AGAIN) from error


def _parse_object(text: str | bytes, where: str) -> dict[str, Any]:
    """A JSON object; raises DataError for anything else."""
    try:
        value = parse_json(text)
    except ValueError as error:
        raise DataError(f"{where} is not valid JSON ({error})", expected="a JSON object", todo=_AGAIN) from error
    if not isinstance(value, dict):
        kind = f"is a {type(value).__name__}"
        raise DataError(f"the JSON of {where} {kind}", expected='an object such as {"name": "value"}', todo=_AGAIN)
    return value


def _json(path: Path) -> tuple[Description, str]:
    values = _parse_object(_text_of(path), str(path))
    if "seal" in values:
        values = values | {"seal_check": _outcome(lambda: require_seal(values, path))}
    return _plain(path, "JSON", values)


def _check_weights(path: Path) -> str:
    """Whether the weights, and what is said of them, are those that the file was sealed with."""

    def check() -> None:
        tensors, metadata = load_tensors(path)
        record = read_provenance(metadata.get("provenance"), path)
        contents = (content_of(tensors, metadata), content_of_weights(tensors))  # of a generator, of an extractor
        require_content(record, record.content if record.content in contents else contents[0], path)

    return _outcome(check)


def _outcome(check: Callable[[], object]) -> str:
    try:
        check()
    except UserError as error:
        return f"BROKEN: {error}"
    return "holds"


def _json_lines(path: Path) -> tuple[Description, str]:
    """The number of records and the last one; a run that was killed leaves a truncated line, which is counted apart."""
    lines = [line for line in _text_of(path).split("\n") if line.strip()]
    records, first_fault, num_faults = [], "", 0
    for number, line in enumerate(lines, 1):
        try:
            records.append(_parse_object(line, f"line {number} of {path}"))
        except DataError as error:
            first_fault, num_faults = first_fault or str(error), num_faults + 1
    if num_faults > len(records):
        raise DataError(f"{num_faults} of {len(lines)} lines of {path} are no records ({first_fault})", todo=_AGAIN)
    values: Description = {"records": len(records)}
    if num_faults:
        values["unreadable_lines"] = num_faults
    return _plain(path, "records", {**values, **({"last": records[-1]} if records else {})})


def _zip(path: Path) -> tuple[Description, str]:
    """A dataset.zip, as this tool and StyleGAN write it."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        about = _parse_object(_table_of(archive, path), f"dataset.json in {path}") if "dataset.json" in names else {}
    images = [name for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
    labels = about.pop("labels", None)
    if labels is not None and not (isinstance(labels, list) and all(_is_label(entry) for entry in labels)):
        raise DataError(f'"labels" of dataset.json in {path} is no list of [file name, class]', todo=_AGAIN)
    counts = dict(Counter(str(label) for _, label in labels or []))
    return _plain(path, "dataset.zip", {"images": len(images), "labels": counts, **about})


def _table_of(archive: zipfile.ZipFile, path: Path) -> bytes:
    member = archive.getinfo("dataset.json")
    if member.flag_bits & 1:
        raise DataError(f"dataset.json in {path} is encrypted", expected="a zip without a password", todo=_AGAIN)
    if member.file_size > MAX_TEXT_BYTES:
        raise DataError(f"dataset.json in {path} has {member.file_size:,} bytes", expected=f"up to {MAX_TEXT_BYTES:,}")
    return read_member(archive, member)


def _is_label(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 2


def _arrays(path: Path) -> tuple[Description, str]:
    """Types and shapes from the headers alone: what they declare is compared with what is there."""
    if path.suffix.lower() == ".npy":
        with path.open("rb") as file:
            return _plain(path, "arrays", {"features": _header_of(file, path.stat().st_size, str(path))})
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            where = f"{member.filename} in {path}"
            if member.flag_bits & 1:
                raise DataError(f"{where} is encrypted", expected="arrays without a password", todo=_AGAIN)
            with archive.open(member) as part:
                found[member.filename.removesuffix(".npy")] = _header_of(part, member.file_size, where)
    return _plain(path, "arrays", found)


def _header_of(file: IO[bytes], num_bytes: int, where: str) -> str:
    """Type and shape of an array of NumPy's format; raises DataError where it cannot be read without risk."""
    from numpy.lib import format as npy

    try:
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, _, dtype = read(file)
        held = num_bytes - file.tell()
    except Exception as error:  # NumPy parses the header as a Python literal, which fails in many ways
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{where} is damaged or no array of NumPy ({reason})", todo=_AGAIN) from error
    if dtype.hasobject:
        raise DataError(f"{where} holds pickled Python objects", expected="numbers or text", todo="do not open it")
    declared = math.prod(shape) * dtype.itemsize
    if declared != held or min(shape, default=0) < 0:
        raise DataError(f"{where} declares {list(shape)} of {dtype} and holds {held:,} bytes", todo=_AGAIN)
    return f"{dtype} {list(shape)}"


def _plain(path: Path, kind: str, values: Description) -> tuple[Description, str]:
    lines = [f"{path}: {kind}"]
    for name, value in values.items():
        if isinstance(value, dict) and len(value) <= LISTED:
            lines += [f"{name}.{key}: {as_text(entry)}" for key, entry in value.items()]
        else:
            lines.append(f"{name}: {as_text(value)}")
    return {"file": str(path), "kind": kind, **values}, "\n".join(lines)


def _sheet_of_generator(path: Path, out_png: Path) -> None:
    import numpy as np
    import torch

    from ganaug.checkpoint.snapshot import load_snapshot
    from ganaug.train.saving.publish import sample_row

    snapshot = load_snapshot(path)
    labels = range(len(snapshot.class_names))
    rows = [sample_row(snapshot.generator, label, torch.device("cpu")) for label in labels]
    save_sheet(out_png, [np.asarray(row) for row in rows])


_DESCRIBERS: dict[str, Callable[[Path], tuple[Description, str]]] = {
    ".h5": _images,
    ".safetensors": _weights,
    ".zip": _zip,
    ".json": _json,
    ".jsonl": _json_lines,
    ".npz": _arrays,
    ".npy": _arrays,
}

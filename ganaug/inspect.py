"""What any file that this tool writes holds, in one function: `describe`."""

import json
import math
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganaug.data.inspect import LISTED, as_text, contact_sheet, describe_images, format_images
from ganaug.data.sheet import save_sheet
from ganaug.data.sources.files import IMAGE_SUFFIXES
from ganaug.errors import ConfigError, DataError
from ganaug.workspace import explained

Description = dict[str, Any]


def describe(path: Path) -> tuple[Description, str]:
    """What a file holds, as JSON values and as text; raises UserError where it is missing, torn or of another kind."""
    if not path.is_file():
        raise DataError(f"there is no file {path}", expected=f"a file of this tool: {', '.join(_DESCRIBERS)}")
    if path.suffix not in _DESCRIBERS:
        raise DataError(f"{path} is no file of this tool", expected=" or ".join(_DESCRIBERS))
    with explained(path):
        try:
            return _DESCRIBERS[path.suffix](path)
        except (ValueError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is damaged ({' '.join(str(error).split())})", todo="make it anew") from error


def write_sheet(path: Path, out_png: Path) -> None:
    """Write a contact sheet of images, or of what a generator's weights make; raises ConfigError for other files."""
    if path.suffix == ".h5":
        contact_sheet(path, out_png)
    elif path.suffix == ".safetensors":
        _sheet_of_generator(path, out_png)
    else:
        raise ConfigError(f"a contact sheet of {path.name}", expected="an .h5 of images or .safetensors of a generator")


def _images(path: Path) -> tuple[Description, str]:
    description = describe_images(path)
    return description, format_images(description)


def _weights(path: Path) -> tuple[Description, str]:
    """The metadata of a snapshot or a training state, and the sizes of its tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            sizes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DataError(f"{path} is torn or no safetensors file ({error})", todo="make it anew") from error
    numbers = sum(math.prod(shape) for shape in sizes.values())
    about = {name: _value(text) for name, text in metadata.items()}
    return _plain(path, "weights", {"tensors": len(sizes), "numbers": numbers, **about})


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _json(path: Path) -> tuple[Description, str]:
    values = json.loads(path.read_text(encoding="utf-8"))
    return _plain(path, "JSON", values if isinstance(values, dict) else {"values": values})


def _json_lines(path: Path) -> tuple[Description, str]:
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return _plain(path, "records", {"records": len(records), **({"last": records[-1]} if records else {})})


def _zip(path: Path) -> tuple[Description, str]:
    """A dataset.zip, as this tool and StyleGAN write it."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        about = json.loads(archive.read("dataset.json")) if "dataset.json" in names else {}
    images = [name for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
    counts = dict(Counter(str(label) for _, label in about.pop("labels", None) or []))
    return _plain(path, "dataset.zip", {"images": len(images), "labels": counts, **about})


def _arrays(path: Path) -> tuple[Description, str]:
    import numpy as np

    loaded = np.load(path, allow_pickle=False)
    arrays = {name: loaded[name] for name in loaded} if path.suffix == ".npz" else {"features": loaded}
    return _plain(path, "arrays", {name: f"{array.dtype} {list(array.shape)}" for name, array in arrays.items()})


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

    from ganaug.checkpoint import load_snapshot
    from ganaug.train.publish import sample_row

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

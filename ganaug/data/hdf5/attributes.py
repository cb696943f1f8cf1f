"""The kinds that the attributes and arrays of a file of images must have before they are used."""

import math
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

Fits = Callable[[Any], bool]
NOTES, SKIPPED = "notes", "skipped"  # the attributes with remarks to the user, and with the unused files
_CLASSES_AT_MOST = 10_000


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are(entries: Fits) -> Fits:
    return lambda value: isinstance(value, list) and all(map(entries, value))


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_text, value))


def _is_copy(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), str) for name in ("kind", "a", "b", "done"))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 2**63 and math.isfinite(value)


def _is_setting(value: Any) -> bool:
    """A filter's name and value."""
    return isinstance(value, list) and len(value) == 2 and _is_text(value[0]) and _is_number(value[1])


def _is_synthesis(value: Any) -> bool:
    return isinstance(value, dict) and _are(_is_setting)(value.get("reject", []))


def _are_filters(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(entry, dict) for entry in value.values())


def _are_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(counts, dict) and all(type(number) is int for number in counts.values()) for counts in value.values()
    )


def _are_classes(value: Any) -> bool:
    return _are(_is_text)(value) and len(value) <= _CLASSES_AT_MOST and len(set(value)) == len(value)


def _are_digests(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


_REQUIRED: dict[str, Fits] = {
    "class_names": _are_classes,
    "content": _are_digests,
    "resolution_px": lambda value: type(value) is int and value > 0,
    "fingerprint": _is_text,
    "seal": _is_text,
}
_OPTIONAL: dict[str, Fits] = {
    **dict.fromkeys(("source", "licence", "citation", "signature", "created", "generator", "snapshot"), _is_text),
    **dict.fromkeys(("psi", "kimg", "um_per_px", "real_fraction"), _is_number),
    **dict.fromkeys(("pixels", "options", "stain"), lambda value: isinstance(value, dict)),
    NOTES: _are(_is_text),
    SKIPPED: _are(_is_pair),
    "duplicates": _are(_is_copy),
    "synthesis": _is_synthesis,
    "filters": _are_filters,
    "acceptance": _are_counts,
}


def faults_of_attributes(attrs: dict[str, Any]) -> list[str]:
    """The names of attributes, given as JSON values, that are missing or of another kind than ganaug writes."""
    faults = [name for name, fits in _REQUIRED.items() if name not in attrs or not fits(attrs[name])]
    return faults + [name for name, fits in _OPTIONAL.items() if name in attrs and not fits(attrs[name])]


def faults_of_arrays(file: h5py.File, attrs: dict[str, Any], num_images: int) -> list[str]:
    """The names of arrays of pixels or positions whose type or shape is not that of `num_images` images."""
    side = attrs.get("resolution_px")
    colour, grey = (num_images, side, side, 3), (num_images, side, side)
    expected = {"images": (np.uint8, colour), "mask": (np.uint8, grey), "position": (np.int64, (num_images,))}
    expected |= {f"stained/{name}": (np.uint8, colour) for name in file.get("stained", ())}
    return [
        name
        for name, (kind, shape) in expected.items()
        if name in file
        and not (isinstance(file[name], h5py.Dataset) and (file[name].dtype, file[name].shape) == (kind, shape))
    ]

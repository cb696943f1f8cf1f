"""A description of a data set or a synthetic file, for people and for machines, and a contact sheet of it."""

from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ganaug.data.hdf5.attributes import NOTES, SKIPPED
from ganaug.data.images.sheet import save_sheet
from ganaug.data.schema import ImageReader, ImageTable, open_images, read_table

_SHOWN = ("source", "resolution_px", "pixels", "um_per_px", "licence", "citation", "options", "fingerprint", "psi")
_COLUMNS = ("images", "stained", "mask", "position")  # with the columns of the table, all that is no further table
LISTED = 20  # skipped images and copies shown in full


def describe_images(path: Path) -> dict[str, Any]:
    """What a file of the schema holds, as JSON values; raises DataError where it is none."""
    table = read_table(path)
    with open_images(path) as file:
        positions = file["position"][:] if "position" in file else None
        tables = {name: list(file[name].shape) for name in _further_tables(file)}
        has_masks, stained = "mask" in file, len(file.get("stained", ()))
    sites = np.unique(table.site_id[table.site_id != ""])
    description: dict[str, Any] = {
        "file": str(path),
        "kind": "data set" if positions is None else "synthetic images",
        "images": len(table),
        "patients": len(np.unique(table.group_id)) if positions is None else 0,
        "sites": len(sites),
        "classes": {name: _counts(table, label) for label, name in enumerate(table.class_names)},
        "masks": has_masks,
        "stained_for_folds": stained,
        "tables": tables,
    }
    if np.any(table.label < 0):
        description["unlabelled"] = _counts(table, -1)
    description |= {name: table.attrs[name] for name in _SHOWN if name in table.attrs}
    if positions is not None:
        description["positions"] = [int(positions.min()), int(positions.max())]
    description |= {name: table.attrs[name] for name in ("stain", "provenance") if name in table.attrs}
    return description | {name: table.attrs.get(name, []) for name in (NOTES, "duplicates", SKIPPED)}


def _further_tables(file: h5py.File) -> list[str]:
    """The data sets in groups of the file, but for the stained images."""
    return [f"{group}/{name}" for group in file if group not in _COLUMNS and isinstance(file[group], h5py.Group)
            for name in file[group]]  # fmt: skip


def _counts(table: ImageTable, label: int) -> dict[str, Any]:
    members = table.label == label
    found = Counter(table.magnification[members].tolist())
    return {
        "images": int(members.sum()),
        "patients": len(np.unique(table.group_id[members])),
        "magnifications": {f"{m}X" if m else "unknown": found[m] for m in sorted(found)},
    }


def format_images(description: dict[str, Any]) -> str:
    """The description as lines of text."""
    synthetic = description["kind"] == "synthetic images"
    of_patients = "" if synthetic else f" of {description['patients']} patients"
    of_sites = f" from {description['sites']} sites" if description["sites"] else ""
    lines = [f"{description['file']}: {description['kind']}, {description['images']} images{of_patients}{of_sites}"]
    rows = description["classes"] | ({"(no label)": description["unlabelled"]} if "unlabelled" in description else {})
    width = max(map(len, rows))
    for name, counts in rows.items():
        known = [f"{number} at {at}" for at, number in counts["magnifications"].items() if at != "unknown"]
        patients = "" if synthetic else f"  {counts['patients']:4d} patients"
        lines.append(f"  {name.ljust(width)}  {counts['images']:6d} images{patients}  {', '.join(known)}".rstrip())
    for name in (*_SHOWN, "positions", "masks", "stained_for_folds", "stain", "tables"):
        if description.get(name):
            lines.append(f"{name}: {as_text(description[name])}")
    record = description.get("provenance")
    for name, value in record.items() if isinstance(record, dict) else ():
        lines.append(f"provenance.{name}: {as_text(value)}")
    lines += [f"note: {note}" for note in description[NOTES]]
    copies = [f"{copy['kind']} copy: {copy['a']} and {copy['b']}: {copy['done']}" for copy in description["duplicates"]]
    skipped = [f"skipped: {path}: {reason}" for path, reason in description[SKIPPED]]
    return "\n".join(lines + shorten(copies, "copies") + shorten(skipped, "skipped"))


def shorten(lines: list[str], what: str) -> list[str]:
    """The first lines, and how many more there are."""
    return [*lines[:LISTED], *([f"{what}: and {len(lines) - LISTED} more (see --json)"] if len(lines) > LISTED else [])]


def as_text(value: Any) -> str:
    """A JSON value on one line, long lists shortened."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {as_text(entry)}" for name, entry in value.items() if entry not in (None, ""))
    if isinstance(value, list):
        shown = ", ".join(as_text(entry) for entry in value[:5])
        return f"{len(value)}: {shown}{', …' if len(value) > 5 else ''}" if value else "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def contact_sheet(path: Path, out_png: Path, per_class: int = 8) -> None:
    """Write a PNG with a row for each class, and one of images without a label: some of each, spread evenly over it."""
    table, reader = read_table(path), ImageReader(path)
    rows = []
    for label in (*range(table.num_classes), -1):
        members = np.flatnonzero(table.label == label)
        if len(members):
            rows.append(reader[members[np.unique(np.linspace(0, len(members) - 1, per_class).astype(int))]])
    save_sheet(out_png, rows)

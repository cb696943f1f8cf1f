"""What a data set or a synthetic file holds, for people and for machines, and a contact sheet of it."""

from pathlib import Path
from typing import Any

import numpy as np

from ganaug.data.schema import ImageReader, ImageTable, open_images, read_table
from ganaug.data.sheet import save_sheet

_SHOWN = ("source", "resolution_px", "fit", "um_per_px", "licence", "citation", "options", "fingerprint", "psi")
LISTED = 20  # left-out images shown in full


def describe(path: Path) -> dict[str, Any]:
    """What a file of the schema holds, as JSON values; raises DataError where it is none."""
    table = read_table(path)
    with open_images(path) as file:
        seeds = file["seed"][:] if "seed" in file else None
        has_masks = "mask" in file
    description: dict[str, Any] = {
        "file": str(path),
        "kind": "data set" if seeds is None else "synthetic images",
        "images": len(table),
        "patients": len(np.unique(table.group_id)) if seeds is None else 0,
        "classes": {name: _class_counts(table, label) for label, name in enumerate(table.class_names)},
        "masks": has_masks,
    }
    description |= {name: table.attrs[name] for name in _SHOWN if name in table.attrs}
    if seeds is not None:
        description["seeds"] = [int(seeds.min()), int(seeds.max())]
    if "provenance" in table.attrs:
        description["provenance"] = table.attrs["provenance"]
    for name in ("notices", "left_out"):
        description[name] = table.attrs.get(name, [])
    return description


def _class_counts(table: ImageTable, label: int) -> dict[str, Any]:
    members = table.label == label
    magnifications, counts = np.unique(table.magnification[members], return_counts=True)
    by_magnification = {f"{m}X" if m else "unknown": n for m, n in zip(magnifications.tolist(), counts.tolist())}
    return {
        "images": int(members.sum()),
        "patients": len(np.unique(table.group_id[members])),
        "magnifications": by_magnification,
    }


def format_description(description: dict[str, Any]) -> str:
    """The description as lines of text."""
    synthetic = description["kind"] == "synthetic images"
    of_patients = "" if synthetic else f" of {description['patients']} patients"
    lines = [f"{description['file']}: {description['kind']}, {description['images']} images{of_patients}"]
    width = max(map(len, description["classes"]))
    for name, counts in description["classes"].items():
        known = [f"{number} at {at}" for at, number in counts["magnifications"].items() if at != "unknown"]
        patients = "" if synthetic else f"  {counts['patients']:4d} patients"
        lines.append(f"  {name.ljust(width)}  {counts['images']:6d} images{patients}  {', '.join(known)}".rstrip())
    for name in (*_SHOWN, "seeds", "masks"):
        if name in description:
            lines.append(f"{name}: {_text(description[name])}")
    for name, value in description.get("provenance", {}).items():
        lines.append(f"provenance.{name}: {_text(value)}")
    lines += [f"note: {notice}" for notice in description["notices"]]
    left_out = description["left_out"]
    lines += [f"left out: {path}: {reason}" for path, reason in left_out[:LISTED]]
    if len(left_out) > LISTED:
        lines.append(f"left out: and {len(left_out) - LISTED} more (see --json)")
    return "\n".join(lines)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(entry)}" for name, entry in value.items())
    if isinstance(value, list):
        return f"{len(value)}: {', '.join(map(str, value[:5]))}{', …' if len(value) > 5 else ''}" if value else "none"
    return str(value)


def contact_sheet(path: Path, out_png: Path, per_class: int = 8) -> None:
    """Write a PNG with a row for each class: up to `per_class` images, spread evenly over the class."""
    table, reader = read_table(path), ImageReader(path)
    rows = []
    for label in range(table.num_classes):
        members = np.flatnonzero(table.label == label)
        if len(members):
            rows.append(reader[members[np.unique(np.linspace(0, len(members) - 1, per_class).astype(int))]])
    save_sheet(out_png, rows)

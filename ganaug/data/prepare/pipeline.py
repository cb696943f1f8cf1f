"""The pipeline of `ganaug prepare`: a source's images become one HDF5 file and its folds.

In order: what the source names, whether the folds are possible, then the pixels, copies, the two files. Pixels are
written as they come in, and set in order when it is known which of them can be used.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganaug.config import DRAWN, PrepareConfig
from ganaug.data.archives.files import printable
from ganaug.data.copies.duplicates import Search, find_copies
from ganaug.data.dataset import DataSet, default_dataset, open_dataset
from ganaug.data.folds.first_line import differs_from_list
from ganaug.data.folds.folds import Folds, write_folds
from ganaug.data.folds.listed import read_listed_folds
from ganaug.data.hdf5.attributes import NOTES, SKIPPED
from ganaug.data.hdf5.image_writer import ImageWriter, writing_images
from ganaug.data.prepare.cut import check_cut, cut_folds
from ganaug.data.prepare.known_synthetic import find_synthetic
from ganaug.data.prepare.options import prepare_config
from ganaug.data.prepare.pixel_notes import grey_bits, pixel_notes
from ganaug.data.prepare.read_images import Facts, read_pixels
from ganaug.data.prepare.stain import stain_folds
from ganaug.data.schema import ImageTable, creation_time_of_images
from ganaug.data.sources import SOURCES, resolve, scan_source
from ganaug.data.sources.scans.scan import Scan
from ganaug.data.sources.scans.skipped import class_notes, why_none
from ganaug.errors import ConfigError, DataError
from ganaug.workspace import Workspace, moment, os_errors_as_workspace_errors


@dataclass(frozen=True)
class Prepared:
    """What `prepare_dataset` wrote, and what it skipped."""

    name: str
    path: Path
    table: ImageTable
    folds: Folds | None  # None for images without labels
    skipped: tuple[tuple[str, str], ...]  # path and reason
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """What a program wants to know of it, as JSON values."""
        return {
            "file": str(self.path),
            "images": len(self.table),
            "classes": dict(zip(self.table.class_names, self.table.class_counts().tolist())),
            NOTES: list(self.notes),
            SKIPPED: [list(pair) for pair in self.skipped],
        }


def find_dataset(workspace: Workspace, name: str | None, *, preset: str, may_draw: bool) -> DataSet:
    """The data set of this name, or the one prepared last; a missing phantom is drawn where that is allowed."""
    if name == "phantom" and name not in workspace.datasets() and may_draw:
        prepare_dataset(workspace, prepare_config(name, {}, preset=preset, seed=0), progress=True)
    return open_dataset(workspace, name or default_dataset(workspace))


def prepare_dataset(workspace: Workspace, config: PrepareConfig, *, progress: bool = False) -> Prepared:
    """Read a source, write its data set and folds, and say which images had to be skipped and why.

    Raises FoldsError before any pixel is read where the patients do not allow the folds, and DataError where no image
    can be used. Images that cannot be decoded are skipped; the data set is made of the others.
    """
    config = _resolve(config)
    scan, _ = _feasible_scan(config)
    path = workspace.dataset(config.workspace_name)
    workspace.begin()
    with (
        os_errors_as_workspace_errors(path),
        writing_images(path, config.resolution_px, masks=scan.has_masks) as writer,
    ):
        facts, hashes, undecodable = read_pixels(scan, config, writer, progress)
        skipped = [(printable(where), reason) for where, reason in [*scan.skipped, *undecodable]]
        if not facts:
            raise DataError(
                f"{_place(config)} holds no image that can be used{why_none(skipped)}",
                expected="images that can be read",
                todo="correct the reason that is named, and prepare again",
            )
        facts, hashes = _without_synthetic(workspace, facts, hashes, writer, skipped)
        table, places = _tabulate(scan, config, facts, hashes, writer, skipped, progress)
        folds = cut_folds(scan, config.folds, table, skipped)
        writer.keep(places)
        if config.stain != "none" and folds is not None:
            table = _stain(writer, table, folds, config.stain, progress)
        others = (other for other in path.parent.glob("*.h5") if other != path)
        table = replace(table, attrs={**table.attrs, "created": moment(after=map(creation_time_of_images, others))})
        table = writer.finish(table, tables=dict(scan.tables))
    if folds is None:
        workspace.folds(config.workspace_name).unlink(missing_ok=True)
    else:
        folds = replace(folds, dataset_fingerprint=table.fingerprint)
        write_folds(workspace.folds(config.workspace_name), folds)
    notes = list(table.attrs[NOTES])
    if folds is not None and config.folds.folds_csv:
        notes += filter(None, [differs_from_list(folds, read_listed_folds(config.folds.folds_csv).about)])
    return Prepared(config.workspace_name, path, table, folds, tuple(skipped), tuple(notes))


def plan_preparation(config: PrepareConfig) -> dict[str, Any]:
    """What `prepare_dataset` would read and write, without reading a pixel; raises what it would raise by then."""
    config = _resolve(config)
    scan, num_folds = _feasible_scan(config)
    counts = np.bincount(scan.labels[scan.labels >= 0], minlength=len(scan.class_names))
    plan = {
        "dataset": config.workspace_name,
        "images": len(scan.items),
        "patients": len(set(scan.groups.tolist())),
        "classes": dict(zip(scan.class_names, counts.tolist())),
        "scheme": (config.folds.folds_csv or config.folds.scheme) if scan.labelled else "none: no labels",
        "folds": num_folds,
        "resolution_px": config.resolution_px,
        "fit": config.fit,
        SKIPPED: len(scan.skipped),
        NOTES: [*scan.notes, *class_notes(scan, scan.skipped, scan.labels.tolist(), config.exclude_classes)],
    }
    if config.fit != "tile":  # how many tiles an image gives is only known when it is opened
        copies = 1 if config.stain == "none" else 1 + num_folds
        plan["megabytes"] = round(copies * len(scan.items) * config.resolution_px**2 * 3 / 1e6, 1)
    return plan


def _resolve(config: PrepareConfig) -> PrepareConfig:
    """The configuration with its source's defaults; a phantom is drawn at its final size and has no other."""
    config = resolve(config)
    return replace(config, resolution_px=config.phantom.resolution_px) if config.dataset in DRAWN else config


def _feasible_scan(config: PrepareConfig) -> tuple[Scan, int]:
    """What the source names, once it is known that its patients allow the folds, and how many folds there will be."""
    scan = scan_source(config)
    if not scan.items:
        raise DataError(
            f"{_place(config)} holds no image of the classes {', '.join(scan.class_names)}{why_none(scan.skipped)}"
        )
    num_folds = 0
    if scan.labelled:
        num_folds = check_cut(scan, config.folds)
    elif config.stain != "none":
        raise ConfigError("stain normalisation of images without labels", expected="labels: it is fitted on folds")
    return scan, num_folds


def _place(config: PrepareConfig) -> str:
    return config.source or f"the {config.dataset}"


def _stain(writer: ImageWriter, table: ImageTable, folds: Folds, method: str, progress: bool) -> ImageTable:
    """Write the images as each fold sees them; returns the table with what was fitted and what failed."""
    train = [table.indices_of(folds.train_groups(fold)) for fold in range(folds.num_folds)]
    stained = stain_folds(writer.blocks, train, method, workers=os.cpu_count() or 1, progress=progress)
    for fold, block in stained:
        writer.append_stained(fold, block)
    failed = table.image_id[stained.failed].tolist()
    about = {"references": [reference.to_dict() for reference in stained.references], "kept_as_they_are": failed}
    notes = [f"{len(failed)} of {len(table)} images show no stain and were kept as they are"] if failed else []
    return replace(table, attrs={**table.attrs, "stain": about, NOTES: [*table.attrs[NOTES], *notes]})


def _options(config: PrepareConfig) -> dict[str, Any]:
    """The options that decide what this source's data set holds."""
    chosen: dict[str, Any] = {name: getattr(config, name) for name in SOURCES[config.dataset].options}
    if config.dataset in DRAWN:
        chosen = {"phantom": asdict(config.phantom), "seed": config.seed}
    if config.dataset == "paired-phantom":
        chosen["paired"] = asdict(config.paired)
    return {
        "dataset": config.dataset,
        "exclude_classes": list(config.exclude_classes),
        "folds": asdict(config.folds),
        **{name: value for name, value in chosen.items() if value is not None},
    }


def _without_synthetic(
    workspace: Workspace,
    facts: list[Facts],
    hashes: NDArray[np.uint64],
    writer: ImageWriter,
    skipped: list[tuple[str, str]],
) -> tuple[list[Facts], NDArray[np.uint64]]:
    """Facts and hashes less the images that generators of this workspace made, which are added to what is skipped."""

    def pixels(places: Sequence[int]) -> NDArray[np.uint8]:
        return writer.read([facts[place].place for place in places])

    found = find_synthetic(workspace.synthetics(), hashes, pixels)
    for place, name in found.items():
        skipped.append((printable(facts[place].item.path), f"a generator made it ({name}): it stands for no patient"))
    if len(found) == len(facts):
        raise DataError(
            f"all {len(facts)} images were made by a generator of this workspace", expected="images of patients"
        )
    kept = [place for place in range(len(facts)) if place not in found]
    return [facts[place] for place in kept], hashes[kept]


# ---- the table -------------------------------------------------------------------------------------------------------


def _tabulate(
    scan: Scan,
    config: PrepareConfig,
    facts: list[Facts],
    hashes: NDArray[np.uint64],
    writer: ImageWriter,
    skipped: list[tuple[str, str]],
    progress: bool,
) -> tuple[ImageTable, NDArray[np.int64]]:
    """The table of the images to be written, less copies, and their places in the file."""
    copies = find_copies(
        np.array([square.sha256 for square in facts]),
        hashes,
        np.array([square.item.label for square in facts]),
        np.array([square.item.group_id for square in facts]),
        np.array([square.image_id for square in facts]),
        scan.class_names,
        pixels=lambda indices: writer.read([facts[index].place for index in indices]),
        search=Search(None if scan.drawn else not config.whole_copies_only, progress),
    )
    used = {square.order[0]: square.item.label for square in facts}  # by image, which may give several tiles
    shrunk = class_notes(scan, skipped, used.values(), config.exclude_classes)
    facts = [square for square, keep in zip(facts, copies.keep) if keep]
    if not facts:
        raise DataError(
            "all images are copies of one another under different classes",
            expected="one class for each picture",
            todo="correct the labels",
        )
    scales = np.unique([square.um_per_px for square in facts])  # NaN counts once
    pixels = {"fit": "drawn" if scan.drawn else config.fit, "field_px": config.field_px, "field_um": config.field_um,
              "stain": config.stain, **grey_bits(facts)}  # fmt: skip
    attrs: dict[str, Any] = {
        "source": config.dataset,
        "resolution_px": config.resolution_px,
        "pixels": pixels,
        "licence": scan.licence,
        "citation": scan.citation,
        "options": _options(config),
        NOTES: [*scan.notes, *shrunk, *copies.notes, *_notes(scan, config, facts)],
        SKIPPED: [list(pair) for pair in skipped],
        "duplicates": [asdict(copy) for copy in copies.found],
        **({"um_per_px": float(scales[0])} if len(scales) == 1 and np.isfinite(scales[0]) else {}),
    }
    table = ImageTable(
        class_names=scan.class_names,
        label=np.array([square.item.label for square in facts], dtype=np.int64),
        image_id=np.array([square.image_id for square in facts], dtype=str),
        group_id=copies.group[copies.keep],
        site_id=np.array([square.item.site for square in facts], dtype=str),
        path=np.array([printable(square.item.path) for square in facts], dtype=str),
        sha256=np.array([square.sha256 for square in facts], dtype=str),
        magnification=np.array([square.item.magnification for square in facts], dtype=np.int64),
        um_per_px=np.array([square.um_per_px for square in facts], dtype=np.float64),
        phash=hashes[copies.keep, 0],
        attrs=attrs,
    )
    return table, np.array([square.place for square in facts])


def _notes(scan: Scan, config: PrepareConfig, facts: Sequence[Facts]) -> list[str]:
    """What there is to say of sizes."""
    notes = []
    num_enlarged, num_squashed = (sum(getattr(square, name) for square in facts) for name in ("enlarged", "squashed"))
    if num_enlarged:
        notes.append(f"{num_enlarged} images are smaller than {config.resolution_px} px and were enlarged")
    if num_squashed:
        notes.append(f"{num_squashed} images were squashed to squares, as --fit resize asks for")
    resized = next((square.resized_before for square in facts if square.resized_before), None)
    if resized:
        notes.append(
            f"images such as one of {resized[0]}×{resized[1]} px were resized before: "
            f"the original is {scan.native_width_px} px wide, so micrometres per pixel are unknown"
        )
    if config.fit == "tile":
        num_images = len({square.order[0] for square in facts})
        notes.append(f"{num_images} images were cut into {len(facts)} tiles; a tile belongs to its image's patient")
    return notes + pixel_notes(facts)

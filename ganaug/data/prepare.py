"""`ganaug prepare`: a source's images become one HDF5 file and its folds.

In order: what the source names, whether the folds are possible, then the pixels, exact copies, and the two files.
Pixels go through an unnamed file on disk, as it is only known after the last image which of them can be used.
"""

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from ganaug.config import PrepareConfig
from ganaug.data.decode import Undecodable, decode, fit_square
from ganaug.data.duplicates import exact_duplicates, phash
from ganaug.data.folds import Folds, check_feasible, make_folds, write_folds
from ganaug.data.schema import ImageTable, fingerprint_of, writing_images
from ganaug.data.sources import scan_source
from ganaug.data.sources.scan import Drawn, Item, Load, Scan, printable
from ganaug.data.spool import Spool
from ganaug.errors import DataError
from ganaug.workspace import Workspace, explained

BLOCK = 64  # images written at a time


@dataclass(frozen=True)
class Prepared:
    """What `prepare_dataset` wrote, and what it left out."""

    name: str
    path: Path
    table: ImageTable
    folds: Folds
    left_out: tuple[tuple[str, str], ...]  # path and reason
    notices: tuple[str, ...]


@dataclass(frozen=True)
class _Pixels:
    """One image ready to be written."""

    image: np.ndarray
    mask: np.ndarray | None
    sha256: str
    phash: int
    size_px: tuple[int, int]  # width and height in the source


@dataclass(frozen=True)
class _Facts:
    """What stays in memory of an image once its pixels are on disk."""

    position: int  # in the scan and the spools
    item: Item
    sha256: str
    phash: int
    size_px: tuple[int, int]


def prepare_dataset(workspace: Workspace, config: PrepareConfig, *, progress: bool = False) -> Prepared:
    """Read a source, write its data set and folds, and say which images had to be left out and why.

    Raises FoldsError before any pixel is read where the patients do not allow the folds, and DataError where no image
    can be used. Images that cannot be decoded are left out; the data set is made of the others.
    """
    scan = _feasible_scan(config)
    path = workspace.dataset(config.workspace_name)
    side = _side_px(config)
    with explained(path), ExitStack() as stack:
        images = stack.enter_context(Spool(path.parent, (side, side, 3)))
        masks = stack.enter_context(Spool(path.parent, (side, side))) if scan.drawn else None
        facts, undecodable = _read_all(scan, side, images, masks, progress)
        left_out = [(printable(where), reason) for where, reason in [*scan.left_out, *undecodable]]
        if not facts:
            raise DataError(f"none of {len(left_out)} images can be used, such as {': '.join(left_out[0])}")
        table, positions = _tabulate(scan, config, facts, left_out)
        mend = (
            f"mend the {len(left_out)} images that were left out, such as {': '.join(left_out[0])}" if left_out else ""
        )
        folds = make_folds(table, config.folds, mend or scan.way_out)
        with writing_images(path, side, masks=scan.drawn) as writer:
            for start in range(0, len(positions), BLOCK):
                block = positions[start : start + BLOCK]
                writer.append(images.read(block), masks.read(block) if masks else None)
            writer.finish(table)
    write_folds(workspace.folds(config.workspace_name), folds)
    return Prepared(config.workspace_name, path, table, folds, tuple(left_out), tuple(table.attrs["notices"]))


def plan_preparation(config: PrepareConfig) -> dict[str, Any]:
    """What `prepare_dataset` would read and write, without reading a pixel; raises what it would raise by then."""
    scan = _feasible_scan(config)
    counts = np.bincount(scan.labels, minlength=len(scan.class_names))
    return {
        "dataset": config.workspace_name,
        "images": len(scan.items),
        "patients": len(set(scan.groups.tolist())),
        "classes": dict(zip(scan.class_names, counts.tolist())),
        "folds": config.folds.num_folds,
        "resolution_px": _side_px(config),
        "megabytes": round(len(scan.items) * _side_px(config) ** 2 * 3 / 1e6, 1),
        "left_out": len(scan.left_out),
        "notices": list(scan.notices),
    }


def _feasible_scan(config: PrepareConfig) -> Scan:
    """What the source names, once it is known that its patients allow the folds."""
    scan = scan_source(config)
    if not scan.items:
        raise DataError(f"{config.source} holds no image of the classes {', '.join(scan.class_names)}")
    check_feasible(scan.labels, scan.groups, scan.class_names, config.folds, scan.way_out)
    return scan


def _side_px(config: PrepareConfig) -> int:
    return config.phantom.resolution_px if config.dataset == "phantom" else config.resolution_px


def _options(config: PrepareConfig) -> dict[str, Any]:
    """The options that decide what this source's data set holds."""
    chosen: dict[str, Any] = {
        "dataset": config.dataset,
        "exclude_classes": list(config.exclude_classes),
        "folds": asdict(config.folds),
    }
    if config.dataset == "phantom":
        return {**chosen, "phantom": asdict(config.phantom), "seed": config.seed}
    if config.dataset == "breakhis":
        chosen |= {"task": config.task, "magnification": config.magnification, "group": config.group}
    return {**chosen, "resolution_px": config.resolution_px}


# ---- pixels ----------------------------------------------------------------------------------------------------------


def _read_all(
    scan: Scan, side_px: int, images: Spool, masks: Spool | None, progress: bool
) -> tuple[list[_Facts], list[tuple[str, str]]]:
    """Decode every image into the spools; returns what is known of the usable ones, and the others with reasons."""
    facts, left_out = [], []
    num_threads = (
        1 if scan.drawn else min(8, os.cpu_count() or 1)
    )  # threads only hinder drawing, which is Python's work
    with warnings.catch_warnings(), threadpool_limits(1):  # the phantom's small matrix products lose to BLAS's threads
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a limit of our own leaves the image out
        results = _in_threads(lambda load: _pixels(load, side_px), scan.read(scan.items), num_threads)
        for position, result in tqdm(
            results, total=len(scan.items), desc="prepare", unit="img", disable=not progress or None
        ):
            item = scan.items[position]
            if isinstance(result, str):
                left_out.append((item.path, result))
                continue
            images[position] = result.image
            if masks is not None and result.mask is not None:
                masks[position] = result.mask
            facts.append(_Facts(position, item, result.sha256, result.phash, result.size_px))
    return sorted(facts, key=lambda one: one.position), sorted(left_out)


def _pixels(load: Load, side_px: int) -> _Pixels | str:
    """The image that `load` gives, or the reason why there is none."""
    try:
        raw = load()
        if isinstance(raw, Drawn):
            digest = hashlib.sha256(raw.image.tobytes()).hexdigest()
            return _Pixels(raw.image, raw.mask, digest, phash(raw.image), raw.image.shape[:2])
        decoded = decode(raw)
        image = fit_square(decoded, side_px)
        return _Pixels(image, None, hashlib.sha256(raw).hexdigest(), phash(image), decoded.size)
    except Undecodable as error:
        return str(error)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"


def _in_threads(
    work: Callable[[Load], _Pixels | str], loads: Iterable[tuple[int, Load]], num_threads: int
) -> Iterator[tuple[int, _Pixels | str]]:
    """Results in the order given, with only a few images underway at a time, so that memory stays bounded."""
    underway: deque[tuple[int, Future[_Pixels | str]]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        for position, load in loads:
            underway.append((position, pool.submit(work, load)))
            if len(underway) > 3 * num_threads:
                position, result = underway.popleft()
                yield position, result.result()
        for position, result in underway:
            yield position, result.result()


# ---- the table -------------------------------------------------------------------------------------------------------


def _tabulate(
    scan: Scan, config: PrepareConfig, facts: list[_Facts], left_out: list[tuple[str, str]]
) -> tuple[ImageTable, list[int]]:
    """The table of the images to be written, less exact copies, and their positions in the spools."""
    copies = exact_duplicates(
        np.array([one.sha256 for one in facts]),
        np.array([one.item.label for one in facts]),
        np.array([one.item.group_id for one in facts]),
    )
    facts = [one for one, keep in zip(facts, copies.keep) if keep]
    um_per_px, notices = _scale(scan, facts, _side_px(config))
    attrs: dict[str, Any] = {
        "source": config.dataset,
        "resolution_px": _side_px(config),
        "fit": "drawn" if scan.drawn else "centre-crop",
        "licence": scan.licence,
        "citation": scan.citation,
        "options": _options(config),
        "notices": [*scan.notices, *copies.notices, *notices],
        "left_out": [list(pair) for pair in left_out],
        **({"um_per_px": um_per_px} if um_per_px else {}),
    }
    table = ImageTable(
        class_names=scan.class_names,
        label=np.array([one.item.label for one in facts], dtype=np.int64),
        image_id=np.array([one.item.image_id for one in facts], dtype=str),
        group_id=copies.group[copies.keep],
        path=np.array([printable(one.item.path) for one in facts], dtype=str),
        sha256=np.array([one.sha256 for one in facts], dtype=str),
        magnification=np.array([one.item.magnification for one in facts], dtype=np.int64),
        phash=np.array([one.phash for one in facts], dtype=np.uint64),
        attrs=attrs,
    )
    table = replace(table, attrs={**attrs, "fingerprint": fingerprint_of(table)})
    return table, [one.position for one in facts]


def _scale(scan: Scan, facts: list[_Facts], side_px: int) -> tuple[float | None, list[str]]:
    """Micrometres per pixel of the written images (the median; None if unknown), and what to say of sizes."""
    if scan.drawn:
        return scan.um_per_px, []
    sizes = np.array([one.size_px for one in facts]).reshape(-1, 2)
    shorter = sizes.min(axis=1)
    notices = []
    if np.any(shorter < side_px):
        notices.append(f"{np.sum(shorter < side_px)} images are smaller than {side_px} px and were enlarged")
    if scan.um_per_px is None:
        return None, notices
    if scan.native_width_px is not None and np.any(sizes[:, 0] != scan.native_width_px):
        width, height = sizes[sizes[:, 0] != scan.native_width_px][0]
        notices.append(
            f"images such as one of {width}×{height} px were resized before: "
            f"the original is {scan.native_width_px} px wide, so micrometres per pixel are unknown"
        )
        return None, notices
    return float(scan.um_per_px * np.median(shorter) / side_px), notices

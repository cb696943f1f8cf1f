"""The page of a reader study, and its key, which stays behind."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganaug.data.dataset import DataSet
from ganaug.data.schema import ImageReader
from ganaug.data.synthetic import admit_synthetic, require_compared
from ganaug.errors import DataError
from ganaug.provenance import digest_of, sealed
from ganaug.report.page import render_page
from ganaug.report.pictures import png
from ganaug.workspace import Workspace, write_json, write_text

SHOWN_PX = 256  # side to which smaller images are enlarged by whole factors, so that no pixel is smoothed away


@dataclass(frozen=True)
class Item:
    """An image of the study."""

    number: int  # as the page shows it, from 1
    is_real: bool
    class_name: str


@dataclass(frozen=True)
class ReaderStudy:
    """The images in the order in which they are shown, and what is true of each."""

    name: str  # digest of the key, which joins page, answers and key
    items: tuple[Item, ...]
    pictures: tuple[bytes, ...]  # PNG files


def draw_study(
    workspace: Workspace, dataset: DataSet, synthetic: Path, per_class: int, seed: int, fold: int | None = None
) -> ReaderStudy:
    """As many real images of patients whom the generator never saw as generated ones, of every class, in random order.

    synthetic: a file that serves the fold, by default the one that its record names; the real images are of that fold's
    test part.
    Raises LeakError or DataError where the file does not serve, or shows a held-out picture, or where a class has too
    few images of either kind.
    """
    table, record = admit_synthetic(dataset, synthetic, fold)
    fold = record.fold if fold is None else fold
    require_compared(workspace, dataset, fold, synthetic, record.content)
    rng, names = np.random.default_rng(seed), dataset.table.class_names
    test = dataset.test(fold)
    chosen: list[tuple[bool, str, NDArray[np.uint8]]] = []
    for label, name in enumerate(names):
        real = test[dataset.table.label[test] == label]
        generated = np.flatnonzero(table.label == label)
        for kind, have in (("test images", len(real)), ("synthetic images", len(generated))):
            if have < per_class:
                raise DataError(
                    f"{have} {kind} of class {name} in fold {fold}",
                    expected=f"at least {per_class}",
                    todo="choose a smaller --per-class",
                )
        pick_real = rng.choice(real, per_class, replace=False)
        pick_generated = rng.choice(generated, per_class, replace=False)
        chosen += [(True, name, image) for image in dataset.images(fold)[pick_real]]
        chosen += [(False, name, image) for image in ImageReader(synthetic)[pick_generated]]
    order = rng.permutation(len(chosen)).tolist()
    items = tuple(Item(number + 1, *chosen[index][:2]) for number, index in enumerate(order))
    pictures = tuple(_encode(chosen[index][2]) for index in order)
    key = [vars(item) for item in items]
    return ReaderStudy(digest_of([key, [digest_of(picture.hex()) for picture in pictures]])[:16], items, pictures)


def write_study(study: ReaderStudy, page: Path, key: Path) -> None:
    """Write the page, which holds no truth, and the key, which holds all of it."""
    text = render_page(
        Path(__file__).with_name("reader.html.j2"),
        study=study.name,
        pictures=[png(picture) for picture in study.pictures],
        notes=(),
    )
    write_json(key, sealed(key_of(study)))
    write_text(page, text)


def key_of(study: ReaderStudy) -> dict[str, Any]:
    return {"study": study.name, "items": [vars(item) for item in study.items]}


def _encode(image: NDArray[np.uint8]) -> bytes:
    """An image u8 [H,W,3] as a PNG file without metadata, both kinds alike."""
    factor = max(1, round(SHOWN_PX / image.shape[0]))
    large = Image.fromarray(np.repeat(np.repeat(image, factor, axis=0), factor, axis=1))
    buffer = io.BytesIO()
    large.save(buffer, format="PNG")
    return buffer.getvalue()

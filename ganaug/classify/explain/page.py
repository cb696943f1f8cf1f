"""explanations.html and its pictures: what a classifier's decisions rest on, for a pathologist to look at."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from classifiers.explain.faithfulness import BASELINES
from classifiers.explain.measures import MEASURES
from classifiers.explain.registry import METHODS
from ganaug.classify.explain.explain import Explanations, ShownImage
from ganaug.classify.stored import StoredClassifier
from ganaug.data.dataset import DataSet
from ganaug.data.images.png import encode_png
from ganaug.report.page import render_page
from ganaug.report.pictures import overlay, png
from ganaug.workspace import atomic_path, os_errors_as_workspace_errors, write_text

PAGE = "explanations.html"
ENOUGH_PATIENTS = 10  # our choice: of fewer, a bootstrap over patients gives intervals that are far too narrow
SMALLEST_PX = 160  # smaller images are enlarged by whole factors, pixel by pixel
MARKED, MASK = (255, 221, 0), (0, 150, 64)  # colours of contours: yellow and green, which stained tissue has not
Pixel = TypeVar("Pixel", bound=np.generic)
_PICTURE = re.compile(r"[0-9a-f]{24}-[a-z_]+\.png")


@dataclass(frozen=True)
class Picture:
    """A picture of a shown image: its caption, its file, and the same as a data URI."""

    caption: str
    name: str
    uri: str


@dataclass(frozen=True)
class ShownRow:
    """A shown image on the page."""

    shown: ShownImage
    predicted: str
    predicted_unturned: str
    pictures: tuple[Picture, ...]


def write_page(folder: Path, stored: StoredClassifier, dataset: DataSet, found: Explanations, command: str) -> Path:
    """Write the page and, next to it, every picture as PNG; pictures of an earlier page are removed.

    Returns the path of the page. Nothing in it names a patient. Raises WorkspaceError where it cannot be written.
    """
    with os_errors_as_workspace_errors(folder):
        earlier = {path for path in folder.glob("*.png") if _PICTURE.fullmatch(path.name)}
    rows = {name: ([], []) for name in stored.class_names}  # type: dict[str, tuple[list[ShownRow], list[ShownRow]]]
    for shown in found.shown:
        pictures = []
        for kind, caption, image in pictures_of(shown):
            path = folder / f"{shown.image_id}-{kind}.png"
            content = encode_png(image, synthetic=False)
            with atomic_path(path) as part:
                part.write_bytes(content)
            pictures.append(Picture(caption, path.name, png(content)))
            earlier.discard(path)
        row = ShownRow(
            shown, stored.class_names[shown.predicted], stored.class_names[shown.predicted_unturned], tuple(pictures)
        )
        rows[stored.class_names[shown.label]][0 if shown.is_right else 1].append(row)
    page = render_page(
        Path(__file__).with_name("explain.html.j2"),
        notes=notes_of(found),
        stored=stored,
        dataset=dataset.name,
        found=found,
        methods={name: METHODS[name] for name in found.methods},
        measures={name: item for name, item in MEASURES.items() if any(row.scores[name] for row in found.scores)},
        has_intervals=has_intervals(found),
        blind=[name for name in found.methods if not METHODS[name].sees_model],
        rows=rows,
        command=command,
    )
    write_text(folder / PAGE, page)
    with os_errors_as_workspace_errors(folder):
        for path in earlier:
            path.unlink(missing_ok=True)
    return folder / PAGE


def notes_of(found: Explanations) -> list[str]:
    """What a reader has to know before the rest."""
    notes = [
        "A map shows which parts of the image this network's score rests on. It does not show that the network is "
        "right, what in these parts it sees, that other parts are normal, or where a lesion ends. It is no finding."
    ]
    if any(row.scores["pointing"] is None for row in found.scores):
        notes.append("This data set has no masks, so no map could be compared with what a person marked.")
    elif found.num_without_mask:
        notes.append(f"Images with an empty mask: {found.num_without_mask} of {found.num_measured} measured; "
                     "they count for deletion and insertion only.")  # fmt: skip
    if (few := few_patients(found)) is not None:
        notes.append(few)
    if (poor := unlike_a_prior(found)) is not None:
        notes.append(poor)
    if found.num_disagreeing:
        notes.append("Images that get another class as they lie than on average over the eight orientations: "
                     f"{found.num_disagreeing} of {found.num_measured} measured. Maps are for the latter.")  # fmt: skip
    last = found.randomised[-1].rank_correlation if found.randomised else {}
    kept = [name for name, value in last.items() if value is not None and value > 0.5]
    if kept:
        notes.append(f"{', '.join(kept)}: the maps stay much the same (rank correlation above 0.5) when all weights of "
                     "the network are random, so they show the image more than what the network learned.")  # fmt: skip
    return notes + [f"{name} is not shown: {reason}." for name, reason in found.skipped.items()]


def few_patients(found: Explanations) -> str | None:
    """A note where the intervals are of too few patients; None where they are not, or there are none."""
    if found.num_patients >= ENOUGH_PATIENTS or not has_intervals(found):
        return None
    return f"With {found.num_patients} patients these intervals are too narrow."


def has_intervals(found: Explanations) -> bool:
    return any(score is not None and score.low is not None for row in found.scores for score in row.scores.values())


def unlike_a_prior(found: Explanations) -> str | None:
    """A note where no method is more faithful than every map that does not look at the network; None where one is.

    More faithful is what is better in both deletion and insertion, with the same in place of the pixels.
    """
    means = {row.method: {name: score.mean for name, score in row.scores.items() if score} for row in found.scores}
    seeing = [name for name in means if METHODS[name].sees_model]
    blind = [name for name in means if not METHODS[name].sees_model]
    if not blind or not seeing:
        return None

    def is_better(name: str, fill: str) -> bool:
        deletion, insertion = f"deletion_{fill}", f"insertion_{fill}"
        own = means[name]
        return all(own[deletion] < means[b][deletion] and own[insertion] > means[b][insertion] for b in blind)

    if any(is_better(name, fill) for name in seeing for fill in BASELINES):
        return None
    return (
        f"Here no method is better than {' and '.join(blind)} in both deletion and insertion: these maps show nothing "
        "of the network."
    )


# ---- pictures --------------------------------------------------------------------------------------------------------


def pictures_of(shown: ShownImage) -> list[tuple[str, str, NDArray[np.uint8]]]:
    """Kind, caption and picture u8 [h,w,3]: the image, and per method map, thresholded map and contour."""
    factor = max(1, round(SMALLEST_PX / shown.image.shape[0]))
    image = _enlarge(shown.image, factor)
    mask = None if shown.mask is None else _enlarge(shown.mask, factor)
    plain = image if mask is None else draw_contour(image, mask, MASK)
    pictures = [("image", "image" if mask is None else "image; green: the data set's mask", plain)]
    seeing = [name for name in shown.maps if METHODS[name].sees_model and not METHODS[name].is_thresholded]
    for name in seeing:
        heat, marked = _enlarge(shown.maps[name], factor), _enlarge(shown.marked[name], factor)
        label = name.replace("_", " ")
        contour = draw_contour(plain, marked, MARKED)
        pictures += [
            (f"{name}_map", f"{label}: map", overlay(image, heat)),
            (f"{name}_thresholded", f"{label}: thresholded", overlay(image, heat * marked)),
            (f"{name}_contour", f"{label}: contour", contour),
        ]
    for name in shown.maps:
        if METHODS[name].is_thresholded and "gradcam" not in shown.maps:  # else the two pictures above show it
            heat, marked = _enlarge(shown.maps[name], factor), _enlarge(shown.marked[name], factor)
            pictures += [
                (f"{name}_thresholded", f"{name.replace('_', ' ')}: thresholded", overlay(image, heat)),
                (f"{name}_contour", f"{name.replace('_', ' ')}: contour", draw_contour(plain, marked, MARKED)),
            ]
    return pictures


def draw_contour(image: NDArray[np.uint8], area: NDArray[np.bool_], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The image u8 [H,W,3] with the innermost two pixels of an area, bool [H,W], in a colour."""
    drawn = image.copy()
    drawn[area & ~binary_erosion(area, iterations=2, border_value=1)] = colour
    return drawn


def _enlarge(array: NDArray[Pixel], factor: int) -> NDArray[Pixel]:
    return array.repeat(factor, 0).repeat(factor, 1)

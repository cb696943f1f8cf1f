"""The figures of nearest neighbours, each next to the same figure of real held-out images."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ganaug.config import Compute
from ganaug.errors import WeightsError
from ganaug.evaluate.copies.neighbours import (
    NEEDS,
    Nearest,
    authenticity,
    cells_of,
    copying_p_value,
    copying_z,
    most_frequent,
    nearest,
)
from ganaug.evaluate.diversity import BATCH, Distance, lpips_distance
from ganaug.evaluate.judged import Embedded, ImageSet, Judged
from ganaug.evaluate.metrics.metric import Features
from ganaug.evaluate.scores import ALL, ImageScore

LPIPS = "LPIPS nearest[alex]"
_QUESTION = "copying"
_MAX_RANKED, _NUM_NEAREST = 200, 3  # images whose nearest by features LPIPS ranks again

Indices = NDArray[np.int64]


def feature_scores(judged: Judged, embedded: Embedded, seed: int) -> list[ImageScore]:
    """Authenticity, C_T and the fraction of one patient, per class and over all of them.

    C_T is no alarm by itself: a generator that draws new images in its training patients' style is nearer to them than
    other patients are, too. Its p-value counts held-out patients, not images.
    """
    names = [f"{name}[{embedded.extractor.name}]" for name in ("authenticity", "C_T", "one patient")]
    scaled = embedded.scaled()
    if not all(np.isfinite(part).all() for part in (scaled.train, scaled.held_out, scaled.synthetic)):
        note = "features that are no finite numbers; they cannot be compared"
        return [_score(judged, embedded, name, (ALL, None), None, note=note) for name in names]
    train = judged.train
    near = nearest(scaled.synthetic, scaled.train)
    near_held_out = nearest(scaled.held_out, scaled.train)
    between = nearest(scaled.train, scaled.train, (train.group, train.group)).distance
    cell = cells_of(scaled.train, min(len(judged.synthetic), len(judged.held_out)), seed)
    scores = []
    for scope in [(ALL, None), *((name, label) for label, name in enumerate(judged.class_names))]:
        of_scope, of_held_out = _places(judged.synthetic, scope[1]), _places(judged.held_out, scope[1])
        ours, theirs = near.at(of_scope), near_held_out.at(of_held_out)
        scores.append(_authenticity(judged, embedded, scope, ours, theirs, between))
        scores.append(_copying(judged, embedded, scope, ours, theirs, cell))
        scores.append(_one_patient(judged, embedded, scope, ours, theirs))
    return scores


Scope = tuple[str, int | None]  # a class's name and label; ALL and None


def _authenticity(
    judged: Judged, embedded: Embedded, scope: Scope, ours: Nearest, theirs: Nearest, between: Features
) -> ImageScore:
    name = f"authenticity[{embedded.extractor.name}]"
    if not np.isfinite(between).all():
        return _score(judged, embedded, name, scope, None, note="one training patient; it takes 2")
    value, held_out = (authenticity(near, between) if len(near.distance) else None for near in (ours, theirs))
    note = "" if value is not None else f"{scope[0]}: no synthetic image"
    return _score(judged, embedded, name, scope, value, held_out=held_out, n_held_out=len(theirs.distance), note=note)


def _copying(
    judged: Judged, embedded: Embedded, scope: Scope, ours: Nearest, theirs: Nearest, cell: Indices
) -> ImageScore:
    name = f"C_T[{embedded.extractor.name}]"
    z = copying_z(ours, theirs, cell)
    if z is None:
        z = copying_z(ours, theirs, np.zeros_like(cell))  # in one cell
    note, p_value = "", None
    if z is None:
        num, num_held_out = len(ours.distance), len(theirs.distance)
        note = f"{scope[0]}: {num} synthetic and {num_held_out} held-out images; it takes {NEEDS} of each"
    else:
        group = judged.held_out.group[_places(judged.held_out, scope[1])]
        p_value = copying_p_value(ours.distance, theirs.distance, group)
    return _score(judged, embedded, name, scope, z, p_value=p_value, n_held_out=len(theirs.distance), note=note)


def _one_patient(judged: Judged, embedded: Embedded, scope: Scope, ours: Nearest, theirs: Nearest) -> ImageScore:
    group = judged.train.group
    value, held_out = (most_frequent(group[near.position]) if len(near.position) else None for near in (ours, theirs))
    note = "" if value is not None else f"{scope[0]}: no synthetic image"
    name, n_held_out = f"one patient[{embedded.extractor.name}]", len(theirs.distance)
    return _score(judged, embedded, name, scope, value, held_out=held_out, n_held_out=n_held_out, note=note)


def _score(
    judged: Judged,
    embedded: Embedded,
    name: str,
    scope: Scope,
    value: float | None,
    *,
    held_out: float | None = None,
    n_held_out: int | None = None,
    p_value: float | None = None,
    note: str = "",
) -> ImageScore:
    return ImageScore(
        name,
        scope[0],
        value,
        held_out=held_out,
        p_value=p_value,
        n_real=len(judged.train),
        n_synthetic=len(_places(judged.synthetic, scope[1])),
        n_held_out=n_held_out,
        extractor=embedded.extractor.name,
        extractor_digest=embedded.extractor.digest,
        question=_QUESTION,
        note=note or embedded.extractor.note,
    )


def _places(images: ImageSet, label: int | None) -> Indices:
    return np.arange(len(images)) if label is None else images.of_class(label)


# ---- LPIPS -----------------------------------------------------------------------------------------------------------


def lpips_scores(judged: Judged, embedded: Embedded, compute: Compute, seed: int) -> list[ImageScore]:
    """The median LPIPS distance to the nearest training image, among the nearest few by features.

    Of up to 200 random images on each side; without the weights, the only row says what is missing.
    """
    try:
        distance = lpips_distance(compute.weights_dir, compute.device)
    except WeightsError as error:
        return [ImageScore(LPIPS, ALL, None, question=_QUESTION, note=error.shared)]
    rng = np.random.default_rng(seed)
    medians, counts = [], []
    for images, features in ((judged.synthetic, embedded.synthetic), (judged.held_out, embedded.held_out)):
        places = np.sort(rng.permutation(len(images))[:_MAX_RANKED])
        found = list(_smallest(images, places, features, judged.train, embedded.train, distance))
        medians.append(float(np.median(found)) if found else None)
        counts.append(len(found))
    value, held_out = medians
    note = "" if value is not None else "no synthetic image"
    return [
        ImageScore(
            LPIPS,
            ALL,
            value,
            held_out=held_out,
            n_real=len(judged.train),
            n_synthetic=counts[0],
            n_held_out=counts[1],
            question=_QUESTION,
            note=note,
        )
    ]


def _smallest(
    images: ImageSet, places: Indices, features: Features, train: ImageSet, of_train: Features, distance: Distance
) -> Iterator[float]:
    """The smallest LPIPS distance of each image to its nearest training images by features."""
    squares = (of_train**2).sum(1)
    num_nearest = min(_NUM_NEAREST, len(train))
    size = max(1, BATCH // num_nearest)
    for start in range(0, len(places), size):
        chunk = places[start : start + size]
        squared = squares - 2 * features[chunk] @ of_train.T
        close = np.argpartition(squared, num_nearest - 1, axis=1)[:, :num_nearest]
        first = np.repeat(images.pixels(chunk), num_nearest, axis=0)
        yield from distance(first, train.pixels(close.flatten())).reshape(len(chunk), -1).min(1).tolist()

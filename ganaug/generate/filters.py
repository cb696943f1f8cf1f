"""Filters that drop synthetic images: REJECTORS. Each is fitted on the training groups of the generator's own fold.

A filter that had seen a held-out patient would let the study pick images by its test set. So the provenance of each is
stored with the images, and the study refuses images by it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ganaug.config import CPU, Compute
from ganaug.data.dataset import DataSet
from ganaug.data.images.perceptual_hash import NUM_SYMMETRIES, apply_symmetry
from ganaug.data.synthetic_file import Rows, rows_of
from ganaug.errors import ConfigError, DataError, UserError
from ganaug.evaluate.extractors.trained_classifier import open_classifier
from ganaug.generate.sampler import CHUNK, Pixels, Sampler, map_in_threads, one_thread
from ganaug.provenance import Provenance, digest_of, digest_of_bytes
from ganaug.workspace import GanRun

MAX_TRIES = 20  # candidates drawn for every image asked for, at most
NUM_PROBES = 512  # training images whose nearest neighbours give the usual distance
SIDE_PX = 32  # of the reduced images that are compared


@dataclass(frozen=True)
class FilterInputs:
    """All that a filter may be fitted on."""

    dataset: DataSet
    fold: int
    run: GanRun
    compute: Compute = CPU


@dataclass(frozen=True)
class Filter:
    """A fitted filter."""

    accepts: Callable[[Pixels, int], NDArray[np.bool_]]  # images [n,H,W,3] of a class -> [n]
    digest: str  # of all that was fitted
    facts: dict[str, float] = field(default_factory=dict)  # found when the filter was fitted, stored with the images


def confidence(value: float, inputs: FilterInputs) -> Filter:
    """Accept an image that a classifier of the fold's training images assigns to its class, with at least `value`.

    The classifier is the one that `evaluate-gan --extractor classifier` uses, stored in the generator's folder.
    """
    path, device, progress = inputs.run.extractor, inputs.compute.device, inputs.compute.progress
    trained = open_classifier(path, inputs.dataset, inputs.fold, device=device, progress=progress)

    @torch.inference_mode()
    def accepts(images: Pixels, label: int) -> NDArray[np.bool_]:
        probabilities = trained.probabilities(torch.from_numpy(images).to(device).permute(0, 3, 1, 2)).cpu()
        is_accepted: Tensor = (probabilities.argmax(1) == label) & (probabilities[:, label] >= value)
        return is_accepted.numpy()

    return Filter(accepts, trained.digest)


def nearest(value: float, inputs: FilterInputs) -> Filter:
    """Drop an image that is nearer to a training image than images of different patients usually are: a copy.

    A fraction `value` of the training images is nearer than that to an image of another training patient, so about as
    many honest images are dropped, too. The distance is the root mean square over the pixels, in grey levels, of the
    images reduced to 32 px, the smallest over their eight orientations, as training shows images in all of these.
    """
    dataset, train = inputs.dataset, inputs.dataset.train(inputs.fold)
    groups = dataset.table.group_id[train]
    if len(set(groups.tolist())) < 2:
        raise DataError(f"fold {inputs.fold} of {dataset.name} trains on one patient", expected="two or more")
    references = _reduce(dataset.images(inputs.fold)[train], inputs.compute.device)
    limit = float(np.quantile(_distances_to_others(references, groups), value))

    @torch.inference_mode()
    def accepts(images: Pixels, label: int) -> NDArray[np.bool_]:
        distances = _distances(_reduce(images, inputs.compute.device), references)
        is_accepted: Tensor = distances.min(1).values >= limit
        return is_accepted.cpu().numpy()

    fitted = digest_of_bytes([references.cpu().numpy().tobytes(), repr(limit).encode()])
    return Filter(accepts, fitted, {"limit_grey_levels": round(limit, 3)})


REJECTORS: dict[str, Callable[[float, FilterInputs], Filter]] = {"confidence": confidence, "nearest": nearest}


def require_known_filters(names: Sequence[str]) -> None:
    """Raise ConfigError for a name that is not in REJECTORS."""
    for name in names:
        if name not in REJECTORS:
            raise ConfigError(f"the filter {name}", expected=f"one of {', '.join(REJECTORS)}")


def fit_filters(reject: Sequence[tuple[str, float]], inputs: FilterInputs) -> dict[str, Filter]:
    """The filters that `SynthesisConfig.reject` names, fitted."""
    require_known_filters([name for name, _ in reject])
    with one_thread():
        return {name: REJECTORS[name](value, inputs) for name, value in reject}


def record_of(name: str, value: float, filter: Filter, inputs: FilterInputs) -> Provenance:
    """The provenance of a fitted filter: what it was fitted on, sealed to its digest."""
    dataset = inputs.dataset
    seen = dataset.table.seen(dataset.train(inputs.fold))
    return Provenance(
        dataset=dataset.name,
        dataset_fingerprint=dataset.table.fingerprint,
        folds_digest=dataset.folds.digest,
        fold=inputs.fold,
        groups_seen=seen.groups,
        config_digest=digest_of({"filter": name, "value": value}),
        images_seen=seen.images,
        hashes_seen=seen.hashes,
    ).sealed(filter.digest)


# ---- distances -------------------------------------------------------------------------------------------------------


def _reduce(images: Pixels, device: str) -> Tensor:
    """Images [n,H,W,3] as float32 [n,3,h,h] in grey levels around 0, with h at most SIDE_PX."""
    side = min(SIDE_PX, images.shape[1])
    small = [
        F.interpolate(torch.from_numpy(chunk).permute(0, 3, 1, 2).to(device).float() - 127.5, (side, side), mode="area")
        for chunk in np.array_split(images, max(1, len(images) // CHUNK))
    ]
    return torch.cat(small)


def _distances(images: Tensor, references: Tensor) -> Tensor:
    """Root mean square distances [n,N] of reduced images to references, the smallest over the orientations."""
    arrays = images.cpu().numpy()
    views = np.stack([apply_symmetry(arrays, symmetry, axes=(2, 3)) for symmetry in range(NUM_SYMMETRIES)])
    flat = torch.from_numpy(views).to(references.device).flatten(0, 1).flatten(1)
    distances: Tensor = torch.cdist(flat, references.flatten(1)) / flat.shape[1] ** 0.5
    return distances.view(NUM_SYMMETRIES, len(images), -1).min(0).values


def _distances_to_others(references: Tensor, groups: NDArray[np.str_]) -> NDArray[np.float32]:
    """Of up to NUM_PROBES references, spread evenly, the distance to the nearest one of another patient."""
    probes = np.unique(np.linspace(0, len(groups) - 1, NUM_PROBES).astype(int))
    found = []
    for chunk in np.array_split(probes, max(1, len(probes) // CHUNK)):
        distances = _distances(references[chunk], references).cpu().numpy()
        found.append(np.where(groups[chunk][:, None] == groups, np.inf, distances).min(1))
    return np.concatenate(found)


# ---- screening -------------------------------------------------------------------------------------------------------


@dataclass
class Screening:
    """Draws candidates in the order of their positions until enough of each class are accepted, and counts them."""

    sampler: Sampler
    filters: dict[str, Filter]
    class_names: tuple[str, ...]
    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # by class: tried, passed by each filter, accepted

    def rows(self, wanted: Sequence[int], at_a_time: int) -> Iterator[Rows]:
        """Accepted images, class by class; UserError where MAX_TRIES candidates per image are not enough."""
        for label, num_wanted in enumerate(wanted):
            self.counts[self.class_names[label]] = dict.fromkeys(["tried", *self.filters, "accepted"], 0)
            if num_wanted:
                yield from self._rows_of_class(label, num_wanted, at_a_time)

    def _rows_of_class(self, label: int, wanted: int, at_a_time: int) -> Iterator[Rows]:
        counts = self.counts[self.class_names[label]]
        starts = range(0, MAX_TRIES * wanted, CHUNK)
        with closing(map_in_threads(lambda start: self._screen(label, start), starts, at_a_time)) as screened:
            for start, (images, passed) in zip(starts, screened):
                accepted = np.flatnonzero(np.logical_and.reduce(list(passed.values())))[: wanted - counts["accepted"]]
                is_last = counts["accepted"] + len(accepted) == wanted
                num_tried = int(accepted[-1]) + 1 if is_last else CHUNK  # what is drawn beyond does not count
                counts["tried"] += num_tried
                counts["accepted"] += len(accepted)
                for name in self.filters:
                    counts[name] += int(passed[name][:num_tried].sum())
                if len(accepted):
                    yield rows_of(images[accepted], label, start + accepted)
                if is_last:
                    return
        raise UserError(
            f"the filters accept {_describe(counts)} of {self.class_names[label]}",
            expected=f"{wanted} of at most {MAX_TRIES * wanted}",
            todo="use milder filters (--reject), or train the generator longer",
        )

    def _screen(self, label: int, start: int) -> tuple[Pixels, dict[str, NDArray[np.bool_]]]:
        images = self.sampler.chunk(label, start)
        return images, {name: filter.accepts(images, label) for name, filter in self.filters.items()}


def _describe(counts: dict[str, int]) -> str:
    """Counts as a text, such as `3 of 40 candidates (confidence 5, nearest 20)`."""
    filters = ", ".join(f"{name} {number}" for name, number in counts.items() if name not in ("tried", "accepted"))
    return f"{counts['accepted']} of {counts['tried']} candidates ({filters})"


def describe_acceptance(counts: dict[str, dict[str, int]]) -> str:
    """One line per class."""
    return "\n".join(f"{name}: accepted {_describe(of_class)}" for name, of_class in counts.items())

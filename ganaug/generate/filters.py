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

from ganaug.config import CPU, Compute
from ganaug.data.dataset import DataSet
from ganaug.data.synthetic_file import Rows, rows_of
from ganaug.errors import ConfigError, DataError, UserError
from ganaug.evaluate.copies.detector import CopyDetector
from ganaug.evaluate.copies.null import NEEDS_IMAGES
from ganaug.evaluate.extractors.trained_classifier import open_classifier
from ganaug.generate.sampler import CHUNK, Pixels, Sampler, map_in_threads, one_thread
from ganaug.provenance import Provenance, digest_of, digest_of_bytes
from ganaug.workspace import GanRun

MAX_TRIES = 20  # candidates drawn for every image asked for, at most


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


def copies(value: float, inputs: FilterInputs) -> Filter:
    """Drop an image that is like one training image, and far more than like those of other patients: a copy.

    A fraction `value` of honest images or less is dropped, too: that of the training images, each compared with other
    training patients' images only, on the safe side; see `limit_at`.
    """
    dataset, train = inputs.dataset, inputs.dataset.train(inputs.fold)
    groups = dataset.table.group_id[train]
    if len(set(groups.tolist())) < 2:
        raise DataError(f"fold {inputs.fold} of {dataset.name} trains on one patient", expected="two or more")
    images = dataset.images(inputs.fold)[train]
    detector = CopyDetector.fit(images, groups, rate=value, device=inputs.compute.device)
    if not detector.null.is_enough:
        raise DataError(
            f"fold {inputs.fold} of {dataset.name} has {len(detector.null.lead)} training images that show something",
            expected=f"{NEEDS_IMAGES} or more, to know how near honest images come",
        )

    def accepts(images: Pixels, label: int) -> NDArray[np.bool_]:
        return ~detector.is_copy(detector.match(images))

    fitted = [part.cpu().numpy().tobytes() for part in (detector.structures, detector.owner)]
    digest = digest_of_bytes([*fitted, f"{detector.limit:.6f}".encode()])
    return Filter(accepts, digest, {"limit_of_lead": round(detector.limit, 3)})


REJECTORS: dict[str, Callable[[float, FilterInputs], Filter]] = {"confidence": confidence, "copies": copies}


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

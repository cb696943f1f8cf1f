"""Filters that drop synthetic images: REJECTORS. Each is fitted on the training groups of the generator's own fold.

A filter that had seen a held-out patient would let the study pick images by its test set; each one's record of what it
was fitted on is stored with the images, and the study refuses them by it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ganaug.classify.trained import trained_classifier
from ganaug.data.dataset import DataSet
from ganaug.data.images.perceptual_hash import NUM_SYMMETRIES, apply_symmetry
from ganaug.data.synthetic_file import Rows, rows_of
from ganaug.errors import ConfigError, DataError, UserError
from ganaug.generate.sampler import CHUNK, Sampler, one_thread, side_by_side
from ganaug.provenance import Provenance, digest_of, digest_of_bytes
from ganaug.workspace import GanRun

MAX_TRIES = 20  # candidates drawn for every image asked for, at most
NUM_PROBES = 512  # training images whose nearest neighbours tell what is usual
SIDE_PX = 32  # of the reduced images that are compared


@dataclass(frozen=True)
class Setting:
    """All that a filter may be fitted on."""

    dataset: DataSet
    fold: int
    run: GanRun
    device: str = "cpu"
    progress: bool = False


@dataclass(frozen=True)
class Filter:
    """A fitted filter."""

    accepts: Callable[[np.ndarray, int], np.ndarray]  # images u8 [n,H,W,3] of a class -> bool [n]
    digest: str  # of all that was fitted
    facts: dict[str, Any] = field(default_factory=dict)  # what fitting found


def confidence(value: float, setting: Setting) -> Filter:
    """Keep an image that a classifier of the fold's training images takes for its class, with at least `value`.

    The classifier is the one that `evaluate-gan --extractor classifier` uses, kept beside the generator.
    """
    path, device = setting.run.extractor, setting.device
    trained = trained_classifier(path, setting.dataset, setting.fold, device=device, progress=setting.progress)

    @torch.inference_mode()
    def accepts(images: np.ndarray, label: int) -> np.ndarray:
        probabilities = trained.probabilities(torch.from_numpy(images).to(device).permute(0, 3, 1, 2)).cpu()
        return ((probabilities.argmax(1) == label) & (probabilities[:, label] >= value)).numpy()

    return Filter(accepts, trained.digest)


def nearest(value: float, setting: Setting) -> Filter:
    """Drop an image that is nearer to a training image than images of different patients usually are: a copy.

    Of the training images, the share `value` is nearer than that to an image of another training patient, so a share of
    about `value` of honest images goes too. The distance is the root mean square over the pixels, in grey levels,
    of the images reduced to 32 px, the smallest over the eight turns, as training shows images turned.
    """
    dataset, train = setting.dataset, setting.dataset.train(setting.fold)
    groups = dataset.table.group_id[train]
    if len(set(groups.tolist())) < 2:
        raise DataError(f"fold {setting.fold} of {dataset.name} trains on one patient", expected="two or more")
    references = _reduced(dataset.images(setting.fold)[train], setting.device)
    limit = float(np.quantile(_to_others(references, groups), value))

    @torch.inference_mode()
    def accepts(images: np.ndarray, label: int) -> np.ndarray:
        distances = _distances(_reduced(images, setting.device), references)
        return (distances.min(1).values >= limit).cpu().numpy()

    fitted = digest_of_bytes([references.cpu().numpy().tobytes(), repr(limit).encode()])
    return Filter(accepts, fitted, {"limit_grey_levels": round(limit, 3)})


REJECTORS: dict[str, Callable[[float, Setting], Filter]] = {"confidence": confidence, "nearest": nearest}


def require_known(names: Sequence[str]) -> None:
    for name in names:
        if name not in REJECTORS:
            raise ConfigError(f"the filter {name}", expected=f"one of {', '.join(REJECTORS)}")


def fit_filters(reject: Sequence[tuple[str, float]], setting: Setting) -> dict[str, Filter]:
    """The filters that `SynthesisConfig.reject` names, fitted."""
    require_known([name for name, _ in reject])
    with one_thread():
        return {name: REJECTORS[name](value, setting) for name, value in reject}


def record_of(name: str, value: float, filter: Filter, setting: Setting) -> Provenance:
    """What a filter was fitted on, sealed to what came of it."""
    dataset = setting.dataset
    seen = dataset.table.seen(dataset.train(setting.fold))
    return Provenance(
        dataset=dataset.name,
        dataset_fingerprint=dataset.table.fingerprint,
        folds_digest=dataset.folds.digest,
        fold=setting.fold,
        groups_seen=seen.groups,
        config_digest=digest_of({"filter": name, "value": value}),
        images_seen=seen.images,
        hashes_seen=seen.hashes,
    ).sealed(filter.digest)


# ---- distances -------------------------------------------------------------------------------------------------------


def _reduced(images: np.ndarray, device: str) -> Tensor:
    """u8 [n,H,W,3] as float32 [n,3,h,h] in grey levels about 0, of SIDE_PX or less."""
    side = min(SIDE_PX, images.shape[1])
    small = [
        F.interpolate(torch.from_numpy(some).permute(0, 3, 1, 2).to(device).float() - 127.5, (side, side), mode="area")
        for some in np.array_split(images, max(1, len(images) // CHUNK))
    ]
    return torch.cat(small)


def _distances(images: Tensor, references: Tensor) -> Tensor:
    """Root mean square distances [n,N] of reduced images to references, the smallest over the turns of an image."""
    arrays = images.cpu().numpy()
    views = np.stack([apply_symmetry(arrays, symmetry, axes=(2, 3)) for symmetry in range(NUM_SYMMETRIES)])
    flat = torch.from_numpy(views).to(references.device).flatten(0, 1).flatten(1)
    distances = torch.cdist(flat, references.flatten(1)) / flat.shape[1] ** 0.5
    return distances.view(NUM_SYMMETRIES, len(images), -1).min(0).values


def _to_others(references: Tensor, groups: np.ndarray) -> np.ndarray:
    """Of up to NUM_PROBES references, spread evenly, the distance to the nearest one of another patient."""
    probes = np.unique(np.linspace(0, len(groups) - 1, NUM_PROBES).astype(int))
    found = []
    for some in np.array_split(probes, max(1, len(probes) // CHUNK)):
        distances = _distances(references[some], references).cpu().numpy()
        found.append(np.where(groups[some][:, None] == groups, np.inf, distances).min(1))
    return np.concatenate(found)


# ---- screening -------------------------------------------------------------------------------------------------------


@dataclass
class Screening:
    """Draws candidates in the order of their positions until enough of each class are accepted, and keeps count."""

    sampler: Sampler
    filters: dict[str, Filter]
    class_names: tuple[str, ...]
    counts: dict[str, dict[str, int]] = field(default_factory=dict)  # by class: tried, passed by each filter, accepted

    def rows(self, wanted: Sequence[int], at_a_time: int) -> Iterator[Rows]:
        """Accepted images, class by class; UserError where MAX_TRIES candidates an image are not enough."""
        for label, number in enumerate(wanted):
            self.counts[self.class_names[label]] = dict.fromkeys(["tried", *self.filters, "accepted"], 0)
            if number:
                yield from self._of_class(label, number, at_a_time)

    def _of_class(self, label: int, wanted: int, at_a_time: int) -> Iterator[Rows]:
        counts = self.counts[self.class_names[label]]
        starts = range(0, MAX_TRIES * wanted, CHUNK)
        with closing(side_by_side(lambda start: self._screen(label, start), starts, at_a_time)) as screened:
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
            f"the filters accept {_told(counts)} of {self.class_names[label]}",
            expected=f"{wanted} of at most {MAX_TRIES * wanted}",
            todo="ask less of the filters (--reject), or train the generator longer",
        )

    def _screen(self, label: int, start: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        images = self.sampler.chunk(label, start)
        return images, {name: filter.accepts(images, label) for name, filter in self.filters.items()}


def _told(counts: dict[str, int]) -> str:
    """Counts in words, such as `3 of 40 candidates (confidence 5, nearest 20)`."""
    filters = ", ".join(f"{name} {number}" for name, number in counts.items() if name not in ("tried", "accepted"))
    return f"{counts['accepted']} of {counts['tried']} candidates ({filters})"


def summary(counts: dict[str, dict[str, int]]) -> str:
    """One line a class."""
    return "\n".join(f"{name}: accepted {_told(of_class)}" for name, of_class in counts.items())

"""The detector of copies: the nearest training image of each image, and whether honest images come as near.

What counts is not the similarity alone, as an image of few structures is like many others, but its lead: how much more
alike the nearest training image is than those of other patients. A copy is like one picture and no other.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from ganaug.evaluate.copies.alignment import EXCLUDED, align, correlate, views_of
from ganaug.evaluate.copies.null import Null, limit_at
from ganaug.evaluate.copies.structure import Pixels, shows_nothing, structure_of

NUM_CANDIDATES = 5  # training patients whose nearest image is aligned with an image
MIN_PATIENTS = 4  # below, images stand in for patients: there are too few others to lead over
NUM_PROBES = 512  # training images that stand for honest ones, each compared with other patients only
RATE = 1e-5  # honest images that are taken for copies
_CHUNK = 128  # images aligned at a time
_CLOSEST = 0.9999  # a correlation of 1 has no finite Fisher transform


@dataclass(frozen=True)
class Matches:
    """The nearest reference of each of n images."""

    position: NDArray[np.int64]  # of the reference
    similarity: NDArray[np.float64]  # correlation of the aligned structures, at most 1
    lead: NDArray[np.float64]  # over other patients' references, after Fisher's transform
    orientation: NDArray[np.int64]  # in which the image lies like the reference, 0 to 7
    is_blank: NDArray[np.bool_]  # shows next to nothing, and is a copy of no other

    @property
    def distance(self) -> NDArray[np.float64]:
        """1 less the similarity."""
        return 1 - self.similarity


@dataclass(frozen=True)
class CopyDetector:
    """Fitted on training images, and on real images that are no copies of them."""

    structures: Tensor  # [N,32,32] of the training images
    views: Tensor  # see `views_of`
    owner: Tensor  # i64 [N], the patient of each, or the image where there are few patients
    null: Null  # of real images
    limit: float  # the lead from which an image is a copy; infinite where the null is too small

    @classmethod
    def fit(
        cls,
        images: Pixels,
        groups: NDArray[np.str_],
        *,
        others: tuple[Pixels, NDArray[np.str_]] | None = None,
        rate: float = RATE,
        device: str = "cpu",
        progress: bool = False,
    ) -> "CopyDetector":
        """Fit on training images u8 [N,H,W,3] of patients `groups` [N].

        others: real images of patients that are none of these, and their patients. With them or without, up to
        NUM_PROBES training images are part of the null, each compared with those of other patients.
        rate: the fraction of honest images that may be taken for copies.
        """
        bare = cls.without_null(images, groups, device)
        names, patient = np.unique(groups, return_inverse=True)
        parts = []
        if len(names) > 1:
            probes = np.unique(np.linspace(0, len(groups) - 1, NUM_PROBES).astype(int))
            same = torch.from_numpy(patient[probes][:, None] == patient).to(device)
            found = bare._match(
                bare.structures[torch.from_numpy(probes).to(device)], same, "training patients", progress
            )
            parts.append(Null.of(found.lead, groups[probes], found.is_blank, is_held_out=False))
        if others is not None and len(others[0]):
            found = bare.match(others[0], progress=progress)
            parts.append(Null.of(found.lead, others[1], found.is_blank, is_held_out=True))
        null = Null.joined(parts)
        return replace(bare, null=null, limit=limit_at(null, rate))

    @classmethod
    def without_null(cls, images: Pixels, groups: NDArray[np.str_], device: str = "cpu") -> "CopyDetector":
        """One that finds the nearest of these images, and takes none for a copy."""
        structures = structure_of(images, device)
        names, patient = np.unique(groups, return_inverse=True)
        owner = torch.from_numpy(patient if len(names) >= MIN_PATIENTS else np.arange(len(groups))).to(device)
        return cls(structures, views_of(structures), owner, Null.empty(), np.inf)

    def match(self, images: Pixels, *, progress: bool = False) -> Matches:
        """The nearest training image of each of images u8 [n,H,W,3]."""
        return self._match(structure_of(images, str(self.structures.device)), None, "nearest training image", progress)

    def distances(self, images: Pixels) -> NDArray[np.float64]:
        """The distance [n] of images u8 [n,H,W,3] to their nearest training image, 0 (a copy) to 1."""
        return self.match(images).distance

    def is_copy(self, matches: Matches) -> NDArray[np.bool_]:
        """Which images [n] are nearer to a training image than honest ones are."""
        return (matches.lead > self.limit) & ~matches.is_blank

    @torch.inference_mode()
    def _match(self, structures: Tensor, skipped: Tensor | None, name: str, progress: bool) -> Matches:
        starts = range(0, len(structures), _CHUNK)
        parts = []
        for start in tqdm(starts, desc=name, unit="batch", disable=not progress or None):
            here = slice(start, start + _CHUNK)
            parts.append(self._match_chunk(structures[here], None if skipped is None else skipped[here]))
        columns = [torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)]
        if not columns:
            columns = [np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0, np.int64)]
        position, similarity, lead, orientation = columns
        is_blank = shows_nothing(structures)
        return Matches(position, similarity.astype(np.float64), lead.astype(np.float64), orientation, is_blank)

    def _match_chunk(self, structures: Tensor, skipped: Tensor | None) -> tuple[Tensor, ...]:
        coarse = correlate(structures, self.views)
        if skipped is not None:
            coarse = coarse.masked_fill(skipped, EXCLUDED)
        candidates = self._nearest_of_each(coarse)
        aligned = align(structures, self.structures, self.views, candidates)
        is_skipped = coarse.gather(1, candidates) == EXCLUDED
        similarity, order = aligned.similarity.masked_fill(is_skipped, -1).sort(1, descending=True)
        z = similarity.clamp(-_CLOSEST, _CLOSEST).atanh().masked_fill(is_skipped.gather(1, order), torch.nan)
        rest = z[:, 1:].nanmedian(1).values.nan_to_num(0.0) if z.shape[1] > 1 else torch.zeros_like(z[:, 0])
        first = order[:, :1]
        position, orientation = (column.gather(1, first)[:, 0] for column in (candidates, aligned.orientation))
        return position, similarity[:, 0], (z[:, 0] - rest).nan_to_num(0.0), orientation

    def _nearest_of_each(self, coarse: Tensor) -> Tensor:
        """Positions i64 [n,k] of the nearest reference of each of the k nearest owners, by correlations [n,N]."""
        num_owners = int(self.owner.max()) + 1
        best = torch.full((len(coarse), num_owners), EXCLUDED, device=coarse.device)
        best = best.scatter_reduce(1, self.owner.expand(len(coarse), -1), coarse, "amax")
        owners = best.topk(min(NUM_CANDIDATES, num_owners), dim=1).indices
        columns = [coarse.masked_fill(column[:, None] != self.owner, -torch.inf).argmax(1) for column in owners.T]
        return torch.stack(columns, dim=1)

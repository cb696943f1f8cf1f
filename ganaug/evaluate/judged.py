"""The synthetic images that are judged, and the real images of patients that their generator saw or did not see."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.samples import IndexedImages
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.metrics.metric import Features
from ganaug.evaluate.scores import ImageScore


@dataclass(frozen=True)
class ImageSet:
    """Images of one origin; `positions` below are places in this set, 0 to n − 1."""

    images: IndexedImages  # a file's, read as they are asked for
    indices: NDArray[np.int64]  # [n], where the images of this set are in `images`
    label: NDArray[np.int64]  # [n]
    group: NDArray[np.str_]  # [n], the patient of each; synthetic images have none: empty text

    def __len__(self) -> int:
        return len(self.indices)

    def pixels(self, positions: NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
        """Images u8 [m,H,W,3] at these positions, by default all of them."""
        chosen = self.indices if positions is None else self.indices[positions]
        return np.asarray(self.images[chosen])

    def evenly(self, most: int) -> "ImageSet":
        """At most so many of the images, at equal distances in their order."""
        kept = np.unique(np.linspace(0, len(self) - 1, min(most, len(self))).astype(np.int64))
        return ImageSet(self.images, self.indices[kept], self.label[kept], self.group[kept])

    def of_class(self, label: int) -> NDArray[np.int64]:
        """Positions of the images of a class, [m]."""
        return np.flatnonzero(self.label == label)

    def counts(self, num_classes: int) -> NDArray[np.int64]:
        """Images of each class, [K]."""
        return np.bincount(self.label, minlength=num_classes)


@dataclass(frozen=True)
class Judged:
    """The synthetic images of one generator, and the real ones that they are compared with."""

    train: ImageSet  # of the patients that the generator saw
    held_out: ImageSet  # of patients that it did not see; empty where the fold has none
    synthetic: ImageSet
    class_names: tuple[str, ...]
    held_out_part: str  # of which patients `held_out` is, in words: validation patients


@dataclass(frozen=True)
class Embedded:
    """The features of the three sets by one extractor, a row per image of the set, in its order."""

    extractor: Extractor
    train: Features  # [N,D]
    held_out: Features  # [H,D]
    synthetic: Features  # [M,D]

    def scaled(self) -> "Embedded":
        """The same divided by the extractor's `feature_scale` of the training images."""
        scale = self.extractor.feature_scale(self.train)
        return Embedded(self.extractor, self.train / scale, self.held_out / scale, self.synthetic / scale)


@dataclass(frozen=True)
class Finding:
    """A conclusion in one sentence, for a person."""

    question: str  # of `ganaug.evaluate.metrics.metric.QUESTIONS`
    class_name: str  # or ALL
    sentence: str  # with the figures it rests on
    is_alarm: bool  # whether it speaks against the generator
    todo: str = ""  # what to change, in the imperative

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {"question": self.question, "class": self.class_name, "finding": self.sentence,
                "is_alarm": self.is_alarm, "todo": self.todo}  # fmt: skip


@dataclass(frozen=True)
class Exhibit:
    """A picture on the page."""

    question: str
    title: str
    caption: str  # what is seen and how it is read
    uri: str  # the picture as a data URI; no picture of a patient's name


@dataclass(frozen=True)
class Chapter:
    """What one room found: rows for the table, sentences for a person, pictures for the page."""

    scores: tuple[ImageScore, ...] = ()
    findings: tuple[Finding, ...] = ()
    exhibits: tuple[Exhibit, ...] = ()

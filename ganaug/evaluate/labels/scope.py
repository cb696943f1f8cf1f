"""The classes that a question can be asked about, and the reason for each that it cannot."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ganaug.evaluate.judged import Embedded, ImageSet, Judged
from ganaug.evaluate.labels.linear import Labelled
from ganaug.evaluate.metrics.metric import Features

MIN_IMAGES = 8  # of a class in each set, our choice: below, a fraction says little
SAME = 1e-3  # of a feature's standard deviation over real images: what repeated images differ by at most
MIN_PATIENTS = 2  # of a class on each real side: one patient's class cannot be separated from the patient


@dataclass(frozen=True)
class Scope:
    """The images of the classes that can be judged, their labels being positions in `class_names`."""

    train: Labelled
    held_out: Labelled
    synthetic: Labelled
    class_names: tuple[str, ...]
    missing: dict[str, str]  # the other classes: what they lack

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def reason(self) -> str:
        """Why nothing can be judged; empty where it can."""
        if self.num_classes >= 2:
            return ""
        lacks = [f"{name}: {lack}" for name, lack in self.missing.items()]
        return "; ".join(["it takes two classes that can be judged", *lacks])

    @property
    def note(self) -> str:
        """Which classes the figures over all classes leave out."""
        return f"without {', '.join(self.missing)}, see there" if self.missing else ""


def scope_of(judged: Judged, embedded: Embedded) -> Scope:
    """The classes that have enough images and patients in all three sets, and synthetic images that are not alike."""
    missing, alike = {}, alike_classes(judged, embedded)
    for label, name in enumerate(judged.class_names):
        lack = _lack(judged, label) or alike.get(label, "")
        if lack:
            missing[name] = lack
    kept = np.array([k for k, name in enumerate(judged.class_names) if name not in missing], np.int64)
    sets = (
        (judged.train, embedded.train),
        (judged.held_out, embedded.held_out),
        (judged.synthetic, embedded.synthetic),
    )
    train, held_out, synthetic = (Labelled(rows, of.label, of.group).of_classes(kept) for of, rows in sets)
    return Scope(train, held_out, synthetic, tuple(judged.class_names[k] for k in kept), missing)


def alike_classes(judged: Judged, embedded: Embedded) -> dict[int, str]:
    """The classes whose synthetic images, two at least, all have the same features, which real images have not."""
    spread = embedded.train.std(0)
    alike = {}
    for label in range(len(judged.class_names)):
        own = embedded.synthetic[judged.synthetic.of_class(label)]
        if len(own) > 1 and spread.any() and is_same(own, spread):
            alike[label] = f"all {len(own)} synthetic images are alike"
    return alike


def is_same(features: Features, spread: Features) -> bool:
    """Whether images [n,D] are alike, next to the standard deviations [D] of real ones."""
    return bool((features.max(0) - features.min(0) <= SAME * spread)[spread > 0].all())


def is_finite(embedded: Embedded) -> bool:
    """Whether all features are numbers."""
    sets: tuple[NDArray[np.float64], ...] = (embedded.train, embedded.held_out, embedded.synthetic)
    return all(bool(np.isfinite(features).all()) for features in sets)


def _lack(judged: Judged, label: int) -> str:
    """What a class lacks to be judged; empty where it lacks nothing."""
    for images, kind in ((judged.train, "real training"), (judged.held_out, _kind(judged))):
        num_images, num_patients = len(images.of_class(label)), _num_patients(images, label)
        if num_images < MIN_IMAGES or num_patients < MIN_PATIENTS:
            return (
                f"{num_images} {kind} images of {num_patients} patients; "
                f"it takes {MIN_IMAGES} images of {MIN_PATIENTS} patients"
            )
    num_images = len(judged.synthetic.of_class(label))
    return f"{num_images} synthetic images; it takes {MIN_IMAGES}" if num_images < MIN_IMAGES else ""


def _kind(judged: Judged) -> str:
    """Which held-out images, as an adjective: validation, of "validation patients"."""
    return judged.held_out_part.removesuffix(" patients") or "held-out"


def _num_patients(images: ImageSet, label: int) -> int:
    return len(np.unique(images.group[images.of_class(label)]))

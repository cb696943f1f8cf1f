"""Made-up studies with a known gain, for proving that intervals hold it as often as they say."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ganaug.config.choices import BASELINE, CONTROL, TREATMENT
from ganaug.study.statistics.out_of_fold import OutOfFold

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """How studies come about. Effects are standard deviations on the probit scale, where 0.3 is about ten points."""

    num_patients: int = 45
    num_classes: int = 2
    num_folds: int = 5
    num_seeds: int = 2
    num_generators: int = 1  # of each fold
    accuracy: float = 0.75  # of real images alone
    gain: float = 0.0  # of the treatment, as probability
    fewest_images: int = 4
    most_images: int = 30
    rarest: int | None = None  # patients of the last class; None: as many as of the others
    patient: float = 0.6  # how much patients differ, under all arms alike
    patient_arm: float = 0.15  # how much the gain differs between patients
    run: float = 0.1  # how lucky a training run is, each arm by itself
    patient_run: float = 0.2  # how lucky it is with each patient
    luck: float = 0.0  # how lucky a generator is
    same_image: float = 0.5  # correlation of the answers to an image between arms and runs
    training: float = 0.0  # what the training patients of a fold do to the treatment; folds share most of them

    @property
    def variance(self) -> float:
        """Of the effects that arms have in common."""
        return self.patient**2 + self.run**2 + self.patient_run**2

    @property
    def shift(self) -> float:
        """The treatment's gain on the probit scale."""
        more = self.variance + self.patient_arm**2 + self.luck**2 + self.training**2
        treated = ndtri(self.accuracy + self.gain) * (1 + more) ** 0.5
        return float(treated - self.base)

    @property
    def base(self) -> float:
        return float(ndtri(self.accuracy) * (1 + self.variance) ** 0.5)


@dataclass(frozen=True)
class Patients:
    """Whom a study tests, each of one class and in one fold."""

    label: NDArray[np.int64]  # [G]
    fold: NDArray[np.int64]  # [G], from 0 to the world's number of folds
    images: NDArray[np.int64]  # [G], their number


def simulate(world: World, rng: np.random.Generator, patients: Patients | None = None) -> OutOfFold:
    """A study: the counts of real, real-oversampled and real+synthetic, whose true difference is `world.gain`.

    patients: those of a data set in place of the world's.
    """
    patients = patients or draw_patients(world, rng)
    label, fold, images = patients.label, patients.fold, patients.images
    num_patients, num_seeds = len(label), world.num_seeds
    generator = np.arange(num_seeds) % world.num_generators
    patient = np.repeat(np.arange(num_patients), images)
    common = world.base + world.patient * rng.standard_normal(num_patients)
    lucky = world.luck * rng.standard_normal((world.num_generators, world.num_folds))[generator][:, fold]
    treated = world.shift + world.patient_arm * rng.standard_normal(num_patients) + lucky + _taught(world, fold, rng)
    of_image = world.same_image**0.5 * rng.standard_normal(len(patient))
    counts = {}
    for arm in (BASELINE, CONTROL, TREATMENT):
        runs = world.run * rng.standard_normal((num_seeds, world.num_folds))[:, fold]
        effect = common + runs + world.patient_run * rng.standard_normal((num_seeds, num_patients))
        effect = effect + treated if arm == TREATMENT else effect
        own = (1 - world.same_image) ** 0.5 * rng.standard_normal((num_seeds, len(patient)))
        right = of_image + own < effect[:, patient]
        hits = np.stack([np.bincount(patient, of_run, num_patients) for of_run in right]).astype(np.int64)
        counts[arm] = _confusions(hits, images, label, world.num_classes)
    return OutOfFold(counts, fold[None], tuple(generator.tolist()) if world.num_generators > 1 else ())


def draw_patients(world: World, rng: np.random.Generator) -> Patients:
    """Patients of every class, dealt to the folds class by class."""
    label = np.arange(world.num_patients) % world.num_classes
    if world.rarest is not None:
        others = np.arange(world.num_patients - world.rarest) % (world.num_classes - 1)
        label = np.concatenate([others, np.full(world.rarest, world.num_classes - 1)])
    order = np.argsort(label, kind="stable")
    fold = np.empty(len(label), dtype=np.int64)
    fold[order] = (np.arange(len(label)) + rng.integers(world.num_folds)) % world.num_folds
    return Patients(label, fold, rng.integers(world.fewest_images, world.most_images + 1, len(label)))


def _taught(world: World, fold: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """What the training patients of each patient's fold bring, [G]: each patient teaches all folds but its own."""
    worth = rng.standard_normal(len(fold))
    taught = np.array([worth[fold != k].sum() / max((fold != k).sum(), 1) ** 0.5 for k in range(world.num_folds)])
    of_fold: Floats = world.training * taught[fold]
    return of_fold


def _confusions(
    hits: NDArray[np.int64], images: NDArray[np.int64], label: NDArray[np.int64], num_classes: int
) -> NDArray[np.int64]:
    """Counts [R, G, K, K] of `hits` [R, G] out of `images` [G]; what is wrong is taken for the next class."""
    counts = np.zeros((*hits.shape, num_classes, num_classes), dtype=np.int64)
    patients = np.arange(len(label))
    counts[:, patients, label, label] = hits
    counts[:, patients, label, (label + 1) % num_classes] = images - hits
    return counts

"""The paired phantom: tissue and expression of patients drawn from one hidden subtype, each saying half of it.

A subtype is two bits. The tissue shows the first: a patient's images are Benign or Invasive, and with a known
probability they are those of the subtype. Expression shows the second: the means of a few genes differ by a known
effect, all else is noise, and laboratories shift the genes that say nothing. So neither alone can name more than half
of the subtypes, both together nearly all, and `best_accuracy` says how many.

It is made here from a seed, belongs to no patient, needs no download and no citation, and may be used freely (CC0).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ganaug.config import PairedConfig, PhantomConfig, PrepareConfig
from ganaug.data.sources.phantom.draw import SITES, draw_one, draw_patient
from ganaug.data.sources.scans.scan import Drawn, Item, Load, Scan
from ganaug.errors import ConfigError

TISSUES, PROGRAMMES = ("Benign", "Invasive"), ("Low", "High")
SUBTYPES = tuple(tissue + programme for tissue in TISSUES for programme in PROGRAMMES)
_PATIENTS, _GENES, _TISSUE = 1, 2, 3  # spawn keys of the streams; those of the phantom's patients are (0,)


@dataclass(frozen=True)
class Genes:
    """What the genes of one seed are like; every array is f64 [G]."""

    mean: NDArray[np.float64]  # log2(count + 1)
    std: NDArray[np.float64]
    effect: NDArray[np.float64]  # between High and Low, in standard deviations; 0 where the gene says nothing
    batch: NDArray[np.float64]  # f64 [sites,G], the shift by laboratory, in standard deviations


@dataclass(frozen=True)
class BestAccuracy:
    """The fraction of patients whose subtype the best rule names, by what it sees; guessing names a quarter."""

    image: float
    genes: float
    both: float


def best_accuracy(config: PairedConfig) -> BestAccuracy:
    """What no classifier can exceed on unseen patients, however many it has learnt from.

    Tissue is right with probability r; the genes' two means lie δ = effect·√(informative genes) standard deviations
    apart, so the best rule on them is right with probability p = Φ(δ/2). An arm guesses the bit that it does not see:
    r/2 and p/2; both bits are independent, so both arms together reach r·p.
    """
    by_tissue = config.tissue_reliability
    by_genes = NormalDist().cdf(config.effect * sqrt(config.num_informative) / 2)
    return BestAccuracy(by_tissue / 2, by_genes / 2, by_tissue * by_genes)


def draw_genes(config: PairedConfig, seed: int) -> Genes:
    """The genes of a data set; which of them are informative is random, as is which subtype has more of them."""
    rng = np.random.default_rng(np.random.SeedSequence([seed], spawn_key=(_GENES,)))
    is_informative = rng.permutation(config.num_genes) < config.num_informative
    sign = rng.choice([-1.0, 1.0], config.num_genes)
    shift = config.batch_effect * rng.standard_normal((len(SITES), config.num_genes))
    return Genes(
        mean=rng.uniform(6, 12, config.num_genes),
        std=rng.uniform(0.3, 1.0, config.num_genes),
        effect=np.where(is_informative, config.effect * sign, 0.0),
        batch=np.where(is_informative, 0.0, shift),  # the best rule stays the one on the informative genes
    )


def draw_expression(genes: Genes, seed: int, patient: int) -> NDArray[np.float32]:
    """The expression f32 [G] of one patient, log2(count + 1), independent of all others."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, patient], spawn_key=(_PATIENTS,)))
    high = subtype_of(patient) % 2 - 0.5
    scaled = rng.standard_normal(len(genes.mean)) + high * genes.effect + genes.batch[draw_patient(seed, patient).site]
    return np.asarray(np.maximum(genes.mean + genes.std * scaled, 0), np.float32)


def draw_tissue(config: PairedConfig, seed: int, patient: int) -> str:
    """The class of one patient's tissue: that of the subtype, or by bad luck the other one."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, patient], spawn_key=(_TISSUE,)))
    shows_subtype = rng.random() < config.tissue_reliability
    return TISSUES[subtype_of(patient) // 2 if shows_subtype else 1 - subtype_of(patient) // 2]


def subtype_of(patient: int) -> int:
    """The subtype goes round with the patient's number, all else is random."""
    return patient % len(SUBTYPES)


def scan(config: PrepareConfig) -> Scan:
    """List the images of the paired phantom with its table of expression; no image is drawn yet."""
    phantom, paired, seed = config.phantom, config.paired, config.seed
    if seed < 0:
        raise ConfigError(f"phantom seed {seed}", expected="zero or more")
    patients = [f"paired-p{patient:03d}" for patient in range(phantom.num_patients)]
    tissues = [draw_tissue(paired, seed, patient) for patient in range(phantom.num_patients)]
    place_of: dict[str, tuple[int, int]] = {}
    items: list[Item] = []
    for patient, group in enumerate(patients):
        site = f"site-{draw_patient(seed, patient).site}"
        for index in range(phantom.images_per_patient):
            name = f"{group}-{index:03d}"
            place_of[name] = patient, index
            items.append(Item(name, subtype_of(patient), group, name, site=site, um_per_px=phantom.um_per_px))

    def read(items: Sequence[Item]) -> Iterator[tuple[int, Load]]:
        for position, item in enumerate(items):
            patient, index = place_of[item.image_id]
            yield position, partial(_draw, phantom, seed, patient, index, tissues[patient])

    genes, best = draw_genes(paired, seed), best_accuracy(paired)
    return Scan(
        class_names=SUBTYPES,
        items=tuple(items),
        read=read,
        licence="CC0",
        citation="none needed: drawn by ganaug",
        drawn=True,
        notes=(
            f"at best {best.image:.1%} of the patients are classified right from tissue, {best.genes:.1%} from "
            f"expression and {best.both:.1%} from both",
        ),
        tables={
            "expression/values": np.stack([draw_expression(genes, seed, n) for n in range(phantom.num_patients)]),
            "expression/group_id": np.array(patients, dtype=object),
            "expression/genes": np.array([f"GENE{gene:04d}" for gene in range(paired.num_genes)], dtype=object),
        },
    )


def _draw(phantom: PhantomConfig, seed: int, patient: int, index: int, tissue: str) -> Drawn:
    made = draw_one(phantom, seed, patient, index, tissue)
    return Drawn(made.image, made.mask)

"""The schemes by which groups are cut into training, validation and test parts, and what to offer where one fails.

A scheme works on a matrix of images per unit and class. A unit is what stays together: a group, or a whole site.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ganaug.config import MOST_FOLDS, FoldsConfig
from ganaug.data.folds.partition import partition
from ganaug.errors import FoldsError

TRAIN, VAL, TEST = 0, 1, 2
FEWEST = 3  # units of every class: one each to train, to validate and to test


@dataclass(frozen=True)
class Population:
    """The groups of a data set, their images, and what stays together."""

    groups: NDArray[np.str_]  # text [G], sorted
    images: NDArray[np.int64]  # i64 [G,K], labelled images of each group and class
    unit: NDArray[np.int64]  # i64 [G], the unit of each group
    noun: str = "patient"  # what a unit is called

    @property
    def counts(self) -> NDArray[np.int64]:
        """Labelled images of each unit and class, i64 [U,K]."""
        counts = np.zeros((self.unit.max(initial=-1) + 1, self.images.shape[1]), dtype=np.int64)
        np.add.at(counts, self.unit, self.images)
        return counts

    def by_group(self) -> "Population":
        """The same groups, each a unit of its own."""
        return Population(self.groups, self.images, np.arange(len(self.groups)))


def gather(
    labels: NDArray[np.int64], groups: NDArray[np.str_], sites: NDArray[np.str_], num_classes: int, by: str
) -> Population:
    """Count the images of every group; labels i64 [N] (negative: unlabelled), groups and sites text [N].

    By site, a group with images of two sites joins them into one unit. Raises FoldsError where a site is unknown.
    """
    names, row = np.unique(groups, return_inverse=True)
    known = labels >= 0
    cells = np.bincount(row[known] * num_classes + labels[known], minlength=len(names) * num_classes)
    alone = Population(names, cells.reshape(len(names), num_classes), np.arange(len(names)))
    if by == "group":
        return alone
    nowhere = int(np.sum(sites == ""))
    if nowhere:
        raise FoldsError(
            f"{nowhere} of {len(sites)} images have no site",
            expected="the site of every image, as whole sites are kept together",
            todo="say where they come from, or use --fold-by group",
        )
    return replace(alone, unit=_join(row, np.unique(sites, return_inverse=True)[1]), noun="site")


def _join(group: NDArray[np.int64], site: NDArray[np.int64]) -> NDArray[np.int64]:
    """The unit of each group, i64 [G]: groups are together where a chain of shared sites connects them."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    num_groups, num_nodes = group.max() + 1, group.max() + site.max() + 2
    shared = coo_array((np.ones(len(group)), (group, num_groups + site)), shape=(num_nodes, num_nodes))
    component = connected_components(shared, directed=False)[1][:num_groups]
    return np.unique(component, return_inverse=True)[1]


# ---- schemes: counts i64 [U,K] to the role of every unit in every fold, i64 [F,U], or None where none was found ------


def k_fold(counts: NDArray[np.int64], config: FoldsConfig, repeat: int = 0) -> NDArray[np.int64] | None:
    """Every unit is tested once; every part holds every class."""
    num_folds = config.num_folds
    part = partition(counts, num_folds, np.random.default_rng([config.seed, num_folds, repeat]))
    if part is None:
        return None
    fold = np.arange(num_folds)[:, None]
    return np.where(part == fold, TEST, np.where(part == (fold + 1) % num_folds, VAL, TRAIN))


def repeat_k_fold(counts: NDArray[np.int64], config: FoldsConfig) -> NDArray[np.int64] | None:
    """Every unit is tested once a repeat; the first repeat is the k-fold of the same seed."""
    cuts = [k_fold(counts, config, repeat) for repeat in range(config.num_repeats)]
    found = [cut for cut in cuts if cut is not None]
    return np.concatenate(found) if len(found) == len(cuts) else None


def hold_out(counts: NDArray[np.int64], config: FoldsConfig) -> NDArray[np.int64] | None:
    """One fold; each of its parts holds every class."""
    part = _test_val_train(counts, config)
    return None if part is None else np.array([TEST, VAL, TRAIN])[part][None]


def leave_one_out(counts: NDArray[np.int64], config: FoldsConfig) -> NDArray[np.int64] | None:
    """Every unit alone is tested once; the validation and training parts hold every class, whichever unit is taken out.

    Three parts that each hold every class suffice: a unit is taken from one of them, another one validates, and the
    third is in the training part.
    """
    part = _test_val_train(counts, config) if len(counts) <= MOST_FOLDS else None
    if part is None:
        return None
    validates = np.where(part == 0, 1, 0)[:, None]
    roles = np.where(part == validates, VAL, TRAIN)
    np.fill_diagonal(roles, TEST)
    return roles


def _test_val_train(counts: NDArray[np.int64], config: FoldsConfig) -> NDArray[np.int64] | None:
    fraction = 1 / config.num_folds
    rng = np.random.default_rng([config.seed, config.num_folds])
    return partition(counts, 3, rng, (fraction, fraction, 1 - 2 * fraction))


SCHEMES: dict[str, Callable[[NDArray[np.int64], FoldsConfig], NDArray[np.int64] | None]] = {
    "k-fold": k_fold,
    "repeated": repeat_k_fold,
    "leave-one-out": leave_one_out,
    "hold-out": hold_out,
}
RULES = {
    "k-fold": "fold k tests part k of {folds} even parts, validates on part k + 1 and trains on the rest",
    "repeated": "each of {repeats} repeats divides the {noun}s again into {folds} even parts; fold r * {folds} + k "
    "tests part k of repeat r, validates on part k + 1 and trains on the rest",
    "leave-one-out": "fold k tests {noun} k alone, validates on about 1/{folds} of the images and trains on the rest",
    "hold-out": "about 1/{folds} of the images test, as many validate and the rest train",
}

_TOGETHER = "; all patients of one site stay together"


def rule_of(config: FoldsConfig) -> str:
    """What the folds are, in words, for a reviewer."""
    rule = RULES[config.scheme].format(folds=config.num_folds, repeats=config.num_repeats, noun=_noun(config))
    return rule + kept_together(config)


def is_rule(text: str, scheme: str) -> bool:
    """Whether the text is what `rule_of` says for some folds of this scheme, and so holds no word of a user's."""
    parts = re.split(r"\{(\w+)\}", RULES[scheme]) if scheme in RULES else []
    values = {"folds": r"\d+", "repeats": r"\d+", "noun": "(patient|site)"}
    pattern = "".join(values[part] if place % 2 else re.escape(part) for place, part in enumerate(parts))
    return bool(parts) and re.fullmatch(f"{pattern}({re.escape(_TOGETHER)})?", text, re.ASCII) is not None


def kept_together(config: FoldsConfig) -> str:
    return _TOGETHER if config.by == "site" else ""


def _noun(config: FoldsConfig) -> str:
    return "site" if config.by == "site" else "patient"


# ---- where a scheme fails --------------------------------------------------------------------------------------------


def cut(
    population: Population, class_names: Sequence[str], config: FoldsConfig, suggestion: str = ""
) -> NDArray[np.int64]:
    """The role of every unit in every fold, i64 [F,U].

    Raises FoldsError with the arithmetic and with options that do work; `suggestion` is one more to offer.
    """
    roles = SCHEMES[config.scheme](population.counts, config)
    if roles is not None:
        return roles
    seen, expected = _arithmetic(population, class_names, config)
    own, others = _offers(population, class_names, config)
    offers = [*own, *([suggestion] if suggestion else []), *others]
    raise FoldsError(
        seen, expected=expected, todo="use " + ", or ".join(offers) if offers else "bring images of more patients"
    )


def _arithmetic(population: Population, class_names: Sequence[str], config: FoldsConfig) -> tuple[str, str]:
    """What was seen and what was expected."""
    counts, noun = population.counts, population.noun
    if config.scheme == "leave-one-out" and len(counts) > MOST_FOLDS:
        return (
            f"{len(counts)} {noun}s make {len(counts)} folds, each with a generator of its own",
            f"at most {MOST_FOLDS} {noun}s for leave-one-out",
        )
    by_parts = config.scheme in ("k-fold", "repeated")
    num_parts = config.num_folds if by_parts else FEWEST
    held_by = dict(zip(class_names, (counts > 0).sum(axis=0).tolist()))
    short = [f"{name} has {held} {noun}{'s' * (held != 1)}" for name, held in held_by.items() if held < num_parts]
    seen = ", ".join(short) or f"no cut into {num_parts} parts was found in which every part holds every class"
    if not by_parts:
        return seen, f"at least {FEWEST} {noun}s of every class, to train, to validate and to test"
    expected = f"at least {num_parts} {noun}s of every class for {num_parts} folds"
    rarest = min(held_by, key=held_by.__getitem__)
    most = held_by[rarest]
    at_most = f" ({rarest}: at most {most} fold{'s' * (most != 1)} can test it)" if 0 < most < num_parts else ""
    return seen, expected + at_most


def _offers(population: Population, class_names: Sequence[str], config: FoldsConfig) -> tuple[list[str], list[str]]:
    """Options that do work, each tried on the groups: within the scheme, and in other schemes."""
    counts = population.counts
    held_by = (counts > 0).sum(axis=0)
    fewest_folds, own = FEWEST, [(config.num_folds, FEWEST)]
    if config.scheme in ("k-fold", "repeated"):  # fewer folds, fewer classes, or fewer of both
        own = [(config.num_folds - 1, 0), (config.num_folds, config.num_folds), (config.num_folds - 1, FEWEST)]
    else:
        fewest_folds = config.num_folds  # their number of parts does not depend on it
    offers = []
    for folds, fewest in own:
        kept = held_by >= fewest
        candidates = (replace(config, num_folds=number) for number in range(folds, fewest_folds - 1, -1))
        possible = next((change for change in candidates if kept.sum() > 1 and _works(counts[:, kept], change)), None)
        if possible is not None:
            excluded = [f"--exclude-class {name}" for name, keep in zip(class_names, kept) if not keep]
            offers.append(" ".join([f"--folds {possible.num_folds}", *excluded]))
    others = [
        f"--scheme {scheme}"
        for scheme in ("k-fold", "hold-out", "leave-one-out")
        if scheme != config.scheme and _works(counts, replace(config, scheme=scheme))
    ]
    if population.noun == "site" and _works(population.by_group().counts, config):
        others.append("--fold-by group")
    return list(dict.fromkeys(offers)), others


def _works(counts: NDArray[np.int64], config: FoldsConfig) -> bool:
    return SCHEMES[config.scheme](counts[counts.any(axis=1)], config) is not None

"""Where the patients do not allow the folds: the arithmetic, and offers that work."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ganaug.config import FoldsConfig
from ganaug.data.folds import schemes
from ganaug.data.folds.folds import check_feasible
from ganaug.errors import FoldsError

FIVE = FoldsConfig(5)
SCHEMES = tuple(schemes.SCHEMES)


def check(patients: dict[str, int], config: FoldsConfig = FIVE, suggestion: str = "", per_site: int = 1) -> str:
    """The message about classes that have so many patients of one image each, some of them in one laboratory."""
    labels = np.repeat(np.arange(len(patients)), list(patients.values()))
    groups = np.array([f"p{index}" for index in range(len(labels))])
    sites = np.array([f"s{label}-{index // per_site}" for index, label in enumerate(labels)])
    with pytest.raises(FoldsError) as error:
        check_feasible(labels, groups, sites, list(patients), config, suggestion=suggestion)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_error_shows_the_arithmetic_and_offers_only_what_works() -> None:
    message = check({"adenosis": 2, "fibroma": 7, "phyllodes": 3, "ductal": 38}, suggestion="--task binary")
    assert message == (
        "adenosis has 2 patients, phyllodes has 3 patients; expected at least 5 patients of every class for 5 folds "
        "(adenosis: at most 2 folds can test it); "
        "use --folds 5 --exclude-class adenosis --exclude-class phyllodes, or --folds 3 --exclude-class adenosis, "
        "or --task binary"
    )


def test_fewer_folds_and_other_schemes_are_offered_where_they_work_for_all() -> None:
    message = check({"a": 4, "b": 9})
    assert message.endswith("use --folds 4, or --scheme hold-out, or --scheme leave-one-out")


@pytest.mark.parametrize("scheme", ["hold-out", "leave-one-out"])
def test_two_patients_are_too_few_for_any_scheme(scheme: str) -> None:
    assert check({"a": 2, "b": 9, "c": 9}, FoldsConfig(scheme=scheme)) == (
        "a has 2 patients; expected at least 3 patients of every class, to train, to validate and to test; "
        "use --folds 5 --exclude-class a"
    )


def test_too_many_patients_for_leave_one_out_are_reported_as_folds() -> None:
    assert check({"a": 300, "b": 212}, FoldsConfig(scheme="leave-one-out")) == (
        "512 patients make 512 folds, each with a generator of its own; expected at most 500 patients for "
        "leave-one-out; use --scheme k-fold, or --scheme hold-out"
    )


def test_too_few_sites_are_reported_as_sites_and_patients_offered() -> None:
    assert check({"a": 8, "b": 8}, FoldsConfig(by="site"), per_site=4) == (
        "a has 2 sites, b has 2 sites; expected at least 5 sites of every class for 5 folds "
        "(a: at most 2 folds can test it); use --fold-by group"
    )


def taken(offer: str, labels: NDArray[np.int64], config: FoldsConfig) -> tuple[NDArray[np.bool_], FoldsConfig]:
    """Which images stay, and the options, where a user follows an offer such as `--folds 3 --exclude-class a`."""
    words, keep = offer.split(), np.ones(len(labels), dtype=bool)
    for name, value in zip(words[::2], words[1::2], strict=True):
        if name == "--exclude-class":
            keep &= labels != "abcd".index(value)
        else:
            option = {"--folds": "num_folds", "--scheme": "scheme", "--fold-by": "by"}[name]
            change: dict[str, Any] = {option: int(value) if option == "num_folds" else value}
            config = replace(config, **change)
    return keep, config


def test_whatever_is_offered_works() -> None:
    rng, kinds = np.random.default_rng(0), set()
    for trial in range(120):
        patient_class = np.repeat(np.arange(4), rng.integers(2, 8, 4))
        patient = np.repeat(np.arange(len(patient_class)), 3)
        astray = rng.random(len(patient)) < 0.2 * (trial % 2)  # every other time some patients have several classes
        labels = np.where(astray, rng.integers(4, size=len(patient)), patient_class[patient])
        groups, sites = patient.astype(str), (patient // 2).astype(str)
        config = FoldsConfig(5, trial, SCHEMES[trial % 4], by="site" if trial % 3 == 0 else "group")
        try:
            check_feasible(labels, groups, sites, "abcd", config)
        except FoldsError as error:
            for offer in filter(None, str(error).partition("; use ")[2].split(", or ")):
                keep, changed = taken(offer, labels, config)
                kinds.add(offer.split()[0 if "--exclude" not in offer else 2])
                stay, labels_left = np.unique(labels[keep], return_inverse=True)
                check_feasible(labels_left, groups[keep], sites[keep], ["abcd"[k] for k in stay], changed)
    assert kinds == {"--folds", "--exclude-class", "--scheme", "--fold-by"}


def test_groups_that_cannot_be_cut_are_refused_even_if_each_class_has_enough() -> None:
    # Four groups that each lack one of four classes: three groups for each class, but never three disjoint covers.
    labels, groups = zip(*[(label, f"p{group}") for group in range(4) for label in range(4) if label != group])
    with pytest.raises(FoldsError, match="no cut into 3 parts"):
        check_feasible(np.array(labels), np.array(groups), np.array(groups), "abcd", FoldsConfig(3))

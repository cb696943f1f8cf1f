"""What each arm trains on, and that arms differ by nothing else."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ganaug.config import DEFAULT_ARMS, StudyConfig
from ganaug.config.choices import EXTERNAL, FILTERED, LEAKY, ORACLE
from ganaug.data.mixture import Mixture
from ganaug.errors import ConfigError, DataError, LeakError
from ganaug.study.admission.admit import design_study
from ganaug.study.arms.compose import Context
from ganaug.study.arms.names import name_arms
from ganaug.study.arms.registry import ARMS, find_arm
from ganaug.study.cells import compose
from ganaug.study.design import fit_config_of, plan_cells, seeds_of

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World


TRIED_ALONE = (FILTERED, ORACLE, EXTERNAL, LEAKY)  # as they need a filter, a fraction, a file or a leak audit


@pytest.fixture
def mixtures(world: "World") -> dict[str, Mixture]:
    arms = (*(arm for arm in ARMS if arm not in TRIED_ALONE), "real+synthetic@0.5", "real-oversampled@2")
    config = StudyConfig(
        classifiers=("dalaresnet50_small",), shortcuts=(), arms=arms, seeds=(0,), folds=(0,), ratio=1.5
    )
    design = world.design(config)
    cells = [cell for cell in plan_cells(design) if cell.classifier not in config.shortcuts]
    return {cell.arm: compose(world.dataset, design, cell) for cell in cells}


def test_a_ratio_that_adds_no_image_of_a_class_is_refused_before_a_cell(world: "World") -> None:
    config = StudyConfig(classifiers=("dalaresnet50_small",), shortcuts=(), seeds=(0,), folds=(0,), ratio=0.01)
    with pytest.raises(ConfigError, match=r"--ratio 0\.01 adds no image of Benign, Malignant in fold 0"):
        world.design(config)


def test_control_has_the_class_counts_of_the_treatment(mixtures: dict[str, Mixture]) -> None:
    counts = {arm: np.bincount(mixture.labels).tolist() for arm, mixture in mixtures.items()}
    assert counts["real"] == [8, 8]
    assert counts["real-oversampled"] == counts["real+synthetic"] == [20, 20]
    assert counts["synthetic-only"] == [12, 12]
    assert counts["real-weighted"] == counts["real-classical"] == [8, 8]
    assert counts["real+synthetic-balanced"] == [20, 20]
    assert counts["real+synthetic@0.5"] == [12, 12]
    assert counts["real-oversampled@2"] == [24, 24]


def test_balancing_arms_give_every_class_as_many_images(world: "World") -> None:
    train = world.dataset.train(0)
    label = world.dataset.table.label[train]
    fewer = np.concatenate([train[label == 0][:3], train[label == 1]])
    design = world.design(StudyConfig(classifiers=("dalaresnet50_small",), shortcuts=(), seeds=(0,), folds=(0,)))
    context = Context(world.dataset, fewer, design.supply_of(0, 0), 1.0, np.random.default_rng(0))
    assert np.bincount(ARMS["real"].compose(context).labels).tolist() == [3, 8]
    assert np.bincount(ARMS["real-weighted"].compose(context).labels).tolist() == [8, 8]
    balanced = ARMS["real+synthetic-balanced"].compose(context)
    assert np.bincount(balanced.labels).tolist() == [14, 14]
    assert (balanced.source == 0).sum() == 11


def test_shuffled_images_are_those_of_the_treatment_with_labels_that_say_nothing(mixtures: dict[str, Mixture]) -> None:
    shuffled, treated = mixtures["real+shuffled-synthetic"], mixtures["real+synthetic"]
    assert shuffled.index.tolist() == treated.index.tolist()
    drawn = shuffled.source == 1
    assert (shuffled.labels[~drawn] == treated.labels[~drawn]).all()
    assert sorted(shuffled.labels[drawn]) == sorted(treated.labels[drawn])
    assert 0.2 < (shuffled.labels[drawn] == treated.labels[drawn]).mean() < 0.8


@pytest.mark.parametrize(
    "name", ["fake", "real@0.5", "real+synthetic@", "real+synthetic@0", "real+synthetic@nan", "real+synthetic@0.50"]
)
def test_a_name_that_is_no_arm_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="unknown arm"):
        find_arm(name)


def test_a_ratio_of_its_own_is_not_that_of_the_study(world: "World") -> None:
    arms = ("real", "real-oversampled", "real+synthetic", "real+synthetic@0.5")
    digests = []
    for ratio in (1.0, 1.5):
        config = StudyConfig(
            classifiers=("dalaresnet50_small",), shortcuts=(), arms=arms, seeds=(0,), folds=(0,), ratio=ratio
        )
        design = design_study(world.workspace, world.dataset, [world.supply(0)], config)
        cells = [cell for cell in plan_cells(design) if cell.classifier not in config.shortcuts]
        digests.append({cell.arm: cell.digest for cell in cells})
    same = {arm for arm in arms if digests[0][arm] == digests[1][arm]}
    assert same == {"real", "real+synthetic@0.5"}


def test_classical_augmentation_of_an_arm_is_its_own(world: "World") -> None:
    config = StudyConfig(arms=tuple(ARMS))
    level = {arm: fit_config_of(config, 0, 0, arm=arm).classical_augmentation for arm in ARMS}
    assert {arm for arm, own in level.items() if own != "standard"} == {"real-classical"}


def test_control_holds_real_training_images_alone_and_evenly(world: "World", mixtures: dict[str, Mixture]) -> None:
    times = np.bincount(mixtures["real-oversampled"].index)[world.dataset.train(0)]
    assert times.sum() == 40
    assert set(times.tolist()) == {2, 3}


def test_synthetic_images_are_drawn_once_and_alike_for_both_arms(mixtures: dict[str, Mixture]) -> None:
    both, alone = mixtures["real+synthetic"], mixtures["synthetic-only"]
    drawn = both.index[both.source == 1]
    assert len(set(drawn.tolist())) == len(drawn) == 24
    assert drawn.tolist() == alone.index.tolist()


def test_labels_belong_to_the_images_that_are_read(mixtures: dict[str, Mixture]) -> None:
    assert len(mixtures) == len(ARMS) - len(TRIED_ALONE) + 2
    for arm, mixture in mixtures.items():
        if arm == "real+shuffled-synthetic":
            continue
        assert len(mixture) in (16, 24, 40, 48)
        images = mixture[np.arange(len(mixture))].astype(float)
        assert ((images[..., 2].mean((1, 2)) > images[..., 0].mean((1, 2))) == (mixture.labels == 1)).all()


def test_no_arm_of_a_fold_reads_a_held_out_image(world: "World", mixtures: dict[str, Mixture]) -> None:
    held_out = set(world.dataset.val(0).tolist()) | set(world.dataset.test(0).tolist())
    assert len(held_out) == len(world.dataset.val(0)) + len(world.dataset.test(0)) > 0
    for arm in ("real", "real-oversampled"):
        assert len(mixtures[arm].index) > 0
        assert not held_out & set(mixtures[arm].index.tolist())


def test_seeds_depend_on_fold_and_seed_alone_and_differ() -> None:
    drawn = [seeds_of(fold, seed) for fold in range(3) for seed in range(3)]
    assert len(drawn) == len({seeds.weights for seeds in drawn}) == 9
    assert seeds_of(1, 2) == seeds_of(1, 2) != seeds_of(2, 1)


# ---- fractions, filters and leaks ------------------------------------------------------------------------------------


def compose_all(world: "World", config: StudyConfig) -> dict[str, Mixture]:
    design = world.design(config)
    return {cell.arm: compose(world.dataset, design, cell) for cell in plan_cells(design) if cell.fold == 0}


def quick(arms: tuple[str, ...], **options: Any) -> StudyConfig:
    return StudyConfig(classifiers=("dalaresnet50_small",), shortcuts=(), seeds=(0,), arms=arms, **options)


def test_the_arms_of_a_fraction_hold_the_same_real_images_and_the_oracle_others_in_addition(world: "World") -> None:
    arms = name_arms((*DEFAULT_ARMS, "real+more-real/0.5"), (0.5, 0.25))
    mixtures = compose_all(world, quick(arms, folds=(0,)))
    assert np.bincount(mixtures["real/0.5"].labels).tolist() == [4, 4]
    assert np.bincount(mixtures["real+synthetic/0.5"].labels).tolist() == [8, 8]
    half = mixtures["real/0.5"].index
    for arm in ("real-oversampled/0.5", "real+synthetic/0.5", "real+more-real/0.5"):
        real = mixtures[arm].index[mixtures[arm].source == 0]
        assert set(real.tolist()) == set(half.tolist()), arm
    oracle = mixtures["real+more-real/0.5"]
    added = oracle.index[oracle.source == 1]
    assert not set(added.tolist()) & set(half.tolist())
    assert set(added.tolist()) <= set(world.dataset.train(0).tolist())
    assert set(mixtures["real/0.25"].index.tolist()) < set(half.tolist())


def test_an_oracle_without_real_images_to_spare_is_refused_before_a_cell(world: "World") -> None:
    with pytest.raises(DataError, match=r"real\+more-real in fold 0: 0 real images of Benign are held back"):
        world.design(quick((*DEFAULT_ARMS, "real+more-real"), folds=(0,)))


def test_a_fraction_without_its_baseline_is_refused(world: "World") -> None:
    with pytest.raises(ConfigError, match=r"expected real/0\.5 among them"):
        world.design(quick((*DEFAULT_ARMS, "real+synthetic/0.5"), folds=(0,)))


def test_a_leaky_arm_is_refused_unless_a_leak_audit_asks_for_it(world: "World") -> None:
    arms = name_arms(DEFAULT_ARMS, leak_audit=True)
    with pytest.raises(LeakError, match=r"add --leak-audit"):
        world.design(quick(arms))
    with pytest.raises(ConfigError, match="study more folds"):
        world.design(quick(arms, leak_audit=True, folds=(0,)))


def test_a_leak_audit_draws_from_a_generator_that_knows_patients_under_test(world: "World") -> None:
    config = quick(name_arms(DEFAULT_ARMS, leak_audit=True), leak_audit=True)
    design = world.design(config)
    leaky = design.leaky[0, 0]
    tested = set(map(world.dataset.table.patient_digest, world.dataset.folds.test_groups(0)))
    assert leaky.num_known == len(tested & set(leaky.supply.provenance.groups_seen)) > 0
    assert leaky.supply.fold != 0
    mixture = compose_all(world, config)["real+leaky-synthetic"]
    assert [getattr(source, "path", None) for source in mixture.sources][1] == leaky.supply.synthetic


def test_a_filtered_arm_holds_accepted_images_only(world: "World") -> None:
    config = quick((*DEFAULT_ARMS, "real+synthetic-filtered"), folds=(0,))
    design = world.design(config)
    accepted = np.arange(60) % 3 > 0
    supplies = {0: tuple(replace(supply, accepted=accepted) for supply in design.supplies[0])}
    filtered = replace(design, supplies=supplies)
    (cell,) = [cell for cell in plan_cells(filtered) if cell.arm == "real+synthetic-filtered"]
    mixture = compose(world.dataset, filtered, cell)
    assert accepted[mixture.index[mixture.source == 1]].all()
    (other,) = [cell for cell in plan_cells(design) if cell.arm == "real+synthetic"]
    assert not accepted[compose(world.dataset, design, other).index[-16:]].all()


def test_the_oracle_takes_half_of_an_odd_number_of_images(world: "World") -> None:
    design, train = world.design(quick(DEFAULT_ARMS, folds=(0,))), world.dataset.train(0)
    label = world.dataset.table.label[train]
    kept, rest = (
        np.concatenate([train[label == k][part] for k in range(2)]) for part in (slice(0, 4), slice(4, 7))
    )  # four and three of each class
    supply = design.supply_of(0, 0)
    context = Context(world.dataset, kept, supply, 1.0, np.random.default_rng(0), rest)
    assert sorted(ARMS[ORACLE].compose(context).index) == sorted([*kept, *rest])
    fewer = Context(world.dataset, kept, supply, 1.0, np.random.default_rng(0), rest[[0, 1, 3, 4]])
    with pytest.raises(DataError, match=r"2 real images of Benign are held back; expected at least 4.*/0.5"):
        ARMS[ORACLE].compose(fewer)

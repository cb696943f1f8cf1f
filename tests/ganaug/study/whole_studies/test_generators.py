"""Several generators serve a fold, one for each seed in turn, and are found, trained and refused as such."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ganaug.config import Compute, GanConfig, NetworkConfig, StudyConfig, SynthesisConfig
from ganaug.data.dataset import open_dataset
from ganaug.errors import ConfigError, WorkspaceError
from ganaug.generate.find import find_generators, siblings_of
from ganaug.generate.supplies import Supply, supplies_for
from ganaug.provenance import digest_of
from ganaug.study.admission.admit import design_study
from ganaug.study.design import plan_cells
from ganaug.study.plan.cost import plan_study
from ganaug.study.request import MissingConfig, StudyRequest, run_study
from ganaug.train.loop import train_gan
from ganaug.train.task import plan_training
from ganaug.workspace import GanRun, Workspace

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World

FOLD = 2
GAN = GanConfig(NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16), total_kimg=0.016, batch=8)


def two_of_each_fold(world: "World") -> list[Supply]:
    """Synthetic files of two generators for every fold."""
    supplies = []
    for fold in range(3):
        for generator in range(2):
            record = replace(world.provenance(fold), generator=digest_of(["weights", fold, generator]))
            supplies.append(world.supply(fold, world.synthesize(fold, record, seed=generator)))
    return supplies


def test_seeds_take_the_generators_of_their_fold_in_turn(world: "World", quick: StudyConfig) -> None:
    config = replace(quick, seeds=(4, 5, 6), folds=(0, 1, 2))
    design = design_study(world.workspace, world.dataset, two_of_each_fold(world), config)
    assert (design.num_generators, design.generators) == (2, (0, 1, 0))
    for fold in range(3):
        contents = [design.supply_of(fold, seed).provenance.content for seed in config.seeds]
        assert contents[0] == contents[2] != contents[1]


def test_another_generator_changes_the_cells_of_its_own_seeds_alone(world: "World", quick: StudyConfig) -> None:
    config = replace(quick, seeds=(0, 1), folds=(0,))
    supplies = two_of_each_fold(world)[:2]
    record = replace(world.provenance(0), generator=digest_of("a third"))
    third = world.supply(0, world.synthesize(0, record, seed=7))
    first, other = (
        {
            (cell.arm, cell.seed): cell.digest
            for cell in plan_cells(design_study(world.workspace, world.dataset, of_fold, config))
        }
        for of_fold in (supplies, [supplies[0], third])
    )
    changed = {key for key, digest in first.items() if other[key] != digest}
    assert changed == {("real+synthetic", 1), ("synthetic-only", 1)}


def test_report_and_verdict_know_that_each_fold_has_two(world: "World", quick: StudyConfig) -> None:
    config = replace(quick, seeds=(0, 1), folds=(0, 1, 2))
    outcome = world.run(config, two_of_each_fold(world))
    assert not any("one generator serves each fold" in text for text in outcome.verdict.warnings)
    assert "--generators 2" in outcome.study.report.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("chosen", "seeds", "match"),
    [
        ([0, 1, 2], (0, 1), "2 of fold 0, 1 of fold 1"),
        ([0, 1], (0,), "1 seeds"),
        ([0, 0], (0, 1), "of one generator"),
    ],
    ids=["uneven", "more than seeds", "the same twice"],
)
def test_generators_that_cannot_be_told_apart_are_refused(
    world: "World", quick: StudyConfig, chosen: Sequence[int], seeds: tuple[int, ...], match: str
) -> None:
    supplies = two_of_each_fold(world)
    taken = [supplies[index] for index in chosen]
    config = replace(quick, seeds=seeds, folds=tuple(sorted({supply.fold for supply in taken})))
    with pytest.raises(ConfigError, match=match):
        design_study(world.workspace, world.dataset, taken, config)


def test_missing_generators_are_trained_with_seeds_of_their_own_and_found_again(
    trained: GanRun, quick: StudyConfig
) -> None:
    workspace = Workspace(trained.root.parents[1])
    dataset = open_dataset(workspace, "phantom")
    config = replace(quick, folds=None, seeds=(0, 1))
    missing = MissingConfig(GAN, SynthesisConfig(per_class=6))
    request = StudyRequest(dataset, [FOLD], config, missing, num_generators=2)
    assert plan_study(workspace, request, Compute()).generators_to_train == (FOLD, FOLD)
    outcome = run_study(workspace, request, Compute())
    assert outcome is not None
    assert outcome.num_cells == 2 * len(config.arms)
    assert plan_study(workspace, request, Compute()).generators_to_train == ()
    runs = find_generators(workspace, "phantom", FOLD)
    assert [int(run.root.joinpath("config.json").read_text().split('"seed": ')[1].split(",")[0]) for run in runs] == [
        0,
        1,
    ]
    found = supplies_for(workspace, dataset, [FOLD], num_generators=2)
    assert [supply.run.root for supply in found] == [run.root for run in runs]
    assert len(supplies_for(workspace, dataset, [FOLD])) == 1
    again = replace(
        request, missing=None, needs_generators=True, num_generators=3, config=replace(config, seeds=(0, 1, 2))
    )
    with pytest.raises(WorkspaceError, match="2 for fold 2; expected 3"):
        run_study(workspace, again, Compute())


def test_siblings_differ_by_their_seed_alone(trained: GanRun) -> None:
    workspace = Workspace(trained.root.parents[1])
    dataset = open_dataset(workspace, "phantom")
    own = GanConfig(**{**vars(GAN), "seed": 3})
    runs = [train_gan(plan_training(workspace, dataset, FOLD, config), Compute()) for config in (GAN, own)]
    other = train_gan(plan_training(workspace, dataset, FOLD, replace(GAN, batch=4)), Compute())
    everybody = workspace.gans("phantom", FOLD)
    siblings = siblings_of(runs[1], everybody)
    assert [run for run in siblings if run in runs] == runs
    assert other not in siblings
    assert siblings_of(other, everybody) == [other]

"""Arms of a fraction of the real images draw from generators that saw this fraction alone, or the report says so."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ganaug.config import Compute, GanConfig, NetworkConfig, StudyConfig, SynthesisConfig
from ganaug.data.dataset import DataSet
from ganaug.errors import ConfigError, LeakError, WorkspaceError
from ganaug.generate.find import Choice, find_generators
from ganaug.generate.supplies import Supply, supplies_for
from ganaug.generate.synthesize import plan_synthesis, synthesize
from ganaug.provenance import Provenance, digest_of
from ganaug.study.admission.admit import design_study
from ganaug.study.arms.names import name_arms
from ganaug.study.design import plan_cells
from ganaug.study.plan.cost import plan_study
from ganaug.study.request import MissingConfig, StudyRequest, find_supplies, run_study
from ganaug.study.verdict.notes import note_on_fractions
from ganaug.train.loop import train_gan
from ganaug.train.state import resumable_config
from ganaug.train.task import plan_training
from ganaug.workspace import Workspace

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World

FOLD = 2
GAN = GanConfig(NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16), total_kimg=0.016, batch=8)
HALF = replace(GAN, real_fraction=0.5)
MISSING = MissingConfig(GAN, SynthesisConfig(per_class=6))


@pytest.fixture
def halved(quick: StudyConfig) -> StudyConfig:
    """A study of half of the real images, too."""
    return replace(quick, arms=name_arms(quick.arms, (0.5,)))


def record_of(world: "World", fold: int, fraction: float) -> Provenance:
    """That of a generator of the fold that saw this fraction of its real images."""
    seen = world.dataset.table.seen(world.dataset.reduced_to(fraction).train(fold))
    weights = digest_of(["weights", fold, fraction])
    return replace(
        world.provenance(fold),
        groups_seen=seen.groups,
        images_seen=seen.images,
        hashes_seen=seen.hashes,
        generator=weights,
    )


def serve(world: "World", saw: float, serves: float, fold: int = 0) -> Supply:
    """What serves a fraction of a fold, of a generator that saw another one."""
    path = world.synthesize(fold, record_of(world, fold, saw), seed=round(100 * saw))
    return replace(world.supply(fold, path), real_fraction=serves)


def test_a_fraction_of_the_real_images_is_part_of_a_larger_one(dataset: DataSet) -> None:
    quarter, half = dataset.reduced_to(0.25), dataset.reduced_to(0.5)
    assert set(quarter.train(FOLD)) < set(half.train(FOLD)) < set(dataset.train(FOLD))
    assert sorted([*half.train(FOLD), *half.rest(FOLD)]) == sorted(dataset.train(FOLD))
    for part in ("val", "test"):
        assert (getattr(quarter, part)(FOLD) == getattr(dataset, part)(FOLD)).all()
    assert not len(dataset.rest(FOLD))


def test_a_generator_of_a_fraction_is_shown_nothing_else(home: Workspace, dataset: DataSet) -> None:
    run = train_gan(plan_training(home, dataset, FOLD, HALF), Compute())
    record = plan_training(home, dataset, FOLD, HALF).provenance(0.016)
    assert record.seen == dataset.table.seen(dataset.reduced_to(0.5).train(FOLD))
    assert len(record.images_seen) < len(dataset.train(FOLD))
    assert run.root.name != plan_training(home, dataset, FOLD, GAN).run.root.name


def test_states_of_before_there_were_fractions_are_resumed() -> None:
    assert "real_fraction" not in resumable_config(GAN)
    assert resumable_config(HALF)["real_fraction"] == 0.5


def test_a_generator_of_a_fraction_serves_that_fraction_alone(home: Workspace, dataset: DataSet) -> None:
    whole = train_gan(plan_training(home, dataset, FOLD, GAN), Compute())
    half = train_gan(plan_training(home, dataset, FOLD, HALF), Compute())  # configured last
    for run in (whole, half):
        synthesize(plan_synthesis(home, run, MISSING.synthesis))
    assert [run.root for run in find_generators(home, "phantom", FOLD)] == [whole.root]
    assert [run.root for run in find_generators(home, "phantom", FOLD, real_fraction=0.5)] == [half.root]
    for fraction, run in ((1.0, whole), (0.5, half)):
        (supply,) = supplies_for(home, dataset.reduced_to(fraction), [FOLD])
        assert (supply.run.root, supply.real_fraction) == (run.root, fraction)
    with pytest.raises(WorkspaceError, match=r"\(0.5, 1\) than are asked for; .* --real-fraction 0.25"):
        find_generators(home, "phantom", FOLD, real_fraction=0.25)


def test_generators_of_fractions_are_trained_where_they_lack_and_serve_their_arms(
    home: Workspace, dataset: DataSet, halved: StudyConfig
) -> None:
    request = StudyRequest(dataset, [FOLD], replace(halved, folds=None), MISSING)
    assert plan_study(home, request, Compute()).generators_to_train == (FOLD, FOLD)
    notes: list[str] = []
    outcome = run_study(home, request, Compute(), notes.append)
    assert outcome is not None
    assert plan_study(home, request, Compute()).generators_to_train == ()
    assert any(note.startswith("note: 0.5 of the real images of fold 2 is served by") for note in notes)
    assert note_on_fractions([0.5]) not in outcome.verdict.warnings
    page = outcome.study.report.read_text(encoding="utf-8")
    assert "The generators of a fraction saw its real images alone." in page
    assert "For arms of 50 % of the real images as many were trained on these alone for 0.016 thousand images." in page
    assert "2, 50 % of it" in page
    assert outcome.study.data_card.read_text(encoding="utf-8").count("| 2 |") == 2
    design = design_study(home, dataset, find_supplies(home, request), replace(halved, folds=(FOLD,)))
    shown = {f: len(design.supply_of(FOLD, 0, f).provenance.images_seen) for f in (1.0, 0.5)}
    assert shown == {f: len(dataset.reduced_to(f).train(FOLD)) for f in (1.0, 0.5)}


def test_generators_of_whole_folds_serve_a_fraction_where_there_are_no_others_and_the_report_says_so(
    world: "World", halved: StudyConfig
) -> None:
    config = replace(halved, folds=(0, 1, 2))
    outcome = world.run(config)
    assert note_on_fractions([0.5]) in outcome.verdict.warnings
    assert "The generators of 0.50 saw the whole fold" in outcome.study.report.read_text(encoding="utf-8")


def test_a_fraction_that_some_folds_lack_is_served_by_the_whole_of_them(
    home: Workspace, dataset: DataSet, halved: StudyConfig
) -> None:
    for fold, config in ((0, GAN), (FOLD, GAN), (FOLD, HALF)):
        run = train_gan(plan_training(home, dataset, fold, config), Compute())
        synthesize(plan_synthesis(home, run, MISSING.synthesis))
    for folds, fractions in (([FOLD], {1.0, 0.5}), ([0, FOLD], {1.0})):
        request = StudyRequest(dataset, folds, replace(halved, folds=None))
        assert {supply.real_fraction for supply in find_supplies(home, request)} == fractions
        assert plan_study(home, request, Compute()).unserved_fractions == ((0.5,) if fractions == {1.0} else ())


def test_what_a_fraction_leaves_out_is_refused(world: "World", halved: StudyConfig) -> None:
    honest = [serve(world, 1, 1), serve(world, 0.5, 0.5)]
    assert design_study(world.workspace, world.dataset, honest, halved).of_fractions.keys() == {0.5}
    smaller = [honest[0], serve(world, 0.25, 0.5)]
    assert design_study(world.workspace, world.dataset, smaller, halved).of_fractions.keys() == {0.5}
    with pytest.raises(LeakError, match=r"training images of fold 0 that the fraction 0.5 leaves out"):
        design_study(world.workspace, world.dataset, [honest[0], serve(world, 1, 0.5)], halved)


def test_another_generator_of_a_fraction_changes_the_cells_of_that_fraction_alone(
    world: "World", halved: StudyConfig
) -> None:
    whole = serve(world, 1, 1)
    of_whole, of_half = (
        {cell.arm: cell.digest for cell in plan_cells(design_study(world.workspace, world.dataset, supplies, halved))}
        for supplies in ([whole], [whole, serve(world, 0.5, 0.5)])
    )
    assert {arm for arm, digest in of_whole.items() if of_half[arm] != digest} == {"real+synthetic/0.5"}


def test_fractions_have_as_many_generators_as_the_whole(world: "World", halved: StudyConfig) -> None:
    supplies = [serve(world, 1, 1), serve(world, 0.5, 0.5), serve(world, 0.25, 0.5)]
    with pytest.raises(ConfigError, match="equally many for each fold and fraction"):
        design_study(world.workspace, world.dataset, supplies, replace(halved, seeds=(0, 1)))


def test_a_choice_of_a_fraction_that_no_arm_asks_for_is_refused(
    home: Workspace, dataset: DataSet, quick: StudyConfig
) -> None:
    for config in (GAN, HALF):
        run = train_gan(plan_training(home, dataset, FOLD, config), Compute())
        synthesize(plan_synthesis(home, run, MISSING.synthesis))
    request = StudyRequest(dataset, [FOLD], replace(quick, folds=None), choice=Choice((run.root.name,)))
    with pytest.raises(ConfigError, match="a part of the real images, which no arm asks for"):
        find_supplies(home, request)
    asked = replace(request, config=replace(request.config, arms=name_arms(quick.arms, (0.5,))))
    assert [supply.real_fraction for supply in find_supplies(home, asked)] == [1.0, 0.5]

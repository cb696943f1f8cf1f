"""Synthetic files: the counts asked for, the same bytes for the same seed, and the proof of what the generator saw."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import numpy as np
import pytest

from ganaug.checkpoint.snapshot import load_snapshot
from ganaug.config import BREAST_CLASSES, SynthesisConfig
from ganaug.data.dataset import DataSet
from ganaug.data.schema import ImageReader, content_digest, open_images, read_table
from ganaug.errors import ConfigError, WorkspaceError
from ganaug.generate.cost import estimate_cost
from ganaug.generate.sampler import CHUNK
from ganaug.generate.synthesize import plan_synthesis, synthesize
from ganaug.provenance import read_provenance, require_content
from ganaug.workspace import GanRun, Workspace, write_json


def test_every_class_gets_its_count_and_the_file_proves_where_it_comes_from(
    workspace: Workspace, tiny: DataSet, run: GanRun
) -> None:
    path = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=5)))
    table = read_table(path)
    assert table.class_counts().tolist() == [5, 5, 5, 5]
    assert table.class_names == tiny.table.class_names
    record = read_provenance(table.attrs["provenance"], path)
    require_content(record, content_digest(path), path)
    assert set(record.groups_seen) == set(map(tiny.table.patient_digest, tiny.folds.train_groups(2)))
    newest = run.newest_ema()
    assert newest is not None
    assert record.generator == load_snapshot(newest).provenance.content


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(workspace: Workspace, run: GanRun) -> None:
    plan = plan_synthesis(workspace, run, SynthesisConfig(per_class=3))
    first = content_digest(synthesize(plan))
    plan.target.unlink()
    assert content_digest(synthesize(plan)) == first
    other = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=3, seed=1)))
    assert content_digest(other) != content_digest(plan.target)


def test_a_longer_run_begins_with_the_same_images(workspace: Workspace, run: GanRun) -> None:
    few, many = 3, CHUNK + 3
    path = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=few)))
    short = ImageReader(path)[np.arange(few * 4)].reshape(4, few, 16, 16, 3)
    path = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=many)))
    long = ImageReader(path)[np.arange(many * 4)].reshape(4, many, 16, 16, 3)
    assert np.array_equal(short, long[:, :few])


def test_no_two_images_of_a_run_are_the_same(workspace: Workspace, run: GanRun) -> None:
    path = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=2 * CHUNK)))
    assert len(set(read_table(path).sha256.tolist())) == 2 * CHUNK * 4


def test_a_finished_file_is_kept_and_a_corrupt_one_made_again(workspace: Workspace, run: GanRun) -> None:
    plan = plan_synthesis(workspace, run, SynthesisConfig(per_class=2))
    path = synthesize(plan)
    written = path.stat().st_mtime_ns
    synthesize(plan)
    assert path.stat().st_mtime_ns == written
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    synthesize(plan)
    assert len(read_table(path)) == 8


def test_truncation_to_zero_shows_one_centre_per_class(workspace: Workspace, run: GanRun) -> None:
    """With psi = 0 every latent is the mean one; only the noise is left, which is still zero at this age."""
    plan = plan_synthesis(workspace, run, SynthesisConfig(per_class=4, psi=0.0))
    images = ImageReader(synthesize(plan))[np.arange(4)].astype(int)
    untruncated = ImageReader(synthesize(replace(plan, config=SynthesisConfig(per_class=4))))[np.arange(4)].astype(int)
    assert np.ptp(images, axis=0).mean() < np.ptp(untruncated, axis=0).mean()


def test_an_interrupt_leaves_no_file(
    workspace: Workspace, run: GanRun, interrupt: Callable[[], AbstractContextManager[None]]
) -> None:
    plan = plan_synthesis(workspace, run, SynthesisConfig(per_class=2))
    with interrupt():
        synthesize(plan)
    assert list(plan.target.parent.iterdir()) == []


def test_a_generator_that_is_not_finished_is_named(workspace: Workspace) -> None:
    run = workspace.gan("phantom", 0, "12345678")
    write_json(run.config, {})
    with pytest.raises(WorkspaceError, match="has not finished training"):
        plan_synthesis(workspace, run, SynthesisConfig())


def test_masks_are_no_part_of_synthetic_files(workspace: Workspace, run: GanRun) -> None:
    with open_images(synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=2)))) as file:
        assert "mask" not in file
        assert file["position"].shape == (8,)


def test_classes_get_counts_and_truncations_of_their_own(workspace: Workspace, run: GanRun) -> None:
    counts, psi_of = (("Benign", 3), ("Normal", 0)), (("Invasive", 0.3),)
    path = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=2, counts=counts, psi_of=psi_of)))
    assert read_table(path).class_counts().tolist() == [3, 2, 2, 0]
    plain = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=2)))
    truncated = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=2, psi=0.3)))
    images, untouched, at_psi = (ImageReader(file) for file in (path, plain, truncated))
    assert np.array_equal(images[np.array([0, 1, 3, 4])], untouched[np.arange(4)])
    assert np.array_equal(images[np.array([5, 6])], at_psi[np.array([4, 5])])


def test_files_of_other_options_have_other_names(workspace: Workspace, run: GanRun) -> None:
    configs = [
        SynthesisConfig(),
        SynthesisConfig(psi=0.5),
        SynthesisConfig(seed=1),
        SynthesisConfig(truncation="class"),
        SynthesisConfig(psi_of=(("Benign", 0.5),)),
    ]
    targets = [plan_synthesis(workspace, run, config).target for config in configs]
    assert len(set(targets)) == len(configs)
    assert plan_synthesis(workspace, run, SynthesisConfig(per_class=9)).target == targets[0]


def test_an_unknown_class_and_no_image_at_all_are_one_line(workspace: Workspace, run: GanRun) -> None:
    for config in (SynthesisConfig(counts=(("Mars", 1),)), SynthesisConfig(psi_of=(("Mars", 0.5),))):
        with pytest.raises(ConfigError, match=r"Mars.*Benign, InSitu, Invasive, Normal"):
            synthesize(plan_synthesis(workspace, run, config))
    nothing = tuple((name, 0) for name in BREAST_CLASSES)
    with pytest.raises(ConfigError, match="no image of any class"):
        synthesize(plan_synthesis(workspace, run, SynthesisConfig(counts=nothing)))


def test_a_truncated_snapshot_is_one_line(workspace: Workspace, run: GanRun) -> None:
    plan = plan_synthesis(workspace, run, SynthesisConfig(per_class=2))
    plan.snapshot_path.write_bytes(plan.snapshot_path.read_bytes()[:-100])
    with pytest.raises(WorkspaceError, match="truncated"):
        synthesize(plan)


def test_the_cost_is_that_of_what_is_then_made(workspace: Workspace, run: GanRun) -> None:
    plan = plan_synthesis(workspace, run, SynthesisConfig(per_class=40, counts=(("Benign", 3),)))
    cost = estimate_cost(plan)
    assert not plan.target.exists()
    assert cost.counts == {"Benign": 3, "InSitu": 40, "Invasive": 40, "Normal": 40}
    assert 0 < cost.seconds < 60
    assert 0.5 < synthesize(plan).stat().st_size / cost.bytes < 2

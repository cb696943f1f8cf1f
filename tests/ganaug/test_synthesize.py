from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganaug.checkpoint import load_snapshot
from ganaug.config import GanConfig, NetworkConfig, SynthesisConfig
from ganaug.data.dataset import DataSet
from ganaug.data.schema import ImageReader, content_digest, open_images, read_table
from ganaug.errors import WorkspaceError
from ganaug.provenance import read_provenance, require_content
from ganaug.synthesize import CHUNK, export_pngs, plan_synthesis, synthesize
from ganaug.train.loop import train_gan
from ganaug.train.task import plan_training
from ganaug.workspace import GanRun, Workspace, write_json

NETWORK = NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)


@pytest.fixture
def run(workspace: Workspace, tiny: DataSet) -> GanRun:
    return train_gan(plan_training(workspace, tiny, 2, GanConfig(NETWORK, total_kimg=0.016, batch=8)))


def test_every_class_gets_its_count_and_the_file_proves_where_it_comes_from(
    workspace: Workspace, tiny: DataSet, run: GanRun
) -> None:
    path = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=5)))
    table = read_table(path)
    assert table.class_counts().tolist() == [5, 5, 5, 5]
    assert table.class_names == tiny.table.class_names
    record = read_provenance(table.attrs["provenance"], path)
    require_content(record, content_digest(path), path)
    assert set(record.groups_seen) == set(tiny.folds.train_groups(2))
    newest = run.newest_ema()
    assert newest is not None
    assert record.generator == load_snapshot(newest).provenance.content


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(workspace: Workspace, run: GanRun) -> None:
    order = plan_synthesis(workspace, run, SynthesisConfig(per_class=3))
    first = synthesize(order).read_bytes()
    order.target.unlink()
    assert synthesize(order).read_bytes() == first
    other = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=3, seed=1)))
    assert content_digest(other) != content_digest(order.target)


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


def test_a_finished_file_is_kept_and_a_damaged_one_made_anew(workspace: Workspace, run: GanRun) -> None:
    order = plan_synthesis(workspace, run, SynthesisConfig(per_class=2))
    path = synthesize(order)
    written = path.stat().st_mtime_ns
    synthesize(order)
    assert path.stat().st_mtime_ns == written
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    synthesize(order)
    assert len(read_table(path)) == 8


def test_truncation_to_zero_shows_one_centre_a_class(workspace: Workspace, run: GanRun) -> None:
    """With psi = 0 every latent is the mean one; only the noise is left, which is still zero at this age."""
    order = plan_synthesis(workspace, run, SynthesisConfig(per_class=4, psi=0.0))
    images = ImageReader(synthesize(order))[np.arange(4)].astype(int)
    untruncated = ImageReader(synthesize(replace(order, config=SynthesisConfig(per_class=4))))[np.arange(4)].astype(int)
    assert np.ptp(images, axis=0).mean() < np.ptp(untruncated, axis=0).mean()


def test_png_folders_hold_the_same_pixels(workspace: Workspace, run: GanRun, tmp_path: Path) -> None:
    path = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=2)))
    assert export_pngs(path, tmp_path / "png") == 8
    files = sorted((tmp_path / "png" / "Benign").glob("*.png"))
    stored = ImageReader(path)[np.arange(2)]
    assert [np.array_equal(np.asarray(Image.open(file)), image) for file, image in zip(files, stored)] == [True, True]
    assert (tmp_path / "png" / "provenance.json").exists()


def test_an_interrupt_leaves_no_file(workspace: Workspace, run: GanRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(image: np.ndarray) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("ganaug.synthesize.phash", interrupted)
    order = plan_synthesis(workspace, run, SynthesisConfig(per_class=2))
    with pytest.raises(KeyboardInterrupt):
        synthesize(order)
    assert list(order.target.parent.iterdir()) == []


def test_a_generator_that_is_not_finished_is_named(workspace: Workspace) -> None:
    run = workspace.gan("phantom", 0, "12345678")
    write_json(run.config, {})
    with pytest.raises(WorkspaceError, match="has not finished training"):
        plan_synthesis(workspace, run, SynthesisConfig())


def test_masks_are_no_part_of_synthetic_files(workspace: Workspace, run: GanRun) -> None:
    with open_images(synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=2)))) as file:
        assert "mask" not in file
        assert file["seed"].shape == (8,)

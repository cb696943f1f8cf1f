import errno
import json
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganaug.checkpoint.snapshot import load_snapshot
from ganaug.config import BREAST_CLASSES, SynthesisConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.export import EXPORTS, export_pngs, export_synthetic
from ganaug.data.images.png import is_marked_synthetic
from ganaug.data.schema import ImageReader, content_digest, open_images, read_table
from ganaug.data.synthetic import admit_synthetic
from ganaug.data.synthetic_file import Rows
from ganaug.errors import ConfigError, WorkspaceError
from ganaug.generate import synthesize as synthesize_module
from ganaug.generate.sampler import CHUNK
from ganaug.generate.synthesize import Order, estimate, merge_parts, plan_synthesis, synthesize, synthesize_all
from ganaug.parallel.shards import Shard
from ganaug.provenance import read_provenance, require_content
from ganaug.workspace import GanRun, Workspace, atomic_path, open_workspace, read_json, write_json


def interrupted(image: np.ndarray) -> int:
    raise KeyboardInterrupt


@pytest.fixture
def run(trained: GanRun) -> GanRun:
    return trained


@pytest.fixture
def workspace(run: GanRun) -> Workspace:
    return open_workspace(run.root.parents[1])


@pytest.fixture
def tiny(workspace: Workspace) -> DataSet:
    return open_dataset(workspace, "phantom")


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
    order = plan_synthesis(workspace, run, SynthesisConfig(per_class=3))
    first = content_digest(synthesize(order))
    order.target.unlink()
    assert content_digest(synthesize(order)) == first
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
    export_pngs(path, tmp_path / "png")
    files = sorted((tmp_path / "png" / "Benign").glob("*.png"))
    stored = ImageReader(path)[np.arange(2)]
    assert [np.array_equal(np.asarray(Image.open(file)), image) for file, image in zip(files, stored, strict=True)] == [
        True,
        True,
    ]
    assert (tmp_path / "png" / "provenance.json").exists()


def test_an_interrupt_leaves_no_file(workspace: Workspace, run: GanRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganaug.data.synthetic_file.phash", interrupted)
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


# ---- counts and truncation -------------------------------------------------------------------------------------------


def test_classes_get_counts_and_truncations_of_their_own(workspace: Workspace, run: GanRun) -> None:
    counts, psi_of = (("Benign", 3), ("Normal", 0)), (("Invasive", 0.3),)
    path = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=2, counts=counts, psi_of=psi_of)))
    assert read_table(path).class_counts().tolist() == [3, 2, 2, 0]
    plain = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=2)))
    truncated = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=2, psi=0.3)))
    images, untouched, at_psi = (ImageReader(file) for file in (path, plain, truncated))
    assert np.array_equal(images[np.array([0, 1, 3, 4])], untouched[np.arange(4)])
    assert np.array_equal(images[np.array([5, 6])], at_psi[np.array([4, 5])])


def test_files_of_other_options_stand_side_by_side(workspace: Workspace, run: GanRun) -> None:
    options = ({}, {"psi": 0.5}, {"seed": 1}, {"truncation": "class"}, {"psi_of": (("Benign", 0.5),)})
    targets = [plan_synthesis(workspace, run, SynthesisConfig(**option)).target for option in options]
    assert len(set(targets)) == len(options)
    assert plan_synthesis(workspace, run, SynthesisConfig(per_class=9)).target == targets[0]


def test_an_unknown_class_and_no_image_at_all_are_one_line(workspace: Workspace, run: GanRun) -> None:
    for option in ({"counts": (("Mars", 1),)}, {"psi_of": (("Mars", 0.5),)}):
        with pytest.raises(ConfigError, match="the class Mars; expected one of Benign, InSitu, Invasive, Normal"):
            synthesize(plan_synthesis(workspace, run, SynthesisConfig(**option)))
    nothing = tuple((name, 0) for name in BREAST_CLASSES)
    with pytest.raises(ConfigError, match="no image of any class"):
        synthesize(plan_synthesis(workspace, run, SynthesisConfig(counts=nothing)))


def test_a_truncated_snapshot_is_one_line(workspace: Workspace, run: GanRun) -> None:
    order = plan_synthesis(workspace, run, SynthesisConfig(per_class=2))
    order.snapshot_path.write_bytes(order.snapshot_path.read_bytes()[:-100])
    with pytest.raises(WorkspaceError, match="truncated"):
        synthesize(order)


def test_the_plan_counts_what_is_then_made(workspace: Workspace, run: GanRun) -> None:
    order = plan_synthesis(workspace, run, SynthesisConfig(per_class=40, counts=(("Benign", 3),)))
    plan = estimate(order)
    assert not order.target.exists()
    assert plan["counts"] == {"Benign": 3, "InSitu": 40, "Invasive": 40, "Normal": 40}
    assert 0 < plan["seconds"] < 60
    assert 0.5 < synthesize(order).stat().st_size / plan["bytes"] < 2


# ---- shards ----------------------------------------------------------------------------------------------------------

SHARDED = SynthesisConfig(per_class=CHUNK + 3)  # 8 chunks


@pytest.fixture
def whole(workspace: Workspace, run: GanRun) -> tuple[Order, str]:
    """An order, and the digest of what it gives in one piece; the file is removed."""
    order = plan_synthesis(workspace, run, SHARDED)
    digest = content_digest(synthesize(order, batch=CHUNK))
    order.target.unlink()
    return order, digest


@pytest.mark.parametrize("count", [1, 2, 3, 5, 11])
def test_any_number_of_shards_gives_the_same_file(whole: tuple[Order, str], count: int) -> None:
    order, digest = whole
    for index in reversed(range(count)):
        (path,) = synthesize_all([order], shard=Shard(index, count), batch=64)
    assert path == order.target
    assert content_digest(path) == digest
    table = read_table(path)
    assert table.class_counts().tolist() == [CHUNK + 3] * 4
    require_content(read_provenance(table.attrs["provenance"], path), digest, path)
    assert [file.name for file in order.target.parent.iterdir()] == [order.target.name]


def test_processes_of_one_call_give_the_same_file(whole: tuple[Order, str]) -> None:
    order, digest = whole
    assert content_digest(synthesize_all([order], jobs=2)[0]) == digest


def test_a_part_is_itself_admitted_and_is_no_file_of_the_study(
    whole: tuple[Order, str], workspace: Workspace, tiny: DataSet
) -> None:
    (part,) = synthesize_all([whole[0]], shard=Shard(1, 2))
    admit_synthetic(tiny, part)
    assert workspace.synthetics() == []


def test_finished_shards_are_kept_and_torn_ones_made_anew(
    whole: tuple[Order, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    order, digest = whole
    (first,) = synthesize_all([order], shard=Shard(0, 3))
    (second,) = synthesize_all([order], shard=Shard(1, 3))
    made_at = first.stat().st_mtime_ns
    second.write_bytes(second.read_bytes()[:-1000])
    with monkeypatch.context() as killed:
        killed.setattr("ganaug.data.synthetic_file.phash", interrupted)
        with pytest.raises(KeyboardInterrupt):
            synthesize_all([order], shard=Shard(2, 3))
    assert sorted(file.name for file in first.parent.iterdir()) == [first.name, second.name]
    synthesize_all([order], shard=Shard(0, 3))
    assert first.stat().st_mtime_ns == made_at
    assert synthesize_all([order], shard=Shard(2, 3)) != [order.target]  # the torn one is missing
    assert synthesize_all([order], shard=Shard(1, 3)) == [order.target]
    assert content_digest(order.target) == digest


def test_a_shard_of_what_is_there_already_does_nothing(whole: tuple[Order, str]) -> None:
    order, _ = whole
    synthesize(order)
    assert synthesize_all([order], shard=Shard(1, 3)) == [order.target]
    assert not (order.target.parent / "parts").exists()


def test_parts_are_merged_on_request_once_none_is_missing(whole: tuple[Order, str]) -> None:
    order, digest = whole
    with pytest.raises(WorkspaceError, match="there are no parts"):
        merge_parts(order)
    for index in (0, 2):
        synthesize(order, Shard(index, 3))
    with pytest.raises(WorkspaceError, match=r"1 of 3 parts .* expected the parts 1/3"):
        merge_parts(order)
    synthesize(order, Shard(1, 3))
    assert content_digest(merge_parts(order)) == digest


def test_an_equal_run_that_merges_first_leaves_the_other_the_same_file(
    whole: tuple[Order, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whatever moment the other run puts the parts together, and removes them."""
    order, digest = whole
    write_rows, missing_shards = synthesize_module.write_rows, synthesize_module.missing_shards
    moments = []

    def other_merges_first(moment: str) -> None:
        if moment not in moments:
            moments.append(moment)
            merge_parts(order)
            assert content_digest(order.target) == digest

    def written(path: Path, rows: Iterable[Rows], *rest: Any) -> None:
        if path == order.target:
            other_merges_first("before the parts are read")
        write_rows(path, rows, *rest)

    def found_missing(*given: Any) -> list[Shard]:
        missing = missing_shards(*given)
        other_merges_first("after the parts are looked for")
        return missing

    for name, double in (("write_rows", written), ("missing_shards", found_missing)):
        for index in (0, 1):
            synthesize(order, Shard(index, 2))
        with monkeypatch.context() as racing:
            racing.setattr(synthesize_module, name, double)
            assert synthesize_module.merge(order, 2) == order.target
        assert content_digest(order.target) == digest
        assert not (order.target.parent / "parts").exists()
        order.target.unlink()
    assert len(moments) == 2


def test_a_shard_whose_equal_run_has_finished_meanwhile_gives_its_file(
    whole: tuple[Order, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    order, digest = whole
    write_rows = synthesize_module.write_rows

    def swept_away(path: Path, *rest: Any) -> None:
        if path != order.target:
            monkeypatch.setattr(synthesize_module, "write_rows", write_rows)
            synthesize(order)
            raise WorkspaceError(f"{path} cannot be read or written (No such file or directory)")
        write_rows(path, *rest)

    monkeypatch.setattr(synthesize_module, "write_rows", swept_away)
    assert synthesize_all([order], shard=Shard(0, 2)) == [order.target]
    assert content_digest(order.target) == digest


def test_what_another_run_is_writing_is_not_removed_with_the_parts(whole: tuple[Order, str]) -> None:
    order, digest = whole
    for index in (0, 1):
        synthesize(order, Shard(index, 2))
    with atomic_path(order.path(Shard(2, 5))) as part:
        part.write_bytes(b"of other options")
        assert content_digest(merge_parts(order)) == digest
    assert order.path(Shard(2, 5)).read_bytes() == b"of other options"


def test_parts_of_other_options_are_not_merged(whole: tuple[Order, str]) -> None:
    order, _ = whole
    synthesize(order, Shard(0, 2))
    other = replace(order, config=replace(order.config, per_class=5))
    synthesize(other, Shard(1, 2))
    with pytest.raises(WorkspaceError, match=r"made with other options; expected the parts 1/2"):
        merge_parts(order)
    assert not order.target.exists()


# ---- formats ---------------------------------------------------------------------------------------------------------


def test_every_format_holds_the_same_pixels_the_mark_and_the_proof(
    workspace: Workspace, run: GanRun, tmp_path: Path
) -> None:
    path = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=2)))
    stored = ImageReader(path)[np.arange(8)]
    record = read_table(path).attrs["provenance"]
    folder, archive = (export_synthetic(path, kind, tmp_path) for kind in EXPORTS)
    with zipfile.ZipFile(archive) as file:
        pngs = [BytesIO(file.read(name)) for name in sorted(file.namelist()) if name.endswith(".png")]
        labels = json.loads(file.read("dataset.json"))["labels"]
        assert json.loads(file.read("provenance.json")) == record
    assert [label for _, label in labels] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert read_json(folder / "provenance.json") == record
    for images in (pngs, sorted(folder.rglob("*.png"))):
        opened = [Image.open(image) for image in images]
        assert all(is_marked_synthetic(image) for image in opened)
        assert np.array_equal(np.stack([np.asarray(image) for image in opened]), stored)


def test_a_folder_that_holds_something_else_is_left_alone(workspace: Workspace, run: GanRun, tmp_path: Path) -> None:
    path = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=2)))
    export_pngs(path, tmp_path / "png")
    written = (tmp_path / "png").stat().st_mtime_ns
    export_pngs(path, tmp_path / "png")
    assert (tmp_path / "png").stat().st_mtime_ns == written
    other = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=3)))
    with pytest.raises(WorkspaceError, match="holds something else"):
        export_pngs(other, tmp_path / "png")
    assert len(list((tmp_path / "png").rglob("*.png"))) == 8


def test_a_full_disk_leaves_no_half_of_a_folder(
    workspace: Workspace, run: GanRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=2)))

    def full(self: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WorkspaceError, match="the disk is full"):
        export_pngs(path, tmp_path / "out" / "png")
    assert list((tmp_path / "out").iterdir()) == []

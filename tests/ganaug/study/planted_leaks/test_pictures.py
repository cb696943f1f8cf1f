"""Leaks planted as pictures: held-out ones under other names, changed, or among synthetic images; each is refused."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from ganaug.config import FoldsConfig, GanConfig, NetworkConfig, PrepareConfig, SynthesisConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.folds.folds import make_folds, write_folds
from ganaug.data.hdf5.image_writer import writing_images
from ganaug.data.held_out import find_seen, find_shown, held_out
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.synthetic import require_serves
from ganaug.errors import LeakError
from ganaug.generate.supplies import Supply
from ganaug.generate.synthesize import plan_synthesis, synthesize
from ganaug.study.admission.guard import admit
from ganaug.train.task import plan_training
from ganaug.workspace import GanRun, Workspace

Reseal = Callable[..., None]
GAN = GanConfig(NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16), total_kimg=0.016, batch=8)


def other_names(tiny: DataSet, workspace: Workspace) -> DataSet:
    """The same pictures under permuted names, in folds of their own."""
    names = {name: f"other-{name}" for name in tiny.folds.groups}
    table = replace(
        tiny.table,
        group_id=np.array([names[name] for name in tiny.table.group_id.tolist()]),
        sha256=np.array([f"{value[::-1]}" for value in tiny.table.sha256.tolist()]),  # saved again, so other bytes
    )
    with writing_images(workspace.dataset("other"), 16) as writer:
        writer.append(tiny.reader[np.arange(len(table))])
        table = writer.finish(table)
    write_folds(workspace.folds("other"), make_folds(table, FoldsConfig(num_folds=3, seed=5)))
    return open_dataset(workspace, "other")


def test_a_generator_begun_on_the_same_pictures_under_other_names_is_refused(
    tiny: DataSet, workspace: Workspace
) -> None:
    other = other_names(tiny, workspace)
    before = other.table.seen(np.arange(len(other.table)))
    assert not set(before.groups) & set(tiny.table.seen(np.arange(len(tiny.table))).groups)
    task = plan_training(workspace, tiny, 0, GAN)
    honest = task.provenance(1.0).sealed("x")
    require_serves(tiny, 0, honest, "it")
    begun = replace(task, seen_before=replace(before, groups=()), declared=("other.safetensors: a colleague's",))
    assert begun.num_held_out == len(held_out(tiny, 0))
    with pytest.raises(LeakError, match=r"saw 32 pictures of the validation or test part .* under other names"):
        require_serves(tiny, 0, begun.provenance(1.0).sealed("x"), "it")


def test_pictures_of_another_phantom_are_no_pictures_of_this_one(tiny: DataSet, workspace: Workspace) -> None:
    config = PrepareConfig("phantom", name="second", resolution_px=16, seed=1, folds=FoldsConfig(num_folds=3))
    config = replace(config, phantom=replace(config.phantom, resolution_px=16, num_patients=40, images_per_patient=5))
    prepare_dataset(workspace, config)
    other = open_dataset(workspace, "second")
    everything = np.arange(len(other.table))
    assert len(find_seen(tiny, 0, other.table.seen(everything))) == 0
    assert len(find_shown(tiny, 0, other.reader[everything])) == 0


def as_jpeg(image: np.ndarray, quality: int = 90) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda image: image,
    "rotated": np.rot90,
    "flipped": lambda image: image[:, ::-1],
    "transposed": lambda image: image.swapaxes(0, 1),
    "lighter": lambda image: np.clip(image * 1.1, 0, 255).astype(np.uint8),
    "as JPEG": as_jpeg,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_synthetic_file_that_holds_a_held_out_picture_is_refused(
    trained: GanRun, reseal: Reseal, change: str
) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    path = synthesize(plan_synthesis(workspace, trained, SynthesisConfig(per_class=6)))
    assert admit(workspace, dataset, Supply(2, trained, path)).fold == 2
    victim = int(dataset.test(2)[1])
    with h5py.File(path, "r+") as file:
        file["images"][7] = CHANGES[change](dataset.reader[np.array([victim])][0])
    with pytest.raises(LeakError, match="changed after"):
        admit(workspace, dataset, Supply(2, trained, path))
    reseal(path)
    with pytest.raises(LeakError, match=rf"image 7 of .* shows the picture {dataset.table.image_id[victim]}"):
        admit(workspace, dataset, Supply(2, trained, path))


def test_a_shard_with_a_foreign_image_is_not_merged_and_sealed_again_it_is_refused(
    trained: GanRun, reseal: Reseal
) -> None:
    from ganaug.generate.shards import merge, merge_parts
    from ganaug.parallel.shards import Shard

    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    plan = plan_synthesis(workspace, trained, SynthesisConfig(per_class=20))
    parts = [synthesize(plan, Shard(index, 2)) for index in range(2)]
    with h5py.File(parts[0], "r+") as file:
        file["images"][3] = dataset.reader[dataset.test(2)[:1]][0]
    assert merge(plan, 2) is None
    reseal(parts[0])
    with pytest.raises(LeakError, match=r"image 3 of .* shows the picture"):
        admit(workspace, dataset, Supply(2, trained, merge_parts(plan)))


@pytest.mark.parametrize(("suffix", "quality"), [("png", None), ("jpg", 90)])
def test_synthetic_images_saved_again_are_found_among_real_ones(
    trained: GanRun, tmp_path: Path, suffix: str, quality: int | None
) -> None:
    workspace = Workspace(trained.root.parent.parent)
    dataset = open_dataset(workspace, "phantom")
    path = workspace.synthetic(trained.root.name, 1, 1.0, 0)
    rng = np.random.default_rng(3)
    made = np.clip(dataset.reader[np.arange(8)][:, ::-1] + rng.integers(-40, 40, (8, 16, 16, 3)), 0, 255)
    made = np.repeat(np.repeat(made.astype(np.uint8), 4, axis=1), 4, axis=2)
    table = replace(dataset.table, **{name: getattr(dataset.table, name)[:8] for name in COLUMNS}, phash=hashes(made))
    with writing_images(path, 64) as writer:
        writer.append(made)
        record = plan_training(workspace, dataset, 2, GAN).provenance(1.0)
        writer.finish(replace(table, attrs={"resolution_px": 64, "source": "synthetic"}), record=record)
    root = tmp_path / "images"
    real = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), np.uint8)
    for number, image in enumerate([*real, np.rot90(made[1]), made[5]]):
        file = root / "ab"[number % 2] / f"p{number // 2}-{number % 2}" / f"{number}.{suffix if number > 11 else 'png'}"
        file.parent.mkdir(parents=True, exist_ok=True)
        options: dict[str, Any] = {"quality": quality} if number > 11 and quality else {}
        Image.fromarray(np.ascontiguousarray(image)).save(file, **options)
    prepared = prepare_dataset(
        workspace, PrepareConfig("folder", str(root), name="mixed", resolution_px=64, folds=FoldsConfig(3))
    )
    assert len(prepared.table) == 12
    assert [Path(name).stem for name, _ in prepared.skipped] == ["12", "13"]
    assert all(path.name in reason for _, reason in prepared.skipped)


COLUMNS = ("label", "image_id", "group_id", "site_id", "path", "sha256", "magnification", "um_per_px")


def hashes(images: np.ndarray) -> np.ndarray:
    from ganaug.data.images.perceptual_hash import phash

    return np.array([phash(image) for image in images], np.uint64)

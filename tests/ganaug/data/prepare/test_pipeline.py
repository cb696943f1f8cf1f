from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ganaug.config import FoldsConfig, PhantomConfig, PrepareConfig
from ganaug.data.dataset import open_dataset
from ganaug.data.hdf5.attributes import NOTES
from ganaug.data.prepare import read_images as module
from ganaug.data.prepare.pipeline import Prepared, plan_preparation, prepare_dataset
from ganaug.data.schema import ImageReader, content_digest, read_table
from ganaug.data.sources.phantom.draw import draw
from ganaug.errors import ConfigError, DataError, FoldsError, for_terminal
from ganaug.workspace import Workspace

MakeTree = Callable[..., Path]
PHANTOM = PrepareConfig(
    "phantom", phantom=PhantomConfig(resolution_px=16, num_patients=12, images_per_patient=2), folds=FoldsConfig(3)
)


@pytest.fixture
def root(make_tree: MakeTree) -> Path:
    return make_tree({label: {f"{label}{patient}": 3 for patient in range(4)} for label in ("a", "b")})


def prepare(workspace: Workspace, root: Path, **options: object) -> Prepared:
    defaults: dict[str, object] = {"resolution_px": 16, "folds": FoldsConfig(3)}
    return prepare_dataset(workspace, PrepareConfig("folder", str(root), **{**defaults, **options}))  # type: ignore[arg-type]


def test_pixels_labels_and_patients_stay_together(root: Path, workspace: Workspace) -> None:
    prepared = prepare(workspace, root)
    table, reader = prepared.table, ImageReader(prepared.path)
    assert len(table) == 24
    for index in range(len(table)):
        label, patient, _ = table.path[index].split("/")
        assert table.class_names[table.label[index]] == label
        assert table.group_id[index] == patient
        whole = Image.open(root / table.path[index])  # 24×20 px
        expected = np.asarray(whole.resize((16, 16), Image.Resampling.BICUBIC, box=(2, 0, 22, 20)))
        assert np.array_equal(reader[np.array([index])][0], expected)


def test_the_same_input_gives_the_same_file_but_for_the_time_in_it(root: Path, workspace: Workspace) -> None:
    first, second = (prepare(workspace, root, name=name) for name in ("one", "two"))
    assert first.table.attrs.pop("created") < second.table.attrs.pop("created")
    assert first.table.attrs == second.table.attrs
    assert content_digest(first.path) == content_digest(second.path)
    assert workspace.folds("one").read_bytes() == workspace.folds("two").read_bytes()


def test_what_is_returned_is_what_stands_on_disk(root: Path, workspace: Workspace) -> None:
    prepared = prepare(workspace, root)
    dataset = open_dataset(workspace, "folder")
    assert dataset.table.fingerprint == prepared.table.fingerprint
    assert dataset.folds == prepared.folds
    assert dataset.table.attrs["source"] == "folder"
    assert dataset.table.attrs["pixels"]["fit"] == "crop"


def test_a_class_can_be_excluded(make_tree: MakeTree, workspace: Workspace) -> None:
    root = make_tree({label: {f"{label}{patient}": 1 for patient in range(3)} for label in ("a", "b", "c")})
    prepared = prepare(workspace, root, exclude_classes=("b",))
    assert prepared.table.class_names == ("a", "c")
    assert prepared.table.class_counts().tolist() == [3, 3]
    assert {group[0] for group in prepared.table.group_id[prepared.table.label == 1]} == {"c"}
    with pytest.raises(ConfigError, match="no class d to exclude; expected a or b or c"):
        prepare(workspace, root, exclude_classes=("d",))
    with pytest.raises(ConfigError, match="at least two classes"):
        prepare(workspace, root, exclude_classes=("a", "b"))


def test_infeasible_folds_are_refused_before_a_pixel_is_read(
    root: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "open_picture", lambda data: pytest.fail("a pixel was read"))
    with pytest.raises(FoldsError, match=r"a has 4 patients, b has 4 patients.*use --folds 4"):
        prepare(workspace, root, folds=FoldsConfig(5))
    assert not workspace.dataset("folder").parent.exists()


def test_an_unknown_source_lists_the_known_ones(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match=r"no source mars.*phantom or bach or breakhis"):
        prepare_dataset(workspace, PrepareConfig("mars"))


def test_exact_copies_are_kept_once_and_join_their_patients(root: Path, workspace: Workspace) -> None:
    (root / "a" / "a1" / "0.png").write_bytes((root / "a" / "a0" / "0.png").read_bytes())
    prepared = prepare(workspace, root)
    assert len(prepared.table) == 23
    assert "a1" not in prepared.table.group_id
    assert np.sum(prepared.table.group_id == "a0") == 5
    assert any("a1 shares an image with a0" in for_terminal(note) for note in prepared.notes)
    assert read_table(prepared.path).attrs[NOTES] == list(prepared.notes)


def test_enlarging_is_noted(root: Path, workspace: Workspace) -> None:
    assert len(prepare(workspace, root).notes) == 1  # how the folders were read
    assert prepare(workspace, root, resolution_px=32).notes[1:] == (
        "24 images are smaller than 32 px and were enlarged",
    )


def test_a_plan_counts_without_reading_a_pixel(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_picture", lambda data: pytest.fail("a pixel was read"))
    plan = plan_preparation(PrepareConfig("folder", str(root), folds=FoldsConfig(3)))
    assert (plan["images"], plan["patients"], plan["classes"]) == (24, 8, {"a": 12, "b": 12})


def test_the_phantom_is_written_as_it_is_drawn_with_its_masks(workspace: Workspace) -> None:
    prepared = prepare_dataset(workspace, PHANTOM)
    images, masks = ImageReader(prepared.path), ImageReader(prepared.path, "mask")
    expected = list(draw(PHANTOM.phantom, PHANTOM.seed))
    assert len(expected) == len(prepared.table) > 0
    for index, drawn in enumerate(expected):
        assert np.array_equal(images[np.array([index])][0], drawn.image)
        assert np.array_equal(masks[np.array([index])][0], drawn.mask)
        assert prepared.table.image_id[index] == drawn.image_id
        assert prepared.table.group_id[index] == drawn.group_id
        assert prepared.table.label[index] == drawn.label
    assert prepared.table.attrs["um_per_px"] == PHANTOM.phantom.um_per_px


def picture(seed: int, height: int, width: int) -> Image.Image:
    """Blobs with grain: an image that shows something, unlike any other."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 250, (12, 16, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=float)
    return Image.fromarray(np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes of four patients with two images of 64×48 px each."""
    root = tmp_path / "pictures"
    for patient in range(8):
        folder = root / "ab"[patient % 2] / f"p{patient}"
        folder.mkdir(parents=True)
        for index in range(2):
            picture(10 * patient + index, 48, 64).save(folder / f"{index}.png")
    return root


def test_tiles_are_of_their_images_patient_and_stay_in_one_part(pictures: Path, workspace: Workspace) -> None:
    prepared = prepare(workspace, pictures, fit="tile", field_px=24, um_per_px=0.5)
    table = prepared.table
    assert len(table) == 16 * 2 * 2
    assert len(set(table.image_id)) == len(set(table.sha256)) == len(table)
    patient_of = {path: path.split("/")[1] for path in table.path.tolist()}
    assert all(
        patient_of[path] == group for path, group in zip(table.path.tolist(), table.group_id.tolist(), strict=True)
    )
    assert table.um_per_px == pytest.approx(0.5 * 24 / 16)
    dataset = open_dataset(workspace, "folder")
    for fold in range(3):
        images = [set(table.path[part(fold)]) for part in (dataset.train, dataset.val, dataset.test)]
        assert sum(map(len, images)) == len(set.union(*images))


def test_other_pixels_of_the_same_files_are_another_data_set(pictures: Path, workspace: Workspace) -> None:
    ways: list[dict[str, Any]] = [
        {},
        {"field_px": 30},
        {"fit": "resize"},
        {"fit": "tile"},
        {"stain": "reinhard"},
        {"resolution_px": 24},
    ]
    prints = {prepare(workspace, pictures, **way).table.fingerprint for way in ways}
    assert len(prints) == len(ways)


def test_squashing_is_never_silent(pictures: Path, workspace: Workspace) -> None:
    assert prepare(workspace, pictures).notes[1:] == ()
    assert any("squashed" in note for note in prepare(workspace, pictures, fit="resize").notes)


def test_images_smaller_than_the_field_are_skipped_and_the_others_prepared(
    pictures: Path, workspace: Workspace
) -> None:
    picture(99, 20, 20).save(pictures / "a" / "p0" / "small.png")
    prepared = prepare(workspace, pictures, field_px=40)
    assert len(prepared.table) == 16
    assert prepared.skipped == (("a/p0/small.png", "20×20 px are less than a field of 40 px"),)


def test_a_mask_is_kept_with_its_image_and_is_none(pictures: Path, workspace: Workspace) -> None:
    marked = np.zeros((48, 64), np.uint8)
    marked[:, 32:] = 255
    Image.fromarray(marked).save(pictures / "a" / "p0" / "0_mask.png")
    Image.fromarray(marked).save(pictures / "a" / "p0" / "gone_mask.png")
    prepared = prepare(workspace, pictures)
    assert len(prepared.table) == 16
    assert [path for path, _ in prepared.skipped] == ["a/p0/gone_mask.png"]
    masks = ImageReader(prepared.path, "mask")[np.arange(16)]
    (masked,) = np.flatnonzero(masks.any(axis=(1, 2)))
    assert prepared.table.path[masked] == "a/p0/0.png"
    assert masks[masked][:, 9:].min() == 255
    assert masks[masked][:, :7].max() == 0


def test_each_fold_sees_stain_that_no_patient_of_its_test_or_validation_part_decided(
    pictures: Path, workspace: Workspace
) -> None:
    prepare(workspace, pictures, stain="reinhard", name="before")
    before = open_dataset(workspace, "before")
    fold = 1
    held_out = sorted({*before.folds.test_groups(fold), *before.folds.val_groups(fold)})
    for path in pictures.rglob("*.png"):
        if path.parent.name in held_out:  # another laboratory's colours in every held-out patient
            changed = np.asarray(Image.open(path))[:, :, ::-1]
            Image.fromarray(changed).save(path)
    prepare(workspace, pictures, stain="reinhard", name="after")
    after = open_dataset(workspace, "after")
    assert after.folds.splits == before.folds.splits
    train = before.train(fold)
    assert np.array_equal(before.images(fold)[train], after.images(fold)[train])
    assert not np.array_equal(before.images(0)[before.train(0)], after.images(0)[after.train(0)])
    assert before.images(fold).dataset == "stained/fold1"
    assert not np.array_equal(before.images(fold)[train], before.reader[train])


def test_an_option_of_another_source_is_refused(pictures: Path, workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match="--magnification with folder; expected it with breakhis"):
        prepare(workspace, pictures, magnification="40")


def test_images_without_labels_make_a_file_without_folds_that_no_study_takes(
    tmp_path: Path, workspace: Workspace
) -> None:
    root = tmp_path / "unlabelled" / "00000"
    root.mkdir(parents=True)
    for index in range(3):
        picture(index, 20, 20).save(root / f"img{index:08d}.png")
    (root.parent / "dataset.json").write_text('{"labels": null}')
    config = PrepareConfig("zip", str(root.parent), resolution_px=16)
    prepared = prepare_dataset(workspace, config)
    assert prepared.folds is None
    assert read_table(prepared.path).label.tolist() == [-1, -1, -1]
    assert workspace.datasets() == []
    with pytest.raises(DataError, match="have no labels"):
        open_dataset(workspace, "zip")

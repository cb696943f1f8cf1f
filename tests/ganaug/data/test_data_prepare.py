from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganaug.config import FoldsConfig, PhantomConfig, PrepareConfig
from ganaug.data import prepare as module
from ganaug.data.dataset import open_dataset
from ganaug.data.decode import fit_square
from ganaug.data.prepare import Prepared, plan_preparation, prepare_dataset
from ganaug.data.schema import ImageReader, read_table
from ganaug.data.sources.phantom import draw
from ganaug.errors import ConfigError, FoldsError
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
        expected = fit_square(Image.open(root / table.path[index]), 16)
        assert np.array_equal(reader[np.array([index])][0], expected)


def test_the_same_input_gives_the_same_bytes(root: Path, workspace: Workspace) -> None:
    one, two = (prepare(workspace, root, name=name) for name in ("one", "two"))
    assert one.path.read_bytes() == two.path.read_bytes()
    assert workspace.folds("one").read_bytes() == workspace.folds("two").read_bytes()


def test_what_is_returned_is_what_stands_on_disk(root: Path, workspace: Workspace) -> None:
    prepared = prepare(workspace, root)
    dataset = open_dataset(workspace, "folder")
    assert dataset.table.fingerprint == prepared.table.fingerprint
    assert dataset.folds == prepared.folds
    assert dataset.table.attrs["source"] == "folder"
    assert dataset.table.attrs["fit"] == "centre-crop"


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
    monkeypatch.setattr(module, "decode", lambda data: pytest.fail("a pixel was read"))
    with pytest.raises(FoldsError, match=r"a has 4 patients, b has 4 patients.*use --folds 4"):
        prepare(workspace, root, folds=FoldsConfig(5))
    assert not workspace.dataset("folder").parent.exists()


def test_an_unknown_source_lists_the_known_ones(workspace: Workspace) -> None:
    with pytest.raises(ConfigError, match=r"no source bach.*phantom or breakhis or folder"):
        prepare_dataset(workspace, PrepareConfig("bach"))


def test_exact_copies_are_kept_once_and_join_their_patients(root: Path, workspace: Workspace) -> None:
    (root / "a" / "a1" / "0.png").write_bytes((root / "a" / "a0" / "0.png").read_bytes())
    prepared = prepare(workspace, root)
    assert len(prepared.table) == 23
    assert "a1" not in prepared.table.group_id
    assert np.sum(prepared.table.group_id == "a0") == 5
    assert any("a1 shares an image with a0" in notice for notice in prepared.notices)
    assert read_table(prepared.path).attrs["notices"] == list(prepared.notices)


def test_enlarging_is_noted(root: Path, workspace: Workspace) -> None:
    assert prepare(workspace, root).notices == ()
    assert prepare(workspace, root, resolution_px=32).notices == ("24 images are smaller than 32 px and were enlarged",)


def test_a_plan_counts_without_reading_a_pixel(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "decode", lambda data: pytest.fail("a pixel was read"))
    plan = plan_preparation(PrepareConfig("folder", str(root), folds=FoldsConfig(3)))
    assert (plan["images"], plan["patients"], plan["classes"]) == (24, 8, {"a": 12, "b": 12})


def test_the_phantom_is_written_as_it_is_drawn_with_its_masks(workspace: Workspace) -> None:
    prepared = prepare_dataset(workspace, PHANTOM)
    images, masks = ImageReader(prepared.path), ImageReader(prepared.path, "mask")
    for index, drawn in enumerate(draw(PHANTOM.phantom, PHANTOM.seed)):
        assert np.array_equal(images[np.array([index])][0], drawn.image)
        assert np.array_equal(masks[np.array([index])][0], drawn.mask)
        assert prepared.table.image_id[index] == drawn.image_id
        assert prepared.table.group_id[index] == drawn.group_id
        assert prepared.table.label[index] == drawn.label
    assert prepared.table.attrs["um_per_px"] == PHANTOM.phantom.um_per_px

import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.images.decode import decode
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.sources.mini_ddsm import scan
from ganaug.errors import DataError, for_terminal
from ganaug.workspace import Workspace

VIEWS = ("LEFT_CC", "LEFT_MLO", "RIGHT_CC", "RIGHT_MLO")
CASES = {"Normal": ("A", "0001", "0002"), "Benign": ("C", "0001", "0029"), "Cancer": ("A", "1932", "1104")}
JPEG, PNG = "MINI-DDSM-Complete-JPEG-8", "MINI-DDSM-Complete-PNG-16"


def write_tree(root: Path, suffix: str = ".jpg") -> Path:
    """The official tree: four views a case, masks for one view of each benign and cancer case, two for the last."""
    for label, (letter, *cases) in CASES.items():
        for seed, case in enumerate(cases):
            folder = root / label / case
            folder.mkdir(parents=True)
            for view in VIEWS:
                _draw(folder / f"{letter}_{case}_1.{view}{suffix}", seed)
            if label != "Normal":
                _draw(folder / f"{letter}_{case}_1.LEFT_CC_Mask{suffix}", 99)
    _draw(root / "Cancer" / "1104" / f"A_1104_1.LEFT_CC_Mask2{suffix}", 98)
    (root / "DataWMask.xlsx").write_bytes(b"a workbook")
    return root


def _draw(path: Path, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 65536, (20, 12), dtype=np.uint16)
    Image.fromarray(values if path.suffix == ".png" else (values // 256).astype(np.uint8)).save(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "archive" / JPEG).parent


def config(source: Path) -> PrepareConfig:
    return PrepareConfig("mini-ddsm", str(source))


@pytest.mark.parametrize(("tree", "suffix"), [(JPEG, ".jpg"), (PNG, ".png")])
def test_masks_belong_to_their_images_and_are_never_counted(tmp_path: Path, tree: str, suffix: str) -> None:
    found = scan(config(write_tree(tmp_path / tree, suffix)))
    assert found.class_names == ("Normal", "Benign", "Cancer")
    assert np.bincount(found.labels).tolist() == [8, 8, 8]
    assert not any("Mask" in item.path for item in found.items)
    masks = {item.path: item.masks for item in found.items if item.masks}
    assert len(masks) == 4
    folder = "Cancer/1104/A_1104_1.LEFT_CC"
    assert masks[folder + suffix] == (f"{folder}_Mask{suffix}", f"{folder}_Mask2{suffix}")
    assert found.has_masks
    assert found.skipped == ()
    assert found.notes == ()


def test_a_patient_is_status_and_case(root: Path) -> None:
    found = scan(config(root))
    assert Counter(found.groups.tolist()) == {
        f"{label}-{case}": 4 for label, (_, *cases) in CASES.items() for case in cases
    }
    assert len({item.image_id for item in found.items}) == 24


def test_folder_zip_and_tar_tell_the_same_images_and_hand_out_image_and_masks(root: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "mini.zip", "w") as packed, tarfile.open(tmp_path / "mini.tar.gz", "w:gz") as tar:
        for file in sorted(root.rglob("*.*"), reverse=True):  # masks before their images
            if file.is_file():
                packed.write(file, file.relative_to(root))
                tar.add(file, file.relative_to(root))
    scans = [scan(config(source)) for source in (root, tmp_path / "mini.zip", tmp_path / "mini.tar.gz")]
    assert scans[0].items == scans[1].items == scans[2].items
    for found in scans:
        loads = dict(found.read(found.items))
        for position, item in enumerate(found.items):
            assert loads[position]() == tuple((root / name).read_bytes() for name in item.files)


def test_sixteen_bits_keep_their_full_range(tmp_path: Path) -> None:
    root = write_tree(tmp_path / PNG, ".png")
    path = root / "Normal" / "0001" / "A_0001_1.LEFT_CC.png"
    Image.fromarray(np.linspace(0, 65535, 240).astype(np.uint16).reshape(20, 12)).save(path)
    found = scan(config(root))
    [position] = [i for i, item in enumerate(found.items) if item.image_id == "Normal-A_0001_1.LEFT_CC"]
    [raw] = dict(found.read(found.items))[position]()  # type: ignore[misc]
    pixels = np.asarray(decode(raw))
    assert pixels.shape == (20, 12, 3)
    assert (pixels.min(), pixels.max(), len(np.unique(pixels))) == (0, 255, 240)


def test_both_trees_in_one_source_are_refused(root: Path) -> None:
    write_tree(root / PNG, ".png")
    with pytest.raises(DataError, match=r"twice: 24 as JPEG and 24 as PNG; point --source to one of MINI-DDSM"):
        scan(config(root))
    assert len(scan(config(root / PNG)).items) == 24


def test_a_mask_without_an_image_is_skipped(root: Path) -> None:
    (root / JPEG / "Benign" / "0029" / "C_0029_1.LEFT_CC.jpg").unlink()
    found = scan(config(root))
    assert len(found.items) == 23
    assert found.skipped == ((f"{JPEG}/Benign/0029/C_0029_1.LEFT_CC_Mask.jpg", "a mask without an image"),)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("Benign/0029/C_0029_1.LEFT_CC_Contour.jpg", "the name is not of Mini-DDSM's form"),
        ("Benign/0029/mask_C_0029_1.LEFT_CC.jpg", "the name is not of Mini-DDSM's form"),
        ("Benign/0029/D_3000_1.LEFT_CC.jpg", "it stands in the folder 0029, and its name says case 3000"),
        ("Other/0029/C_0029_1.LEFT_CC.jpg", "it stands in none of the folders Normal, Benign and Cancer"),
    ],
)
def test_what_is_in_doubt_is_skipped(root: Path, path: str, reason: str) -> None:
    file = root / JPEG / path
    file.parent.mkdir(parents=True, exist_ok=True)
    _draw(file, 5)
    found = scan(config(root))
    assert len(found.items) == 24
    [(where, why)] = found.skipped
    assert where == f"{JPEG}/{path}"
    assert for_terminal(why).startswith(reason)


def test_a_second_copy_of_the_tree_counts_once(root: Path) -> None:
    write_tree(root / "copy")
    found = scan(config(root))
    assert len(found.items) == 24
    assert sum(len(item.masks) for item in found.items) == 5
    assert found.skipped == ()
    assert found.notes == ("24 files bear the name of another in a second folder and were skipped",)


def test_a_source_without_mammograms_says_what_it_expects(tmp_path: Path) -> None:
    _draw(tmp_path / "A_0001_1.LEFT_CC_Mask.jpg", 0)
    with pytest.raises(DataError, match=r"no mammogram of Mini-DDSM; expected names such as \{Normal,Benign,Cancer\}"):
        scan(config(tmp_path))


def test_prepared_masks_mark_their_own_images_only(tmp_path: Path, workspace: Workspace) -> None:
    root = tmp_path / PNG
    for number, label in enumerate(("Normal", "Benign", "Cancer") * 3):
        folder = root / label / f"{number:04d}"
        folder.mkdir(parents=True)
        stem = folder / f"A_{number:04d}_1.LEFT_CC"
        _draw(stem.with_name(stem.name + ".png"), number)
        if label != "Normal":
            for half, mask in enumerate(("_Mask", "_Mask2")):
                values = np.zeros((20, 12), np.uint8)
                values[10 * half : 10 * half + 5] = 255
                Image.fromarray(values).save(stem.with_name(f"{stem.name}{mask}.png"))
    prepared = prepare_dataset(
        workspace, PrepareConfig("mini-ddsm", str(root), resolution_px=16, fit="resize", folds=FoldsConfig(3))
    )
    assert prepared.skipped == ()
    assert len(prepared.table) == 9
    with h5py.File(prepared.path) as file:
        marked = (file["mask"][:] > 0).mean(axis=2)
    for label, rows in zip(prepared.table.label, marked, strict=True):
        inside = [0.0, 0.0] if label == 0 else [1.0, 1.0]  # both masks of an image, each a quarter of its height
        assert [rows[:3].min(), rows[9:11].min()] == inside
        assert [rows[5:7].max(), rows[13:].max()] == [0, 0]

"""Folder levels are read as what they are, wherever they stand, or not at all."""

import itertools
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganaug.config import LAYOUT_LEVELS, FoldsConfig, PrepareConfig
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.sources import scan_source
from ganaug.data.sources.layout import Layout, infer_layout, magnification_in, part_of
from ganaug.data.sources.scans.scan import Scan
from ganaug.errors import ConfigError, DataError, FoldsError, for_terminal
from ganaug.workspace import Workspace

CLASSES, SCALES, PARTS = ("benign", "malignant", "normal"), ("40X", "100X"), ("train", "val", "test")


def read(root: Path, layout: str | None = None, **options: object) -> Scan:
    return scan_source(PrepareConfig("folder", str(root), layout=layout, **options))  # type: ignore[arg-type]


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[Iterable[str]], Path]:
    """Empty files: a scan opens none of them."""

    def make(names: Iterable[str]) -> Path:
        for name in names:
            path = tmp_path / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return tmp_path / "images"

    return make


def named(levels: Iterable[str], patients_per_class: int = 4, images: int = 2) -> list[str]:
    """The paths of a data set whose folder levels stand in this order; patients are of one class and one part."""
    found = []
    for (label, scale, site), patient, index in itertools.product(
        itertools.product(CLASSES, SCALES, ("site1", "site2")), range(patients_per_class), range(images)
    ):
        name = {
            "class": label,
            "magnification": scale,
            "site": site,
            "patient": f"{label[0]}{patient}",
            "part": PARTS[patient % 3],
            "other": f"{label[0]}{patient}slide{index}",
        }
        found.append("/".join([*(name[level] for level in levels), f"{index}.png"]))
    return sorted(set(found))


@pytest.mark.parametrize(
    "levels",
    [
        levels
        for more in itertools.chain.from_iterable(
            itertools.combinations(("magnification", "site", "part"), number) for number in range(4)
        )
        for levels in itertools.permutations(("class", "patient", *more))
        if levels.index("class") < levels.index("patient")
    ],
    ids="/".join,
)
def test_levels_that_their_names_give_away_are_found_at_any_depth(levels: tuple[str, ...]) -> None:
    images = [tuple(path.split("/")[:-1]) for path in named(levels)]
    assert infer_layout(images, "here").levels == levels


@settings(max_examples=60, deadline=None)
@given(st.permutations(LAYOUT_LEVELS), st.integers(2, 6), st.integers(1, 3))
def test_a_named_layout_is_obeyed_in_any_order(levels: list[str], patients: int, images: int) -> None:
    layout = Layout(tuple(levels))
    paths = [path.split("/")[:-1] for path in named(levels, patients, images)]
    assert len({layout.name(folders, "patient") for folders in paths}) == len(CLASSES) * patients
    assert {layout.name(folders, "class") for folders in paths} == set(CLASSES)


def test_a_magnification_below_the_class_is_no_patient(tree: Callable[[Iterable[str]], Path]) -> None:
    scan = read(tree(named(("class", "magnification", "patient"))))
    assert scan.class_names == CLASSES
    assert len(set(scan.groups)) == 12
    assert {item.magnification for item in scan.items} == {40, 100}
    assert scan.notes[0].startswith("the folders are read as class/magnification/patient/image: 3 classes, 12 pat")
    assert "--layout" in scan.notes[0]


@pytest.mark.parametrize("pack", ["folder", "zip", "tar"])
def test_an_archive_is_read_as_its_folder(tree: Callable[[Iterable[str]], Path], tmp_path: Path, pack: str) -> None:
    root = tree(named(("class", "magnification", "patient")))
    source = root
    if pack == "zip":
        source = tmp_path / "images.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for path in root.rglob("*.png"):
                archive.write(path, path.relative_to(tmp_path))
    elif pack == "tar":
        source = tmp_path / "images.tar.gz"
        with tarfile.open(source, "w:gz") as tar:
            tar.add(root, "images")
    for layout in (None, "class/magnification/patient", "class/other/patient"):
        scan = read(source, layout)
        assert len(scan.items) == len(named(("class", "magnification", "patient")))
        assert len(set(scan.groups)) == 12
        assert {item.magnification for item in scan.items} == ({0} if layout == "class/other/patient" else {40, 100})


def test_parts_are_no_classes_and_become_a_split(tree: Callable[[Iterable[str]], Path]) -> None:
    scan = read(tree(named(("part", "class", "patient"), patients_per_class=6)))
    assert scan.class_names == CLASSES
    split = scan.splits["parts"]
    assert set(split) == set(scan.groups)
    assert {group: PARTS[int(group[1]) % 3] for group in split} == dict(split)
    assert any("--split parts" in note for note in scan.notes)


@pytest.mark.parametrize(
    "names", [("Training", "Validation", "Testing"), ("TRAIN", "valid", "test"), ("train", "dev", "hold-out")]
)
def test_parts_bear_any_of_their_usual_names(names: tuple[str, ...]) -> None:
    assert tuple(map(part_of, names)) == PARTS
    images = [(part, label, f"{part}{label}{n}") for part in names for label in CLASSES for n in range(3)]
    assert infer_layout(images, "here").levels == ("part", "class", "patient")


def test_patients_in_two_parts_are_named_and_the_parts_not_offered(tree: Callable[[Iterable[str]], Path]) -> None:
    names = [name for name in named(("part", "class", "patient")) if not name.startswith("test/benign")]
    scan = read(tree([*names, "train/benign/b1/9.png", "test/normal/n0/9.png"]))
    assert scan.splits == {}
    [note] = [for_terminal(note) for note in scan.notes if "two parts" in note]
    assert note.startswith("2 patients stand in two parts (b1, n0)")
    [note] = [for_terminal(note) for note in scan.notes if "has no image of the class" in note]
    assert note == "the part test has no image of the class benign"


def test_the_parts_are_prepared_to_the_letter(tmp_path: Path, workspace: Workspace) -> None:
    for seed, name in enumerate(named(("part", "class", "patient"), patients_per_class=3, images=1)):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    folds = FoldsConfig(scheme="fixed", fixed="parts")
    config = PrepareConfig("folder", str(tmp_path / "images"), resolution_px=16, folds=folds)
    prepared = prepare_dataset(workspace, config)
    assert prepared.folds is not None
    found = {part: {group[1] for group in groups} for part, groups in prepared.folds.parts(0).items()}
    assert found == {"train": {"0"}, "val": {"1"}, "test": {"2"}}


@pytest.mark.parametrize(
    ("paths", "offered"),
    [
        ([f"p{n}/{label}" for n in range(9) for label in CLASSES], "patient/class"),
        (
            [f"{label}/{scanner}/{label[0]}{n}" for label in CLASSES for scanner in "AB" for n in range(4)],
            "class/other/patient",
        ),
        ([f"{label}/{scale}" for label in CLASSES for scale in (40, 100, 200, 400)], "class/magnification"),
        ([f"{label}/{low}" for label in CLASSES for low in ("low", "high")], "class/magnification"),
        (
            [f"{label}/{scan}/{label[0]}{n}" for label in CLASSES for scan in "ABCDE" for n in range(4)],
            "class/site/patient",
        ),
    ],
)
def test_folders_that_can_be_read_in_two_ways_are_refused_with_the_ways(
    tree: Callable[[Iterable[str]], Path], paths: list[str], offered: str
) -> None:
    root = tree(f"{path}/{n}.png" for path in paths for n in range(2))
    with pytest.raises(DataError, match="can be read in several ways") as refusal:
        read(root)
    ways = str(refusal.value).rpartition("--layout ")[2].split(" or ")
    assert offered in ways
    for way in ways:  # each that is offered is accepted
        assert len(read(root, way).items) == 2 * len(paths)


@pytest.mark.parametrize(
    "paths",
    [
        ["a/p1", "a/40X/p2", "b/p3"],
        ["train/a/p1", "test/a/p1", "extra/a/p2"],
        ["benign/p1", "malignant/p2", "test/p3"],
    ],
)
def test_folders_of_two_kinds_at_one_level_are_refused(tree: Callable[[Iterable[str]], Path], paths: list[str]) -> None:
    with pytest.raises(DataError, match=r"folder level \d of .* mixes .*--layout"):
        read(tree(f"{path}/0.png" for path in paths))


def test_of_nested_folders_the_outermost_is_the_patient_and_the_other_reading_is_named(
    tree: Callable[[Iterable[str]], Path],
) -> None:
    root = tree(f"{label}/{label[0]}{n}/slide{s}/0.png" for label in CLASSES for n in range(4) for s in range(2))
    scan = read(root)
    assert len(set(scan.groups)) == 12
    assert "--layout class/other/patient" in scan.notes[0]
    assert len(set(read(root, "class/other/patient").groups)) == 2


def test_a_level_that_is_the_same_everywhere_tells_nothing(tree: Callable[[Iterable[str]], Path]) -> None:
    scan = read(tree(f"{label}/images/{label[0]}{n}/0.png" for label in CLASSES for n in range(4)))
    assert set(scan.groups) == {f"{label[0]}{n}" for label in CLASSES for n in range(4)}


def test_a_folder_for_each_image_is_noted(tree: Callable[[Iterable[str]], Path]) -> None:
    scan = read(tree(f"{label}/{label}_{n}/{n}.png" for label in CLASSES for n in range(4)))
    assert any("each of the 12 patient folders holds one image" in note for note in scan.notes)


def test_patients_of_every_class_are_noted_by_name(tree: Callable[[Iterable[str]], Path]) -> None:
    root = tree(
        f"{label}/p{n}/{i}.png" for label in CLASSES[:2] for n in range(3 + 3 * (label == "benign")) for i in "01"
    )
    [note] = [for_terminal(note) for note in read(root).notes if "of all 2 classes" in note]
    assert note.startswith("3 of 6 patients have images of all 2 classes (p0, p1, p2)")


@pytest.mark.parametrize(
    "layout", ["", "patient", "class/class", "class/scanner", "class//patient", "class/patient/patient"]
)
def test_a_layout_that_is_none_is_refused(layout: str) -> None:
    with pytest.raises(ConfigError, match=r"^layout .*; expected .*class once"):
        PrepareConfig("folder", "x", layout=layout)


def test_a_layout_is_for_folders_only(tree: Callable[[Iterable[str]], Path]) -> None:
    root = tree(["a/p/0.png", "b/q/0.png"])
    (root / "list.csv").write_text("path,label\na/p/0.png,a\nb/q/0.png,b\n")
    with pytest.raises(ConfigError, match="--layout with a CSV"):
        read(root / "list.csv", "class/patient")
    with pytest.raises(ConfigError, match="--layout with breakhis; expected it with folder"):
        scan_source(PrepareConfig("breakhis", str(root), layout="class"))


@pytest.mark.parametrize(
    ("name", "number"),
    [("40X", 40), ("x100", 100), ("mag_200", 200), ("400.0x", 400), ("2.5x", 0), ("9" * 5000, 0), ("high", 0)],
)
def test_the_magnification_of_a_folder_is_a_whole_number_or_unknown(name: str, number: int) -> None:
    assert magnification_in(name) == number


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", "p1", "p2", "40X", "test", "train", "site1", ""]), max_size=4), max_size=12
    )
)
def test_any_folders_have_a_layout_with_one_class_or_are_refused_in_one_line(paths: list[list[str]]) -> None:
    images = [tuple(filter(None, path)) for path in paths]
    fault, layout = "", Layout(())
    try:
        layout = infer_layout(images, "here")
    except DataError as refusal:
        fault = str(refusal)
    if fault:
        assert "--layout" in fault
        assert "\n" not in fault
        return
    assert len(layout.levels) == max(map(len, images), default=0)
    assert layout.levels.count("class") <= 1
    assert layout.levels.count("patient") <= 1


@pytest.mark.parametrize(
    ("above", "layout"), [("", "other/class/patient"), ("data/set/", "other/other/other/class/patient")]
)
def test_folders_above_the_classes_are_counted_in_what_is_suggested(
    tree: Callable[[Iterable[str]], Path], above: str, layout: str
) -> None:
    root = tree(f"{above}all/{label}/{label[0]}{n}/0.png" for label in CLASSES for n in range(3))
    with pytest.raises(DataError, match=rf"9 images in 1 classes; .*--layout {layout}$"):
        read(root)
    scan = read(root, layout)
    assert scan.class_names == CLASSES
    assert len(set(scan.groups)) == 9


def test_where_the_coarse_patients_are_too_few_the_finer_reading_is_offered(
    tree: Callable[[Iterable[str]], Path], workspace: Workspace
) -> None:
    root = tree(f"{label}/{label}{kind}/{label}{kind}{n}/0.png" for label in "ab" for kind in "xy" for n in range(4))
    with pytest.raises(FoldsError, match=r"a has 2 patients.*--layout class/other/patient"):
        prepare_dataset(workspace, PrepareConfig("folder", str(root), folds=FoldsConfig(3)))

from collections.abc import Callable
from pathlib import Path

import pytest

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.sources.folder import scan
from ganaug.errors import ConfigError, DataError, LeakError, for_terminal
from ganaug.workspace import Workspace

MakeTree = Callable[..., Path]


def config(source: Path | None, **options: object) -> PrepareConfig:
    return PrepareConfig("folder", str(source) if source else None, resolution_px=16, **options)  # type: ignore[arg-type]


@pytest.fixture
def root(make_tree: MakeTree) -> Path:
    return make_tree({"benign": {"p1": 2, "p2": 1}, "malignant": {"p2": 1, "p3": 3}})


def manifest(root: Path, text: str, encoding: str = "utf-8") -> Path:
    path = root / "list.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_folders_are_classes_and_the_folders_in_them_patients(root: Path) -> None:
    found = scan(config(root))
    assert found.class_names == ("benign", "malignant")
    assert [(item.path, item.label, item.group_id) for item in found.items][:3] == [
        ("benign/p1/0.png", 0, "p1"),
        ("benign/p1/1.png", 0, "p1"),
        ("benign/p2/0.png", 0, "p2"),
    ]
    assert found.groups.tolist().count("p2") == 2  # one patient, though under two classes
    assert found.notes[0].startswith("the folders are read as class/patient/image: 2 classes, 3 patients")


def test_images_without_a_patient_count_for_themselves_and_that_is_said_loudly(make_tree: MakeTree) -> None:
    root = make_tree({"a": {"": 3}, "b": {"": 2, "p1": 2}})
    found = scan(config(root))
    assert len(set(found.groups)) == 6
    assert "no patient is known for 5 of 7 images" in found.notes[-1]
    assert "the folds leak" in found.notes[-1]


def test_images_outside_of_a_class_are_skipped_and_other_files_ignored(root: Path) -> None:
    (root / "stray.png").write_bytes(b"")
    (root / "benign" / "notes.txt").write_text("")
    (root / ".hidden").mkdir()
    found = scan(config(root))
    assert len(found.items) == 7
    assert found.skipped == (("stray.png", "stands outside of every class folder"),)


@pytest.mark.parametrize("content", [{}, {"only": {"p1": 3}}])
def test_fewer_than_two_classes_are_refused(
    make_tree: MakeTree, tmp_path: Path, content: dict[str, dict[str, int]]
) -> None:
    root = make_tree(content)
    root.mkdir(exist_ok=True)
    with pytest.raises(DataError, match=r"images in [01] classes; expected two classes or more in <root>/<class>"):
        scan(config(root))


def test_a_source_must_be_named_and_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--source"):
        scan(config(None))
    with pytest.raises(DataError, match="there is no file or folder"):
        scan(config(tmp_path / "nothing"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_manifest_names_label_and_patient(root: Path, encoding: str, newline: str) -> None:
    lines = ["label,path,group", "x,benign/p1/0.png,anna", 'y, "malignant/p3/0.png" ,bea', "x,benign/p2/0.png,anna", ""]
    found = scan(config(manifest(root, newline.join(lines), encoding)))
    assert found.class_names == ("x", "y")
    assert [(item.path, item.label, item.group_id) for item in found.items] == [
        ("benign/p1/0.png", 0, "anna"),
        ("benign/p2/0.png", 0, "anna"),
        ("malignant/p3/0.png", 1, "bea"),
    ]
    assert found.notes == ()


def test_the_order_of_a_manifests_rows_says_nothing(root: Path) -> None:
    lines = ["benign/p2/0.png,y,b", "gone.png,x,a", "benign/p1/0.png,x,a", "other.png,x,a", "benign/p1/1.png,x,b"]
    orders = (lines, lines[::-1], lines[2:] + lines[:2])
    scans = [scan(config(manifest(root, "\n".join(["path,label,group", *order])))) for order in orders]
    assert scans[0].items == scans[1].items == scans[2].items
    assert scans[0].skipped == scans[1].skipped == scans[2].skipped


def test_a_manifest_without_patients_is_read_with_a_note(root: Path) -> None:
    found = scan(config(manifest(root, "path,label\nbenign/p1/0.png,x\nbenign/p1/1.png,y\n")))
    assert len(set(found.groups)) == 2
    assert "no patient is known for 2 of 2 images" in found.notes[0]


def test_missing_columns_are_named(root: Path) -> None:
    with pytest.raises(DataError, match=r"has the columns path, class; expected path,label\[,group\]"):
        scan(config(manifest(root, "path,class\na.png,x\n")))
    with pytest.raises(DataError, match="is empty; expected the columns path, label"):
        scan(config(manifest(root, "")))


@pytest.mark.parametrize("second", ["benign/p1/0.png,y,anna", "benign/p1/0.png,x,bea"])
def test_an_image_under_two_labels_or_patients_is_skipped(root: Path, second: str) -> None:
    good = "benign/p1/1.png,x,anna\nbenign/p2/0.png,y,bea\n"
    path = manifest(root, f"path,label,group\nbenign/p1/0.png,x,anna\n{second}\nbenign/p1/0.png,x,anna\n{good}")
    found = scan(config(path))
    assert [item.path for item in found.items] == ["benign/p1/1.png", "benign/p2/0.png"]
    assert [name for name, _ in found.skipped] == ["benign/p1/0.png"]
    assert "line 3 of list.csv lists it as" in for_terminal(found.skipped[0][1])


def test_rows_that_cannot_be_used_are_skipped_one_by_one(root: Path) -> None:
    lines = ["path,label,group", "benign/p1/0.png,x,a", "gone.png,x,a", "benign/p1/1.png,,a", "benign/p2/0.png,y,b"]
    found = scan(config(manifest(root, "\n".join([*lines, lines[1]]))))
    assert len(found.items) == 2
    assert [(path, for_terminal(reason)) for path, reason in found.skipped] == [
        ("benign/p1/1.png", "line 4 of list.csv has no label"),
        ("gone.png", "there is no such file"),
    ]
    assert tuple(map(for_terminal, found.notes)) == ("line 6 of list.csv repeats benign/p1/0.png",)


def test_a_file_that_is_no_table_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match="no archive"):
        scan(config(root / "benign" / "p1" / "0.png"))
    with pytest.raises(DataError, match="no CSV in UTF-8"):
        scan(config(manifest(root, "path,label\nä.png,x\n", "latin-1")))


def test_names_in_another_encoding_are_read_and_written_out(make_tree: MakeTree, workspace: Workspace) -> None:
    root = make_tree({label: {f"{label}{number}": 1 for number in range(3)} for label in ("a", "b")})
    (root / "a" / "a0" / "0.png").rename(root / "a" / "a0" / "\udce4.png")  # byte e4, "ä" in latin-1
    prepared = prepare_dataset(workspace, config(root, folds=FoldsConfig(3)))
    assert prepared.table.path[0] == r"a/a0/\udce4.png"
    assert prepared.skipped == ()


def test_parts_that_divide_a_patient_are_refused_where_they_are_asked_for(tmp_path: Path) -> None:
    for name in ("train/a/p0", "train/b/q0", "val/a/p1", "val/b/q1", "test/a/p2", "test/b/q2", "test/a/p0"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "0.png").touch()
    assert scan(PrepareConfig("folder", str(tmp_path))).splits == {}
    parts = FoldsConfig(scheme="fixed", fixed="parts")
    with pytest.raises(LeakError, match=r"1 patients of .* stand in two parts \(\S*p0"):
        scan(PrepareConfig("folder", str(tmp_path), folds=parts))

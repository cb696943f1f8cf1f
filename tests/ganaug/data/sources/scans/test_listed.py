"""Lists that were written on another system name the files that are here, or none."""

import json
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganaug.config import PrepareConfig
from ganaug.data.archives.files import printable
from ganaug.data.sources import scan_source
from ganaug.data.sources.scans.listed import locate
from ganaug.errors import DataError, for_sharing, for_terminal

PART = st.text("abz 1_", min_size=1, max_size=4).filter(lambda text: text.strip() == text)
NAMES = st.sets(st.lists(PART, min_size=1, max_size=3).map("/".join), min_size=1, max_size=8)


@settings(max_examples=100, deadline=None)
@given(
    NAMES,
    st.sampled_from(["", "./", "C:\\data\\", "D:/x/y/", "/home/other/set/", "\\\\server\\share\\"]),
    st.booleans(),
)
def test_each_name_is_found_whatever_system_wrote_it(names: set[str], root: str, is_windows: bool) -> None:
    written = {name: root + (name.replace("/", "\\") if is_windows else name) for name in names}
    found = locate(written.values(), names.__contains__)
    assert {name: found.place_of[written[name]] for name in names} == {name: name for name in names}
    assert bool(found.notes) == (root not in ("", "./"))
    assert not any("other" in for_sharing(note) and "home" in for_sharing(note) for note in found.notes)


@settings(max_examples=100, deadline=None)
@given(NAMES, NAMES)
def test_two_names_never_become_one_file(names: set[str], others: set[str]) -> None:
    written = [f"C:\\one\\{name}" for name in names] + [f"C:\\two\\{name}" for name in others]
    found = locate(written, (names | others).__contains__)
    here = [place for place in found.place_of.values() if place in names | others]
    assert len(here) == len(set(here))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for label in "xy":
        for patient in range(3):
            path = tmp_path / "images" / f"{label}{patient}" / "0.png"
            path.parent.mkdir(parents=True)
            path.write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("root", ["", "C:\\data\\", "/mnt/other/"])
def test_a_manifest_of_another_system_is_read(folder: Path, root: str) -> None:
    rows = [f"{root}images\\{label}{n}\\0.png,{label},{label}{n}" for label in "xy" for n in range(3)]
    (folder / "list.csv").write_text("\n".join(["path,label,group", *rows]))
    scan = scan_source(PrepareConfig("folder", str(folder / "list.csv")))
    assert scan.skipped == ()
    assert [item.path for item in scan.items] == [f"images/{label}{n}/0.png" for label in "xy" for n in range(3)]


def test_a_dataset_json_of_another_system_is_read_with_its_patients(folder: Path) -> None:
    names = [f"images\\{label}{n}\\0.png" for label in "xy" for n in range(3)]
    listed = {
        "labels": [[name, int(name[7] == "y")] for name in names],
        "groups": {name: PurePosixPath(name.replace("\\", "/")).parent.name for name in names},
    }
    (folder / "dataset.json").write_text(json.dumps(listed))
    scan = scan_source(PrepareConfig("zip", str(folder)))
    assert scan.skipped == ()
    assert scan.groups.tolist() == ["x0", "x1", "x2", "y0", "y1", "y2"]


def test_names_that_are_nowhere_say_so_in_the_refusal(folder: Path) -> None:
    rows = [f"pictures\\{label}{n}.png,{label}" for label in "xy" for n in range(18)]
    (folder / "list.csv").write_text("\n".join(["path,label", *rows]))
    with pytest.raises(DataError, match=r"36 files are skipped, such as pictures/x0\.png: there is no such file"):
        scan_source(PrepareConfig("folder", str(folder / "list.csv")))
    labels = [[f"pictures\\{n}.png", n % 2] for n in range(36)]
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    with pytest.raises(
        DataError, match=r"lists no image that is there \(42 files are skipped, 36 of them such as pictures/"
    ):
        scan_source(PrepareConfig("zip", str(folder)))


@pytest.mark.parametrize("name", ["a" * 5000, "~nobody/x.png", "..", "", "con\u202e.png"])
def test_a_name_that_no_file_can_have_is_skipped_or_refused(folder: Path, name: str) -> None:
    rows = [f"images/{label}0/0.png,{label}" for label in "xy"]
    (folder / "list.csv").write_text("\n".join(["path,label", *rows, f"{name},x"]))
    if not name:
        with pytest.raises(DataError, match=r"line 4 of .*list\.csv has no path"):
            scan_source(PrepareConfig("folder", str(folder / "list.csv")))
        return
    scan = scan_source(PrepareConfig("folder", str(folder / "list.csv")))
    assert len(scan.items) == 2
    [(_, reason)] = scan.skipped
    assert "no such file" in reason or "the name is not of" in for_terminal(reason)


@pytest.mark.parametrize("name", ["gone/e\u0301.png", "C:\\gone\\x.png", "gone/x.bmp"])
def test_the_class_of_a_skipped_row_is_known_by_the_path_that_is_stored(folder: Path, name: str) -> None:
    rows = [f"images/{label}0/0.png,{label}" for label in "xy"]
    (folder / "list.csv").write_text("\n".join(["path,label", *rows, f"{name},ductal"]), encoding="utf-8")
    scan = scan_source(PrepareConfig("folder", str(folder / "list.csv")))
    [(path, _)] = scan.skipped
    assert scan.class_of(path) == scan.class_of(printable(path)) == "ductal"

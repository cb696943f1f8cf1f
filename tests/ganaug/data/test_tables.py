"""Every table that a user brings is read to the letter, or refused with its name and the row."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.folds.fixed import read_fixed_list
from ganaug.data.sources import scan_source
from ganaug.data.sources.expression import read_calls, read_expression
from ganaug.data.tables import magnification_of, read_bytes, read_cells, read_rows
from ganaug.errors import DataError, FoldsError

TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=12)
CELL = TEXT.map(str.strip).filter(lambda text: text != "")


def written(rows: list[list[str]], delimiter: str = ",") -> bytes:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows(rows)
    return file.getvalue().encode()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=5),
    st.sampled_from(",;\t"),
    st.booleans(),
    st.permutations(("path", "label", "note")),
)
def test_what_a_csv_writer_writes_is_read_as_it_was(
    rows: list[tuple[str, str, str]], delimiter: str, has_mark: bool, header: list[str]
) -> None:
    data = written([list(header), *map(list, rows)], delimiter)
    table = read_cells(b"\xef\xbb\xbf" * has_mark + data, "t.csv", ("path", "label"), ("group",))
    assert [row.cells for row in table.rows] == rows
    first = dict(zip(header, rows[0]))
    assert table.values(table.rows[0], "path", "label", "group") == (first["path"], first["label"], "")


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 6), st.integers(0, 5), st.integers(0, 6).filter(lambda number: number != 3), st.sampled_from(",;\t")
)
def test_a_row_of_another_width_is_refused_by_its_number(num_rows: int, at: int, width: int, delimiter: str) -> None:
    at %= num_rows
    rows = [["a.png", "ductal", f"p{row}"] for row in range(num_rows)]
    rows[at] = ["x"] * width
    data = written([["path", "label", "group"], *rows], delimiter)
    if width == 0:  # a blank line is no row
        assert len(read_rows(data, "t.csv")) == num_rows
        return
    with pytest.raises(DataError, match=rf"line {at + 2} of t\.csv has {width} cells?; expected 3"):
        read_cells(data, "t.csv", ("path", "label"))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "t.csv is empty; expected the columns path, label"),
        (b"\xef\xbb\xbf \r\n", "t.csv is empty"),
        (b"path,label\n", "t.csv has a header and no rows"),
        (b"path,label\n,\n\n", "t.csv has a header and no rows"),
        (b"path\na.png\n", r"t.csv has the columns path; expected path,label\[,group\]; add label"),
        (b"path,label,Label\na.png,x,y\n", "t.csv has the column label twice"),
        (b"path,label,group,GROUP \na.png,x,y,z\n", "t.csv has the column group twice"),
        (b"path,label,\na.png,in situ,p1\n", "line 2 of t.csv has the cell 'p1' in a column without a name"),
        (b'path,label\na.png,"x\nb.png,y\n', "line 2 of t.csv opens a quote that does not close"),
        (b"path,label\na.png,x\0\n", "line 2 of t.csv holds a NUL"),
        (b"path,label\na.png,x\nb.png,\x1b[2J\n", r"line 3 of t.csv holds the control character U\+001B"),
        (b"path,label\na.png,x\n\xff.png,y\n", "line 3 of t.csv is no CSV in UTF-8"),
        ("path,label\na.png,x\n".encode("utf-16"), "line 1 of t.csv is no CSV in UTF-8"),
        (b"path,label\na.png," + b"x" * 200_000 + b"\n", "line 2 of t.csv is no CSV"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "t.csv"),
    ],
)
def test_what_is_no_table_is_refused_by_file_and_row(data: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says) as refusal:
        read_cells(data, "t.csv", ("path", "label"), ("group",))
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text('a,;\t"\n\r\0 é', max_size=30).map(str.encode)))
def test_any_bytes_are_whole_rows_or_one_line(data: bytes) -> None:
    data = b"path,label\n" + data
    fault = ""
    try:
        rows = read_rows(data, "t.csv", ("path", "label"))
    except DataError as refusal:
        fault = str(refusal)
    if fault:
        assert re.match(r"line \d+ of t\.csv ", fault)
        assert fault.isprintable()
    else:
        assert {len(row.cells) for row in rows} == {2}


def test_an_index_without_a_name_is_passed_over_as_pandas_writes_it() -> None:
    table = read_cells(b",path,label\n0,a.png,x\n", "t.csv", ("path", "label"))
    assert table.values(table.rows[0], "path", "label") == ("a.png", "x")


def test_a_folder_or_a_missing_file_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(FoldsError, match="is a folder"):
        read_bytes(tmp_path, FoldsError)
    with pytest.raises(DataError, match="cannot be read"):
        read_bytes(tmp_path / "gone.csv")


@pytest.mark.parametrize(
    ("text", "number"), [("200", 200), ("40X", 40), ("x100", 100), ("400.0", 400), ("NA", 0), ("", 0)]
)
def test_a_magnification_is_read_as_it_is_written(text: str, number: int) -> None:
    assert magnification_of(text, "line 2") == number


@pytest.mark.parametrize("text", ["9" * 5000, "high", "-40", "2.5", "²", "4 0", "0x1F"])
def test_a_magnification_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="line 2 has the magnification") as refusal:
        magnification_of(text, "line 2")
    assert len(str(refusal.value)) < 200


# ---- every table that is read ----------------------------------------------------------------------------------------


def manifest(folder: Path) -> tuple[Path, Callable[[Path], object]]:
    path = folder / "list.csv"
    path.write_text("path,label,group\na.png,x,p\nb.png,y,q\n")
    for name in "ab":
        (folder / f"{name}.png").write_bytes(b"")
    return path, lambda path: scan_source(PrepareConfig("folder", str(path)))


def split(folder: Path) -> tuple[Path, Callable[[Path], object]]:
    path = folder / "split.csv"
    path.write_text("group,part\np,train\nq,test\n")
    return path, lambda path: read_fixed_list(str(path), {})


def patients(folder: Path) -> tuple[Path, Callable[[Path], object]]:
    path = folder / "patients.csv"
    path.write_text("file,patient\nb001.tif,p1\nb002.tif,p1\n")
    bach(folder)
    return path, lambda path: scan_source(PrepareConfig("bach", str(folder), patients_csv=str(path)))


def bach(folder: Path) -> None:
    (folder / "Benign").mkdir()
    for number in (1, 2):
        (folder / "Benign" / f"b00{number}.tif").write_bytes(b"")


def ground_truth(folder: Path) -> tuple[Path, Callable[[Path], object]]:
    path = folder / "microscopy_ground_truth.csv"
    path.write_text("file,label\nb001.tif,Benign\nb002.tif,Benign\n")
    bach(folder)
    return path, lambda path: scan_source(PrepareConfig("bach", str(folder)))


def same_patient(folder: Path) -> tuple[Path, Callable[[Path], object]]:
    path = folder / "same.csv"
    path.write_text("patient,same_as\np,q\nq,p\n")
    for label in "xy":
        (folder / label / "pq"[label == "y"]).mkdir(parents=True)
        (folder / label / "pq"[label == "y"] / "0.png").write_bytes(b"")
    return path, lambda path: scan_source(PrepareConfig("folder", str(folder), same_patient=str(path)))


def calls(folder: Path) -> tuple[Path, Callable[[Path], object]]:
    path = folder / "clinical.tsv"
    path.write_text("PATIENT_ID\tSUBTYPE\nTCGA-A1-0001\tBRCA_LumA\nTCGA-A1-0002\tBRCA_LumB\n")
    return path, read_calls


def expression(folder: Path) -> tuple[Path, Callable[[Path], object]]:
    path = folder / "expression.tsv"
    path.write_text("sample\tTCGA-A1-0001-01\nESR1\t1.0\nKRT5\t2.0\n")
    return path, lambda path: read_expression(path, {"TCGA-A1-0001"})


READERS = (manifest, split, patients, ground_truth, same_patient, calls, expression)


@pytest.mark.parametrize("make", READERS, ids=lambda make: make.__name__)
def test_each_table_is_read_and_a_shifted_row_refused(
    tmp_path: Path, make: Callable[[Path], tuple[Path, Callable[[Path], object]]]
) -> None:
    path, read = make(tmp_path)
    whole = path.read_text()
    read(path)
    delimiter = "\t" if "\t" in whole else ","
    first, second, last = whole.splitlines()
    for changed in (f"{last}{delimiter}more", last.rpartition(delimiter)[0]):
        path.write_text("\n".join([first, second, changed]))
        with pytest.raises(
            DataError, match=rf"line 3 of .*{path.name} has \d cells?; expected {len(first.split(delimiter))}"
        ):
            read(path)


@pytest.mark.parametrize("make", READERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("damage", ["nul", "utf8", "header only", "empty"])
def test_each_table_refuses_what_is_no_table_in_one_line_that_names_it(
    tmp_path: Path, make: Callable[[Path], tuple[Path, Callable[[Path], object]]], damage: str
) -> None:
    path, read = make(tmp_path)
    whole = path.read_bytes()
    header = whole.partition(b"\n")[0]
    damaged = {
        "nul": whole[:-2] + b"\0\n",
        "utf8": whole[:-2] + b"\xff\n",
        "header only": header + b"\n",
        "empty": b"",
    }[damage]
    path.write_bytes(damaged)
    if make is ground_truth and damage in ("header only", "empty"):  # one witness of three, whose lack is noted
        assert any("lists no image" in note for note in read(path).notes)  # type: ignore[attr-defined]
        return
    with pytest.raises(DataError, match=path.name) as refusal:
        read(path)
    assert "\n" not in str(refusal.value)


def test_the_columns_of_a_clinical_table_stand_there_once(tmp_path: Path) -> None:
    path, read = calls(tmp_path)
    path.write_text("PATIENT_ID\tSUBTYPE\tSUBTYPE\nTCGA-A1-0001\tBRCA_LumA\tBRCA_LumB\n")
    with pytest.raises(DataError, match="has the column SUBTYPE twice"):
        read(path)


def test_a_shifted_manifest_no_longer_makes_two_classes_of_six(tmp_path: Path) -> None:
    path, read = manifest(tmp_path)
    path.write_text("path,label,group\na.png,Carcinoma, ductal,p1\nb.png,Carcinoma, lobular,p2\n")
    with pytest.raises(DataError, match=r"line 2 of .*list\.csv has 4 cells; expected 3"):
        read(path)
    path.write_text('path,label,group\na.png,"Carcinoma, ductal",p1\nb.png,"Carcinoma, lobular",p2\n')
    scan = scan_source(PrepareConfig("folder", str(path), folds=FoldsConfig(3)))
    assert scan.class_names == ("Carcinoma, ductal", "Carcinoma, lobular")
    assert scan.groups.tolist() == ["p1", "p2"]

"""TCGA's barcodes, and the tables of expression and PAM50 calls."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ganaug.data.sources.expression import Barcode, parse_barcode, read_calls, read_expression
from ganaug.errors import DataError


@pytest.mark.parametrize(
    ("text", "barcode", "primary"),
    [
        ("TCGA-A7-A13E", Barcode("TCGA-A7-A13E", ""), True),
        ("TCGA-A7-A13E-01", Barcode("TCGA-A7-A13E", "01"), True),
        ("tcga-a7-a13e-01b", Barcode("TCGA-A7-A13E", "01"), True),
        ("TCGA-A7-A13E-01Z-00-DX1.1FE9C4DE-5D13-4E6F", Barcode("TCGA-A7-A13E", "01"), True),
        ("TCGA-A7-A13E-01A-11R-A12P-07", Barcode("TCGA-A7-A13E", "01"), True),
        ("TCGA-A7-A13E_tiles", Barcode("TCGA-A7-A13E", ""), True),
        ("TCGA-E2-A15K-06A", Barcode("TCGA-E2-A15K", "06"), False),
        ("TCGA-BH-A0B3-11", Barcode("TCGA-BH-A0B3", "11"), False),
        ("TCGA-A7", None, False),
        ("TCGA-A7-A13E0", None, False),
        ("TARGET-A7-A13E", None, False),
        ("images of TCGA-A7-A13E", None, False),
    ],
)
def test_a_barcode_is_parsed(text: str, barcode: Barcode | None, primary: bool) -> None:
    assert parse_barcode(text) == barcode
    assert (barcode is not None and barcode.is_primary) == primary


def test_a_call_of_normal_tissue_is_not_the_tumours(xena_clinical: Callable[..., str], tmp_path: Path) -> None:
    path = xena_clinical(tmp_path / "c", {"TCGA-A1-0001": "LumA", "TCGA-A1-0002": ""})
    assert read_calls(Path(path)) == {"TCGA-A1-0001": {"LumA"}, "TCGA-A1-0002": set()}


def test_a_gzipped_table_with_windows_line_ends_is_the_same_table(
    calls: dict[str, str], xena: Callable[..., str], tmp_path: Path
) -> None:
    plain = Path(xena())
    packed = tmp_path / "HiSeqV2.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + plain.read_bytes().replace(b"\n", b"\r\n") + b"\r\n"))
    a, b = read_expression(plain, set(calls)), read_expression(packed, set(calls))
    assert (a.patients, a.genes) == (b.patients, b.genes)
    assert np.array_equal(a.values, b.values)


def test_counts_of_cbioportal_become_the_logarithms_of_xena(
    calls: dict[str, str], write_table: Callable[..., str], tmp_path: Path
) -> None:
    logs = {f"{patient}-01": (index + 0.5, 3.25, 12.0) for index, patient in enumerate(calls)}
    counts = {name: [2**value - 1 for value in column] for name, column in logs.items()}
    names = "Hugo_Symbol\tEntrez_Gene_Id"
    genes = ["ESR1\t2099", "\t100130426", "KRT5\t3852"]
    found = read_expression(Path(write_table(tmp_path / "rsem.txt", counts, genes, names)), set(calls))
    assert found.genes == ("ESR1", "100130426", "KRT5")
    assert found.values == pytest.approx(np.array(list(logs.values())), abs=1e-5)
    assert found.notes == ("expression: the counts (RSEM) were taken as log2(count + 1)",)


def test_the_few_negative_counts_of_batch_correction_are_zero_and_reported(
    calls: dict[str, str], write_table: Callable[..., str], tmp_path: Path
) -> None:
    counts = {f"{patient}-01": np.arange(100.0) + 100 for patient in calls}
    counts["TCGA-A1-0001-01"][7] = -0.3
    genes = [f"G{row}\t{row}" for row in range(100)]
    found = read_expression(
        Path(write_table(tmp_path / "rsem.txt", counts, genes, "Hugo_Symbol\tEntrez_Gene_Id")), set(calls)
    )
    assert found.values[0, 7] == 0
    assert np.isfinite(found.values).all()
    assert "1 counts are below zero (batch correction)" in found.notes[1]


def test_no_negative_value_passes_for_a_logarithm_of_counts(write_table: Callable[..., str], tmp_path: Path) -> None:
    columns = {"TCGA-A1-0001-01": [-0.1, *range(19)] + [5.0] * 80}
    with pytest.raises(DataError, match=r"1 of 100 values of .* are below zero"):
        read_expression(Path(write_table(tmp_path / "t", columns, [f"G{row}" for row in range(100)])), {"TCGA-A1-0001"})


def test_a_gene_that_stands_twice_counts_once_if_its_lines_agree(
    calls: dict[str, str], write_table: Callable[..., str], tmp_path: Path
) -> None:
    columns = {f"{patient}-01": (1.0, "NA", 3.0, 1.0, 4.0, "NA", 7.0) for patient in calls}
    genes = ["ESR1", "ERBB2", "KRT5", "ESR1", "KRT5", "ERBB2", ""]
    found = read_expression(Path(write_table(tmp_path / "t", columns, genes)), set(calls))
    assert found.genes == ("ESR1",)
    assert found.notes == (
        "expression: 1 genes stand in the table twice, with different values and were skipped: KRT5",
        "expression: 1 genes have no name and were skipped: line 8",
        "expression: 1 genes lack a value in some patient and were skipped: ERBB2",
    )


@pytest.mark.parametrize("fraction", [0.02, 0.5, 0.95])
def test_a_truncated_table_is_one_line(write_table: Callable[..., str], tmp_path: Path, fraction: float) -> None:
    columns = {f"TCGA-A1-{i:04d}-01": np.random.default_rng(i).uniform(0, 20, 30) for i in range(40)}
    path = Path(write_table(tmp_path / "t.gz", columns, [f"G{i}" for i in range(30)]))
    path.write_bytes(path.read_bytes()[: int(fraction * path.stat().st_size)])
    with pytest.raises(DataError, match=r"truncated, damaged or no table .*download it again"):
        read_expression(path, {"TCGA-A1-0001"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        (
            "sample\tESR1\nTCGA-A1-0001-01\t1.0\n",
            "has a line for each sample; expected a line for each gene; transpose",
        ),
        ("gene,TCGA-A1-0001-01\nESR1,1.0\n", "does not begin with gene names and TCGA barcodes"),
        ("TCGA-A1-0001-01\tTCGA-A1-0002-01\n1.0\t2.0\n", "does not begin with gene names"),
        ("sample\tTCGA-A1-0001-01\tMETABRIC-7\nESR1\t1.0\t2.0\n", "does not begin with gene names"),
        (
            "sample\tTCGA-A1-0001-01\nESR1\t1.0\nKRT5\n",
            "line 3 of .* has 1 cell; expected 2, as the first line has; download",
        ),
        ("sample\tTCGA-A1-0001-01\nESR1\thigh\n", "line 2 of .* holds no number .*'high'"),
        ("sample\tTCGA-A1-0001-01\nESR1\t-1.2\nKRT5\t1.1\n", "1 of 2 values of .* are below zero, as where"),
        ("sample\tTCGA-A1-0001-01\nESR1\t812.0\n", r"holds no logarithms \(the largest value is 812\)"),
        ("Hugo_Symbol\tEntrez_Gene_Id\tTCGA-A1-0001-01\nESR1\t2099\t9.6\n", r"holds logarithms \(the largest"),
        ("Hugo_Symbol\tEntrez_Gene_Id\tTCGA-A1-0001-01\nESR1\t2099\t-1\nKRT5\t1\t99\n", "1 of 2 values of"),
        ("sample\tTCGA-A1-0001-01\nESR1\tNA\n", "no gene with a value in each patient"),
        ("sample\tTCGA-A1-0001-01\n", "no gene with a value in each patient"),
    ],
)
def test_an_expression_table_of_another_kind_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_expression(tmp_path / "t", {"TCGA-A1-0001"})
    assert "\n" not in str(caught.value)

import csv
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.sources.tcga_brca import scan
from ganaug.errors import ConfigError, DataError, for_terminal
from ganaug.workspace import Workspace

GENES = ("ESR1", "ERBB2", "KRT5")


def config(source: Path, clinical: str | None, **options: object) -> PrepareConfig:
    return PrepareConfig("tcga-brca", str(source), clinical=clinical, **options)  # type: ignore[arg-type]


# ---- tiles, labels, groups -------------------------------------------------------------------------------------------


def test_binary_tells_luminal_from_basal_and_her2_and_counts_the_normal_like(root: Path, clinical: str) -> None:
    found = scan(config(root, clinical, um_per_px=0.5))
    assert found.class_names == ("Luminal", "BasalHer2")
    assert {item.group_id: found.class_names[item.label] for item in found.items} == {
        "TCGA-A1-0001": "Luminal",
        "TCGA-A1-0002": "Luminal",
        "TCGA-A2-0003": "BasalHer2",
        "TCGA-A2-0004": "BasalHer2",
    }
    assert Counter(item.site for item in found.items) == {"A1": 4, "A2": 4}
    assert {item.um_per_px for item in found.items} == {0.5}
    assert found.skipped == ()
    [note] = found.notes
    assert note.startswith("1 patients (2 tiles) are normal-like")
    assert found.tables == {}


def test_subtype_keeps_all_five(root: Path, clinical: str) -> None:
    found = scan(config(root, clinical, task="subtype"))
    assert found.class_names == ("LumA", "LumB", "Basal", "Her2", "Normal")
    assert np.bincount(found.labels).tolist() == [2] * 5
    assert found.notes == ()


def test_both_clinical_layouts_give_the_same_classes(
    calls: dict[str, str], cbioportal_clinical: Callable[..., str], root: Path, clinical: str, tmp_path: Path
) -> None:
    other = cbioportal_clinical(tmp_path / "data_clinical_patient.txt", calls)
    assert scan(config(root, other)).items == scan(config(root, clinical)).items


def test_folder_zip_and_tar_tell_the_same_tiles(root: Path, clinical: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as packed, tarfile.open(tmp_path / "t.tar.gz", "w:gz") as tar:
        for file in sorted(root.rglob("*.png"), reverse=True):
            packed.write(file, file.relative_to(root))
            tar.add(file, file.relative_to(root))
    scans = [scan(config(source, clinical)) for source in (root, tmp_path / "t.zip", tmp_path / "t.tar.gz")]
    assert scans[0].items == scans[1].items == scans[2].items
    for found in scans:
        loads = dict(found.read(found.items))
        assert [loads[i]() for i in range(8)] == [((root / item.path).read_bytes(),) for item in found.items]


def test_the_nearest_barcode_above_a_tile_is_its_patient(
    write_tiles: Callable[..., Path], tmp_path: Path, clinical: str
) -> None:
    folders = [
        "site/TCGA-A1-0001/TCGA-A1-0001-01Z-00-DX1.ABC/20x",
        "more/tcga-a1-0001-01a",
        "TCGA-A1-0002-06A",
        "TCGA-A2-0003-11A-01-TS1",
        "TCGA-A2-0004",
        "other",
    ]
    found = scan(config(write_tiles(tmp_path / "t", folders, num=3), clinical))
    assert Counter(found.groups.tolist()) == {"TCGA-A1-0001": 6, "TCGA-A2-0004": 3}
    assert len({item.image_id for item in found.items}) == 9
    assert dict(found.skipped) == {
        **{f"other/{index}.png": "it stands in no folder that is named by a TCGA barcode" for index in range(3)},
        "TCGA-A1-0002-06A": "sample type 06, which is no primary tumour (01)",
        "TCGA-A2-0003-11A-01-TS1": "sample type 11, which is no primary tumour (01)",
    }


def test_patients_without_a_clear_call_are_skipped_once_each(
    calls: dict[str, str], xena_clinical: Callable[..., str], root: Path, tmp_path: Path
) -> None:
    calls = {**calls, "TCGA-A1-0001": "", "TCGA-A1-0002": "NA", "TCGA-A2-0003": "Claudin-low", "TCGA-BH-0005": "Basal"}
    twice = ["TCGA-A2-0004-01\t\tHer2\t", "TCGA-BH-0005-01\t\tLumA\t"]
    found = scan(config(root, xena_clinical(tmp_path / "c", calls, twice)))
    assert set(found.groups) == {"TCGA-A2-0004"}
    assert tuple((path, for_terminal(reason)) for path, reason in found.skipped) == (
        ("TCGA-A1-0001", "no PAM50 call of a primary tumour"),
        ("TCGA-A1-0002", "no PAM50 call of a primary tumour"),
        ("TCGA-A2-0003", "its PAM50 call is Claudin-low"),
        ("TCGA-BH-0005", "its PAM50 call is Basal and LumA"),
    )


# ---- expression ------------------------------------------------------------------------------------------------------


def test_expression_is_stored_by_patient_unscaled_with_primary_tumours_only(
    xena: Callable[..., str], root: Path, clinical: str
) -> None:
    found = scan(config(root, clinical, expression=xena()))
    tables = found.tables
    assert list(tables["expression/group_id"]) == sorted(set(found.groups))
    assert list(tables["expression/genes"]) == list(GENES)
    assert tables["expression/values"].dtype == np.float32
    assert tables["expression/values"].tolist() == [[index, 2.5, 10.25] for index in range(4)]


@pytest.mark.parametrize("missing", ["", "NA", "nan", "NaN", "inf"])
def test_a_gene_that_lacks_a_value_in_a_kept_patient_is_skipped_and_named(
    xena: Callable[..., str], root: Path, clinical: str, missing: str
) -> None:
    kept = scan(config(root, clinical, expression=xena(TCGA_A2_0003_01=(1.0, missing, 2.0))))
    assert list(kept.tables["expression/genes"]) == ["ESR1", "KRT5"]
    assert "expression: 1 genes lack a value in some patient and were skipped: ERBB2" in kept.notes
    other = scan(config(root, clinical, expression=xena(TCGA_BH_0005_01=(1.0, missing, 2.0))))
    assert list(other.tables["expression/genes"]) == list(GENES)  # a normal-like patient is not in the binary task


def test_a_patient_whose_sample_stands_twice_counts_if_they_agree(
    xena: Callable[..., str], root: Path, clinical: str
) -> None:
    path = xena(TCGA_A1_0001_01A=(0.0, 2.5, 10.25), TCGA_A1_0002_01B=(1.0, 2.5, 10.0))
    found = scan(config(root, clinical, expression=path))
    assert set(found.groups) == {"TCGA-A1-0001", "TCGA-A2-0003", "TCGA-A2-0004"}
    assert found.skipped == (
        ("TCGA-A1-0002", "the expression table has two samples of its primary tumour that differ"),
    )
    assert list(found.tables["expression/group_id"]) == sorted(set(found.groups))


def test_a_patient_without_expression_of_the_tumour_is_skipped(
    write_table: Callable[..., str], root: Path, clinical: str, tmp_path: Path
) -> None:
    columns = {"TCGA-A1-0001-11": (1, 2, 3), "TCGA-A1-0002-01": (1, 2, 3), "TCGA-A2-0003-06": (1, 2, 3)}
    found = scan(config(root, clinical, expression=write_table(tmp_path / "t", columns)))
    assert set(found.groups) == {"TCGA-A1-0002"}
    reason = "no expression of a primary tumour"
    assert found.skipped == tuple((f"TCGA-{patient}", reason) for patient in ("A1-0001", "A2-0003", "A2-0004"))


def test_a_workbook_for_a_table_is_one_line(root: Path, tmp_path: Path, clinical: str) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"PK\x03\x04" + bytes(range(128, 256)))
    for options in (
        {"clinical": str(tmp_path / "t.xlsx")},
        {"clinical": clinical, "expression": str(tmp_path / "t.xlsx")},
    ):
        with pytest.raises(DataError, match="truncated, damaged or no table"):
            scan(PrepareConfig("tcga-brca", str(root), **options))  # type: ignore[arg-type]


# ---- what is missing -------------------------------------------------------------------------------------------------


def test_without_a_clinical_table_the_option_is_named(root: Path) -> None:
    with pytest.raises(ConfigError, match="no PAM50 calls for tcga-brca; name the table that has them with --clinical"):
        scan(config(root, None))


def test_a_clinical_table_without_calls_says_what_it_expects(root: Path, tmp_path: Path) -> None:
    (tmp_path / "data_clinical_sample.txt").write_text("#a\nPATIENT_ID\tSAMPLE_ID\nTCGA-A1-0001\tTCGA-A1-0001-01\n")
    for name in ("data_clinical_sample.txt", "tiles"):
        with pytest.raises(DataError, match=r"no column with PAM50 calls; expected UCSC Xena's|is a folder"):
            scan(config(root, str(tmp_path / name)))


def test_a_source_without_usable_tiles_says_why(
    write_tiles: Callable[..., Path], tmp_path: Path, clinical: str
) -> None:
    root = write_tiles(tmp_path / "t", ["TCGA-A1-0001-11"], num=1)
    with pytest.raises(
        DataError, match=r"no tile of a primary tumour \(1 file is skipped, such as TCGA-A1-0001-11: sample type 11"
    ):
        scan(config(root, clinical))
    write_tiles(root, ["TCGA-ZZ-9999"])
    with pytest.raises(DataError, match=r"none of 1 patients in .* can be used .*such as TCGA-.*: .*no PAM50 call"):
        scan(config(root, clinical))


# ---- the real table --------------------------------------------------------------------------------------------------


def test_the_real_table_is_the_same_in_both_official_layouts(
    calls: dict[str, str],
    write_tiles: Callable[..., Path],
    xena_clinical: Callable[..., str],
    cbioportal_clinical: Callable[..., str],
    write_table: Callable[..., str],
    shared: Path,
    tmp_path: Path,
) -> None:
    with (shared / "tcga-brca-mrna49-luma-vs-basal.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    genes, pam50 = header[2:], {"Luminal A": "LumA", "Basal-like": "Basal"}
    calls = {row[0][:12]: pam50[row[1]] for row in rows}
    logs = {row[0]: [float(cell) for cell in row[2:]] for row in rows}
    assert len(calls) == len(rows) == 328

    root = write_tiles(tmp_path / "tiles", [row[0] for row in rows[::4]], num=1)
    clinical = xena_clinical(tmp_path / "BRCA_clinicalMatrix", calls)
    path = write_table(tmp_path / "HiSeqV2.gz", {name[:15]: column for name, column in logs.items()}, genes)
    found = scan(config(root, clinical, expression=path))
    assert Counter(found.labels.tolist()) == Counter(int(row[1] == "Basal-like") for row in rows[::4])
    assert set(found.sites) == {row[0][5:7] for row in rows[::4]}
    values = found.tables["expression/values"]
    assert list(found.tables["expression/genes"]) == genes
    expected = {row[0][:12]: logs[row[0]] for row in rows}
    for group, row in zip(found.tables["expression/group_id"], values, strict=True):
        assert row == pytest.approx(expected[group])

    counts = {name[:15]: np.exp2(column) - 1 for name, column in logs.items()}
    named = [f"{gene}\t{number}" for number, gene in enumerate(genes)]
    path = write_table(tmp_path / "data_mrna_seq_v2_rsem.txt", counts, named, "Hugo_Symbol\tEntrez_Gene_Id")
    clinical = cbioportal_clinical(tmp_path / "data_clinical_patient.txt", calls)
    other = scan(config(root, clinical, expression=path))
    assert other.items == found.items
    assert other.tables["expression/values"] == pytest.approx(values, abs=1e-4)

    (tmp_path / "rows").write_text("\n".join("\t".join(row[:1] + row[2:]) for row in [header, *rows]))
    with pytest.raises(DataError, match="has a line for each sample"):
        scan(config(root, clinical, expression=str(tmp_path / "rows")))


# ---- to the end ------------------------------------------------------------------------------------------------------


def test_folds_by_site_never_part_a_site_and_expression_is_stored_next_to_the_tiles(
    calls: dict[str, str],
    write_tiles: Callable[..., Path],
    xena_clinical: Callable[..., str],
    write_table: Callable[..., str],
    tmp_path: Path,
    workspace: Workspace,
) -> None:
    patients = [f"TCGA-{site}-{number:04d}" for site in ("A1", "A2", "BH", "E2") for number in range(4)]
    calls = {patient: ("LumA", "Basal")[index % 2] for index, patient in enumerate(patients)}
    columns = {f"{patient}-01": (index, 2.0, 3.0) for index, patient in enumerate(patients)}
    options = config(
        write_tiles(tmp_path / "tiles", patients),
        xena_clinical(tmp_path / "c", calls),
        expression=write_table(tmp_path / "t", columns),
        resolution_px=16,
        folds=FoldsConfig(3, by="site"),
    )
    prepared = prepare_dataset(workspace, options)
    assert prepared.skipped == ()
    assert prepared.folds is not None
    for fold in range(3):
        held_out = {group[5:7] for group in prepared.folds.test_groups(fold)}
        assert not held_out & {group[5:7] for group in prepared.folds.train_groups(fold)}
    with h5py.File(prepared.path) as file:
        assert file["expression/group_id"].asstr()[:].tolist() == patients
        assert file["expression/genes"].asstr()[:].tolist() == list(GENES)
        assert file["expression/values"][:].tolist() == [list(column) for column in columns.values()]

"""Tiles of a few patients of TCGA, and tables in the layouts of UCSC Xena and cBioPortal."""

import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

CALLS = {
    "TCGA-A1-0001": "LumA",
    "TCGA-A1-0002": "LumB",
    "TCGA-A2-0003": "Basal",
    "TCGA-A2-0004": "Her2",
    "TCGA-BH-0005": "Normal",
}
GENES = ("ESR1", "ERBB2", "KRT5")
Column = Sequence[object] | NDArray[np.float64]


def _write_tiles(root: Path, folders: Sequence[str], num: int = 2) -> Path:
    for seed, folder in enumerate(folders):
        (root / folder).mkdir(parents=True)
        for index in range(num):
            pixels = np.random.default_rng([seed, index]).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{index}.png")
    return root


def _xena_clinical(path: Path, calls: Mapping[str, str], extra: Sequence[str] = ()) -> str:
    """The layout of BRCA_clinicalMatrix: many columns, a line a sample, normal tissue among them."""
    lines = ["sampleID\tAJCC_Stage_nature2012\tPAM50Call_RNAseq\tvital_status"]
    lines += [f"{patient}-01\tStage II\t{call}\tLIVING" for patient, call in calls.items()]
    lines += [f"{patient}-11\t\tNormal\tLIVING" for patient in calls]
    path.write_text("\n".join([*lines, *extra]) + "\n")
    return str(path)


def _cbioportal_clinical(path: Path, calls: Mapping[str, str]) -> str:
    lines = ["#Patient Identifier\tSubtype", "#Identifier\tSubtype", "#STRING\tSTRING", "#1\t1"]
    lines += ["PATIENT_ID\tSUBTYPE\tCANCER_TYPE_ACRONYM"]
    lines += [f"{patient}\tBRCA_{call}\tBRCA" if call else f"{patient}\t" for patient, call in calls.items()]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def _table(path: Path, columns: Mapping[str, Column], genes: Sequence[str] = GENES, names: str = "sample") -> str:
    """Genes × samples, tab-separated; gzipped where the suffix says so."""
    lines = ["\t".join([names, *columns])]
    lines += ["\t".join([gene, *(str(column[row]) for column in columns.values())]) for row, gene in enumerate(genes)]
    data = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return _write_tiles(tmp_path / "tiles", list(CALLS))


@pytest.fixture
def clinical(tmp_path: Path) -> str:
    return _xena_clinical(tmp_path / "BRCA_clinicalMatrix", CALLS)


def _xena(tmp_path: Path, changes: Mapping[str, Column]) -> str:
    """Expression of all patients, with some columns added or replaced; underscores stand for dashes."""
    columns: dict[str, Column] = {f"{patient}-01": (index, 2.5, 10.25) for index, patient in enumerate(CALLS)}
    columns["TCGA-A1-0001-11"] = (9.0, 9.0, 9.0)
    return _table(tmp_path / "HiSeqV2", columns | {name.replace("_", "-"): column for name, column in changes.items()})


@pytest.fixture
def calls() -> dict[str, str]:
    """The PAM50 call of each patient."""
    return CALLS


@pytest.fixture
def write_tiles() -> Callable[..., Path]:
    return _write_tiles


@pytest.fixture
def xena_clinical() -> Callable[..., str]:
    return _xena_clinical


@pytest.fixture
def cbioportal_clinical() -> Callable[..., str]:
    return _cbioportal_clinical


@pytest.fixture
def write_table() -> Callable[..., str]:
    return _table


@pytest.fixture
def xena(tmp_path: Path) -> Callable[..., str]:
    """Writes the expression of all patients, with some columns added or replaced; underscores stand for dashes."""
    return lambda **changes: _xena(tmp_path, changes)

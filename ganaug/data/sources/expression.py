"""TCGA's tables as UCSC Xena and cBioPortal hand them out: gene expression, and the PAM50 call of each tumour."""

import gzip
import re
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from ganaug.data.tables import require_different, require_width
from ganaug.errors import DataError

PAM50 = ("LumA", "LumB", "Basal", "Her2", "Normal")
LOG2_MAX = 40.0  # no count reaches 2^40, so larger values are no logarithms and smaller maxima no counts
MAX_NEGATIVE_FRACTION = 0.05  # batch correction leaves under 1 % of the counts negative; of centred values it is half
_MISSING = ("", "na", "nan", "null", "[not available]")
_BARCODE = re.compile(r"(TCGA-[A-Z0-9]{2}-[A-Z0-9]{4})(?:-(\d{2})[A-Z]?)?(?:[-._ ].*)?")
_CALL_COLUMNS = (("sampleID", "PAM50Call_RNAseq"), ("PATIENT_ID", "SUBTYPE"))  # UCSC Xena, cBioPortal
_TABLE = "UCSC Xena's HiSeqV2 or cBioPortal's data_mrna_seq_v2_rsem.txt, tab-separated, one line a gene"


@dataclass(frozen=True)
class Barcode:
    """What a TCGA barcode says, of a patient (TCGA-A7-A13E) or of one of the patient's samples (…-01A-11R-…)."""

    patient: str
    sample_type: str  # 01 primary tumour, 06 metastasis, 11 normal tissue; empty in a patient's barcode

    @property
    def site(self) -> str:
        """The tissue source site: the hospital that sent the sample, and with it the stain."""
        return self.patient.split("-")[1]

    @property
    def is_primary(self) -> bool:
        return self.sample_type in ("", "01")


def parse_barcode(text: str) -> Barcode | None:
    """What a barcode says, or None where the text does not begin with one."""
    match = _BARCODE.fullmatch(text.strip().upper())
    return Barcode(match[1], match[2] or "") if match else None


@dataclass(frozen=True)
class Expression:
    """Expression of P patients' primary tumours, log2(count + 1), unscaled."""

    patients: tuple[str, ...]
    genes: tuple[str, ...]
    values: NDArray[np.float32]  # f32 [P,G]
    differing: tuple[str, ...]  # patients with two samples that are not the same, who are not among the P
    notes: tuple[str, ...]


def read_calls(path: Path) -> dict[str, set[str]]:
    """The PAM50 calls of each patient's primary tumour (empty: none is known); raises DataError for other tables."""
    calls: dict[str, set[str]] = defaultdict(set)
    with _open_table(path) as lines:
        rows = ((number, _cells(line)) for number, line in enumerate(lines, 1) if not line.startswith("#"))
        header = next((cells for _, cells in rows if any(cells)), [])
        columns = next((pair for pair in _CALL_COLUMNS if set(pair) <= set(header)), None)
        if columns is None:
            raise DataError(
                f"{path} has no column with PAM50 calls",
                expected="UCSC Xena's BRCA_clinicalMatrix (sampleID, PAM50Call_RNAseq) or cBioPortal's "
                "data_clinical_patient.txt (PATIENT_ID, SUBTYPE), tab-separated",
            )
        require_different(header, str(path))
        sample, call = map(header.index, columns)
        for number, cells in rows:
            if not any(cells):
                continue
            require_width(cells, len(header), f"line {number} of {path}", todo="download it again")
            barcode = parse_barcode(cells[sample])
            if barcode and barcode.is_primary:
                known = cells[call].strip().lower() not in _MISSING
                calls[barcode.patient] |= {cells[call].strip().removeprefix("BRCA_")} if known else set()
    if not calls:
        raise DataError(
            f"{path} has no row of a primary tumour",
            expected="TCGA barcodes below the header",
            todo="download it again",
        )
    return dict(calls)


def read_expression(path: Path, wanted: Collection[str]) -> Expression:
    """The expression of the wanted patients' primary tumours, of all genes that are known in each of them.

    Counts (cBioPortal) become log2(count + 1), as the table of UCSC Xena has them. Raises DataError where the table is
    damaged, transposed, centred, or of other units.
    """
    rows = _read_rows(path, wanted)
    names = [gene for gene in rows.genes if gene not in rows.differing]
    stacked = [rows.genes[gene] for gene in names]
    values = np.array(stacked, np.float32).reshape(len(names), len(rows.patients)).T
    values, patients, differing = _one_sample_each(values, rows.patients)
    is_known = np.asarray(np.isfinite(values).all(axis=0))
    missing = [gene for gene, known in zip(names, is_known) if not known]
    names = [gene for gene, known in zip(names, is_known) if known]
    if not names:
        raise DataError(f"{path} has no gene with a value in each patient", expected=_TABLE)
    values, scale_notes = _logarithms(path, values[:, is_known], rows.are_counts)
    notes = [
        *_notes_on_genes(rows.differing, "stand in the table twice, with different values"),
        *_notes_on_genes(rows.nameless, "have no name"),
        *_notes_on_genes(missing, "lack a value in some patient"),
        *scale_notes,
    ]
    return Expression(patients, tuple(names), values, differing, tuple(notes))


@dataclass
class _Rows:
    """A table as it stands: genes with their values in the samples of `patients`."""

    patients: list[str]
    are_counts: bool
    genes: dict[str, NDArray[np.float32]]
    differing: list[str]  # genes that stand in the table twice, with different values
    nameless: list[str]


def _read_rows(path: Path, wanted: Collection[str]) -> _Rows:
    with _open_table(path) as lines:
        header, first = _cells(next(lines, "")), next(lines, "")
        num_names, samples = _samples(path, header, _cells(first)[0])
        columns = [column for column, patient in samples.items() if patient in wanted]
        are_counts = "Entrez_Gene_Id" in header[:num_names]
        rows = _Rows([samples[column] for column in columns], are_counts, {}, [], [])
        for number, line in enumerate(chain([first], lines), 2):
            cells = _cells(line)
            if not any(cells):
                continue
            require_width(cells, len(header), f"line {number} of {path}", todo="download it again")
            gene = next(filter(None, cells[:num_names]), "")  # cBioPortal: the symbol, else the Entrez number
            values = _numbers([cells[column] for column in columns], path, number)
            if not gene:
                rows.nameless.append(f"line {number}")
            elif gene not in rows.genes:
                rows.genes[gene] = values
            elif gene not in rows.differing and not np.array_equal(rows.genes[gene], values, equal_nan=True):
                rows.differing.append(gene)
    return rows


def _samples(path: Path, header: Sequence[str], first_name: str) -> tuple[int, dict[int, str]]:
    """How many columns name the gene, and the patient of each column that is a primary tumour; raises DataError."""
    barcodes = {column: parse_barcode(cell) for column, cell in enumerate(header)}
    is_sample = [barcode is not None for barcode in barcodes.values()]
    if not any(is_sample) and parse_barcode(first_name):
        raise DataError(f"{path} has a line for each sample", expected="a line for each gene", todo="transpose it")
    num_names = is_sample.index(True) if any(is_sample) else 0
    if not num_names or not all(is_sample[num_names:]):
        raise DataError(f"{path} does not begin with gene names and TCGA barcodes", expected=_TABLE)
    return num_names, {at: barcode.patient for at, barcode in barcodes.items() if barcode and barcode.is_primary}


def _one_sample_each(
    values: NDArray[np.float32], patients: Sequence[str]
) -> tuple[NDArray[np.float32], tuple[str, ...], tuple[str, ...]]:
    """One row for each patient, sorted; those whose samples differ are taken out and named."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, patient in enumerate(patients):
        rows[patient].append(row)
    differing = {
        patient
        for patient, (first, *others) in rows.items()
        if not all(np.array_equal(values[first], values[other], equal_nan=True) for other in others)
    }
    kept = sorted(set(rows) - differing)
    return values[[rows[patient][0] for patient in kept]], tuple(kept), tuple(sorted(differing))


def _logarithms(path: Path, values: NDArray[np.float32], are_counts: bool) -> tuple[NDArray[np.float32], list[str]]:
    """Values as log2(count + 1), and what was done to them; raises DataError where they are something else."""
    num_negative = int((values < 0).sum())
    if num_negative > (MAX_NEGATIVE_FRACTION * values.size if are_counts else 0):
        raise DataError(
            f"{num_negative} of {values.size} values of {path} are below zero, as where genes are centred over samples",
            expected=f"values that no test patient had a part in: {_TABLE}",
        )
    if values.size and (values.max() > LOG2_MAX) != are_counts:
        seen = "logarithms" if are_counts else "no logarithms"
        raise DataError(f"{path} holds {seen} (the largest value is {values.max():g})", expected=_TABLE)
    if not are_counts:
        return values, []
    notes = ["expression: the counts (RSEM) were taken as log2(count + 1)"]
    if num_negative:
        notes.append(f"expression: {num_negative} counts are below zero (batch correction) and were taken as 0")
    return np.log2(np.maximum(values, 0) + 1), notes


def _notes_on_genes(genes: Sequence[str], what: str) -> list[str]:
    if not genes:
        return []
    named = ", ".join(genes[:5]) + (", …" if len(genes) > 5 else "")
    return [f"expression: {len(genes)} genes {what} and were skipped: {named}"]


def _numbers(cells: Sequence[str], path: Path, line_number: int) -> NDArray[np.float32]:
    """The cells as f32, NaN where a value is missing."""
    try:
        return np.array(list(map(float, cells)), np.float32)
    except ValueError:
        pass  # the usual line has no missing value, and is read the quick way
    try:
        return np.array([np.nan if cell.lower() in _MISSING else float(cell) for cell in cells], np.float32)
    except ValueError as error:
        raise DataError(f"line {line_number} of {path} holds no number ({error})", expected=_TABLE) from error


def _cells(line: str) -> list[str]:
    return line.rstrip("\r\n").split("\t")


def _without_nul(lines: TextIO, path: Path) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise DataError(f"line {number} of {path} holds a NUL character", expected="text", todo="download it again")
        yield line


@contextmanager
def _open_table(path: Path) -> Iterator[Iterator[str]]:
    """Read a text file, gzipped or not; what is damaged or no text becomes a DataError."""
    if path.is_dir():
        raise DataError(f"{path} is a folder", expected="a table")
    with path.open("rb") as file:
        start = file.read(2)
    if not start:
        raise DataError(f"{path} is empty", expected="a table", todo="download it again")
    is_packed = start == b"\x1f\x8b"
    try:
        with (gzip.open if is_packed else open)(path, "rt", encoding="utf-8-sig") as lines:
            yield _without_nul(lines, path)
    except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is truncated, damaged or no table ({error})", todo="download it again") from error

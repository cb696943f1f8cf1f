"""TCGA-BRCA: tiles of breast tumours with the PAM50 subtype of the patient and, on request, the tumour's expression.

Where it comes from: slides from the NIH Genomic Data Commons, https://portal.gdc.cancer.gov, which the user has cut
into tiles; tables from UCSC Xena (`TCGA.BRCA.sampleMap/HiSeqV2`, `BRCA_clinicalMatrix`) or cBioPortal
(`brca_tcga_pan_can_atlas_2018`: `data_mrna_seq_v2_rsem.txt`, `data_clinical_patient.txt`). The user downloads them,
this tool downloads nothing. Licence: open-access tier, under the data use policies of NIH and GDC. To be cited: The
Cancer Genome Atlas Network, "Comprehensive molecular portraits of human breast tumours", Nature 490, 2012, and where
the tables are from: Goldman et al., Nature Biotechnology 38, 2020 (Xena), or Cerami et al., Cancer Discovery 2, 2012
(cBioPortal).

Tiles stand in one folder for each patient, named by the barcode TCGA-XX-XXXX or that of a sample or slide of it. Only
primary tumours (sample type 01) are taken. XX is the tissue source site, which the stain gives away: folds can keep a
site's patients together. `task="binary"` separates the luminal subtypes from the basal-like and HER2-enriched ones,
`task="subtype"` separates all five. PAM50 is called from expression, so expression predicts it almost by definition.

The expression is stored unscaled, log2(count + 1), as `expression/{values,group_id,genes}`: whoever scales it must do
so on the training part of a fold only, since scaling over all patients lets the test patients have a part.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganaug.config import PrepareConfig
from ganaug.data.archives.files import Files, existing, is_image_name, open_files, printable, source_path
from ganaug.data.sources.expression import PAM50, Barcode, Expression, parse_barcode, read_calls, read_expression
from ganaug.data.sources.scans.scan import Item, Scan, reading
from ganaug.data.sources.scans.skipped import why_none
from ganaug.errors import ConfigError, DataError, private

BINARY = ("Luminal", "BasalHer2")
BINARY_OF = {"LumA": "Luminal", "LumB": "Luminal", "Basal": "BasalHer2", "Her2": "BasalHer2"}
LICENCE = "TCGA open-access tier, NIH and GDC data use policies"
CITATION = (
    "The Cancer Genome Atlas Network, Nature 490, 2012; tables: Goldman et al., Nature Biotechnology 38, 2020 "
    "(UCSC Xena) or Cerami et al., Cancer Discovery 2, 2012 (cBioPortal)"
)


@dataclass
class _Patient:
    site: str
    folder: str  # the first one with tiles of the patient
    tiles: list[str] = field(default_factory=list)


def scan(config: PrepareConfig) -> Scan:
    """List the tiles of patients with a PAM50 call and, where a table is given, expression; raises DataError."""
    source = source_path(config)
    if config.clinical is None:
        raise ConfigError("no PAM50 calls for tcga-brca", todo="name the table that has them with --clinical")
    files = open_files(source)
    skipped = list(files.skipped)
    calls = read_calls(existing(config.clinical, "--clinical"))
    patients = _patients(files, skipped)
    if not patients:
        raise DataError(
            f"{source} holds no tile of a primary tumour{why_none(skipped)}", expected="<TCGA-XX-XXXX>/*.png"
        )
    class_names = PAM50 if config.task == "subtype" else BINARY
    class_of, notes = _classes(patients, calls, config.task, skipped)
    tables: dict[str, NDArray[Any]] = {}
    if config.expression:
        found = read_expression(existing(config.expression, "--expression"), class_of)
        without = Counter[str]()
        for group in sorted(set(class_of) - set(found.patients)):
            differing = "the expression table has two samples of its primary tumour that differ"
            reason = differing if group in found.differing else "no expression of a primary tumour"
            skipped.append((patients[group].folder, reason))
            without[class_of.pop(group)] += 1
        notes += [
            f"class {name}: {number} patients have no usable expression and are skipped"
            for name, number in sorted(without.items())
        ]
        notes += found.notes
        tables = _tables(found)
    if not class_of:
        raise DataError(
            f"none of {len(patients)} patients in {source} can be used{why_none(skipped)}",
            expected="patients with a PAM50 call and, where a table is given, expression",
        )
    return Scan(
        class_names=class_names,
        items=tuple(
            Item(
                tile,
                class_names.index(class_of[group]),
                group,
                printable(tile),
                site=patients[group].site,
                um_per_px=config.um_per_px,
            )
            for group in sorted(class_of)
            for tile in patients[group].tiles
        ),
        read=reading(files),
        licence=LICENCE,
        citation=CITATION,
        skipped=tuple(skipped),
        notes=tuple(notes),
        tables=tables,
        class_of=lambda path: _class_of(path, calls, config.task),
    )


def _class_of(path: str, calls: Mapping[str, set[str]], task: str | None) -> str:
    """The class of a tile's patient, where the tile is of a primary tumour with one call."""
    _, barcode = _barcode_of(PurePosixPath(path))
    found = calls.get(barcode.patient, set()) & set(PAM50) if barcode and barcode.is_primary else set()
    call = next(iter(found)) if len(found) == 1 else ""
    return call if task == "subtype" else BINARY_OF.get(call, "")


def _tables(found: Expression) -> dict[str, NDArray[Any]]:
    return {
        "expression/values": found.values,
        "expression/group_id": np.array(found.patients, dtype=object),
        "expression/genes": np.array(found.genes, dtype=object),
    }


def _barcode_of(path: PurePosixPath) -> tuple[str, Barcode | None]:
    """The nearest folder above a tile that is named by a barcode, and the barcode."""
    above = ((str(folder), parse_barcode(folder.name)) for folder in path.parents)
    return next((pair for pair in above if pair[1]), ("", None))


def _patients(files: Files, skipped: list[tuple[str, str]]) -> dict[str, _Patient]:
    """The patients with tiles of their primary tumour, by the barcode of the nearest folder above each tile."""
    patients: dict[str, _Patient] = {}
    other_samples: dict[str, str] = {}
    for path in filter(is_image_name, map(PurePosixPath, files.names)):
        folder, barcode = _barcode_of(path)
        if barcode is None:
            skipped.append((str(path), "it stands in no folder that is named by a TCGA barcode"))
        elif not barcode.is_primary:
            other_samples[folder] = f"sample type {barcode.sample_type}, which is no primary tumour (01)"
        else:
            patient = patients.setdefault(barcode.patient, _Patient(barcode.site, folder))
            patient.tiles.append(str(path))
    skipped += other_samples.items()
    return patients


def _classes(
    patients: Mapping[str, _Patient], calls: Mapping[str, set[str]], task: str | None, skipped: list[tuple[str, str]]
) -> tuple[dict[str, str], list[str]]:
    """The class of each patient that has one in this task; the others are skipped, or counted in a note."""
    class_of: dict[str, str] = {}
    outside: dict[str, int] = defaultdict(int)
    for group in sorted(patients):
        found = sorted(calls.get(group, ()))
        if len(found) != 1 or found[0] not in PAM50:
            reason = (
                f"its PAM50 call is {' and '.join(map(private, found))}"
                if found
                else "no PAM50 call of a primary tumour"
            )
            skipped.append((patients[group].folder, reason))
        elif task == "subtype":
            class_of[group] = found[0]
        elif found[0] in BINARY_OF:
            class_of[group] = BINARY_OF[found[0]]
        else:
            outside[group] = len(patients[group].tiles)
    if not outside:
        return class_of, []
    seen = f"{len(outside)} patients ({sum(outside.values())} tiles) are normal-like"
    return class_of, [f"{seen}, which is neither class of the task binary, and were skipped: use --task subtype"]

"""READERS: every place where ganaug reads a file that somebody else can have written, and its mutations."""

from dataclasses import dataclass

from fuzz.formats import (
    edit_arrays,
    edit_cell,
    edit_folds,
    edit_header,
    edit_images,
    edit_json_sealed,
    edit_json_signed,
    edit_jsonl_sealed,
    edit_member,
    edit_snapshot,
)
from fuzz.mutations import Mutation, edit_bytes, edit_json, edit_jsonl, edit_table, link_in, rename
from fuzz.reads import (
    Read,
    inspect_file,
    predict_source,
    prepare_source,
    read_caches,
    read_classifier,
    read_dataset,
    read_extractor,
    read_key,
    read_looks,
    read_operators,
    read_published,
    read_recorded,
    read_run,
    read_signed,
    read_snapshot,
    read_start_weights,
    read_state,
    read_study,
    read_synthetic,
)
from ganaug.checkpoint.initial_weights import import_pickle
from ganaug.workspace import open_workspace

_RUN, _KEPT = "gans/*", "classifiers/*"


@dataclass(frozen=True)
class Reader:
    """One kind of file, where it lies in a template, how it is mutated, and what reads it."""

    template: str  # a folder of `artefacts.make_all`
    files: str  # which of its files are mutated, as a glob pattern
    mutations: tuple[Mutation, ...]
    read: Read


_TREE = (edit_bytes, edit_bytes, edit_bytes, rename, link_in)
_TABLE = (edit_table, edit_table, edit_table, edit_bytes, link_in)
_BYTES = (edit_bytes, edit_bytes, edit_bytes, link_in)
_ZIP = (edit_bytes, edit_member)
_JSON = (edit_json, edit_json_sealed, edit_json_sealed, link_in)
_JSONL = (edit_jsonl, edit_jsonl_sealed, edit_bytes, link_in)

READERS: dict[str, Reader] = {
    "images in a folder": Reader("tree", "*/*/*.*", _TREE, prepare_source("folder")),
    "zip archive": Reader("packed", "tree.zip", _ZIP, prepare_source("folder", "tree.zip")),
    "tar archive": Reader("packed", "tree.tar", _BYTES, prepare_source("folder", "tree.tar")),
    "tar.gz archive": Reader("packed", "tree.tar.gz", _BYTES, prepare_source("folder", "tree.tar.gz")),
    "manifest": Reader("tree", "list.csv", _TABLE, prepare_source("folder", "list.csv", pixels=False)),
    "split": Reader("tree", "split.csv", _TABLE, prepare_source("folder", pixels=False, split="/split.csv")),
    "folds as CSV": Reader("tree", "folds.csv", _TABLE, prepare_source("folder", folds_csv="/folds.csv")),
    "same patient": Reader("tree", "same.csv", _TABLE, prepare_source(
        "folder", pixels=False, same_patient="/same.csv")),
    "dataset.json": Reader("listed", "dataset.json", (edit_json, link_in), prepare_source("zip")),
    "dataset.zip": Reader("packed", "labelled.zip", _ZIP, prepare_source("zip", "labelled.zip")),
    "breakhis": Reader("breakhis", "*/*.png", _TREE, prepare_source("breakhis")),
    "mini-ddsm": Reader("mini-ddsm", "*/*/*.png", _TREE, prepare_source("mini-ddsm")),
    "bach": Reader("bach", "*/*/*.tif", _TREE, prepare_source("bach")),
    "bach ground truth": Reader("bach", "*truth.csv", _TABLE, prepare_source("bach", pixels=False)),
    "bach patients": Reader("bach", "patients.csv", _TABLE, prepare_source(
        "bach", pixels=False, patients_csv="/patients.csv")),
    "tcga clinical": Reader("tcga", "clinical.tsv", _TABLE, prepare_source(
        "tcga-brca", "tiles", pixels=False, clinical="/clinical.tsv")),
    "tcga expression": Reader("tcga", "expression.tsv", _TABLE, prepare_source(
        "tcga-brca", "tiles", pixels=False, clinical="/clinical.tsv", expression="/expression.tsv")),
    "tcga expression, packed": Reader("tcga", "expression.tsv.gz", _BYTES, prepare_source(
        "tcga-brca", "tiles", pixels=False, clinical="/clinical.tsv", expression="/expression.tsv.gz")),
    "data set": Reader("workspace", "datasets/*.h5", _BYTES, read_dataset),
    "data set, sealed again": Reader("workspace", "datasets/*.h5", (edit_images,), read_dataset),
    "folds": Reader("workspace", "datasets/*.folds.json", (edit_json, edit_folds, edit_folds, link_in), read_dataset),
    "synthetic images": Reader("workspace", "synthetic/*.h5", _BYTES, read_synthetic),
    "synthetic images, sealed again": Reader("workspace", "synthetic/*.h5", (edit_images,), read_synthetic),
    "snapshot": Reader("workspace", f"{_RUN}/ema/*", (*_BYTES, edit_header), read_snapshot),
    "snapshot, sealed again": Reader("workspace", f"{_RUN}/ema/*", (edit_snapshot,), read_snapshot),
    "state": Reader("workspace", f"{_RUN}/state/*", (*_BYTES, edit_header), read_state),
    "config.json": Reader("workspace", f"{_RUN}/config.json", _JSON, read_run),
    "scores.jsonl": Reader("workspace", f"{_RUN}/scores.jsonl", _JSONL, read_run),
    "stats.jsonl": Reader("workspace", f"{_RUN}/stats.jsonl", _JSONL, read_run),
    "metrics.jsonl": Reader("workspace", f"{_RUN}/metrics.jsonl", _JSONL, read_run),
    "trainer.json": Reader("workspace", f"{_RUN}/trainer.json", (edit_json, link_in), read_run),
    "extractor": Reader("workspace", f"{_RUN}/extractor*", (*_BYTES, edit_header), read_extractor),
    "weights with a record": Reader("workspace", f"{_RUN}/extractor*", (
        edit_bytes, edit_header, edit_snapshot, edit_snapshot), read_recorded),
    "signed record": Reader("keys", "record.json", (edit_json, edit_json_signed), read_signed),
    "workspace.json": Reader("workspace", "workspace.json", _JSON, lambda root, path: open_workspace(root).gans()),
    "design.json": Reader("workspace", "studies/*/design.json", _JSON, read_looks),
    "verdict.json": Reader("workspace", "studies/*/verdict.json", _JSON, read_looks),
    "cell": Reader("workspace", "studies/*/cells/*.json", _JSON, read_study),
    "predictions": Reader("workspace", "studies/*/cells/*.npz", (edit_bytes, edit_cell, edit_cell), read_study),
    "classifier": Reader("workspace", f"{_KEPT}/classifier.*", (*_BYTES, edit_header), read_classifier),
    "classifier, sealed again": Reader("workspace", f"{_KEPT}/classifier.*", (edit_snapshot,), read_classifier),
    "classifier's config.json": Reader("workspace", f"{_KEPT}/config.json", _JSON, read_classifier),
    "classifier's scores.json": Reader("workspace", f"{_KEPT}/scores.json", _JSON, read_classifier),
    "images to predict": Reader("tree", "*/*/*.*", _TREE, predict_source()),
    "patients to predict": Reader("tree", "list.csv", _TABLE, predict_source(patients="list.csv")),
    "features": Reader("workspace", "cache/features/*", (*_BYTES, edit_arrays), read_caches),
    "checked": Reader("workspace", "cache/checked/*", (edit_json, link_in), read_caches),
    "pickle": Reader("pickled", "network.pkl", _BYTES, lambda root, path: import_pickle(path)),
    "weights": Reader("weights", "model.*", (*_BYTES, edit_member), read_start_weights),
    "published weights": Reader("weights", "squeezenet*", _BYTES, read_published),
    "operators' cache": Reader("ops", "*/build.json", (edit_json, edit_json, link_in), read_operators),
    "operators' library": Reader("ops", "*/library.so", _BYTES, read_operators),
    "key": Reader("keys", "*.key", _BYTES, read_key),
    "inspect": Reader("inspected", "*", (edit_bytes, edit_bytes, link_in), inspect_file),
    "inspect .h5, sealed again": Reader("inspected", "*.h5", (edit_images,), inspect_file),
    "inspect .safetensors": Reader("inspected", "*.safetensors", (edit_header, edit_snapshot), inspect_file),
    "inspect arrays": Reader("inspected", "*.np[yz]", (edit_arrays,), inspect_file),
    "inspect JSON": Reader("inspected", "*.json", (edit_json,), inspect_file),
}  # fmt: skip

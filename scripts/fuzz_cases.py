"""READERS: every place where ganaug reads a file that somebody else can have written, and its mutations."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import fuzz_mutations as mutations
import h5py
import numpy as np
import torch
from fuzz_artefacts import CLASSIFIER, EXTRACTOR, FOLD, GAN, STUDY, reseal_images, reseal_record
from fuzz_mutations import Mutation, edit_bytes, edit_json, edit_json_sealed, edit_table, mutated

from custom_ops import cache
from ganaug.checkpoint import best_ema, content_of, load_snapshot, load_tensors
from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data import schema
from ganaug.data.dataset import DataSet, TrainingImages, default_dataset, open_dataset
from ganaug.data.export import export_zip, select
from ganaug.data.folds import balance_table
from ganaug.data.prepare import plan_preparation, prepare_dataset
from ganaug.data.synthetic_file import stored_record, stored_rows
from ganaug.errors import UserError, WeightsError
from ganaug.evaluate.features import features_of
from ganaug.evaluate.gan import evaluate_gan
from ganaug.evaluate.trained import trained_classifier
from ganaug.evaluate.weights import find_weights, read_weights, survey
from ganaug.inspect import describe, write_sheet
from ganaug.lookup import Choice, config_of, generator_for, supply_for
from ganaug.pretrained import import_pickle, load_pretrained
from ganaug.provenance import digest_of, require_seal, sealed
from ganaug.study.augmentation import evaluate_augmentation, require_buildable
from ganaug.study.guard import admit
from ganaug.study.looks import other_looks
from ganaug.study.origins import origins_of
from ganaug.train.distributed import Team
from ganaug.train.keep import held_alone, take_up
from ganaug.train.meter import forget_after
from ganaug.train.publish import sample_row
from ganaug.train.state import new_state
from ganaug.train.task import plan_training
from ganaug.workspace import GanRun, Workspace, created_of, open_workspace, read_jsonl

Read = Callable[[Path, Path], object]  # the copy of the template, the mutated file in it
_RUN = "gans/*"


@dataclass(frozen=True)
class Reader:
    """One kind of file, where it lies in a template, how it is mutated, and what reads it."""

    template: str  # a folder of `fuzz_artefacts.make_all`
    files: str  # which of its files are mutated, as a glob pattern
    mutations: tuple[Mutation, ...]
    read: Read


# ---- what reads ------------------------------------------------------------------------------------------------------


def _prepare(dataset: str, source: str = "", *, pixels: bool = True, **options: Any) -> Read:
    """`ganaug prepare` of a source in the copy; options that are paths begin with a slash, and lie in the copy too."""

    def read(root: Path, path: Path) -> object:
        given = {name: str(root / value[1:]) if str(value)[:1] == "/" else value for name, value in options.items()}
        split = given.pop("split", "")
        folds = FoldsConfig(num_folds=3, scheme="fixed" if split else "k-fold", fixed=split)
        config = PrepareConfig(dataset, str(root / source), resolution_px=16, folds=folds, **given)
        if not pixels:
            return plan_preparation(config)
        prepared = prepare_dataset(open_workspace(root.with_name("prepared")), config)
        return prepared.folds and balance_table(prepared.table, prepared.folds)

    return read


def _world(root: Path) -> tuple[Workspace, DataSet, GanRun, Path]:
    workspace = open_workspace(root)
    run, synthetic = next(iter(workspace.gans()), None), next(iter(workspace.synthetics()), None)
    if run is None or synthetic is None:
        raise UserError("the generator or its images are gone, for whoever looks for them")
    return workspace, open_dataset(workspace, "phantom"), run, synthetic


def _read_dataset(root: Path, path: Path) -> object:
    workspace = open_workspace(root)
    workspace.datasets(), default_dataset(workspace)
    dataset = open_dataset(workspace, "phantom")
    balance_table(dataset.table, dataset.folds)
    for fold in range(dataset.folds.num_folds):
        if len(dataset.train(fold)):
            TrainingImages(dataset, fold, 4, 0).batch_at(1)
        dataset.table.seen(dataset.test(fold)), dataset.val(fold), dataset.largest_class(fold)
    plan_training(workspace, dataset, FOLD, GAN).provenance(0.0)
    export_zip(select(dataset.path, 0, "train"), root / "out.zip")
    return dataset.reader[np.arange(len(dataset.table))]


def _read_synthetic(root: Path, path: Path) -> object:
    workspace, dataset, run, _ = _world(root)
    supply_for(workspace, dataset, FOLD, at_least=2)
    for rows in stored_rows(path):
        len(rows)
    stored_record(path, schema.read_table(path).attrs)
    supply_for(workspace, dataset, FOLD, choice=Choice(files=(path,)))
    admit(workspace, dataset, FOLD, path)
    return evaluate_gan(workspace, dataset, path, run, extractor=EXTRACTOR)


def _read_snapshot(root: Path, path: Path) -> object:
    workspace, dataset, _, synthetic = _world(root)
    load_pretrained(path)
    snapshot = load_snapshot(path)
    for label in range(min(snapshot.config.network.num_classes, 2)):
        sample_row(snapshot.generator, label, torch.device("cpu"))
    plan_training(workspace, dataset, FOLD, GAN, init=path)
    return admit(workspace, dataset, FOLD, synthetic)


def _read_state(root: Path, path: Path) -> object:
    workspace, dataset, run, _ = _world(root)
    task = plan_training(workspace, dataset, FOLD, GAN)
    with held_alone(run, Team()):
        state = new_state(GAN, Team())
        take_up(task, state)
    forget_after(run, state.num_images)
    return state.p


def _read_run(root: Path, path: Path) -> object:
    workspace, dataset, run, _ = _world(root)
    config_of(run), created_of(run.config), best_ema(run), read_jsonl(run.metrics), workspace.gans()
    generator_for(workspace, dataset, FOLD), supply_for(workspace, dataset, FOLD)
    forget_after(run, 16)
    with held_alone(run, Team()):
        return best_ema(run)


def _read_study(root: Path, path: Path) -> object:
    """The study again: what is done is read, not done again. A cell that was refused would be trained: it is not."""
    from ganaug.study.augmentation import lay_down
    from ganaug.study.cells import load_cell
    from ganaug.study.design import plan

    workspace, dataset, _, synthetic = _world(root)
    other_looks(workspace, "another", [dataset.table.patient_digest(group) for group in dataset.folds.groups])
    design = lay_down(workspace, dataset, {FOLD: synthetic}, STUDY)
    if any(load_cell(design.study(workspace), cell, dataset) is None for cell in plan(design)):
        raise UserError(f"a cell, {path.name}, is refused")
    return evaluate_augmentation(workspace, dataset, {FOLD: synthetic}, STUDY, jobs=1)


def _read_weights(root: Path, path: Path) -> object:
    """Weights that a classifier begins with, checked and loaded as a study does."""
    dataset = open_dataset(Workspace(root.parent.parent / "templates" / "workspace"), "phantom")
    with suppress(WeightsError):
        read_weights(path)
    config = replace(STUDY, pretrained=((CLASSIFIER, str(path)),), pretrained_saw=((CLASSIFIER, "nothing"),))
    origins_of(dataset, [FOLD], config)
    return require_buildable(dataset, config)


def _read_published(root: Path, path: Path) -> object:
    survey(root)
    return find_weights(root, "squeezenet")


def _read_extractor(root: Path, path: Path) -> object:
    _, dataset, _, _ = _world(root)
    if not path.exists():
        raise UserError(f"there is no file {path}")
    classifier = trained_classifier(path, dataset, FOLD)
    return classifier.embed(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))


def _read_caches(root: Path, path: Path) -> object:
    workspace, dataset, _, _ = _world(root)
    dataset.reader[np.arange(2)]
    return features_of(workspace, dataset.images(FOLD), EXTRACTOR)


def _read_operators(root: Path, path: Path) -> object:
    os.environ["GANAUG_OPS_CACHE"] = str(root)
    recipe: Any = SimpleNamespace(name="cpu-0123")
    built = cache.find(recipe)
    return built and built.age


def _read_key(root: Path, path: Path) -> object:
    os.environ["GANAUG_KEY"] = str(path)
    try:
        return require_seal(sealed({"a": 1}), path)
    finally:
        del os.environ["GANAUG_KEY"]


def _inspect(root: Path, path: Path) -> object:
    told = describe(path)
    if path.suffix in (".h5", ".safetensors"):
        write_sheet(path, root / "sheet.png")
    return told


def _open(root: Path, path: Path) -> object:
    return open_workspace(root).gans()


def _import(root: Path, path: Path) -> object:
    return import_pickle(path)


# ---- mutations that need the library ---------------------------------------------------------------------------------


def edit_images(random: Random, path: Path, other: Path) -> None:
    """An attribute, a column or an array of an .h5 file changed, and the file sealed again."""
    with h5py.File(path, "r+") as file:
        if random.random() < 0.6:
            name = random.choice(sorted(set(file.attrs) - {"schema_version"}))
            file.attrs[name] = json.dumps(mutated(random, json.loads(file.attrs[name])))
        else:
            _edit_array(random, file)
    try:
        reseal_images(path)
    except Exception:
        return  # what cannot be sealed is read as it is


def _edit_array(random: Random, file: h5py.File) -> None:
    name = random.choice([name for name in file if isinstance(file[name], h5py.Dataset)])
    array, action = file[name][:], random.randrange(4)
    if action == 0:
        del file[name]
    elif action == 1:
        shape = random.choice(((), (0,), array.shape[:1], (*array.shape, 1), array.shape[::-1], (len(array) - 1,)))
        kind = random.choice(("i1", "i8", "u8", "f4", "f8", "u1", "c8", "?"))
        del file[name]
        file[name] = np.zeros(shape, kind)
    elif array.dtype.kind == "O":
        array[random.randrange(len(array))] = random.choice(("", "é", "x" * 3000, "a\nb", "../../x", "synthetic:1"))
        file[name][:] = array
    else:
        value = random.choice((0, 1, 7, 127, 255, 2**31, 2**62, -1, -2, np.nan, np.inf))
        with suppress(ValueError, OverflowError):  # not a value of this type
            array[random.randrange(len(array))] = value
            file[name][:] = array


def edit_folds(random: Random, path: Path, other: Path) -> None:
    value = mutated(random, json.loads(path.read_bytes()))
    if isinstance(value, dict):
        try:
            value["digest"] = digest_of({key: entry for key, entry in value.items() if key != "digest"})
        except (RecursionError, UnicodeError):
            value["digest"] = "0" * 64
    path.write_bytes(json.dumps(value).encode())


def edit_snapshot(random: Random, path: Path, other: Path) -> None:
    """The header changed, and the record sealed to what the file then holds."""
    mutations.edit_header(random, path, other)
    header, rest = mutations.header_of(path)
    try:
        about, content = header["__metadata__"], content_of(*load_tensors(path))
        about["provenance"] = json.dumps(reseal_record(json.loads(about["provenance"]), content))
    except Exception:
        return
    mutations.write_header(path, header, rest)


def edit_cell(random: Random, path: Path, other: Path) -> None:
    """Predictions changed, and their digest in the cell's record with it."""
    from ganaug.provenance import digest_of_file

    mutations.edit_arrays(random, path, other)
    record = path.with_suffix(".json")
    record.write_text(json.dumps(sealed(json.loads(record.read_bytes()) | {"predictions": digest_of_file(path)})))


def link_in(random: Random, path: Path, other: Path) -> None:
    """In the place of a file nothing, a folder, a link into nowhere or to itself, or a file that may not be read."""
    action = random.randrange(5)
    if action == 4:
        path.chmod(0)
        return
    path.unlink()
    if action == 1:
        path.mkdir()
    elif action == 2:
        path.symlink_to(path.with_name("nowhere"))
    elif action == 3:
        path.symlink_to(path)


_TREE = (edit_bytes, edit_bytes, edit_bytes, mutations.rename, link_in)
_TABLE = (edit_table, edit_table, edit_table, edit_bytes, link_in)
_BYTES = (edit_bytes, edit_bytes, edit_bytes, link_in)
_ZIP = (edit_bytes, mutations.edit_member)
_JSON = (edit_json, edit_json_sealed, edit_json_sealed, link_in)
_JSONL = (mutations.edit_jsonl, mutations.edit_jsonl_sealed, edit_bytes, link_in)

READERS: dict[str, Reader] = {
    "images in a folder": Reader("tree", "*/*/*.*", _TREE, _prepare("folder")),
    "zip archive": Reader("packed", "tree.zip", _ZIP, _prepare("folder", "tree.zip")),
    "tar archive": Reader("packed", "tree.tar", _BYTES, _prepare("folder", "tree.tar")),
    "tar.gz archive": Reader("packed", "tree.tar.gz", _BYTES, _prepare("folder", "tree.tar.gz")),
    "manifest": Reader("tree", "list.csv", _TABLE, _prepare("folder", "list.csv", pixels=False)),
    "split": Reader("tree", "split.csv", _TABLE, _prepare("folder", pixels=False, split="/split.csv")),
    "same patient": Reader("tree", "same.csv", _TABLE, _prepare("folder", pixels=False, same_patient="/same.csv")),
    "dataset.json": Reader("listed", "dataset.json", (edit_json, link_in), _prepare("zip")),
    "dataset.zip": Reader("packed", "labelled.zip", _ZIP, _prepare("zip", "labelled.zip")),
    "breakhis": Reader("breakhis", "*/*.png", _TREE, _prepare("breakhis")),
    "mini-ddsm": Reader("mini-ddsm", "*/*/*.png", _TREE, _prepare("mini-ddsm")),
    "bach": Reader("bach", "*/*/*.tif", _TREE, _prepare("bach")),
    "bach ground truth": Reader("bach", "*truth.csv", _TABLE, _prepare("bach", pixels=False)),
    "bach patients": Reader("bach", "patients.csv", _TABLE, _prepare(
        "bach", pixels=False, patients_csv="/patients.csv")),
    "tcga clinical": Reader("tcga", "clinical.tsv", _TABLE, _prepare(
        "tcga-brca", "tiles", pixels=False, clinical="/clinical.tsv")),
    "tcga expression": Reader("tcga", "expression.tsv", _TABLE, _prepare(
        "tcga-brca", "tiles", pixels=False, clinical="/clinical.tsv", expression="/expression.tsv")),
    "tcga expression, packed": Reader("tcga", "expression.tsv.gz", _BYTES, _prepare(
        "tcga-brca", "tiles", pixels=False, clinical="/clinical.tsv", expression="/expression.tsv.gz")),
    "data set": Reader("workspace", "datasets/*.h5", _BYTES, _read_dataset),
    "data set, sealed again": Reader("workspace", "datasets/*.h5", (edit_images,), _read_dataset),
    "folds": Reader("workspace", "datasets/*.folds.json", (edit_json, edit_folds, edit_folds, link_in), _read_dataset),
    "synthetic images": Reader("workspace", "synthetic/*.h5", _BYTES, _read_synthetic),
    "synthetic images, sealed again": Reader("workspace", "synthetic/*.h5", (edit_images,), _read_synthetic),
    "snapshot": Reader("workspace", f"{_RUN}/ema/*", (*_BYTES, mutations.edit_header), _read_snapshot),
    "snapshot, sealed again": Reader("workspace", f"{_RUN}/ema/*", (edit_snapshot,), _read_snapshot),
    "state": Reader("workspace", f"{_RUN}/state/*", (*_BYTES, mutations.edit_header), _read_state),
    "config.json": Reader("workspace", f"{_RUN}/config.json", _JSON, _read_run),
    "scores.jsonl": Reader("workspace", f"{_RUN}/scores.jsonl", _JSONL, _read_run),
    "stats.jsonl": Reader("workspace", f"{_RUN}/stats.jsonl", _JSONL, _read_run),
    "metrics.jsonl": Reader("workspace", f"{_RUN}/metrics.jsonl", _JSONL, _read_run),
    "trainer.json": Reader("workspace", f"{_RUN}/trainer.json", (edit_json, link_in), _read_run),
    "extractor": Reader("workspace", f"{_RUN}/extractor*", (*_BYTES, mutations.edit_header), _read_extractor),
    "workspace.json": Reader("workspace", "workspace.json", _JSON, _open),
    "design.json": Reader("workspace", "studies/*/design.json", _JSON, _read_study),
    "verdict.json": Reader("workspace", "studies/*/verdict.json", _JSON, _read_study),
    "cell": Reader("workspace", "studies/*/cells/*.json", _JSON, _read_study),
    "predictions": Reader("workspace", "studies/*/cells/*.npz", (edit_bytes, edit_cell, edit_cell), _read_study),
    "features": Reader("workspace", "cache/features/*", (*_BYTES, mutations.edit_arrays), _read_caches),
    "checked": Reader("workspace", "cache/checked/*", (edit_json, link_in), _read_caches),
    "pickle": Reader("pickled", "network.pkl", _BYTES, _import),
    "weights": Reader("weights", "model.*", (*_BYTES, mutations.edit_member), _read_weights),
    "published weights": Reader("weights", "squeezenet*", _BYTES, _read_published),
    "operators' cache": Reader("ops", "*/build.json", (edit_json, edit_json, link_in), _read_operators),
    "operators' library": Reader("ops", "*/library.so", _BYTES, _read_operators),
    "key": Reader("keys", "*.key", _BYTES, _read_key),
    "inspect": Reader("inspected", "*", (edit_bytes, edit_bytes, link_in), _inspect),
    "inspect .h5, sealed again": Reader("inspected", "*.h5", (edit_images,), _inspect),
    "inspect .safetensors": Reader("inspected", "*.safetensors", (mutations.edit_header, edit_snapshot), _inspect),
    "inspect arrays": Reader("inspected", "*.np[yz]", (mutations.edit_arrays,), _inspect),
    "inspect JSON": Reader("inspected", "*.json", (edit_json,), _inspect),
}  # fmt: skip


def gather_inspected(root: Path) -> None:
    """One of each kind of file in the folder that `ganaug inspect` is tried on, and the key in one of its own."""
    folder, workspace = root / "inspected", root / "workspace"
    folder.mkdir()
    for pattern in ("datasets/*", "synthetic/*.h5", "gans/*/*.json*", "gans/*/ema/*", "gans/*/state/*",
                    "workspace.json", "studies/*/*.json*", "studies/*/cells/*", "cache/features/*"):  # fmt: skip
        for path in workspace.glob(pattern):
            shutil.copy(path, folder / path.name)
    for path in (*root.glob("*.zip"), root / "packed" / "labelled.zip"):
        shutil.copy(path, folder / path.name)
    (root / "keys").mkdir()
    (root / "ganaug.key").rename(root / "keys" / "ganaug.key")

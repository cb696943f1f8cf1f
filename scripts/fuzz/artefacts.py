"""Small valid files of every kind that ganaug reads, made in a folder: sources of images, and a workspace."""

import csv
import gzip
import json
import os
import random
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from classifiers.registry import build_seeded
from fuzz.stylegan_pickle import SIDE_PX, make_pickle
from ganaug.classify.train_stored import train_stored
from ganaug.config import (
    Compute,
    FoldsConfig,
    GanConfig,
    NetworkConfig,
    PhantomConfig,
    PrepareConfig,
    StudyConfig,
    SynthesisConfig,
)
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.export import export_synthetic
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.evaluate.extractors import trained_classifier
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.features import features_of
from ganaug.generate.supplies import Supply
from ganaug.generate.synthesize import plan_synthesis, synthesize
from ganaug.provenance import digest_of_file, sealed
from ganaug.study.run import evaluate_augmentation
from ganaug.study.training_set import plan_classifiers
from ganaug.train.loop import train_gan
from ganaug.train.task import plan_training
from ganaug.workspace import GanRun, Workspace, append_jsonl, open_workspace

FOLD, CLASSIFIER = 2, "dalaresnet50_small"
NETWORK = NetworkConfig(SIDE_PX, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
GAN = GanConfig(NETWORK, total_kimg=0.016, batch=8)
STUDY = StudyConfig(classifiers=(CLASSIFIER,), seeds=(0,), folds=(FOLD,), num_steps=1, batch=4, num_resamples=100)
EXTRACTOR = Extractor("mean", "0" * 64, "the mean of each channel", lambda img: img.float().mean((2, 3)))


# ---- sources ---------------------------------------------------------------------------------------------------------


def _pixels(seed: int, kind: str = "u1") -> NDArray[np.uint8 | np.uint16]:
    rng = np.random.default_rng(seed)
    if kind == "u2":
        return rng.integers(0, 2**16, (20, 24)).astype(np.uint16)
    return rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)


def write_image(path: Path, seed: int) -> None:
    """One of the kinds of image that are read, by its seed, under its own suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image, grey = Image.fromarray(_pixels(seed)), Image.fromarray(_pixels(seed, "u2"))
    kind = seed % 12
    if kind == 0:
        image.save(path.with_suffix(".jpg"), quality=80)
    elif kind == 1:
        exif = Image.Exif()
        exif[0x112] = 6
        image.save(path.with_suffix(".jpg"), exif=exif, progressive=True)
    elif kind == 2:
        image.save(path.with_suffix(".tif"))
    elif kind == 3:
        image.save(path.with_suffix(".tif"), compression="tiff_lzw")
    elif kind == 4:
        image.save(path.with_suffix(".tif"), compression="jpeg")
    elif kind == 5:
        image.save(
            path.with_suffix(".tif"), save_all=True, append_images=[image.rotate(90)], compression="tiff_deflate"
        )
    elif kind == 6:
        grey.save(path.with_suffix(".png"))
    elif kind == 7:
        grey.save(path.with_suffix(".tif"))
    elif kind == 8:
        image.convert("P").save(path.with_suffix(".png"), transparency=3)
    elif kind == 9:
        image.convert("RGBA").save(path.with_suffix(".png"))
    elif kind == 10:
        image.convert("CMYK").save(path.with_suffix(".tif"), compression="packbits")
    else:
        image.save(path.with_suffix(".png"), pnginfo=None, dpi=(72, 72))


def make_sources(root: Path) -> None:
    """Folders of classes and patients, a manifest, archives, and a tree of each data set that is known by its names."""
    names, patients = [], [f"{letter}{number}" for letter in "ab" for number in range(1, 5)]
    for seed in range(24):
        patient = patients[seed % 8]
        path = root / "tree" / ("benign" if patient[0] == "a" else "malignant") / patient / f"{seed}.png"
        write_image(path, seed)
        (found,) = path.parent.glob(f"{seed}.*")
        names.append((str(found.relative_to(root / "tree")), found.parent.parent.name, patient))
    _write_csv(root / "tree" / "list.csv", ("path", "label", "group"), names)
    parts = ["train", "train", "val", "test"] * 2
    _write_csv(root / "tree" / "split.csv", ("group", "part"), zip(patients, parts))
    part_of = dict(zip(patients, parts, strict=True))
    _write_csv(
        root / "tree" / "folds.csv", ("image", "fold0"), [(name, part_of[patient]) for name, _, patient in names]
    )
    _write_csv(root / "tree" / "same.csv", ("patient", "same_as"), [("a1", "a2")])
    listed = {"labels": [[name, int(label == "malignant")] for name, label, _ in names],
              "class_names": ["benign", "malignant"], "groups": {name: patient for name, _, patient in names},
              "sites": {names[0][0]: "site"}, "magnifications": {names[0][0]: 200}, "um_per_px": {names[0][0]: 0.5},
              "licence": "none", "citation": "none"}  # fmt: skip
    shutil.copytree(root / "tree", root / "listed", ignore=shutil.ignore_patterns("*.csv"))
    (root / "listed" / "dataset.json").write_text(json.dumps(listed))
    _archive(root)
    _known_trees(root)


def _write_csv(path: Path, header: tuple[str, ...], rows: Any) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _archive(root: Path) -> None:
    (root / "packed").mkdir()
    for name, source in (("tree.zip", "tree"), ("labelled.zip", "listed")):
        with zipfile.ZipFile(root / "packed" / name, "w") as archive:
            for path in sorted((root / source).rglob("*.*")):
                archive.write(path, path.relative_to(root / source))
    for name, mode in (("tree.tar", "w"), ("tree.tar.gz", "w:gz")):
        with tarfile.open(root / "packed" / name, mode) as archive:  # type: ignore[call-overload]
            archive.add(root / "tree", "tree")


def _known_trees(root: Path) -> None:
    """BreakHis, BACH, Mini-DDSM and TCGA, each with its tables."""
    plain = iter(range(1199, 10_000, 12))  # of `write_image`: ordinary PNGs, all different
    for number in range(4):
        for label, letter in (("benign", "B_A"), ("malignant", "M_DC")):
            name = f"SOB_{letter}-14-{22500 + number}-200-001.png"
            write_image(root / "breakhis" / label / name, next(plain))
        for status in ("Normal", "Benign", "Cancer"):
            write_image(root / "mini-ddsm" / status / f"{number:04d}" / f"A_{number:04d}_1.LEFT_CC.png", next(plain))
        for prefix, label in (("b", "Benign"), ("is", "InSitu"), ("iv", "Invasive"), ("n", "Normal")):
            Image.fromarray(_pixels(next(plain))).save(
                _with_parent(root / "bach" / "Photos" / label / f"{prefix}00{number + 1}.tif")
            )
    images = sorted((root / "bach").rglob("*.tif"))
    _write_csv(
        root / "bach" / "microscopy_ground_truth.csv", ("file", "label"), [(p.name, p.parent.name) for p in images]
    )
    _write_csv(root / "bach" / "patients.csv", ("file", "patient"), [(p.name, f"patient {p.stem}") for p in images])
    calls = {f"TCGA-A{number % 2 + 1}-000{number}": ("LumA", "Basal")[number % 2] for number in range(8)}
    for patient in calls:
        write_image(root / "tcga" / "tiles" / patient / "1.png", next(plain))
    rows = "".join(f"{patient}-01\t{call}\tLIVING\n" for patient, call in calls.items())
    (root / "tcga" / "clinical.tsv").write_text(f"sampleID\tPAM50Call_RNAseq\tvital_status\n{rows}")
    table = "\t".join(["sample", *(f"{patient}-01" for patient in calls)]) + "\n"
    for gene in ("ESR1", "ERBB2", "KRT5"):
        table += "\t".join([gene, *(f"{number + 0.25}" for number in range(len(calls)))]) + "\n"
    (root / "tcga" / "expression.tsv").write_text(table)
    (root / "tcga" / "expression.tsv.gz").write_bytes(gzip.compress(table.encode()))


def _with_parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


# ---- a workspace -----------------------------------------------------------------------------------------------------


def make_workspace(root: Path) -> None:
    """A phantom of 16 px with a hardly trained generator and classifier, synthetic images, features and a study."""
    workspace = open_workspace(root / "workspace")
    phantom = PhantomConfig(resolution_px=SIDE_PX, num_patients=12, images_per_patient=4, um_per_px=8.0)
    folds = FoldsConfig(num_folds=3)
    prepare_dataset(workspace, PrepareConfig("phantom", resolution_px=SIDE_PX, phantom=phantom, folds=folds))
    dataset = open_dataset(workspace, "phantom")
    run = train_gan(plan_training(workspace, dataset, FOLD, GAN))
    (snapshot,) = run.snapshots()
    append_jsonl(run.scores, sealed({"kimg": 0.016, "snapshot": snapshot.name, "extractor": "mean", "score": 1.5}))
    append_jsonl(run.metrics, {"metric": "frechet[mean]", "class": "all", "value": 1.5})
    synthetic = synthesize(plan_synthesis(workspace, run, SynthesisConfig(per_class=8)))
    export_synthetic(synthetic, "zip", root)
    features_of(workspace, dataset.images(FOLD), EXTRACTOR)
    _write_extractor(run, dataset)
    supplies = [Supply(FOLD, run, synthetic)]
    evaluate_augmentation(workspace, dataset, supplies, STUDY, compute=Compute(num_workers=1))
    train_stored(plan_classifiers(workspace, dataset, [FOLD], STUDY)[0])


def make_key(folder: Path) -> None:
    """A key file as GANAUG_KEY names it, and a record that is signed with it."""
    folder.mkdir()
    (folder / "ganaug.key").write_bytes(random.Random(0).randbytes(32).hex().encode())
    with mock.patch.dict(os.environ, {"GANAUG_KEY": str(folder / "ganaug.key")}):
        (folder / "record.json").write_text(json.dumps(sealed({"a": 1, "b": ["c"]})))


def _write_extractor(run: GanRun, dataset: DataSet) -> None:
    """The extractor of a run with weights as they are drawn: reading it takes no training."""
    model = build_seeded(CLASSIFIER, dataset.table.num_classes, 0, image_size_px=SIDE_PX)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    trained_classifier._save(run.extractor, state, dataset, FOLD)


def make_weights(root: Path) -> None:
    """One classifier's weights in the formats in which they are read, and what the operators' cache holds."""
    folder = _with_parent(root / "weights" / "model.pth").parent
    state = build_seeded(CLASSIFIER, 4, 0, image_size_px=SIDE_PX).state_dict()
    torch.save(state, folder / "model.pth")
    torch.save({"epoch": 3, "state_dict": {f"module.net.{name}": state[name] for name in state}}, folder / "model.ckpt")
    torch.save(dict([*state.items()][:6]), folder / "squeezenet1_0-imagenet.pth", _use_new_zipfile_serialization=False)
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "model.safetensors")
    built = _with_parent(root / "ops" / "cpu-0123" / "library.so")
    built.write_bytes(b"\x7fELF" + bytes(200))
    record = {"sha256": digest_of_file(built), "built_at": 1.7e9, "took_s": 12.5, "compiler": "g++ 13"}
    (built.parent / "build.json").write_text(json.dumps(record))


# ---- all of it -------------------------------------------------------------------------------------------------------


def gather_inspected(root: Path) -> None:
    """One of each kind of file in the folder that `ganaug inspect` is tried on."""
    folder, workspace = root / "inspected", root / "workspace"
    folder.mkdir()
    for pattern in ("datasets/*", "synthetic/*.h5", "gans/*/*.json*", "gans/*/ema/*", "gans/*/state/*",
                    "workspace.json", "studies/*/*.json*", "studies/*/cells/*", "cache/features/*",
                    "classifiers/*/classifier.*"):  # fmt: skip
        for path in workspace.glob(pattern):
            shutil.copy(path, folder / path.name)
    for path in (*root.glob("*.zip"), root / "packed" / "labelled.zip"):
        shutil.copy(path, folder / path.name)


def make_all(root: Path) -> Workspace:
    """Every template below `root`."""
    make_sources(root)
    make_weights(root)
    make_pickle(_with_parent(root / "pickled" / "network.pkl"))
    make_key(root / "keys")
    make_workspace(root)
    gather_inspected(root)
    return Workspace(root / "workspace")

"""Names are planted at every step of the way of the data, and nothing outside of the data sets may hold one of them.

The control shows that the same search finds them in the data sets and in what is exported with names.
"""

import csv
import platform
import socket
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from classifiers.registry import build_seeded
from ganaug import presets
from ganaug.cli.main import main
from ganaug.data.hdf5 import seals
from ganaug.evaluate.extractors import trained_classifier

if TYPE_CHECKING:
    from tests.ganaug.privacy.conftest import Search

SIDE = 16
CLASSES = ("Benign", "Malignant")
WORDS = {  # what is searched for, and stands in one planted name each
    "patient": "Käthemüller",
    "patient with markup": "Schrägstrich",
    "patient of another slide": "Wörlitzer",
    "patient joined by --same-patient": "Zweitname",
    "near-equal patients": "Zörgiebel",
    "patient who shares an image": "Doppelbild",
    "patient under every class": "Überall",
    "tested patient": "Prüfling",
    "site": "Bad Örtlich",
    "slide": "Präparat",
    "image": "Großaufnahme",
    "damaged file": "Zerstört",
    "slide that is not read": "Vollscan",
    "mask of another size": "Maskenfehler",
    "folder of the source": "Quellordner",
    "folder of the workspace": "Arbeitsplatz",
    "table of the split": "Aufteilung",
    "table of joined patients": "Gleichheiten",
    "folder of weights": "Gewichte",
    "weights of a classifier": "Netzdatei",
    "weights of a generator": "Anfangsdatei",
    "synthetic file elsewhere": "Fremdkopie",
    "data set elsewhere": "Umbenannt",
    "host": "hoernstein-rechner",
    "patient with expression": "paired-p0",
}
FOUND_IN_EXPORT = ("patient", "patient with markup", "near-equal patients", "tested patient", "site", "slide", "image")


# ---- the way of the data, with names planted at every step -----------------------------------------------------------


@dataclass(frozen=True)
class Journey:
    """A workspace in which every command has run, what was exported from it, and the folder that holds it all."""

    base: Path
    workspace: Path
    exported: Path
    with_ids: Path


@pytest.fixture(scope="module")
def journey(tmp_path_factory: pytest.TempPathFactory) -> Journey:
    base = tmp_path_factory.mktemp("privacy")
    made = Journey(base, base / f"Mein {WORDS['folder of the workspace']}" / "w", base / "exported", base / "with-ids")
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((platform, "node"), (socket, "gethostname"), (socket, "getfqdn")):
            patch.setattr(module, name, lambda *_: WORDS["host"])
        patch.setattr(seals, "_how", {"insist": False, "note": True})
        patch.setenv("GANAUG_WORKSPACE", str(made.workspace))
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        _shorten(patch)
        torch.set_num_threads(1)
        _travel(made)
    return made


def _shorten(patch: pytest.MonkeyPatch) -> None:
    gan, synthesis, study = presets.gan, presets.synthesis, presets.study
    brief: dict[str, Any] = {"total_kimg": 0.016, "snapshot_kimg": None, "extractor": "classifier"}
    small: dict[str, Any] = {
        "classifiers": ("dalaresnet50_small",),
        "seeds": (0,),
        "num_steps": 2,
        "num_resamples": 100,
    }
    patch.setattr(presets, "gan", lambda *given: replace(gan(*given), **brief))
    patch.setattr(presets, "synthesis", lambda preset: replace(synthesis(preset), per_class=10))
    patch.setattr(presets, "study", lambda preset: replace(study(preset), **small))
    patch.setattr(trained_classifier, "FIT", replace(trained_classifier.FIT, num_steps=3, batch=8))


def run(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, f"{arguments}: {result.stderr}"
    return result.stderr


def _travel(made: Journey) -> None:
    source, tables = plant(made.base)
    exported = made.exported
    folder = made.base / WORDS["folder of weights"]
    network = folder / f"{WORDS['weights of a classifier']}.pth"
    begin = folder / f"{WORDS['weights of a generator']}.safetensors"
    copies = [made.base / f"{WORDS[what]}.h5" for what in ("synthetic file elsewhere", "data set elsewhere")]
    folder.mkdir()
    torch.save(build_seeded("dalaresnet50_small", 2, 7, image_size_px=SIDE).state_dict(), network)
    (folder / "alexnet-owt-7be5be79.pth").write_bytes(b"not what was published")  # a note on it is kept with the scores
    source_options = ("--source", source, "--layout", "class/site/patient/other", "--resolution", SIDE, "--skip-bad")
    options = (*source_options, "--name", "lab", "--split", tables[0], "--same-patient", tables[1])
    printed = run("prepare", "--dataset", "folder", *options)
    for what in ("patient who shares an image", "near-equal patients", "damaged file", "mask of another size"):
        assert WORDS[what] in printed, what  # the terminal does say them
    run("train-gan", "--tensorboard")
    (first,) = (made.workspace / "gans").iterdir()
    run("export-gan", first.name, "--out", begin)
    run("train-gan", "--init", begin, "--init-saw", "nobody else")
    run("synthesize", "--format", "png", "--out", exported)
    run("synthesize", "--format", "zip", "--out", exported, "--reject", "copies=0.01")
    run("strips")
    run("evaluate-gan", "--extractor", "classifier", "--weights-dir", folder)
    weights = ("--pretrained", f"dalaresnet50_small={network}", "--pretrained-saw", "dalaresnet50_small=photographs")
    study = ("evaluate-augmentation", *weights, "--weights-dir", folder, "--workers", 1)
    run(*study)
    copies[0].write_bytes(max((made.workspace / "synthetic").glob("*.h5")).read_bytes())
    copies[1].write_bytes((made.workspace / "datasets" / "lab.h5").read_bytes())
    run(*study, "--ratio", 0.5, "--synthetic", copies[0])
    run("train-classifier", "--steps", 2, "--pretrained", network, "--pretrained-saw", "photographs")
    run("train-classifier", "--steps", 2, "--images", "real+synthetic", "--synthetic", copies[0])
    _compare_arms()
    for number, copy in enumerate(copies):
        run("export", copy, "--zip", exported / f"copy-{number}.zip")
    (second,) = set((made.workspace / "gans").iterdir()) - {first}
    run("export-gan", second.name, "--out", exported / "generator.safetensors")
    for synthetic in sorted((made.workspace / "synthetic").glob("*.h5")):
        run("export", synthetic, "--zip", exported / f"again-{synthetic.stem}.zip")
        run("inspect", synthetic, "--sheet", exported / f"sheet-{synthetic.stem}.png")
    run("export", "lab", "--zip", exported / "lab.zip")
    run("export", "lab", "--zip", exported / "lab-test.zip", "--fold", 0, "--part", "test")
    run("export", "lab", "--zip", made.with_ids / "lab.zip", "--with-ids")
    run("export", "lab", "--folds-csv", exported / "folds.csv")
    run("export", "lab", "--folds-csv", made.with_ids / "folds.csv", "--with-ids")


def _compare_arms() -> None:
    """Tiles and expression, of a phantom: its patients are named after it."""
    name = "paired-phantom"
    drawn = ("--patients", 12, "--images-per-patient", 1, "--resolution", 32, "--folds", 3)
    run("prepare", "--dataset", name, *drawn)
    run("train-classifier", "--dataset", name, "--classifier", "cross_attention", "--steps", 1, "--fold", 0)


def plant(base: Path) -> tuple[Path, tuple[Path, Path]]:
    """Write folders of images that bear the names, and the tables that name them; returns where they are."""
    source, rng = base / WORDS["folder of the source"], np.random.default_rng(0)
    marked = f"{WORDS['patient with markup']} <b>&\"'}}"
    near, shared = WORDS["near-equal patients"], WORDS["patient who shares an image"]
    joined, known = WORDS["patient joined by --same-patient"], WORDS["patient"]
    everywhere, tested = WORDS["patient under every class"], WORDS["tested patient"]
    train = [
        known,
        joined,
        marked,
        f"{near} 7",
        f"{near.lower()} 07",
        shared,
        WORDS["patient of another slide"],
        everywhere,
    ]
    part_of = {
        **dict.fromkeys(train, "train"),
        **dict.fromkeys(("val 1", "val 2"), "val"),
        tested: "test",
        "test 2": "test",
    }
    classes = {everywhere: CLASSES} | {
        patient: CLASSES[n % 2 :][:1] for n, patient in enumerate(part_of) if patient != everywhere
    }
    classes[shared] = classes[known]
    for patient, labels in classes.items():
        for label in labels:
            folder = source / label / f"Klinik {WORDS['site']}" / patient / WORDS["slide"]
            folder.mkdir(parents=True)
            for number in range(3):
                pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{WORDS['image']} {number}.png")
    of_known = next(source.rglob(f"{known}/*/* 0.png"))
    next(source.rglob(f"{shared}/*/* 0.png")).write_bytes(of_known.read_bytes())
    (of_known.parent / f"{WORDS['damaged file']}.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (of_known.parent / f"{WORDS['slide that is not read']}.svs").touch()
    Image.new("RGB", (20, 20), "red").save(of_known.parent / "masked.png")
    Image.new("L", (9, 9)).save(of_known.parent / "masked_mask.png")
    Image.new("L", (9, 9)).save(of_known.parent / f"{WORDS['mask of another size']}_mask.png")
    tables = base / f"{WORDS['table of the split']}.csv", base / f"{WORDS['table of joined patients']}.csv"
    for path, rows in (
        (tables[0], [("group", "part"), *((patient, part) for patient, part in part_of.items() if patient != joined)]),
        (tables[1], [("patient", "same_as"), (joined, known)]),
    ):
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    return source, tables


# ---- what the search finds -------------------------------------------------------------------------------------------


def test_nothing_outside_of_the_data_sets_names_anybody_or_any_place(journey: Journey, search: "type[Search]") -> None:
    places = {"absolute path": str(journey.base), "temporary folder": "pytest-of-", "installation": sys.prefix}
    found = search(WORDS | places).look(journey.workspace, less=("datasets",)).look(journey.exported)
    assert found.found == {}
    assert len(found.files) > 60
    kinds = {".h5", ".npz", ".npy", ".zip", ".safetensors", ".png", ".svg", ".html", ".json", ".jsonl"}
    assert kinds <= set(found.kinds)
    written = {path.rpartition("/")[2] for path in found.files}
    assert {"report.html", "design.json", "verdict.json", "results.jsonl", "config.json", "env.json"} <= written
    assert {"metrics.jsonl", "stats.jsonl", "scores.jsonl", "trainer.json", "reals.png", "lab.zip"} <= written
    assert {"classifier.safetensors", "scores.json", "history.jsonl"} <= written
    assert {"patients.safetensors", "tested.json"} <= written
    assert [name for name in written if "tfevents" in name]
    assert len([path for path in found.files if path.startswith("cache/")]) >= 3


def test_the_data_sets_and_what_is_exported_with_names_do_name_them(journey: Journey, search: "type[Search]") -> None:
    no_data = {what for what in WORDS if what.startswith(("folder", "weights", "host")) or "elsewhere" in what}
    kept = search(WORDS).look(journey.workspace / "datasets").found
    assert set(WORDS) - no_data <= set(kept)
    exported = search(WORDS).look(journey.with_ids).found
    assert set(FOUND_IN_EXPORT) <= set(exported)


def test_predictions_stand_in_an_order_that_tells_nothing_of_the_names(journey: Journey) -> None:
    files = sorted(journey.workspace.glob("studies/*/cells/*.npz"))
    assert len(files) >= 6
    for path in files:
        with np.load(path) as stored:
            image_ids, groups = stored["image_ids"].tolist(), stored["groups"].tolist()
        assert len(set(image_ids)) > len(set(groups)) > 1
        assert image_ids == sorted(image_ids)

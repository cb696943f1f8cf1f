"""Splits that put one patient, one picture or one laboratory on two sides: lists, folders, and `ganaug audit`."""

import csv
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageOps

from leaks.leak import Leak
from leaks.pictures import prepare_tissue, two_patients
from leaks.scene import FOLDS, Command, Scene, command


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def patients_of(scene: Scene) -> dict[str, list[str]]:
    """The patients of each class."""
    return {
        folder.name: sorted(path.name for path in folder.iterdir() if path.is_dir())
        for folder in sorted(scene.tissue.iterdir())
        if folder.is_dir()
    }


def parts_of(scene: Scene) -> dict[str, str]:
    """An honest split: of each class the first patient tests, the second validates, the others train."""
    parts = ["test", "val", "train", "train"]
    return {name: parts[min(at, 3)] for names in patients_of(scene).values() for at, name in enumerate(names)}


# ---- lists -----------------------------------------------------------------------------------------------------------


def list_a_patient_in_two_parts(scene: Scene) -> Command:
    """A list of patients names one in train and in test."""
    first = two_patients(scene)[0].name
    rows = [*parts_of(scene).items(), (first, "train")]
    return prepare_tissue(scene, "--split", write_csv(scene.root / "split.csv", ("group", "part"), rows))


def list_patients_who_share_a_picture_in_two_parts(scene: Scene) -> Command:
    """A list puts two patients in train and in test who have a picture in common, rotated."""
    third = sorted((scene.tissue / "Benign").iterdir())[2]
    picture = Image.open(sorted(two_patients(scene)[0].iterdir())[0])
    ImageOps.mirror(picture.transpose(Image.Transpose.ROTATE_90)).save(third / "more.png")
    rows = list(parts_of(scene).items())
    return prepare_tissue(scene, "--split", write_csv(scene.root / "split.csv", ("group", "part"), rows))


def list_images_of_a_patient_in_two_parts(scene: Scene) -> Command:
    """A list of images, made without regard to patients, puts those of one in train and in test."""
    parts = parts_of(scene)
    rows = [[f"{p.parents[1].name}/{p.parent.name}/{p.name}", parts[p.parent.name]] for p in _pictures(scene)]
    rows[0][1] = "train"
    return prepare_tissue(scene, "--folds-csv", write_csv(scene.root / "folds.csv", ("image", "fold0"), rows))


def list_a_patient_as_tested_twice(scene: Scene) -> Command:
    """A list of folds tests one patient in two folds of one repeat."""
    parts = parts_of(scene)
    second = [part for _ in range(4) for part in ("train", "val", "test", "train", "train")]
    rows = [[name, part, other] for (name, part), other in zip(parts.items(), second, strict=True)]
    rows[0][2] = "test"
    path = write_csv(scene.root / "folds.csv", ("group", "fold0", "fold1"), rows)
    return prepare_tissue(scene, "--folds-csv", path)


def list_a_laboratory_in_two_parts(scene: Scene) -> Command:
    """Patients of one laboratory stand in train and in test, where laboratories are to stay together."""
    sites = {name: f"lab {part}" for name, part in parts_of(scene).items()}
    first = two_patients(scene)[0].name
    manifest = _manifest(scene, {**sites, first: "lab train"})
    path = write_csv(scene.root / "split.csv", ("group", "part"), parts_of(scene).items())
    return command("prepare", "--dataset", "folder", "--source", manifest, "--fold-by", "site", "--split", path)


def write_a_laboratory_in_two_ways(scene: Scene) -> Command:
    """One laboratory bears two names that differ in case, where laboratories are to stay together."""
    places = {name: at for names in patients_of(scene).values() for at, name in enumerate(names)}
    sites = {name: ("Graz", "Linz", "graz")[at % 3] for name, at in places.items()}
    manifest = _manifest(scene, sites)
    return command("prepare", "--dataset", "folder", "--source", manifest, "--fold-by", "site", "--folds", FOLDS)


def _manifest(scene: Scene, sites: dict[str, str]) -> Path:
    rows = [
        (f"{p.parents[1].name}/{p.parent.name}/{p.name}", p.parents[1].name, p.parent.name, sites[p.parent.name])
        for p in _pictures(scene)
    ]
    return write_csv(scene.tissue / "list.csv", ("path", "label", "group", "site"), rows)


def _pictures(scene: Scene) -> list[Path]:
    return sorted(scene.tissue.glob("*/*/*.png"))


def keep_folders_that_divide_a_patient(scene: Scene) -> Command:
    """The folders train, val and test of a source are kept as parts, and one patient lies in two."""
    _divide(scene)
    first = two_patients_of(scene.root / "divided" / "test" / "Benign")
    target = scene.root / "divided" / "train" / "Benign" / first.name
    target.mkdir()
    shutil.move(sorted(first.iterdir())[0], target)
    return command("prepare", "--dataset", "folder", "--source", scene.root / "divided", "--split", "parts")


def two_patients_of(folder: Path) -> Path:
    return sorted(path for path in folder.iterdir() if path.is_dir())[0]


def _divide(scene: Scene) -> None:
    """The pictures as <part>/<class>/<patient>/, honestly divided."""
    for path in _pictures(scene):
        part = parts_of(scene)[path.parent.name]
        target = scene.root / "divided" / part / path.parents[1].name / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


# ---- an audit of two folders -----------------------------------------------------------------------------------------


def _audit(scene: Scene, *more: object) -> Command:
    divided = scene.root / "divided"
    return command("audit", "--train", divided / "train", "--test", divided / "test", *more)


def _in_test(scene: Scene) -> tuple[Path, Path]:
    """A picture of the test part, and the folder of a patient of the train part."""
    _divide(scene)
    picture = sorted((scene.root / "divided" / "test").glob("*/*/*.png"))[0]
    return picture, two_patients_of(scene.root / "divided" / "train" / picture.parents[1].name)


def audit_one_patient_in_two_folders(scene: Scene) -> Command:
    """A patient of the test folder has an image in the training folder."""
    picture, patient = _in_test(scene)
    target = patient.with_name(picture.parent.name)
    target.mkdir()
    shutil.move(sorted(patient.iterdir())[0], target)
    return _audit(scene)


def audit_one_file_in_two_folders(scene: Scene) -> Command:
    """A file of the test folder lies under another name and another patient in the training folder."""
    picture, patient = _in_test(scene)
    shutil.copy(picture, patient / "more.png")
    return _audit(scene)


def audit_a_changed_copy_in_two_folders(scene: Scene) -> Command:
    """A test picture, inverted, framed and saved as JPEG, lies in the training folder."""
    picture, patient = _in_test(scene)
    framed = ImageOps.expand(ImageOps.invert(Image.open(picture).convert("RGB")), 6, "black")
    framed.save(patient / "more.jpg", quality=85)
    return _audit(scene)


def audit_synthetic_images_that_show_a_test_picture(scene: Scene) -> Command:
    """A folder of synthetic images holds a test picture, lighter and mirrored."""
    picture, _ = _in_test(scene)
    folder = scene.root / "made"
    folder.mkdir()
    lighter = Image.open(picture).convert("RGB").point(lambda value: min(255, int(1.1 * value)))
    ImageOps.mirror(lighter).save(folder / "0.png")
    return _audit(scene, "--synthetic", folder)


def audit_one_laboratory_in_two_lists(scene: Scene) -> Command:
    """Two lists have no patient in common, and one laboratory."""
    parts, lists = parts_of(scene), {}
    for part in ("train", "test"):
        chosen = [path for path in _pictures(scene) if parts[path.parent.name] == part]
        rows = [(path.relative_to(scene.tissue).as_posix(), path.parent.name, "Graz") for path in chosen]
        lists[part] = write_csv(scene.tissue / f"{part}.csv", ("path", "group", "site"), rows)
    return command("audit", "--train", lists["train"], "--test", lists["test"])


def audit_one_patient_written_in_two_ways(scene: Scene) -> Command:
    """A patient of the test folder stands in the training folder under a name that differs in case and zeros."""
    picture, patient = _in_test(scene)
    target = patient.with_name(picture.parent.name.upper().replace("P0", "P"))
    target.mkdir()
    shutil.move(sorted(patient.iterdir())[0], target)
    return _audit(scene)


LEAKS = (
    Leak(list_a_patient_in_two_parts, r"puts \S+ in test and, in line \d+, in train"),
    Leak(list_patients_who_share_a_picture_in_two_parts, r"shares an image with \S+; both count as"),
    Leak(list_images_of_a_patient_in_two_parts, r"puts patient \S+ in train and test of fold 0"),
    Leak(list_a_patient_as_tested_twice, r"tests patient \S+ in 2 folds of a repeat"),
    Leak(list_a_laboratory_in_two_parts, r"of one site"),
    Leak(write_a_laboratory_in_two_ways, r"near-equal sites are kept apart, which leaks"),
    Leak(keep_folders_that_divide_a_patient, r"1 patients of \S+ stand in two parts"),
)

AUDITS = (
    Leak(audit_one_patient_in_two_folders, r"^patient: .*\d images in train, \d in test"),
    Leak(audit_one_file_in_two_folders, r"^file: .* the same bytes"),
    Leak(audit_a_changed_copy_in_two_folders, r"^copy: .*colours inverted"),
    Leak(audit_synthetic_images_that_show_a_test_picture, r"^copy: .*\(synthetic\)"),
    Leak(audit_one_laboratory_in_two_lists, r"^site: "),
    Leak(audit_one_patient_written_in_two_ways, r"near-equal patients of two parts are kept apart, which leaks"),
)

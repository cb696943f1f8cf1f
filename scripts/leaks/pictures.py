"""One picture or one person twice, in the images that `ganaug prepare` reads."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from leaks.leak import Leak
from leaks.scene import FOLDS, Command, Scene, command

JOINED = r"patient phantom-p004 shares an image with phantom-p000; both count as phantom-p000"


def prepare_tissue(scene: Scene, *options: object) -> Command:
    folds = () if "--folds-csv" in options or "--split" in options else ("--folds", FOLDS)
    return command("prepare", "--dataset", "folder", "--source", scene.tissue, *folds, *options)


def two_patients(scene: Scene) -> tuple[Path, Path]:
    """The folders of two patients of one class."""
    first, second = sorted(path for path in (scene.tissue / "Benign").iterdir() if path.is_dir())[:2]
    return first, second


def add_copy(
    scene: Scene, change: Callable[[Image.Image], Image.Image], suffix: str = ".png", quality: int = 90
) -> Command:
    """A picture of one patient, changed, among those of another."""
    first, second = two_patients(scene)
    picture = Image.open(sorted(first.iterdir())[0]).convert("RGB")
    change(picture).save(second / f"more{suffix}", quality=quality)
    return prepare_tissue(scene)


# ---- copies across patients ------------------------------------------------------------------------------------------


def file_a_picture_under_two_patients(scene: Scene) -> Command:
    """The same file lies in the folders of two patients."""
    first, second = two_patients(scene)
    shutil.copy(sorted(first.iterdir())[0], second / "more.png")
    return prepare_tissue(scene)


def file_a_rotated_copy(scene: Scene) -> Command:
    """A picture, rotated by a quarter and mirrored, lies among those of another patient."""
    return add_copy(scene, lambda picture: ImageOps.mirror(picture.transpose(Image.Transpose.ROTATE_90)))


def file_a_tilted_copy(scene: Scene) -> Command:
    """A picture, tilted by 10°, lies among those of another patient."""
    return add_copy(scene, lambda picture: picture.rotate(10, Image.Resampling.BICUBIC).crop((8, 8, 56, 56)))


def file_a_cropped_copy(scene: Scene) -> Command:
    """Three quarters of a picture's side, enlarged again, lie among those of another patient."""
    return add_copy(scene, lambda picture: picture.crop((8, 8, 56, 56)).resize((64, 64), Image.Resampling.BICUBIC))


def file_a_recompressed_copy(scene: Scene) -> Command:
    """A picture, saved as JPEG at quality 75, lies among those of another patient."""
    return add_copy(scene, lambda picture: picture, ".jpg", quality=75)


def file_a_copy_of_another_stain(scene: Scene) -> Command:
    """A picture whose stain was shifted lies among those of another patient."""

    def stain(picture: Image.Image) -> Image.Image:
        light = (np.asarray(picture, np.float64) + 1) / 256
        return Image.fromarray((256 * light ** np.array([0.75, 1.25, 0.9]) - 1).clip(0, 255).astype(np.uint8))

    return add_copy(scene, stain)


def file_an_overlapping_field(scene: Scene) -> Command:
    """Two fields that have half of their tissue in common lie in the folders of two patients."""
    first, second = two_patients(scene)
    ours, theirs = (Image.open(path).convert("RGB") for path in sorted(first.iterdir())[:2])
    wide = Image.new("RGB", (96, 64))
    wide.paste(ours, (0, 0))
    wide.paste(theirs.crop((0, 0, 32, 64)), (64, 0))
    wide.crop((32, 0, 96, 64)).save(second / "more.png")
    return prepare_tissue(scene)


def file_a_picture_under_two_classes(scene: Scene) -> Command:
    """A picture lies, recompressed, in the folder of a patient of another class."""
    picture = Image.open(sorted(two_patients(scene)[0].iterdir())[0])
    patient = next(path for path in sorted((scene.tissue / "Normal").iterdir()) if path.is_dir())
    picture.convert("RGB").save(patient / "more.jpg", quality=90)
    return prepare_tissue(scene)


# ---- names -----------------------------------------------------------------------------------------------------------


def write_a_patient_in_two_ways(scene: Scene) -> Command:
    """The images of one patient lie in two folders, whose names differ in case and a space."""
    first, _ = two_patients(scene)
    other = first.with_name(f"{first.name.upper()} ")
    other.mkdir()
    shutil.move(sorted(first.iterdir())[0], other / "more.png")
    return prepare_tissue(scene)


def leave_the_patients_out(scene: Scene) -> Command:
    """The images of a class lie in one folder, so that nobody knows which are of one patient."""
    for path in sorted(scene.tissue.glob("*/*/*.png")):
        shutil.move(path, path.parents[1] / f"{path.parent.name}-{path.name}")
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    return prepare_tissue(scene)


# ---- synthetic images among real ones --------------------------------------------------------------------------------


def mix_in_generated_pngs(scene: Scene) -> Command:
    """PNGs of a generator lie among the pictures of a patient."""
    return _mix_in(scene, resave=False)


def mix_in_generated_images_saved_again(scene: Scene) -> Command:
    """The same, saved again, so that nothing in the files marks them."""
    return _mix_in(scene, resave=True)


def _mix_in(scene: Scene, *, resave: bool) -> Command:
    pngs = scene.root / "pngs"
    scene.do("synthesize", "--fold", 0, "--per-class", 24, "--format", "png", "--out", pngs)
    first, _ = two_patients(scene)
    for number, path in enumerate(sorted(pngs.glob("*/Benign/*.png"))[:3]):
        target = first / f"more{number}.png"
        if resave:
            Image.fromarray(np.asarray(Image.open(path).convert("RGB"))).save(target)
        else:
            shutil.copy(path, target)
    return prepare_tissue(scene, "--resolution", 16, "--skip-bad")


def prepare_a_generated_archive(scene: Scene) -> Command:
    """A dataset.zip of synthetic images is prepared as a data set of patients."""
    return command("prepare", "--dataset", "zip", "--source", _archive(scene), "--resolution", 16, "--folds", FOLDS)


def prepare_a_generated_archive_without_its_marks(scene: Scene) -> Command:
    """The same without its record and its mark, and with names of patients."""
    archive, plain = _archive(scene), scene.root / "plain.zip"
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(plain, "w") as target:
        for name in source.namelist():
            if name == "dataset.json":
                listed = json.loads(source.read(name))
                groups = {entry[0]: f"patient{number % 12}" for number, entry in enumerate(listed["labels"])}
                kept = {key: listed[key] for key in ("labels", "class_names")}
                target.writestr(name, json.dumps({**kept, "groups": groups}))
            elif name.endswith(".png"):
                with Image.open(source.open(name)) as picture, target.open(name, "w") as file:
                    Image.fromarray(np.asarray(picture)).save(file, "PNG")
    return command("prepare", "--dataset", "zip", "--source", plain, "--resolution", 16, "--folds", FOLDS)


def _archive(scene: Scene) -> Path:
    out = scene.root / "zips"
    scene.do("synthesize", "--fold", 0, "--per-class", 24, "--format", "zip", "--out", out)
    return next(out.glob("*.zip"))


LEAKS = (
    Leak(file_a_picture_under_two_patients, JOINED),
    Leak(file_a_rotated_copy, JOINED),
    Leak(file_a_tilted_copy, JOINED),
    Leak(file_a_cropped_copy, JOINED),
    Leak(file_a_recompressed_copy, JOINED),
    Leak(file_a_copy_of_another_stain, JOINED),
    Leak(file_an_overlapping_field, JOINED),
    Leak(file_a_picture_under_two_classes, r"under different classes"),
    Leak(write_a_patient_in_two_ways, r"near-equal patients are kept apart, which leaks"),
    Leak(leave_the_patients_out, r"counts as a patient of its own"),
    Leak(mix_in_generated_pngs, r"generator made"),
    Leak(mix_in_generated_images_saved_again, r"a generator made it"),
    Leak(prepare_a_generated_archive, r"images that a generator made"),
    Leak(prepare_a_generated_archive_without_its_marks, r"were made by a generator of this workspace"),
)

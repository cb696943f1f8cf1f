"""Leaks planted in images of another tool."""

import json
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganaug.data.external import read_external
from leaks.forge import swap_bytes
from leaks.leak import Leak
from leaks.scene import Command, Scene, study
from leaks.synthetic import SHOWS, tested


def _external(scene: Scene, archive: Path, *options: object) -> Command:
    return study("--external", archive, "--external-saw", "images of another hospital", *options)


def _write_archive(path: Path, images: NDArray[np.uint8], class_names: tuple[str, ...]) -> Path:
    """Images as a dataset.zip, of the classes in turn."""
    labels = [[f"{number:04d}.png", number % len(class_names)] for number in range(len(images))]
    with zipfile.ZipFile(path, "w") as archive:
        for (name, _), image in zip(labels, images, strict=True):
            with archive.open(str(name), "w") as file:
                Image.fromarray(image).save(file, "PNG")
        archive.writestr("dataset.json", json.dumps({"labels": labels, "class_names": class_names}))
    return path


def _noise(number: int, seed: int) -> NDArray[np.uint8]:
    small = np.random.default_rng(seed).integers(0, 256, (number, 8, 8, 3), np.uint8)
    return np.repeat(np.repeat(small, 2, axis=1), 2, axis=2)


def give_external_images_that_show_test_pictures(scene: Scene) -> Command:
    """A dataset.zip of another tool holds pictures of test patients, mirrored."""
    images = np.concatenate([tested(scene)[:, :, ::-1], _noise(96, 0)])
    return _external(scene, _write_archive(scene.root / "e.zip", images, scene.dataset.table.class_names))


def give_another_folds_images_as_external(scene: Scene) -> Command:
    """The synthetic images of fold 1, exported as dataset.zip, are given as those of another tool."""
    scene.do("synthesize", "--fold", 1, "--per-class", 24, "--format", "zip", "--out", scene.root / "zips")
    return _external(scene, next((scene.root / "zips").glob("*.zip")))


def exchange_the_converted_external_images(scene: Scene) -> Command:
    """In the cache the images of one external file are exchanged for those of another."""
    names = scene.dataset.table.class_names
    archives = [_write_archive(scene.root / f"{n}.zip", _noise(96, n), names) for n in (0, 1)]
    first, second = (read_external(scene.workspace, scene.dataset, archive) for archive in archives)
    swap_bytes(first.path, second.path)
    return _external(scene, archives[0])


def give_external_images_without_a_word(scene: Scene) -> Command:
    """Images of another tool are given, and nobody says what it was trained on."""
    archive = _write_archive(scene.root / "e.zip", _noise(96, 0), scene.dataset.table.class_names)
    return study("--external", archive)


def declare_the_origin_of_external_images(scene: Scene) -> Command:
    """The user says what the other tool was trained on, which is not true."""
    return _external(scene, _write_archive(scene.root / "e.zip", _noise(96, 0), scene.dataset.table.class_names))


LEAKS = (
    Leak(give_external_images_that_show_test_pictures, SHOWS),
    Leak(give_another_folds_images_as_external, r"holds images that a generator of ganaug made"),
    Leak(exchange_the_converted_external_images, r"holds the images of another file"),
    Leak(give_external_images_without_a_word, r"external images without what their tool saw"),
    Leak(declare_the_origin_of_external_images, r"checked by nothing: images of another hospital"),
)

"""The page shows both kinds alike and says nowhere which is which."""

import re
from base64 import b64decode
from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from ganaug.config import SynthesisConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.errors import DataError, LeakError
from ganaug.generate.synthesize import plan_synthesis, synthesize
from ganaug.provenance import require_seal
from ganaug.reader.build import ReaderStudy, draw_study, write_study
from ganaug.workspace import GanRun, Workspace, read_json

PER_CLASS = 3


def draw(dataset: DataSet, synthetic: Path, per_class: int, seed: int, fold: int | None = None) -> ReaderStudy:
    return draw_study(Workspace(dataset.path.parents[1]), dataset, synthetic, per_class, seed, fold)


@pytest.fixture
def dataset(trained: GanRun) -> DataSet:
    return open_dataset(Workspace(trained.root.parents[1]), "phantom")


@pytest.fixture
def synthetic(trained: GanRun) -> Path:
    workspace = Workspace(trained.root.parents[1])
    return synthesize(plan_synthesis(workspace, trained, SynthesisConfig(per_class=5)))


@pytest.fixture
def study(dataset: DataSet, synthetic: Path) -> ReaderStudy:
    return draw(dataset, synthetic, PER_CLASS, seed=0)


def test_half_of_every_class_is_real(study: ReaderStudy, dataset: DataSet) -> None:
    assert len(study.items) == len(study.pictures) == 2 * PER_CLASS * dataset.table.num_classes
    for name in dataset.table.class_names:
        kinds = [item.is_real for item in study.items if item.class_name == name]
        assert kinds.count(True) == kinds.count(False) == PER_CLASS
    kinds = [item.is_real for item in study.items]
    assert 0 < sum(first != other for first, other in pairwise(kinds)) < len(kinds) - 1


def test_real_images_are_of_patients_whom_the_generator_never_saw(study: ReaderStudy, dataset: DataSet) -> None:
    held_out = {dataset.images(2)[np.array([index])][0].tobytes() for index in dataset.test(2)}
    side = dataset.table.resolution_px
    shown = [np.asarray(Image.open(BytesIO(picture)).resize((side, side), 0)) for picture in study.pictures]
    for item, image in zip(study.items, shown, strict=True):
        assert (image.tobytes() in held_out) == item.is_real


def test_page_holds_no_truth_and_asks_no_network(study: ReaderStudy, dataset: DataSet, tmp_path: Path) -> None:
    write_study(study, tmp_path / "page.html", tmp_path / "key.json")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    pictures = re.findall(r"data:image/png;base64,([\w+/=]+)", page)
    assert [b64decode(picture) for picture in pictures] == list(study.pictures)
    bare = re.sub(r"data:image/png;base64,[\w+/=]+", "", page)
    assert not any(name in bare for name in (*dataset.table.class_names, "is_real"))
    assert "http" not in bare
    assert len({len(tag) for tag in re.findall(r"<img class=.shown. hidden src=..", bare)}) == 1
    kinds = {(Image.open(BytesIO(picture)).size, Image.open(BytesIO(picture)).mode) for picture in study.pictures}
    assert len(kinds) == 1
    assert all(not Image.open(BytesIO(picture)).info for picture in study.pictures)
    assert require_seal(read_json(tmp_path / "key.json"), tmp_path / "key.json")["study"] == study.name


def test_same_seed_shows_the_same_and_another_something_else(
    study: ReaderStudy, dataset: DataSet, synthetic: Path
) -> None:
    assert draw(dataset, synthetic, PER_CLASS, seed=0) == study
    assert draw(dataset, synthetic, PER_CLASS, seed=1).name != study.name


def test_too_few_images_of_a_class_are_an_error(dataset: DataSet, synthetic: Path) -> None:
    with pytest.raises(DataError, match="choose a smaller --per-class"):
        draw(dataset, synthetic, 500, seed=0)


def test_a_file_of_another_fold_is_not_shown_in_its_place(dataset: DataSet, synthetic: Path) -> None:
    with pytest.raises(LeakError, match="of the validation or test part of fold 1"):
        draw(dataset, synthetic, PER_CLASS, seed=0, fold=1)


def test_test_pictures_are_not_shown_as_generated_ones(
    dataset: DataSet, synthetic: Path, reseal: Callable[..., None]
) -> None:
    with h5py.File(synthetic, "r+") as file:
        file["images"][3] = dataset.reader[dataset.test(2)[:1]][0]
    reseal(synthetic)
    with pytest.raises(LeakError, match=r"image 3 of .* shows the picture"):
        draw(dataset, synthetic, PER_CLASS, seed=0)

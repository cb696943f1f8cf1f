import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.describe import LISTED, contact_sheet, describe_images, format_images
from ganaug.data.hdf5.attributes import SKIPPED
from ganaug.data.hdf5.image_writer import writing_images
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.schema import ImageTable
from ganaug.errors import DataError
from ganaug.provenance import Provenance
from ganaug.workspace import Workspace


@pytest.fixture
def prepared(workspace: Workspace, make_tree: Callable[..., Path]) -> Path:
    root = make_tree({"a": {f"a{n}": 2 for n in range(3)}, "b": {f"b{n}": 4 for n in range(4)}})
    (root / "a" / "a0" / "bad.png").write_bytes(b"")
    config = PrepareConfig("folder", str(root), resolution_px=16, folds=FoldsConfig(3))
    return prepare_dataset(workspace, config).path


@pytest.fixture
def synthetic(tmp_path: Path, make_table: Callable[..., ImageTable]) -> Path:
    table = make_table([0, 1, 1], ["", "", ""])
    attrs = {"resolution_px": 16, "source": "synthetic", "psi": 0.7, "fingerprint": "f" * 64}
    record = Provenance("folder", "f" * 64, "d" * 64, 2, tuple(f"p{n}" for n in range(9)), "c" * 64)
    with writing_images(tmp_path / "synthetic.h5", 16) as writer:
        writer.append(np.full((3, 16, 16, 3), 99, np.uint8))
        writer.finish(replace(table, attrs=attrs), positions=np.array([5, 6, 7]), record=record)
    return tmp_path / "synthetic.h5"


def test_a_data_set_is_described_by_classes_patients_and_faults(prepared: Path) -> None:
    description = describe_images(prepared)
    assert json.loads(json.dumps(description)) == description
    assert (description["kind"], description["images"], description["patients"]) == ("data set", 22, 7)
    assert description["classes"]["b"] == {"images": 16, "patients": 4, "magnifications": {"unknown": 16}}
    assert description[SKIPPED] == [["a/a0/bad.png", "the file is empty"]]
    text = format_images(description)
    assert "22 images of 7 patients" in text
    assert "skipped: a/a0/bad.png: the file is empty" in text


def test_synthetic_images_are_described_by_their_generator(synthetic: Path) -> None:
    description = describe_images(synthetic)
    assert description["kind"] == "synthetic images"
    assert description["positions"] == [5, 7]
    assert description["provenance"]["fold"] == 2
    text = format_images(description)
    assert "psi: 0.7" in text
    assert "provenance.groups_seen: 9: p0, p1, p2, p3, p4, …" in text
    assert "patients" not in text


def test_a_long_list_of_faults_is_cut_in_the_text_alone(prepared: Path) -> None:
    description = describe_images(prepared) | {SKIPPED: [[f"{n}.png", "empty"] for n in range(LISTED + 30)]}
    lines = format_images(description).splitlines()
    assert sum(line.startswith("skipped: ") for line in lines) == LISTED + 1
    assert lines[-1] == "skipped: and 30 more (see --json)"


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    for name in ("weights.safetensors", "none.h5"):
        with pytest.raises(DataError) as error:
            describe_images(tmp_path / name)
        assert "\n" not in str(error.value)


def test_the_contact_sheet_has_a_row_for_each_class(prepared: Path, tmp_path: Path) -> None:
    contact_sheet(prepared, tmp_path / "sheet.png", per_class=8)
    image = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert image.shape[1] > 3.5 * image.shape[0]  # two rows, of six and eight images
    cell = image.shape[1] // 8
    assert np.all(image[4 : cell - 4, 6 * cell + 4 :] == 255)  # the first class has but six
    assert not np.all(image[cell + 4 :, 6 * cell + 4 :] == 255)

import errno
import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data.export import export_zip, select
from ganaug.data.folds.folds import make_folds, write_folds
from ganaug.data.hdf5.image_writer import writing_images
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.schema import ImageReader, ImageTable, content_digest, read_table
from ganaug.data.sources.dataset_zip import scan
from ganaug.errors import ConfigError, DataError, LeakError, WorkspaceError
from ganaug.provenance import Provenance
from ganaug.workspace import Workspace

NUM = 24  # images, two of each patient
SIDE = 24  # no power of two: it stays as it is
PIXELS = np.random.default_rng(0).integers(0, 256, (NUM, SIDE, SIDE, 3), dtype=np.uint8)
MakeTable = Callable[..., ImageTable]


def read_as_stylegan(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Images u8 [N,H,W,3] and labels i64 [N], read as the format is documented: images by sorted name, all of one
    square shape; a label in `dataset.json` for every one of them, or none at all."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))
        images = [np.array(Image.open(io.BytesIO(archive.read(name)))) for name in names]
        labels = json.loads(archive.read("dataset.json"))["labels"]
    shapes = {image.shape for image in images}
    assert len(shapes) == 1
    ((height, width, channels),) = shapes
    assert (height, channels) == (width, 3)
    if labels is None:
        return np.stack(images), None
    by_name = dict(labels)
    assert [name for name, _ in labels] == names
    return np.stack(images), np.array([by_name[name] for name in names], dtype=np.int64)


def listed(path: Path, name: str = "dataset.json") -> dict[str, Any]:
    values: dict[str, Any] = json.loads(zipfile.ZipFile(path).read(name))
    return values


@pytest.fixture
def table(make_table: MakeTable) -> ImageTable:
    """Twelve patients of three sites, six of each class; scale and magnification are known of some images."""
    plain = make_table([i // 2 % 2 for i in range(NUM)], [f"pä{i // 2}" for i in range(NUM)], ("benign", "malignant"))
    return replace(
        plain,
        site_id=np.array(["ulm" if i % 3 else "" for i in range(NUM)]),
        magnification=np.array([200 if i % 2 else 0 for i in range(NUM)]),
        um_per_px=np.where(np.arange(NUM) % 4 == 0, np.nan, 0.1 + 0.2),
        sha256=np.array([f"{i:064x}" for i in range(NUM)]),
        attrs={"resolution_px": SIDE, "source": "folder", "licence": "CC BY 4.0", "citation": "Someone, 2020"},
    )


def store(path: Path, table: ImageTable, stained: np.ndarray | None = None, record: Provenance | None = None) -> Path:
    with writing_images(path, SIDE) as writer:
        writer.append(PIXELS)
        if stained is not None:
            writer.append_stained(0, stained)
        writer.finish(table, record=record)
    return path


@pytest.fixture
def dataset(workspace: Workspace, table: ImageTable) -> Path:
    path = store(workspace.dataset("lab"), table)
    write_folds(workspace.folds("lab"), make_folds(read_table(path), FoldsConfig(3)))
    return path


@pytest.fixture
def synthetic(tmp_path: Path, table: ImageTable) -> Path:
    record = Provenance("lab", "f" * 64, "d" * 64, 0, ("p1", "p2"), "c" * 64, generator="g" * 64)
    attrs = {**table.attrs, "source": "synthetic"}
    return store(
        tmp_path / "synthetic.h5", replace(table, group_id=np.full(NUM, "synthetic:g"), attrs=attrs), None, record
    )


def test_stylegan_reads_the_pixels_and_labels_of_the_data_set(dataset: Path, table: ImageTable, tmp_path: Path) -> None:
    assert export_zip(select(dataset), tmp_path / "out.zip") == NUM
    images, labels = read_as_stylegan(tmp_path / "out.zip")
    order = table.in_shared_order(np.arange(NUM))
    assert np.array_equal(images, PIXELS[order])
    assert labels is not None
    assert np.array_equal(labels, table.label[order])


def test_the_order_of_an_export_says_nothing_of_the_order_of_the_names(
    dataset: Path, table: ImageTable, tmp_path: Path
) -> None:
    """Else a list of the patients, sorted as a data set is, would tell which digest is whose."""
    export_zip(select(dataset), tmp_path / "out.zip")
    values = listed(tmp_path / "out.zip")
    assert list(values["image_ids"].values()) == sorted(table.image_digests(np.arange(NUM)))
    export_zip(select(dataset), tmp_path / "named.zip", with_ids=True)
    assert list(listed(tmp_path / "named.zip")["image_ids"].values()) == table.image_id.tolist()
    assert np.array_equal(read_as_stylegan(tmp_path / "named.zip")[0], PIXELS)


def test_the_archive_is_laid_out_as_stylegans(dataset: Path, tmp_path: Path) -> None:
    export_zip(replace(select(dataset), indices=np.arange(1002) % NUM), tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        names = archive.namelist()
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.testzip() is None
    assert names[:1] + names[999:] == [
        "00000/img00000000.png",
        "00000/img00000999.png",
        "00001/img00001000.png",
        "00001/img00001001.png",
        "dataset.json",
    ]


def test_what_is_exported_comes_back_with_all_that_is_known_of_it(
    dataset: Path, table: ImageTable, tmp_path: Path
) -> None:
    export_zip(select(dataset), tmp_path / "out.zip", with_ids=True)
    found = scan(PrepareConfig("zip", str(tmp_path / "out.zip")))
    assert found.class_names == table.class_names
    assert np.array_equal(found.labels, table.label)
    assert np.array_equal(found.groups, table.group_id)
    assert np.array_equal(found.sites, table.site_id)
    assert [item.image_id for item in found.items] == table.image_id.tolist()
    assert [item.magnification for item in found.items] == table.magnification.tolist()
    scales = [np.nan if item.um_per_px is None else item.um_per_px for item in found.items]
    assert np.array_equal(scales, table.um_per_px, equal_nan=True)
    assert (found.licence, found.citation) == ("CC BY 4.0", "Someone, 2020")
    assert (found.skipped, found.notes) == ((), ())


def test_a_prepared_export_is_the_same_data_set(
    dataset: Path, table: ImageTable, tmp_path: Path, workspace: Workspace
) -> None:
    export_zip(select(dataset), tmp_path / "out.zip", with_ids=True)
    config = PrepareConfig("zip", str(tmp_path / "out.zip"), resolution_px=SIDE, folds=FoldsConfig(3))
    back = prepare_dataset(workspace, config)
    assert np.array_equal(ImageReader(back.path)[np.arange(NUM)], PIXELS)
    for name in ("label", "group_id", "site_id", "image_id", "magnification"):
        assert np.array_equal(getattr(back.table, name), getattr(table, name)), name
    assert back.table.class_names == table.class_names
    assert np.array_equal(back.table.um_per_px, table.um_per_px, equal_nan=True)
    export_zip(select(back.path), tmp_path / "again.zip", with_ids=True)
    assert {**listed(tmp_path / "out.zip"), "origin": {}} == {**listed(tmp_path / "again.zip"), "origin": {}}


def test_a_part_of_a_fold_holds_its_patients_and_no_others(dataset: Path, table: ImageTable, tmp_path: Path) -> None:
    folds = make_folds(read_table(dataset), FoldsConfig(3))
    for part, groups_of in (("train", folds.train_groups), ("val", folds.val_groups), ("test", folds.test_groups)):
        export_zip(select(dataset, 1, part), tmp_path / f"{part}.zip", with_ids=True)
        values = listed(tmp_path / f"{part}.zip")
        assert set(values["groups"].values()) == set(groups_of(1))
        assert (values["origin"]["fold"], values["origin"]["part"]) == (1, part)
        assert values["origin"]["folds_digest"] == folds.digest
        images, _ = read_as_stylegan(tmp_path / f"{part}.zip")
        assert np.array_equal(images, PIXELS[np.isin(table.group_id, groups_of(1))])
    assert np.array_equal(select(dataset, 1).indices, select(dataset, 1, "train").indices)


def test_only_the_training_part_goes_without_a_caution(dataset: Path, synthetic: Path) -> None:
    assert "can serve no fold" in select(dataset).note
    assert select(dataset, 0).note == ""
    for part in ("val", "test"):
        assert "fold 0 holds these patients back" in select(dataset, 0, part).note
    assert select(synthetic).note == ""


def test_a_fold_of_a_stained_data_set_is_exported_as_the_fold_sees_it(
    workspace: Workspace, table: ImageTable, tmp_path: Path
) -> None:
    table = replace(table, attrs={**table.attrs, "stain": {"method": "macenko"}})
    path = store(workspace.dataset("lab"), table, stained=255 - PIXELS)
    write_folds(workspace.folds("lab"), make_folds(read_table(path), FoldsConfig(3)))
    part = select(path, 0, "val")
    export_zip(part, tmp_path / "part.zip", with_ids=True)
    assert np.array_equal(read_as_stylegan(tmp_path / "part.zip")[0], 255 - PIXELS[part.indices])
    export_zip(select(path), tmp_path / "all.zip", with_ids=True)
    assert np.array_equal(read_as_stylegan(tmp_path / "all.zip")[0], PIXELS)


def test_the_same_images_give_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        export_zip(select(dataset, 0), tmp_path / name)
        os.utime(dataset, (1, 1))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_labels_are_null_where_there_are_none_and_refused_where_there_are_some(
    tmp_path: Path, table: ImageTable
) -> None:
    out = tmp_path / "out.zip"
    mixed = store(tmp_path / "mixed.h5", replace(table, label=np.arange(NUM) % 3 - 1))
    with pytest.raises(DataError, match=r"8 of 24 images of .* have no label"):
        export_zip(select(mixed), out)
    assert not out.exists()
    export_zip(select(store(tmp_path / "plain.h5", replace(table, label=np.full(NUM, -1)))), out)
    assert read_as_stylegan(out)[1] is None
    found = scan(PrepareConfig("zip", str(out)))
    assert set(found.labels.tolist()) == {-1}
    assert len(set(found.groups.tolist())) == len(set(table.group_id.tolist()))


def test_an_export_keeps_patients_and_sites_apart_and_names_none(
    dataset: Path, table: ImageTable, tmp_path: Path
) -> None:
    export_zip(select(dataset), tmp_path / "out.zip")
    found = scan(PrepareConfig("zip", str(tmp_path / "out.zip")))
    for stored, names in ((found.groups, table.group_id), (found.sites, table.site_id)):
        order = table.in_shared_order(np.arange(NUM))
        pairs = set(zip(stored.tolist(), names[order].tolist(), strict=True))
        assert len(pairs) == len(set(names.tolist())) == len(set(stored.tolist()))
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        text = b"".join(archive.read(name) for name in archive.namelist()).decode("utf-8", "replace")
    names = {*table.group_id.tolist(), *table.image_id.tolist(), "ulm"}
    assert len(names) > 30
    assert not [name for name in names if name in text]


# ---- synthetic images ------------------------------------------------------------------------------------------------


def test_synthetic_images_are_exported_with_their_provenance(synthetic: Path, tmp_path: Path) -> None:
    export_zip(select(synthetic), tmp_path / "out.zip")
    assert np.array_equal(read_as_stylegan(tmp_path / "out.zip")[0], PIXELS)
    assert listed(tmp_path / "out.zip")["synthetic"] is True
    record = listed(tmp_path / "out.zip", "provenance.json")
    assert record == read_table(synthetic).attrs["provenance"]
    assert record["content"] == content_digest(synthetic)


@pytest.mark.parametrize("source", ["zip", "folder"])
@pytest.mark.parametrize("unpacked", [False, True])
def test_exported_synthetic_images_never_become_patients(
    synthetic: Path, tmp_path: Path, workspace: Workspace, source: str, unpacked: bool
) -> None:
    out = tmp_path / "out.zip"
    export_zip(select(synthetic), out)
    if unpacked:
        zipfile.ZipFile(out).extractall(tmp_path / "unpacked")
        out = tmp_path / "unpacked"
    with pytest.raises(LeakError, match="images that a generator made"):
        prepare_dataset(workspace, PrepareConfig(source, str(out), resolution_px=SIDE))
    assert workspace.datasets() == []


def test_synthetic_images_that_were_changed_are_refused(synthetic: Path, tmp_path: Path) -> None:
    with h5py.File(synthetic, "r+") as file:
        file["images"][3] = 0
    with pytest.raises(LeakError, match="was changed after it was written"):
        export_zip(select(synthetic), tmp_path / "out.zip")


# ---- what can go wrong -----------------------------------------------------------------------------------------------


def test_what_has_no_folds_cannot_be_exported_by_fold(synthetic: Path, table: ImageTable, tmp_path: Path) -> None:
    alone = store(tmp_path / "alone.h5", table)
    for path in (synthetic, alone):
        with pytest.raises(ConfigError, match=r"fold 0 of .*; expected a data set of a workspace"):
            select(path, 0)


def test_a_fold_or_part_that_is_not_there_is_refused(dataset: Path) -> None:
    for fold, part, says in (
        (-1, None, "expected a number from 0 to 2"),
        (3, None, "expected a number from 0 to 2"),
        (None, "test", "name it with --fold"),
        (0, "all", "expected train or val or test"),
    ):
        with pytest.raises(ConfigError, match=says):
            select(dataset, fold, part)


def test_an_earlier_export_is_replaced_and_nothing_else(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.zip"
    export_zip(select(dataset, 0, "test"), out)
    assert export_zip(select(dataset), out) == NUM
    assert len(read_as_stylegan(out)[0]) == NUM
    raw, torn = tmp_path / "BreaKHis.zip", tmp_path / "torn.zip"
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("a.png", b"precious")
    torn.write_bytes(raw.read_bytes().replace(b"PK\x01\x02", b"XXXX"))
    for precious in (raw, torn, dataset, tmp_path):
        before = precious.read_bytes() if precious.is_file() else b""
        with pytest.raises(WorkspaceError, match=r"is there and is no archive with a dataset\.json; remove it or name"):
            export_zip(select(dataset), precious)
        assert (precious.read_bytes() if precious.is_file() else b"") == before


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt("stop")])
def test_whatever_stops_it_leaves_the_earlier_file(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    out = tmp_path / "out" / "out.zip"
    export_zip(select(dataset, 0), out)
    before, writestr = out.read_bytes(), zipfile.ZipFile.writestr

    def stop(archive: zipfile.ZipFile, *entry: Any) -> None:
        writestr(archive, *entry)
        if len(archive.namelist()) == 3:
            raise fault

    monkeypatch.setattr(zipfile.ZipFile, "writestr", stop)
    with pytest.raises((WorkspaceError, KeyboardInterrupt), match=r"the disk is full|stop"):
        export_zip(select(dataset), out)
    assert {path.name: path.read_bytes() for path in out.parent.iterdir()} == {"out.zip": before}

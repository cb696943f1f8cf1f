import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ganaug.config import FoldsConfig, PrepareConfig
from ganaug.data import schema
from ganaug.data.export import export_zip, select
from ganaug.data.folds.folds import make_folds, write_folds
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.schema import ImageReader, ImageTable, read_table
from ganaug.data.sources.dataset_zip import scan
from ganaug.errors import DataError
from ganaug.workspace import Workspace

Stored = Callable[..., Path]
Listed = Callable[..., dict[str, Any]]
ReadAsStyleGan = Callable[[Path], tuple[NDArray[np.uint8], NDArray[np.int64] | None]]


def test_stylegan_reads_the_pixels_and_labels_of_the_data_set(
    pixels: NDArray[np.uint8], read_as_stylegan: ReadAsStyleGan, dataset: Path, table: ImageTable, tmp_path: Path
) -> None:
    assert export_zip(select(dataset), tmp_path / "out.zip") == len(pixels)
    images, labels = read_as_stylegan(tmp_path / "out.zip")
    order = table.in_shared_order(np.arange(len(pixels)))
    assert np.array_equal(images, pixels[order])
    assert labels is not None
    assert np.array_equal(labels, table.label[order])


def test_the_order_of_an_export_says_nothing_of_the_order_of_the_names(
    pixels: NDArray[np.uint8],
    read_as_stylegan: ReadAsStyleGan,
    listed: Listed,
    dataset: Path,
    table: ImageTable,
    tmp_path: Path,
) -> None:
    """Else a list of the patients, sorted as a data set is, would show which digest is whose."""
    export_zip(select(dataset), tmp_path / "out.zip")
    values = listed(tmp_path / "out.zip")
    assert list(values["image_ids"].values()) == sorted(table.image_digests(np.arange(len(pixels))))
    export_zip(select(dataset), tmp_path / "named.zip", with_ids=True)
    assert list(listed(tmp_path / "named.zip")["image_ids"].values()) == table.image_id.tolist()
    assert np.array_equal(read_as_stylegan(tmp_path / "named.zip")[0], pixels)


def test_the_archive_is_laid_out_as_stylegans(pixels: NDArray[np.uint8], dataset: Path, tmp_path: Path) -> None:
    export_zip(replace(select(dataset), indices=np.arange(1002) % len(pixels)), tmp_path / "out.zip")
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
    pixels: NDArray[np.uint8], listed: Listed, dataset: Path, table: ImageTable, tmp_path: Path, workspace: Workspace
) -> None:
    export_zip(select(dataset), tmp_path / "out.zip", with_ids=True)
    config = PrepareConfig("zip", str(tmp_path / "out.zip"), resolution_px=len(pixels[0]), folds=FoldsConfig(3))
    back = prepare_dataset(workspace, config)
    assert np.array_equal(ImageReader(back.path)[np.arange(len(pixels))], pixels)
    for name in ("label", "group_id", "site_id", "image_id", "magnification"):
        assert np.array_equal(getattr(back.table, name), getattr(table, name)), name
    assert back.table.class_names == table.class_names
    assert np.array_equal(back.table.um_per_px, table.um_per_px, equal_nan=True)
    export_zip(select(back.path), tmp_path / "again.zip", with_ids=True)
    assert {**listed(tmp_path / "out.zip"), "origin": {}} == {**listed(tmp_path / "again.zip"), "origin": {}}


def test_a_part_of_a_fold_holds_its_patients_and_no_others(
    pixels: NDArray[np.uint8],
    read_as_stylegan: ReadAsStyleGan,
    listed: Listed,
    dataset: Path,
    table: ImageTable,
    tmp_path: Path,
) -> None:
    folds = make_folds(read_table(dataset), FoldsConfig(3))
    for part, groups_of in (("train", folds.train_groups), ("val", folds.val_groups), ("test", folds.test_groups)):
        export_zip(select(dataset, 1, part), tmp_path / f"{part}.zip", with_ids=True)
        values = listed(tmp_path / f"{part}.zip")
        assert set(values["groups"].values()) == set(groups_of(1))
        assert (values["origin"]["fold"], values["origin"]["part"]) == (1, part)
        assert values["origin"]["folds_digest"] == folds.digest
        images, _ = read_as_stylegan(tmp_path / f"{part}.zip")
        assert np.array_equal(images, pixels[np.isin(table.group_id, groups_of(1))])
    assert np.array_equal(select(dataset, 1).indices, select(dataset, 1, "train").indices)


def test_only_the_training_part_goes_without_a_note(dataset: Path, synthetic: Path) -> None:
    assert "can serve no fold" in select(dataset).note
    assert select(dataset, 0).note == ""
    for part in ("val", "test"):
        assert "fold 0 holds these patients back" in select(dataset, 0, part).note
    assert select(synthetic).note == ""


def test_a_fold_of_a_stained_data_set_is_exported_as_the_fold_sees_it(
    pixels: NDArray[np.uint8],
    read_as_stylegan: ReadAsStyleGan,
    store: Stored,
    workspace: Workspace,
    table: ImageTable,
    tmp_path: Path,
) -> None:
    table = replace(table, attrs={**table.attrs, "stain": {"method": "macenko"}})
    path = store(workspace.dataset("lab"), table, stained=255 - pixels)
    write_folds(workspace.folds("lab"), make_folds(read_table(path), FoldsConfig(3)))
    part = select(path, 0, "val")
    export_zip(part, tmp_path / "part.zip", with_ids=True)
    assert np.array_equal(read_as_stylegan(tmp_path / "part.zip")[0], 255 - pixels[part.indices])
    export_zip(select(path), tmp_path / "all.zip", with_ids=True)
    assert np.array_equal(read_as_stylegan(tmp_path / "all.zip")[0], pixels)


def test_the_same_images_give_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        export_zip(select(dataset, 0), tmp_path / name)
        os.utime(dataset, (1, 1))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_labels_are_null_where_there_are_none_and_refused_where_there_are_some(
    pixels: NDArray[np.uint8], read_as_stylegan: ReadAsStyleGan, store: Stored, tmp_path: Path, table: ImageTable
) -> None:
    out = tmp_path / "out.zip"
    mixed = store(tmp_path / "mixed.h5", replace(table, label=np.arange(len(pixels)) % 3 - 1))
    with pytest.raises(DataError, match=r"8 of 24 images of .* have no label"):
        export_zip(select(mixed), out)
    assert not out.exists()
    export_zip(select(store(tmp_path / "plain.h5", replace(table, label=np.full(len(pixels), -1)))), out)
    assert read_as_stylegan(out)[1] is None
    found = scan(PrepareConfig("zip", str(out)))
    assert set(found.labels.tolist()) == {-1}
    assert len(set(found.groups.tolist())) == len(set(table.group_id.tolist()))


def test_an_export_keeps_patients_and_sites_apart_and_names_none(
    pixels: NDArray[np.uint8], dataset: Path, table: ImageTable, tmp_path: Path
) -> None:
    export_zip(select(dataset), tmp_path / "out.zip")
    found = scan(PrepareConfig("zip", str(tmp_path / "out.zip")))
    for stored, names in ((found.groups, table.group_id), (found.sites, table.site_id)):
        order = table.in_shared_order(np.arange(len(pixels)))
        pairs = set(zip(stored.tolist(), names[order].tolist(), strict=True))
        assert len(pairs) == len(set(names.tolist())) == len(set(stored.tolist()))
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        text = b"".join(archive.read(name) for name in archive.namelist()).decode("utf-8", "replace")
    private = {*table.group_id.tolist(), *table.image_id.tolist(), "ulm"}
    assert len(private) > 30
    assert not [name for name in private if name in text]


def test_a_table_is_read_once_for_an_export(
    dataset: Path, synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables: list[ImageTable] = []

    def seal_of(table: ImageTable) -> str:
        tables.append(table)
        return compute(table)

    compute = schema.seal_of
    monkeypatch.setattr(schema, "seal_of", seal_of)
    export_zip(select(dataset, 0), tmp_path / "fold.zip")
    assert len(tables) == 1
    export_zip(select(synthetic), tmp_path / "synthetic.zip")
    assert len(tables) == 2

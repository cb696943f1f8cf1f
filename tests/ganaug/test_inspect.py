"""`ganaug inspect` reads every kind of file that the tool writes, and refuses others in one line."""

import io
import json
import struct
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from ganaug.checkpoint.snapshot import load_tensors, save_tensors
from ganaug.config import GanConfig, NetworkConfig, SynthesisConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.export import export_zip, select
from ganaug.errors import ConfigError, DataError, UserError
from ganaug.generate.synthesize import plan_synthesis, synthesize
from ganaug.inspect import describe, write_sheet
from ganaug.provenance import sealed
from ganaug.train.loop import train_gan
from ganaug.train.task import plan_training
from ganaug.workspace import GanRun, Workspace, read_json, write_json


@pytest.fixture
def written(workspace: Workspace, tiny: DataSet) -> Workspace:
    """A workspace in which every verb up to synthesis has run, and an export."""
    network = NetworkConfig(16, 4, z_dim=8, w_dim=8, channel_base=128, channel_max=8)
    task = plan_training(workspace, tiny, 0, GanConfig(network, total_kimg=0.016, batch=8, state_kimg=0.008))
    synthesize(plan_synthesis(workspace, train_gan(task), SynthesisConfig(per_class=2)))
    export_zip(select(tiny.path), workspace.root / "export.zip")
    return workspace


def test_every_file_of_a_workspace_is_described(written: Workspace) -> None:
    found = [path for path in written.root.rglob("*") if path.is_file() and path.suffix not in (".png", ".html")]
    kinds = {describe(path)[0]["kind"] for path in found}
    assert {"data set", "synthetic images", "weights", "dataset.zip"} <= kinds
    for path in found:
        description, text = describe(path)
        assert text.startswith(str(path))
        json.dumps(description)


def test_a_generators_provenance_is_shown_and_its_images_on_a_sheet(written: Workspace, tmp_path: Path) -> None:
    (snapshot,) = written.root.glob("gans/*/ema/*.safetensors")
    description, text = describe(snapshot)
    assert description["provenance"]["dataset"] == "phantom"
    assert "provenance.groups_seen: " in text
    write_sheet(snapshot, tmp_path / "sheet.png")
    assert np.asarray(Image.open(tmp_path / "sheet.png")).std() > 0


def test_it_counts_the_patients_seen_whom_the_workspace_knows(written: Workspace, tmp_path: Path) -> None:
    files = [*written.root.glob("gans/*/ema/*.safetensors"), *written.synthetics()]
    assert len(files) == 2
    num_seen = len(open_dataset(written, "phantom").folds.train_groups(0))
    for path in files:
        description, text = describe(path)
        assert description["patients_known"].startswith(f"{num_seen} of the {num_seen} patients seen")
        assert description["patients_known"] in text
        elsewhere = tmp_path / path.name
        elsewhere.write_bytes(path.read_bytes())
        assert "patients_known" not in describe(elsewhere)[0]


@pytest.mark.parametrize("damage", [b"", b"no HDF5 at all"])
def test_a_data_set_that_cannot_be_read_keeps_no_other_file_from_being_described(
    written: Workspace, damage: bytes
) -> None:
    written.dataset("phantom").write_bytes(damage)
    (path,) = written.synthetics()
    assert "patients_known" not in describe(path)[0]


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no")
    (tmp_path / "truncated.json").write_text('{"a": ')
    (tmp_path / "truncated.zip").write_bytes(b"PK no")
    (tmp_path / "truncated.safetensors").write_bytes(b"\x05")
    (tmp_path / "truncated.npz").write_bytes(b"nothing")
    for name in ("notes.txt", "truncated.json", "truncated.zip", "truncated.safetensors", "truncated.npz", "gone.h5"):
        with pytest.raises(DataError) as error:
            describe(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="contact sheet"):
        write_sheet(tmp_path / "truncated.json", tmp_path / "sheet.png")


# ---- malformed files -------------------------------------------------------------------------------------------------

DEEP = "[" * 100_000 + "]" * 100_000


def npy(shape: str, dtype: str = "'<f8'", data: bytes = b"") -> bytes:
    """An array of NumPy's format whose header is free to lie."""
    header = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header = header.ljust(64 * (len(header) // 64 + 1) - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def zipped(**members: bytes | str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return file.getvalue()


def encrypted(data: bytes) -> bytes:
    """A zip whose members claim to be encrypted."""
    changed = bytearray(data)
    changed[6] |= 1
    changed[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


def pickled() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return file.getvalue()


def tensors(header: str) -> bytes:
    return struct.pack("<Q", len(header)) + header.encode()


def table_only() -> bytes:
    """An HDF5 file of ours by its version, with other columns."""
    with tempfile.TemporaryDirectory() as folder:
        with h5py.File(Path(folder) / "x.h5", "w") as file:
            file.attrs["schema_version"], file["images"] = 2, np.zeros((2, 4, 4), np.uint8)
        return (Path(folder) / "x.h5").read_bytes()


MALFORMED: dict[str, bytes | str] = {
    "number.json": "5",
    "list.json": "[]",
    "null.json": "null",
    "deep.json": DEEP,
    "nested.json": '{"a": ' + "[" * 200 + "]" * 200 + "}",
    "digits.json": '{"a": ' + "9" * 10_000 + "}",
    "latin.json": '{"a": "größe"}'.encode("latin-1"),
    "utf16.json": '{"a": 1}'.encode("utf-16"),
    "empty.json": "",
    "junk.jsonl": "junk\n[1]\n5\n",
    "deep.jsonl": DEEP,
    "bytes.jsonl": b"\xff\xfe\x00\n",
    "pickled.npz": zipped(a__npy=pickled()),
    "huge.npz": zipped(a__npy=npy(f"({10**15},)")),
    "short.npz": zipped(a__npy=npy("(4,)", data=bytes(8))),
    "negative.npz": zipped(a__npy=npy("(-4, -2)", data=bytes(64))),
    "long.npz": zipped(a__npy=npy("(" + "1, " * 4000 + ")")),
    "other.npz": zipped(notes__txt="text"),
    "encrypted.npz": encrypted(zipped(a__npy=npy("()", data=bytes(8)))),
    "empty.npz": b"",
    "pickled.npy": pickled(),
    "huge.npy": npy(f"({10**15},)"),
    "code.npy": npy("(__import__('os').getpid(),)"),
    "void.npy": npy("(3,)", "'|O'"),
    "version.npy": b"\x93NUMPY\x09\x00" + bytes(80),
    "text.npy": "no array",
    "encrypted.zip": encrypted(zipped(dataset__json="{}")),
    "list.zip": zipped(dataset__json="[1, 2]"),
    "labels.zip": zipped(dataset__json='{"labels": 5}'),
    "entries.zip": zipped(dataset__json='{"labels": [5, ["a"], "ab"]}'),
    "deep.zip": zipped(dataset__json=DEEP),
    "latin.zip": zipped(dataset__json='{"a": "größe"}'.encode("latin-1")),
    "cut.zip": zipped(dataset__json='{"labels": null}')[:-30],
    "header.safetensors": struct.pack("<Q", 10**15) + b"{}",
    "list.safetensors": tensors("[]"),
    "offsets.safetensors": tensors('{"a": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 4]}}'),
    "deep.safetensors": tensors(DEEP),
    "empty.safetensors": b"",
    "other.h5": table_only(),
    "junk.h5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "empty.h5": b"",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_one_line_with_its_name_and_takes_no_memory(name: str, tmp_path: Path) -> None:
    path, content = tmp_path / name, MALFORMED[name]
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            describe(path)
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_records_are_counted_beside_lines_that_a_killed_run_left(tmp_path: Path) -> None:
    path = tmp_path / "stats.jsonl"
    path.write_text('{"kimg": 1}\n{"kimg": 2}\n{"ki\n{"kimg": 3, "text": "a\u2028b"}\n{"kim')
    description, _ = describe(path)
    assert (description["records"], description["unreadable_lines"]) == (3, 2)
    assert description["last"]["kimg"] == 3


def test_arrays_are_described_without_their_data(tmp_path: Path) -> None:
    arrays = {"a": np.zeros((3, 4), np.float32), "b": np.array(7), "names": np.array(["x", "größe"])}
    np.savez_compressed(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    np.save(tmp_path / "b.npy", arrays["a"])
    description, _ = describe(tmp_path / "a.npz")
    assert {name: description[name] for name in arrays} == {
        name: f"{array.dtype} {list(array.shape)}" for name, array in arrays.items()
    }
    assert describe(tmp_path / "b.npy")[0]["features"] == "float32 [3, 4]"


def described_or_refused(path: Path) -> str:
    try:
        return describe(path)[1]
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".npz", ".npy", ".zip", ".safetensors"])
def test_every_mutation_of_a_file_is_described_or_one_line_with_its_name(suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    whole = {
        ".json": b'{"a": [1, 2.5, "x"], "b": {"c": null}}',
        ".jsonl": b'{"a": 1}\n{"a": 2}\n',
        ".npz": zipped(a__npy=npy("(2, 3)", data=bytes(48))),
        ".npy": npy("(2, 3)", data=bytes(48)),
        ".zip": zipped(dataset__json='{"labels": [["x.png", 1]], "class_names": ["a", "b"]}'),
        ".safetensors": tensors('{"__metadata__":{"a":"[1]"},"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}')
        + bytes(4),
    }[suffix]
    path = tmp_path / f"mutated{suffix}"
    path.write_bytes(whole)
    describe(path)
    for _ in range(150):
        data = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.2 else whole)
        for place in rng.integers(0, max(1, len(data)), rng.integers(1, 4)):
            data[place : place + 1] = bytes([rng.integers(256)])
        path.write_bytes(data)
        found = described_or_refused(path)
        assert str(path) in found


def test_a_broken_seal_is_said_and_a_whole_one_too(trained: GanRun, tmp_path: Path) -> None:
    snapshot = trained.snapshots()[-1]
    assert describe(snapshot)[0]["seal_check"] == "holds"
    tensors, metadata = load_tensors(snapshot)
    name = next(iter(tensors))
    edited = tmp_path / "edited.safetensors"
    save_tensors(edited, tensors | {name: tensors[name] + 1}, metadata)
    assert "seal_check: BROKEN: " in describe(edited)[1]
    record = tmp_path / "record.json"
    write_json(record, sealed({"a": 1}))
    assert describe(record)[0]["seal_check"] == "holds"
    write_json(record, {**read_json(record), "a": 2})
    assert "was edited after it was written" in describe(record)[0]["seal_check"]


def test_a_folder_is_called_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder; expected a file"):
        describe(tmp_path)

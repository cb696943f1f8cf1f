"""The stats for TensorBoard: a file that it reads, whose name says no host, and a full disk is one line."""

import errno
import os
import platform
import socket
import struct
from pathlib import Path

import pytest

from ganaug.errors import DiskFull
from ganaug.train.monitoring.tensorboard import TensorBoardWriter, crc32c


def records(data: bytes) -> list[bytes]:
    """The events of a file, once every length and checksum is right."""
    found, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        event = data[at + 12 : at + 12 + length]
        for part, place in ((data[at : at + 8], at + 8), (event, at + 12 + length)):
            crc = crc32c(part)
            (stored,) = struct.unpack_from("<I", data, place)
            assert stored == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32
        found.append(event)
        at += length + 16
    return found


def test_the_checksum_is_crc_32c() -> None:
    """Source: RFC 3720, B.4, and the check value of CRC-32C."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_every_line_is_an_event_at_its_number_of_images(tmp_path: Path) -> None:
    lines: list[dict[str, float]] = [{"kimg": 0.5, "loss_g": 1.5}, {"kimg": 70.0, "loss_g": -2.0}]
    with TensorBoardWriter(tmp_path) as board:
        for line in lines:
            board.add(line)
    (path,) = tmp_path.iterdir()
    version, *events = records(path.read_bytes())
    assert b"brain.Event:2" in version
    assert len(events) == 2
    for event, line, step in zip(events, lines, (b"\x10\xf4\x03", b"\x10\xf0\xa2\x04"), strict=True):
        assert event[9:].startswith(step)  # behind the time: 500 and 70,000 images
        assert b"\x0a\x06loss_g\x15" + struct.pack("<f", line["loss_g"]) in event


def test_tensorboard_reads_them(tmp_path: Path) -> None:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with TensorBoardWriter(tmp_path) as board:
        board.add({"kimg": 0.5, "loss_g": 1.5})
    shown = loader.EventAccumulator(str(tmp_path))
    shown.Reload()
    (scalar,) = shown.Scalars("loss_g")
    assert (scalar.step, scalar.value) == (500, 1.5)


def test_the_name_of_the_file_says_no_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((platform, "node"), (socket, "gethostname")):
        monkeypatch.setattr(module, name, lambda: "klinik-pc")
    for _ in range(3):
        TensorBoardWriter(tmp_path).add({"kimg": 1.0})
    names = sorted(os.listdir(tmp_path))
    assert len(names) == 3  # a training that resumes adds a file
    assert not [name for name in names if "klinik" in name or "tfevents" not in name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_reported_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = TensorBoardWriter(tmp_path)
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(board, "_file", full)
        with pytest.raises(DiskFull, match=str(tmp_path)):
            board.add({"kimg": 1.0, "loss_g": 0.0})


def test_what_cannot_be_opened_is_reported_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DiskFull, match=str(tmp_path)):
        TensorBoardWriter(tmp_path)


def test_without_a_folder_nothing_is_written() -> None:
    with TensorBoardWriter(None) as board:
        board.add({"kimg": 1.0})

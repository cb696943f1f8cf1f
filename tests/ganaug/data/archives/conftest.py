"""The forms in which the same files can come, for the tests of what reads them."""

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ganaug.data.archives.files import Files

Content = Mapping[str, bytes]
Write = Callable[[Path, Content], Path]


def write_folder(path: Path, content: Content) -> Path:
    for name, data in content.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return path


def write_zip(path: Path, content: Content) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, content: Content, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


FORMS: dict[str, Write] = {
    "folder": write_folder,
    "zip": write_zip,
    "tar": write_tar,
    "tar.gz": lambda path, content: write_tar(path, content, "w:gz"),
    "tar.xz": lambda path, content: write_tar(path, content, "w:xz"),
    "tar.bz2": lambda path, content: write_tar(path, content, "w:bz2"),
}


@pytest.fixture(scope="session")
def forms() -> dict[str, Write]:
    """How each form is written, by its name."""
    return FORMS


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Write:
    """How a form is written, each in turn."""
    return FORMS[request.param]


@pytest.fixture(scope="session")
def contents() -> Callable[[Files], dict[str, bytes]]:
    """What `read` hands out for every name."""

    def read(files: Files) -> dict[str, bytes]:
        loads = files.read([(name,) for name in files.names])
        return {files.names[position]: load()[0] for position, load in loads}

    return read

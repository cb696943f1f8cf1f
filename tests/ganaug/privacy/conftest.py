"""The search for names in every file of a folder: inside of archives, arrays, figures and metadata too."""

import base64
import html
import io
import json
import re
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import h5py
import numpy as np
import pytest
from PIL import Image


def spellings(word: str) -> set[bytes]:
    """The ways in which a word may stand in a file, less what lower case makes equal in bytes."""
    forms = {
        unicodedata.normalize(form, cased) for form in ("NFC", "NFD") for cased in (word, word.lower(), word.upper())
    }
    texts = {each for form in forms for each in (form, form.replace(" ", "_"))}
    escaped = {"".join(char if char.isascii() else f"&#{ord(char)};" for char in text) for text in texts}
    for escape in (quote, html.escape, lambda text: json.dumps(text)[1:-1], ascii):
        escaped |= {escape(text).strip("'") for text in texts}
    encoded = {text.encode(kind) for text in texts | escaped for kind in ("utf-8", "utf-16-le", "utf-16-be")}
    encoded |= {text.encode("latin-1") for text in texts if max(text) <= "\xff"}
    return {spelling.lower() for spelling in encoded}


def contents(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The kind and the bytes of all that a file holds, also of what it holds packed."""
    kind = Path(name).suffix
    yield "name", name.encode("utf-8", "surrogateescape")
    yield kind, data
    if kind == ".h5":
        yield from ((kind, text.encode("utf-8", "surrogateescape")) for text in _texts_of_hdf5(data))
    elif kind in (".zip", ".npz"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield kind, archive.comment
            for member in archive.infolist():
                yield from contents(member.filename, archive.read(member))
                yield kind, member.comment + member.extra
    elif kind == ".npy":
        array = np.load(io.BytesIO(data), allow_pickle=False)
        yield (
            kind,
            "\n".join(map(str, array.ravel().tolist())).encode() if array.dtype.kind in "US" else array.tobytes(),
        )
    elif kind == ".png":
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            yield kind, repr(image.info).encode()
    elif kind in (".html", ".svg"):
        text = html.unescape(data.decode())
        yield kind, text.encode()
        for subtype, packed in re.findall(r"data:image/(\w+)[+\w]*;base64,([A-Za-z0-9+/=]+)", text):
            yield from contents(f"figure.{subtype}", base64.b64decode(packed))
    elif kind == ".safetensors":
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        yield kind, "\n".join([*header, *header.get("__metadata__", {}).values()]).encode()


def _texts_of_hdf5(data: bytes) -> list[str]:
    found = []
    with h5py.File(io.BytesIO(data)) as file:

        def visit(name: str, member: h5py.Group | h5py.Dataset) -> None:
            found.append(name)
            found.extend(str(value) for value in member.attrs.values())
            if isinstance(member, h5py.Dataset) and member.dtype.kind == "O":
                found.extend(member.asstr()[()].ravel().tolist())

        visit("/", file)
        file.visititems(visit)
    return found


@dataclass
class Search:
    """What was looked at, and where each of the words was found."""

    words: dict[str, str]
    files: list[str] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    found: dict[str, list[str]] = field(default_factory=dict)

    def look(self, root: Path, *, less: Sequence[str] = ()) -> "Search":
        """Search the files at or below `root` but for the folders `less`; folders with nothing in them count too."""
        wanted = {what: spellings(word) for what, word in self.words.items()}
        for path in [root] if root.is_file() else sorted(root.rglob("*")):
            name = path.name if root.is_file() else path.relative_to(root).as_posix()
            if name.split("/")[0] in less:
                continue
            self.files.append(name)
            for kind, data in contents(name, path.read_bytes() if path.is_file() else b""):
                self.kinds[kind] = self.kinds.get(kind, 0) + 1
                lowered = data.lower()
                for what in (what for what, each in wanted.items() if any(spelling in lowered for spelling in each)):
                    self.found.setdefault(what, []).append(f"{name} ({kind})")
        return self


@pytest.fixture(scope="session")
def search() -> type[Search]:
    """The class, as tests cannot import it from here."""
    return Search

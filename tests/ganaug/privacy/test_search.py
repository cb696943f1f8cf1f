"""The search that the other tests rely on finds a name wherever it stands."""

import base64
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import h5py
import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from ganaug.checkpoint.snapshot import save_tensors

if TYPE_CHECKING:
    from tests.ganaug.privacy.conftest import Search


@pytest.mark.parametrize("kind", [".h5", ".npz", ".zip", ".png", ".safetensors", ".html", ".json", "name"])
@pytest.mark.parametrize("word", ["Käthemüller", "Bad Örtlich"])
def test_the_search_finds_a_name_in_every_kind_of_file(
    tmp_path: Path, search: "type[Search]", kind: str, word: str
) -> None:
    path = tmp_path / (f"{quote(word)}.txt" if kind == "name" else f"file{kind}")
    path.touch()
    if kind == ".h5":
        with h5py.File(path, "w") as file:
            file.create_dataset(
                "deep/texts", data=np.array([f"a {word}"], object), dtype=h5py.string_dtype(), compression=9
            )
    elif kind == ".npz":
        np.savez_compressed(path, groups=np.array(["a", word]))
    elif kind == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inner/x.json", json.dumps({"group": [word] * 9}))
    elif kind == ".png":
        about = PngImagePlugin.PngInfo()
        about.add_itxt("Comment", word, zip=True)
        Image.new("RGB", (4, 4)).save(path, pnginfo=about)
    elif kind == ".safetensors":
        save_tensors(path, {"w": torch.zeros(2)}, {"provenance": json.dumps({"groups": [word]})})
    elif kind == ".html":
        svg = base64.b64encode(f"<svg>{word}</svg>".encode()).decode()
        path.write_text(f'<img src="data:image/svg+xml;base64,{svg}">')
    elif kind == ".json":
        path.write_text(json.dumps(word.upper()))
    assert list(search({"word": word}).look(tmp_path).found) == ["word"]
    assert search({"word": word[:-1] + "x"}).look(tmp_path).found == {}

"""`ganaug inspect` reads every kind of file that the tool writes, and refuses others in one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganaug.config import GanConfig, NetworkConfig, SynthesisConfig
from ganaug.data.dataset import DataSet
from ganaug.data.export import export_zip, select
from ganaug.errors import ConfigError, DataError
from ganaug.inspect import describe, write_sheet
from ganaug.synthesize import plan_synthesis, synthesize
from ganaug.train.loop import train_gan
from ganaug.train.task import plan_training
from ganaug.workspace import Workspace


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


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no")
    (tmp_path / "torn.json").write_text('{"a": ')
    (tmp_path / "torn.zip").write_bytes(b"PK no")
    (tmp_path / "torn.safetensors").write_bytes(b"\x05")
    (tmp_path / "torn.npz").write_bytes(b"nothing")
    for name in ("notes.txt", "torn.json", "torn.zip", "torn.safetensors", "torn.npz", "gone.h5"):
        with pytest.raises(DataError) as error:
            describe(tmp_path / name)
        assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="contact sheet"):
        write_sheet(tmp_path / "torn.json", tmp_path / "sheet.png")

"""Images of another tool have an arm of their own, and may show nothing that a fold holds back."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ganaug.config import DEFAULT_ARMS, StudyConfig
from ganaug.config.choices import EXTERNAL
from ganaug.data.export import export_synthetic
from ganaug.data.external import read_external
from ganaug.data.schema import read_table
from ganaug.errors import ConfigError, DataError, LeakError
from ganaug.study.arms.names import name_arms

if TYPE_CHECKING:
    from tests.ganaug.study.conftest import World

SAW = "4,000 slides of another hospital"


def write_zip(path: Path, images: NDArray[np.uint8], labels: list[int], **listed: object) -> Path:
    """A dataset.zip as generators of the StyleGAN family write it."""
    names = [f"00000/img{number:08d}.png" for number in range(len(images))]
    with zipfile.ZipFile(path, "w") as archive:
        for name, image in zip(names, images, strict=True):
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            archive.writestr(name, buffer.getvalue())
        entries = [[name, label] for name, label in zip(names, labels, strict=True)]
        archive.writestr("dataset.json", json.dumps({"labels": entries, **listed}))
    return path


def noise(num: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng([7, seed]).integers(0, 255, (num, 32, 32, 3), dtype=np.uint8)


def config_of(quick: StudyConfig, *files: str, saw: str = SAW) -> StudyConfig:
    pairs = tuple(("", file) if "=" not in file else (file[0], file[2:]) for file in files)
    return replace(quick, arms=name_arms(DEFAULT_ARMS, external=True), external=pairs, external_saw=saw)


def test_a_study_trains_on_external_images_and_says_what_nobody_checked(
    world: "World", quick: StudyConfig, tmp_path: Path
) -> None:
    file = write_zip(tmp_path / "diffusion.zip", noise(60), [0, 1] * 30, class_names=["Malignant", "Benign"])
    supplies = world.supply_all()
    outcome = world.run(config_of(quick, str(file)), supplies)
    assert EXTERNAL in {difference.arm for difference in outcome.verdict.differences}
    assert any(SAW in warning for warning in outcome.verdict.warnings)
    page = outcome.study.report.read_text(encoding="utf-8")
    assert "--external FILE" in page
    assert str(tmp_path) not in page + outcome.study.design.read_text(encoding="utf-8")
    (kept,) = (world.workspace.root / "cache" / "external").iterdir()
    table = read_table(kept)
    assert table.label.tolist() == [1, 0] * 30  # by their names, which stand in another order there
    assert table.resolution_px == world.dataset.table.resolution_px
    again = world.run(config_of(quick, str(file)), supplies)
    assert again.num_reused == again.num_cells


def test_another_file_is_another_study_of_which_only_its_own_arm_is_trained(
    world: "World", quick: StudyConfig, tmp_path: Path
) -> None:
    first, second = (write_zip(tmp_path / f"{seed}.zip", noise(60, seed), [0, 1] * 30) for seed in (1, 2))
    supplies = world.supply_all()
    world.run(config_of(quick, str(first)), supplies)
    outcome = world.run(config_of(quick, f"0={second}"), supplies)
    assert outcome.num_cells - outcome.num_reused == 1


@pytest.mark.parametrize("turns", [0, 1])
def test_a_picture_that_the_fold_holds_back_is_refused_under_any_name(
    world: "World", quick: StudyConfig, tmp_path: Path, turns: int
) -> None:
    images = noise(60)[:, :16, :16].copy()
    held_out = world.dataset.images(0)[world.dataset.test(0)[:1]][0]
    images[7] = np.rot90(held_out, turns)
    file = write_zip(tmp_path / "copies.zip", images, [0, 1] * 30)
    with pytest.raises(LeakError, match=r"image 7 of .* shows the picture"):
        world.run(config_of(quick, str(file)), world.supply_all())
    assert not list(world.workspace.root.glob("studies/*"))


def test_external_images_that_cannot_serve_are_refused_before_a_cell(
    world: "World", quick: StudyConfig, tmp_path: Path
) -> None:
    supplies = world.supply_all()
    few = write_zip(tmp_path / "few.zip", noise(10), [0, 1] * 5)
    others = write_zip(tmp_path / "others.zip", noise(60), [0, 1] * 30, class_names=["cat", "dog"])
    for file, error, says in (
        (str(few), DataError, "holds 5 images of Benign"),
        (str(others), DataError, "has the classes cat, dog"),
        (str(tmp_path / "none.zip"), DataError, "there is no file"),
        (str(tmp_path), DataError, "is a folder"),
        (f"1={few}", ConfigError, "no external images for fold 0"),
    ):
        with pytest.raises(error, match=says):
            world.run(config_of(quick, file), supplies)


def test_external_images_need_a_word_on_what_their_tool_saw(quick: StudyConfig) -> None:
    with pytest.raises(ConfigError, match="--external-saw"):
        config_of(quick, "file.zip", saw=" ")
    with pytest.raises(ConfigError, match="one of each"):
        config_of(quick, "0=a.zip", "0=b.zip")


def test_images_of_another_file_in_the_cache_are_refused(world: "World", quick: StudyConfig, tmp_path: Path) -> None:
    files = [write_zip(tmp_path / f"{seed}.zip", noise(60, seed), [0, 1] * 30) for seed in (1, 2)]
    first, second = (read_external(world.workspace, world.dataset, file) for file in files)
    first.path.write_bytes(second.path.read_bytes())
    with pytest.raises(LeakError, match=r"holds the images of another file than .*1\.zip"):
        world.run(config_of(quick, str(files[0])), world.supply_all())


def test_our_own_synthetic_images_are_none_of_another_tool(world: "World", quick: StudyConfig, tmp_path: Path) -> None:
    export_synthetic(world.synthesize(1), "zip", tmp_path)
    (file,) = tmp_path.glob("*.zip")
    with pytest.raises(LeakError, match="holds images that a generator of ganaug made"):
        world.run(config_of(quick, str(file)), world.supply_all())

"""Extractors as a person writes them: every good text is read, every bad one is refused in one line with the names."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ganaug.cli.find import extractors_option
from ganaug.config import EXTRACTOR_NAMES, FILE_EXTRACTORS
from ganaug.errors import ConfigError, UserError
from ganaug.evaluate.extractors.choice import ExtractorChoice, parse_choice, split_name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("squeezenet", ExtractorChoice("squeezenet")),
        ("squeezenet=weights/a=b.pth", ExtractorChoice("squeezenet", Path("weights/a=b.pth"))),
        ("dinov2=dinov2.safetensors", ExtractorChoice("dinov2", Path("dinov2.safetensors"))),
        ("timm:vit_tiny_patch16_224.mae=uni.bin", ExtractorChoice("timm:vit_tiny_patch16_224.mae", Path("uni.bin"))),
        ("torchscript=hibou.pt", ExtractorChoice("torchscript", Path("hibou.pt"))),
        ("torchscript:hibou=hibou.pt", ExtractorChoice("torchscript:hibou", Path("hibou.pt"))),
        ("pixels_pca", ExtractorChoice("pixels_pca")),
    ],
)
def test_a_text_is_a_name_and_maybe_a_file(text: str, expected: ExtractorChoice) -> None:
    assert parse_choice(text) == expected
    assert expected.kind in EXTRACTOR_NAMES


def test_the_home_folder_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_choice("clip=~/clip.bin").file == tmp_path / "clip.bin"


@pytest.mark.parametrize(
    "text", ["", "=", "=file.pt", "vgg", "vgg=file.pt", "timm", "timm:", "timm:=f", "timm=f", "squeezenet:1", "Clip=f",
             "classifier:x", "torchscript:=f", "squeezenet=", "torchscript= "],
)  # fmt: skip
def test_a_text_that_means_none_is_refused_with_all_names(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_choice(text)
    line = str(caught.value)
    assert "\n" not in line
    assert all(name in line for name in (*EXTRACTOR_NAMES, "timm:NAME=FILE", "dinov2=FILE"))


@pytest.mark.parametrize("label", ["a b", "a/b", "a]", "\x1b[31m", "a" * 41])
def test_a_label_that_cannot_stand_in_the_name_of_a_figure_is_refused(label: str) -> None:
    with pytest.raises(ConfigError, match=r"the label .* of a program; expected up to 40 letters") as caught:
        parse_choice(f"torchscript:{label}=file.pt")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["dinov2", "clip", "timm:resnet18", "torchscript"])
def test_a_network_whose_weights_are_a_file_needs_one(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} without a file of weights; expected {name}=FILE"):
        parse_choice(name)


@pytest.mark.parametrize("text", ["classifier=file.pt", "pixels_pca=file.pt"])
def test_what_is_made_from_training_images_takes_no_file(text: str) -> None:
    with pytest.raises(ConfigError, match=r"with the file file\.pt; expected .* alone"):
        parse_choice(text)


@pytest.mark.parametrize("name", EXTRACTOR_NAMES)
def test_every_entry_can_be_named(name: str) -> None:
    assert split_name("timm:resnet18" if name == "timm" else name)[0] == name


def test_a_command_gets_the_choices_in_their_order_each_once() -> None:
    found: list[tuple[ExtractorChoice, ...]] = []

    @click.command()
    @extractors_option
    def command(extractors: tuple[ExtractorChoice, ...]) -> None:
        found.append(extractors)

    runner = CliRunner()
    assert runner.invoke(command, []).exit_code == 0
    options = ["--extractor", "clip=a.bin", "--extractor", "squeezenet", "--extractor", "clip=a.bin"]
    assert runner.invoke(command, options).exit_code == 0
    assert found == [(), (ExtractorChoice("clip", Path("a.bin")), ExtractorChoice("squeezenet"))]
    assert isinstance(runner.invoke(command, ["--extractor", "vgg"]).exception, UserError)
    assert len(FILE_EXTRACTORS) == 4

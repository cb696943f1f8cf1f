"""The table of classifiers: its figures in closed form, and the file that it is written into."""

from pathlib import Path

import pytest
import torch

from classifiers import __main__ as program
from classifiers.models.vgg16 import VGG16_STAGES
from classifiers.registry import CLASSIFIERS, build
from classifiers.table import COLUMNS, measure, replace_table

TABLE = f"| {COLUMNS[0]} | b |\n| --- | --- |\n| `new` | 2 |"


def test_flops_are_twice_the_multiply_adds_of_one_image() -> None:
    side, in_channels, multiply_adds = 224, 3, 0
    for depth, channels in VGG16_STAGES:
        for _ in range(depth):
            multiply_adds += 9 * in_channels * channels * side**2
            in_channels = channels
        side //= 2
    multiply_adds += 7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 1000
    assert measure("vgg16", num_classes=1000).num_flops == 2 * multiply_adds


def test_attention_counts() -> None:
    tokens, dim, depth = 197, 768, 12
    per_block = 2 * tokens * (4 * dim * dim + 2 * 4 * dim * dim) + 2 * 2 * tokens**2 * dim
    patches = 2 * 196 * (16 * 16 * 3) * dim
    assert measure("timm:vit_base_patch16_224", num_classes=2).num_flops == depth * per_block + patches + 2 * dim * 2


def test_parameters_without_memory_are_those_of_the_network() -> None:
    model = build("dalaresnet50_small", 4, image_size_px=224)
    assert measure("dalaresnet50_small").num_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert torch.get_default_device() == torch.device("cpu")


@pytest.mark.parametrize("ending", ["\n", "\n\n## After\n\n| other | table |\n", ""])
def test_the_table_takes_the_place_of_the_old_one_and_of_nothing_else(ending: str) -> None:
    old = f"# Title\n\n| x | y |\n\n| {COLUMNS[0]} | b |\n| --- | --- |\n| `old` | 1 |\n| `older` | 1 |{ending}"
    once = replace_table(old, TABLE)
    assert once == f"# Title\n\n| x | y |\n\n{TABLE}{ending}"
    assert replace_table(once, TABLE) == once


def test_the_program_prints_writes_and_refuses_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "markdown_table", lambda: TABLE)
    path = tmp_path / "page.md"
    assert program.main(["table"]) == 0
    assert capsys.readouterr().out == TABLE + "\n"
    assert program.main(["table", str(path)]) == 2
    path.write_text("no table\n")
    assert program.main(["table", str(path)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert all("page.md" in line for line in errors)
    assert path.read_text() == "no table\n"
    path.write_text(f"| {COLUMNS[0]} |\n")
    assert program.main(["table", str(path)]) == 0
    assert path.read_text() == TABLE + "\n"
    assert program.main(["tables"]) == 2
    assert "usage" in capsys.readouterr().err


def test_every_published_weight_has_a_licence() -> None:
    weighted = [entry for entry in CLASSIFIERS.values() if entry.weights]
    assert len(weighted) > 5
    assert all(entry.licence for entry in weighted)

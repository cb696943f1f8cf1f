"""The table of classifiers: its figures in closed form, and the file that it is written into."""

from pathlib import Path
from types import ModuleType

import pytest
import torch
from click.testing import CliRunner

from classifiers.models.vgg16 import VGG16_STAGES
from classifiers.registry import CLASSIFIERS, build

ROOT = Path(__file__).parents[1]
HEADING = "| classifier |"
TABLE = f"{HEADING} b |\n| --- | --- |\n| `new` | 2 |"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script, imported where it is needed, as it is slow to load."""
    import classifiers_table

    return classifiers_table


def test_flops_are_twice_the_multiply_adds_of_one_image(script: ModuleType) -> None:
    side, in_channels, multiply_adds = 224, 3, 0
    for depth, channels in VGG16_STAGES:
        for _ in range(depth):
            multiply_adds += 9 * in_channels * channels * side**2
            in_channels = channels
        side //= 2
    multiply_adds += 7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 1000
    assert script.measure("vgg16", num_classes=1000).num_flops == 2 * multiply_adds


def test_attention_counts(script: ModuleType) -> None:
    tokens, dim, depth = 197, 768, 12
    per_block = 2 * tokens * (4 * dim * dim + 2 * 4 * dim * dim) + 2 * 2 * tokens**2 * dim
    patches = 2 * 196 * (16 * 16 * 3) * dim
    assert (
        script.measure("timm:vit_base_patch16_224", num_classes=2).num_flops
        == depth * per_block + patches + 2 * dim * 2
    )


def test_parameters_without_memory_are_those_of_the_network(script: ModuleType) -> None:
    model = build("dalaresnet50_small", 4, image_size_px=224)
    assert script.measure("dalaresnet50_small").num_parameters == sum(
        parameter.numel() for parameter in model.parameters()
    )
    assert torch.get_default_device() == torch.device("cpu")


@pytest.mark.parametrize("ending", ["\n", "\n\n## After\n\n| other | table |\n", ""])
def test_the_table_takes_the_place_of_the_old_one_and_of_nothing_else(script: ModuleType, ending: str) -> None:
    old = f"# Title\n\n| x | y |\n\n| classifier | b |\n| --- | --- |\n| `old` | 1 |\n| `older` | 1 |{ending}"
    once = script.replace_table(old, TABLE)
    assert once == f"# Title\n\n| x | y |\n\n{TABLE}{ending}"
    assert script.replace_table(once, TABLE) == once


def test_the_script_prints_writes_and_refuses_in_one_line(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "markdown_table", lambda: TABLE)
    path, run = tmp_path / "page.md", CliRunner().invoke
    assert run(script.main, []).output == TABLE + "\n"
    path.write_text("no table\n")
    refused = run(script.main, [str(path)])
    assert refused.exit_code == 1
    assert refused.output.count("\n") == 1
    assert "page.md" in refused.output
    assert path.read_text() == "no table\n"
    path.write_text(HEADING + "\n")
    assert run(script.main, [str(path)]).exit_code == 0
    assert path.read_text() == TABLE + "\n"


def test_the_table_in_the_readme_is_what_the_code_counts(script: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert script.markdown_table() in readme, "write it again: python scripts/classifiers_table.py README.md"


def test_every_published_weight_has_a_licence() -> None:
    weighted = [entry for entry in CLASSIFIERS.values() if entry.weights]
    assert len(weighted) > 5
    assert all(entry.licence for entry in weighted)

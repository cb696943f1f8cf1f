"""No generator is judged by the network that taught it: planted teachers are refused, or their figures marked."""

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ganaug import weights
from ganaug.config import Compute
from ganaug.data.dataset import DataSet
from ganaug.data.schema import ImageTable
from ganaug.errors import ConfigError
from ganaug.evaluate.extractors.choice import ExtractorChoice, parse_choice
from ganaug.evaluate.extractors.extractor import ExtractorInputs
from ganaug.evaluate.extractors.independence import Teacher, choose_judges, find_teachers, teachers_of
from ganaug.evaluate.extractors.registry import open_extractor
from ganaug.generate.filters import FilterInputs, fit_filters, record_of
from ganaug.provenance import digest_of_file, sealed
from ganaug.weights import find_weights
from ganaug.workspace import GanRun, append_jsonl, write_json

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
InputsOf = Callable[[str], tuple[str, ExtractorInputs]]
LITE0 = Teacher("the discriminator", name="efficientnet_lite0")


@pytest.fixture
def only_lite0(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever packages of weights are installed."""
    monkeypatch.setattr(weights, "find_spec", lambda package: find_spec(package) if "lite0" in package else None)


@pytest.fixture
def two_networks(inputs_of: InputsOf, only_lite0: None) -> ExtractorInputs:
    """EfficientNet-Lite0 from its package, and SqueezeNet with weights of its own."""
    return inputs_of("squeezenet")[1]


@pytest.fixture
def nothing_published(inputs_of: InputsOf, monkeypatch: pytest.MonkeyPatch) -> ExtractorInputs:
    inputs = inputs_of("classifier")[1]
    monkeypatch.setattr(weights, "find_spec", lambda package: None)
    return inputs


def filtered(dataset: DataSet, run: GanRun, **reject: float) -> dict[str, Any]:
    """The attributes of a synthetic file that these filters picked the images of, as synthesize writes them."""
    inputs = FilterInputs(dataset, 0, run)
    filters = fit_filters(tuple(reject.items()), inputs)
    records = {name: record_of(name, reject[name], made, inputs).to_dict() for name, made in filters.items()}
    return {"filters": {name: {"value": reject[name], "provenance": record} for name, record in records.items()}}


def with_attrs(table: ImageTable, attrs: dict[str, Any]) -> ImageTable:
    return replace(table, attrs={**table.attrs, **attrs})


def test_teachers_are_found_by_name_and_by_digest() -> None:
    digest = "a" * 64
    pretrained = {"discriminator": "efficientnet_lite0", "encoder": digest}
    attrs = {"filters": {"near": {"provenance": {"content": "b" * 64}, "extractor": "squeezenet"}, "odd": {}}}
    assert find_teachers(pretrained, attrs, ["clip_vitb16", "clip_vitb16"]) == (
        LITE0,
        Teacher("the encoder", digest=digest),
        Teacher("the filter near", digest="b" * 64),
        Teacher("the filter near", name="squeezenet"),
        Teacher("the choice of its snapshot", name="clip_vitb16", forbids=False),
    )
    assert find_teachers({}, {}) == ()


def test_a_run_and_its_images_say_who_taught(run: GanRun, dataset: DataSet) -> None:
    assert teachers_of(None, dataset.table) == teachers_of(run, dataset.table) == ()
    config = {"config": {"seed": 0, "pretrained": [["discriminator", "efficientnet_lite0"]]}}
    write_json(run.config, sealed(config))
    append_jsonl(run.scores, {"snapshot": "ema-000001kimg.safetensors", "extractor": "x", "score": 1.0})
    assert teachers_of(run, dataset.table) == (LITE0,), "of one snapshot none was chosen"
    append_jsonl(run.scores, {"snapshot": "ema-000002kimg.safetensors", "extractor": "x", "score": 1.0})
    chosen = Teacher("the choice of its snapshot", name="x", forbids=False)
    assert teachers_of(run, dataset.table) == (LITE0, chosen)
    write_json(run.config, {**sealed(config), "config": {}})
    assert teachers_of(run, dataset.table) == (chosen,), "an edited file says nothing"


@pytest.mark.parametrize("by", ["name", "digest", "figure"])
def test_the_network_of_the_discriminator_is_refused_where_another_is_at_hand(
    two_networks: ExtractorInputs, by: str
) -> None:
    path = find_weights(None, "efficientnet_lite0")
    what = {"name": "efficientnet_lite0", "digest": digest_of_file(path), "figure": path.stem}[by]
    teachers = find_teachers({"discriminator": what}, {})
    pattern = "efficientnet_lite0 served this generator as the discriminator; expected .*squeezenet; .*--extractor"
    with pytest.raises(ConfigError, match=pattern):
        choose_judges([parse_choice("efficientnet_lite0")], teachers, two_networks)
    (judge,) = choose_judges([parse_choice("squeezenet")], teachers, two_networks)
    assert judge.note == ""
    (default,) = choose_judges([], teachers, two_networks)
    assert default.name == judge.name


def test_the_same_file_by_another_name_is_refused(two_networks: ExtractorInputs, inputs_of: InputsOf) -> None:
    name, inputs = inputs_of("timm")
    assert inputs.file is not None
    teachers = find_teachers({"discriminator": digest_of_file(inputs.file)}, {})
    with pytest.raises(ConfigError, match=f"{name} served this generator"):
        choose_judges([ExtractorChoice(name, inputs.file)], teachers, two_networks)


def test_a_network_of_the_users_own_is_another_one_at_hand(inputs_of: InputsOf) -> None:
    name, inputs = inputs_of("timm")
    chosen = [parse_choice("efficientnet_lite0"), ExtractorChoice(name, inputs.file)]
    with pytest.raises(ConfigError, match=f"expected .*{name}"):
        choose_judges(chosen, (LITE0,), replace(inputs, file=None))


@pytest.mark.usefixtures("only_lite0")
def test_a_teacher_is_marked_where_nothing_else_is_at_hand(dataset: DataSet, run: GanRun, tmp_path: Path) -> None:
    inputs = ExtractorInputs(dataset, 0, run, Compute(weights_dir=tmp_path))
    (judge,) = choose_judges([parse_choice("efficientnet_lite0")], (LITE0,), inputs)
    assert judge.note == "not independent: this extractor served the generator as the discriminator"
    marked, pixels = choose_judges(
        [parse_choice(name) for name in ("efficientnet_lite0", "pixels_pca")], (LITE0,), inputs
    )
    assert "not independent" in marked.note
    assert "not independent" not in pixels.note


def test_two_programs_and_two_files_of_one_network_have_names_of_their_own(
    dataset: DataSet,
    tmp_path: Path,
    save_program: Callable[[nn.Module, Path], Path],
    save_timm: Callable[..., dict[str, torch.Tensor]],
) -> None:
    mean = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    programs = [save_program(mean, tmp_path / "a.pt")]
    programs.append(save_program(nn.Sequential(mean, nn.Tanh()), tmp_path / "b.pt"))
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    state = save_timm("resnet10t", files[0])
    save_file({key: value + 0.01 for key, value in state.items()}, files[1])
    digests = [digest_of_file(file)[:8] for file in (*programs, *files)]

    def names(*choices: ExtractorChoice) -> list[str]:
        return [judge.name for judge in choose_judges(choices, (), ExtractorInputs(dataset))]

    assert names(*(ExtractorChoice(f"torchscript:{file.stem}", file) for file in programs)) == [
        "torchscript-a",
        "torchscript-b",
    ]
    unlabelled = [ExtractorChoice("torchscript", file) for file in programs]
    assert names(*unlabelled) == [f"torchscript-{digest}" for digest in digests[:2]]
    same_label = [ExtractorChoice("torchscript:a", file) for file in programs]
    assert names(*same_label) == [f"torchscript-a-{digest}" for digest in digests[:2]]
    of_timm = [ExtractorChoice("timm:resnet10t", file) for file in files]
    assert names(of_timm[0]) == ["timm-resnet10t"]
    assert names(*of_timm) == [f"timm-resnet10t-{digest}" for digest in digests[2:]]


def test_what_is_chosen_twice_judges_once(
    two_networks: ExtractorInputs, tmp_path: Path, save_program: Callable[[nn.Module, Path], Path]
) -> None:
    (published,) = tmp_path.glob("squeezenet*")
    program = save_program(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), tmp_path / "a.pt")
    chosen = [
        ExtractorChoice("torchscript:a", program),
        ExtractorChoice("squeezenet"),
        ExtractorChoice("torchscript:b", program),
        ExtractorChoice("squeezenet", published),
        ExtractorChoice("pixels_pca"),
        ExtractorChoice("pixels_pca"),
    ]
    judges = choose_judges(chosen, (), two_networks)
    assert [judge.name for judge in judges] == ["torchscript-a", published.stem, "pixels-pca"]


def test_the_filter_by_confidence_is_the_classifier_that_is_refused_or_marked(
    dataset: DataSet, run: GanRun, nothing_published: ExtractorInputs
) -> None:
    teachers = teachers_of(run, with_attrs(dataset.table, filtered(dataset, run, confidence=0.5, copies=0.1)))
    (marked,) = choose_judges([parse_choice("classifier")], teachers, nothing_published)
    assert marked.note.startswith("not independent: this extractor served the generator as the filter confidence; ")
    assert "trained on these real images" in marked.note, "its own note stays"
    assert "too low" not in marked.note, "of a ratio, more is better"
    (default,) = choose_judges([], teachers, nothing_published)
    assert default.name == "pixels-pca", "the first one that is independent"
    (unfiltered,) = choose_judges([], (), nothing_published)
    assert unfiltered.digest == marked.digest, "without the filter it is the classifier"


def test_the_classifier_of_a_filter_is_refused_where_a_network_is_at_hand(
    dataset: DataSet, run: GanRun, two_networks: ExtractorInputs
) -> None:
    teachers = teachers_of(run, with_attrs(dataset.table, filtered(dataset, run, confidence=0.5)))
    with pytest.raises(ConfigError, match="classifier served this generator as the filter confidence"):
        choose_judges([parse_choice("classifier")], teachers, two_networks)


def test_what_chose_the_snapshot_is_noted_and_never_refused(two_networks: ExtractorInputs) -> None:
    name = find_weights(None, "efficientnet_lite0").stem
    teachers = find_teachers({}, {}, [name])
    (judge,) = choose_judges([], teachers, two_networks)
    assert judge.name == name
    assert "the snapshot was chosen by scores of this extractor" in judge.note
    assert "not independent" not in judge.note


def test_an_independent_judge_gives_the_features_that_it_always_gives(two_networks: ExtractorInputs) -> None:
    assert two_networks.dataset is not None
    images = two_networks.dataset.reader[np.arange(2)]
    (judge,) = choose_judges([], (LITE0,), two_networks)
    np.testing.assert_array_equal(judge.features(images), open_extractor("squeezenet", two_networks).features(images))


def test_without_a_run_and_weights_pixels_judge(dataset: DataSet, nothing_published: ExtractorInputs) -> None:
    (judge,) = choose_judges([], (), replace(nothing_published, run=None))
    assert judge.name == "pixels-pca"

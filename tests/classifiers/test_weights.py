"""Weights come whole from a local file or not at all."""

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from classifiers.registry import CLASSIFIERS, build, build_seeded
from classifiers.weights import load_weights


def same(a: dict[str, Tensor], b: dict[str, Tensor], prefix: str = "") -> bool:
    return all(torch.equal(a[key], b[key]) for key in a if key.startswith(prefix))


@pytest.fixture(scope="module")
def donor() -> nn.Module:
    return build_seeded("resvit_gannet_small", 4, 1)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_survive_the_round_trip(tmp_path: Path, donor: nn.Module, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(donor.state_dict(), path)
    else:
        from safetensors.torch import save_file

        save_file(donor.state_dict(), path)
    assert same(donor.state_dict(), build_seeded("resvit_gannet_small", 4, 2, weights=path).state_dict())


def test_a_backbones_own_file_fills_that_backbone_and_says_so(
    tmp_path: Path, donor: nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "resnet.pth"
    cnn = {
        key: value
        for key, value in donor.get_submodule("cnn").state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    torch.save(cnn | {"fc.weight": torch.zeros(1000, 128)}, path)
    with caplog.at_level(logging.WARNING):
        model = build_seeded("resvit_gannet_small", 2, 2, weights=path)
    assert "only cnn from" in caplog.text
    assert same(donor.get_submodule("cnn").state_dict(), model.get_submodule("cnn").state_dict())
    assert same(
        build_seeded("resvit_gannet_small", 2, 2).get_submodule("vit").state_dict(),
        model.get_submodule("vit").state_dict(),
    )


def test_several_backbones_may_share_a_file(tmp_path: Path, donor: nn.Module) -> None:
    path = tmp_path / "both.pth"
    torch.save({k: v for k, v in donor.state_dict().items() if k.split(".")[0] in ("cnn", "vit")}, path)
    model = build_seeded("resvit_gannet_small", 2, 2)
    assert load_weights(model, path).startswith("only cnn and vit from")
    assert same(donor.get_submodule("vit").state_dict(), model.get_submodule("vit").state_dict())


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """A file with the names and shapes that a library's model has, in half precision, full of ones."""
    import timm
    import torchvision

    folder = tmp_path_factory.mktemp("published")

    def write(source: str) -> Path:
        library, architecture = source.split()
        path = folder / architecture
        if not path.exists():
            with torch.device("meta"):
                if library == "timm":
                    theirs = timm.create_model(architecture, pretrained=False)
                else:
                    theirs = torchvision.models.get_model(architecture, weights=None)
            shapes = {key: value.shape for key, value in theirs.state_dict().items()}
            torch.save({key: torch.ones(shape, dtype=torch.float16) for key, shape in shapes.items()}, path)
        return path

    yield write
    shutil.rmtree(folder)  # it is large


PUBLISHED = [
    (name, part, source)
    for name, entry in CLASSIFIERS.items()
    for part, source in (entry.weights or {}).items()
    if source.startswith(("timm ", "torchvision "))
]


@pytest.mark.parametrize(("name", "part", "source"), PUBLISHED)
def test_published_weights_fill_the_part_that_the_registry_names(
    published: Callable[[str], Path], name: str, part: str, source: str
) -> None:
    with torch.device("meta"):
        model = build(name, 2)
    model.get_submodule(part).to_empty(device="cpu")
    assert load_weights(model, published(source)).startswith(f"only {part} from")
    state = model.get_submodule(part).state_dict()
    assert len(state) > 20
    assert [key for key, value in state.items() if not value.float().allclose(torch.ones(()))] == []


def test_a_timm_models_file_leaves_its_head_behind(tmp_path: Path) -> None:
    import timm

    theirs = timm.create_model("test_resnet", pretrained=False, num_classes=1000)
    torch.save(theirs.state_dict(), tmp_path / "timm.pth")
    model = build_seeded("timm:test_resnet", 3, 0, weights=tmp_path / "timm.pth")
    assert same(
        {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")},
        model.get_submodule("body").state_dict() | {},
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("vit.pos_embed"), "1 of .* names are missing: vit.pos_embed;"),
        (
            lambda state: state.update({"classify.weight": torch.zeros(9, 64)}),
            r"classify.weight is \(9, 64\) in the file",
        ),
        (lambda state: [state.pop(key) for key in list(state) if not key.startswith("fusion")], "names are missing"),
        (lambda state: [state.pop(key) for key in list(state) if key != "cnn.bn1.bias"], "cnn: .* names are missing"),
        (
            lambda state: state.update({"squeeze.4.fc1.bias": torch.zeros(8)}),
            "1 names are unexpected: squeeze.4.fc1.bias;",
        ),
        (lambda state: [state.clear(), state.update(x=torch.zeros(1))], "fits no part"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(
    tmp_path: Path, donor: nn.Module, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    state = dict(donor.state_dict())
    change(state)
    torch.save(state, tmp_path / "wrong.pth")
    model = build_seeded("resvit_gannet_small", 4, 2)
    with pytest.raises(ValueError, match=message):
        load_weights(model, tmp_path / "wrong.pth")
    assert same(build_seeded("resvit_gannet_small", 4, 2).state_dict(), model.state_dict())


def test_what_does_not_fit_is_listed_three_names_at_a_time(tmp_path: Path, donor: nn.Module) -> None:
    state = dict(donor.state_dict())
    removed = [key for key in state if key.startswith("cnn.layer1.0.") and key.endswith(("weight", "bias"))][:5]
    assert len(removed) == 5
    for key in removed:
        del state[key]
    state |= {f"extra.{number}\n": torch.zeros(1) for number in range(2)}
    state |= {"classify.weight": torch.zeros(9, 64), "classify.bias": torch.zeros(9)}
    torch.save(state, tmp_path / "wrong.pth")
    with pytest.raises(ValueError, match="does not fit this model: ") as caught:
        load_weights(build_seeded("resvit_gannet_small", 4, 2), tmp_path / "wrong.pth")
    message = str(caught.value)
    assert f"5 of {len([key for key in donor.state_dict() if 'num_batches' not in key])} names are missing: " in message
    assert ", ".join(removed[:3]) + ", …" in message
    assert (
        "2 names are unexpected: extra.0, extra.1, 2 shapes differ: classify.weight is (9, 64) in the file" in message
    )
    assert "classify.bias is (9,) in the file and (4,) in the model" in message
    assert "\n" not in message


@pytest.mark.parametrize("prefix", ["model.", "net.", "backbone.", "module.", "_orig_mod.", "model._orig_mod."])
def test_a_wrapped_model_fits_without_the_wrappers_name(tmp_path: Path, donor: nn.Module, prefix: str) -> None:
    """As DataParallel, torch.compile and a Lightning module save it."""
    torch.save({prefix + key: value for key, value in donor.state_dict().items()}, tmp_path / "wrapped.pth")
    model = build_seeded("resvit_gannet_small", 4, 2)
    assert load_weights(model, tmp_path / "wrapped.pth").startswith("all weights from")
    assert same(donor.state_dict(), dict(model.state_dict()))


def test_a_backbone_in_a_lightning_checkpoint_fills_that_backbone(tmp_path: Path, donor: nn.Module) -> None:
    cnn = donor.get_submodule("cnn").state_dict() | {"fc.weight": torch.zeros(1000, 128)}
    torch.save({"state_dict": {f"net.{key}": value for key, value in cnn.items()}, "epoch": 3}, tmp_path / "x.ckpt")
    model = build_seeded("resvit_gannet_small", 2, 2)
    assert load_weights(model, tmp_path / "x.ckpt").startswith("only cnn from")
    assert same(donor.get_submodule("cnn").state_dict(), model.get_submodule("cnn").state_dict())


def test_a_component_that_is_the_models_own_is_no_wrapper(tmp_path: Path, donor: nn.Module) -> None:
    """A file of one backbone alone has its part's name in front of all names, and that is how it is read."""
    vit = {f"vit.{key}": value for key, value in donor.get_submodule("vit").state_dict().items()}
    torch.save(vit, tmp_path / "vit.pth")
    assert load_weights(build_seeded("resvit_gannet_small", 2, 2), tmp_path / "vit.pth").startswith("only vit from")
    del vit["vit.pos_embed"]
    torch.save(vit, tmp_path / "vit.pth")
    with pytest.raises(ValueError, match=r"\(vit: 1 of .* names are missing: pos_embed\)"):
        load_weights(build_seeded("resvit_gannet_small", 2, 2), tmp_path / "vit.pth")


def test_a_wrapped_model_that_does_not_fit_is_described_by_the_names_within(tmp_path: Path, donor: nn.Module) -> None:
    state = {f"model.{key}": value for key, value in donor.state_dict().items() if key != "fusion.norms.0.bias"}
    torch.save(state | {"model.more": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match="1 names are unexpected: more;"):
        load_weights(build_seeded("resvit_gannet_small", 4, 2), tmp_path / "x.pth")


@pytest.mark.parametrize("is_training", [True, False])
def test_loading_leaves_the_mode_and_frozen_parameters_alone(
    tmp_path: Path, donor: nn.Module, is_training: bool
) -> None:
    torch.save(donor.state_dict(), tmp_path / "x.pth")
    model = build_seeded("resvit_gannet_small", 4, 2).train(is_training)
    model.get_submodule("cnn").requires_grad_(False).train(not is_training)
    modes = [module.training for module in model.modules()]
    load_weights(model, tmp_path / "x.pth")
    assert [module.training for module in model.modules()] == modes
    assert not any(parameter.requires_grad for parameter in model.get_submodule("cnn").parameters())
    assert all(parameter.requires_grad for parameter in model.get_submodule("vit").parameters())
    assert same(donor.state_dict(), dict(model.state_dict()))


def test_code_in_a_weights_file_is_never_run(tmp_path: Path, donor: nn.Module) -> None:
    torch.save(donor, tmp_path / "pickled.pth")  # a whole module needs its classes imported
    with pytest.raises(ValueError, match="cannot be read as weights"):
        load_weights(donor, tmp_path / "pickled.pth")

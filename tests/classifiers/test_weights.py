"""Weights come whole from a local file or not at all."""

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from classifiers.registry import seeded_build
from classifiers.weights import load_weights


def same(a: dict[str, Tensor], b: dict[str, Tensor], prefix: str = "") -> bool:
    return all(torch.equal(a[key], b[key]) for key in a if key.startswith(prefix))


@pytest.fixture(scope="module")
def donor() -> nn.Module:
    return seeded_build("resvit_gannet_small", 4, 1)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_survive_the_round_trip(tmp_path: Path, donor: nn.Module, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(donor.state_dict(), path)
    else:
        from safetensors.torch import save_file

        save_file(donor.state_dict(), path)
    assert same(donor.state_dict(), seeded_build("resvit_gannet_small", 4, 2, weights=path).state_dict())


def test_a_backbones_own_file_fills_that_backbone_and_says_so(
    tmp_path: Path, donor: nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "resnet.pth"
    cnn = {key: value for key, value in donor.cnn.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(cnn | {"fc.weight": torch.zeros(1000, 128)}, path)
    with caplog.at_level(logging.WARNING):
        model = seeded_build("resvit_gannet_small", 2, 2, weights=path)
    assert "only cnn from" in caplog.text
    assert same(donor.cnn.state_dict(), model.cnn.state_dict())
    assert same(seeded_build("resvit_gannet_small", 2, 2).vit.state_dict(), model.vit.state_dict())


def test_several_backbones_may_share_a_file(tmp_path: Path, donor: nn.Module) -> None:
    path = tmp_path / "both.pth"
    torch.save({k: v for k, v in donor.state_dict().items() if k.split(".")[0] in ("cnn", "vit")}, path)
    model = seeded_build("resvit_gannet_small", 2, 2)
    assert load_weights(model, path).startswith("only cnn and vit from")
    assert same(donor.vit.state_dict(), model.vit.state_dict())


def test_a_timm_models_file_leaves_its_head_behind(tmp_path: Path) -> None:
    import timm

    theirs = timm.create_model("test_resnet", pretrained=False, num_classes=1000)
    torch.save(theirs.state_dict(), tmp_path / "timm.pth")
    model = seeded_build("timm:test_resnet", 3, 0, weights=tmp_path / "timm.pth")
    assert same({k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}, model.body.state_dict() | {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("vit.pos_embed"), "names are missing, the first is vit.pos_embed"),
        (
            lambda state: state.update({"classify.weight": torch.zeros(9, 64)}),
            r"classify.weight is \(9, 64\) in the file",
        ),
        (lambda state: [state.pop(key) for key in list(state) if not key.startswith("fusion")], "names are missing"),
        (lambda state: [state.pop(key) for key in list(state) if key != "cnn.bn1.bias"], "cnn: .* names are missing"),
        (lambda state: state.update({"squeeze.4.fc1.bias": torch.zeros(8)}), "it has no squeeze.4.fc1.bias"),
        (lambda state: state.clear() or state.update(x=torch.zeros(1)), "fits no part"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(tmp_path: Path, donor: nn.Module, change, said: str) -> None:
    state = dict(donor.state_dict())
    change(state)
    torch.save(state, tmp_path / "wrong.pth")
    model = seeded_build("resvit_gannet_small", 4, 2)
    with pytest.raises(ValueError, match=said):
        load_weights(model, tmp_path / "wrong.pth")
    assert same(seeded_build("resvit_gannet_small", 4, 2).state_dict(), model.state_dict())


def test_files_that_are_no_weights_are_refused_in_one_line(tmp_path: Path, donor: nn.Module) -> None:
    with pytest.raises(FileNotFoundError, match="never downloaded"):
        load_weights(donor, tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("not weights")
    (tmp_path / "empty.safetensors").touch()
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "nested.pth")
    for name in ("text.pth", "empty.safetensors", "list.pth", "nested.pth"):
        with pytest.raises(ValueError, match=name) as caught:
            load_weights(donor, tmp_path / name)
        assert "\n" not in str(caught.value)


def test_code_in_a_weights_file_is_never_run(tmp_path: Path, donor: nn.Module) -> None:
    torch.save(donor, tmp_path / "pickled.pth")  # a whole module needs its classes imported
    with pytest.raises(ValueError, match="cannot be read as weights"):
        load_weights(donor, tmp_path / "pickled.pth")

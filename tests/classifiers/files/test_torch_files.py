"""A weights file is read whole, whatever is around its tensors, or refused in one line."""

import logging
import math
import zipfile
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from classifiers.files.torch_files import CHECKPOINT_KEYS, read_state_dict


def refusal(path: Path) -> str:
    """The line that refuses a file, and never with PyTorch's advice to run what is in it."""
    with pytest.raises(ValueError, match=path.name) as caught:
        read_state_dict(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "weights_only" not in message
    assert "expected" in message
    return message


def test_a_missing_file_is_one_line_and_nothing_is_downloaded(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="never downloaded"):
        read_state_dict(tmp_path / "none.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"not weights", "cannot be read as weights"),
        (b"\n<!DOCTYPE HTML>\n<html>404</html>", "an HTML page"),
        (b"\xef\xbb\xbf<!doctype html><html>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"\x1f\x8b" + bytes(50), "a compressed archive"),
        (bytes(5000), "nothing but zeros"),
        (b"PK\x03\x04" + bytes(50), "cannot be read as weights"),
        (b"\x80\x02N.", "cannot be read as weights"),
    ],
)
def test_what_is_no_weights_is_said_in_one_line(tmp_path: Path, suffix: str, content: bytes, says: str) -> None:
    (tmp_path / f"x{suffix}").write_bytes(content)
    assert says in refusal(tmp_path / f"x{suffix}")


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([1, 2], "no state dict"),
        ({3: torch.zeros(1)}, "no state dict but 3"),
        ({"a": torch.zeros(1), "b": 1}, "no state dict but a, b"),
        ({"epoch": 1, "model": {}, "c": [], "d": 4}, "no state dict but epoch, model, c;"),
        ({"model": {"a": {"b": torch.zeros(1)}}}, "no state dict but model"),
        (
            {"one": {"a": torch.zeros(1)}, "two": {"a": torch.ones(1)}},
            "2 state dicts under names that say not which: one, two",
        ),
        ({"state_dict": {"a": torch.tensor(math.nan)}}, "NaN or infinity in a"),
        ({"a": torch.tensor([1.0, math.nan])}, "NaN or infinity in a"),
        ({"a": torch.tensor([1.0, -math.inf]).half()}, "NaN or infinity in a"),
        ({"a": torch.zeros(1).expand(1000)}, "larger than the numbers behind"),
        (nn.Linear(2, 2), "asks for torch.nn.modules.linear.Linear, which is code and not run"),
        ({"a": Path("x")}, "which is code and not run"),
        (
            {"state_dict": {"a": torch.zeros(1)}, "hyper_parameters": Namespace(lr=1)},
            "asks for argparse.Namespace, which is code",
        ),
    ],
)
def test_what_torch_saved_beside_weights_is_said_in_one_line(
    tmp_path: Path, is_zip: bool, value: Any, says: str
) -> None:
    torch.save(value, tmp_path / "x.pth", _use_new_zipfile_serialization=is_zip)
    assert says in refusal(tmp_path / "x.pth")


def test_a_program_of_torchscript_is_said_to_be_one(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        for name in ("x/data.pkl", "x/code/__torch__.py", "x/constants.pkl"):
            archive.writestr(name, b"\x80\x02N.")
    assert "TorchScript" in refusal(tmp_path / "x.pth")


def test_a_compressed_archive_may_not_grow(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(100_000)}, tmp_path / "stored.pth")
    with (
        zipfile.ZipFile(tmp_path / "stored.pth") as stored,
        zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    assert "compressed" in refusal(tmp_path / "x.pth")


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_truncated_file_is_one_line_wherever_it_ends(tmp_path: Path, is_zip: bool) -> None:
    torch.save({"a": torch.zeros(100), "b": torch.ones(3)}, tmp_path / "x.pth", _use_new_zipfile_serialization=is_zip)
    whole = (tmp_path / "x.pth").read_bytes()
    ends = range(1, len(whole), max(len(whole) // 40, 1))
    assert len(ends) >= 40
    for end in ends:
        (tmp_path / "x.pth").write_bytes(whole[:end])
        refusal(tmp_path / "x.pth")


DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.int64, torch.bool)
NEW_DTYPES = (torch.float8_e4m3fn, torch.uint16)  # which the old format does not know


@pytest.mark.parametrize("is_zip", [True, False])
def test_every_dtype_and_shared_storages_survive_both_formats(tmp_path: Path, is_zip: bool) -> None:
    base = torch.arange(12.0)
    state = {str(dtype): torch.ones(2, 3).to(dtype) for dtype in (*DTYPES, *(NEW_DTYPES if is_zip else ()))}
    state |= {"whole": base, "part": base[3:9].reshape(2, 3).t(), "parameter": nn.Parameter(base), "none": base[:0]}
    torch.save(OrderedDict(state), tmp_path / "x.pth", _use_new_zipfile_serialization=is_zip)
    read = read_state_dict(tmp_path / "x.pth")
    assert list(read) == list(state)
    for name, value in state.items():
        assert read[name].dtype == value.dtype
        assert torch.equal(read[name].to(torch.complex128), value.to(torch.complex128)), name


def lightning_checkpoint(model: nn.Module) -> dict[str, Any]:
    """What Lightning's ModelCheckpoint writes after some steps, with plain hyperparameters."""
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2, 5, 5])
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    schedule.step()
    return {
        "epoch": 4,
        "global_step": 100,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": OrderedDict((f"model.{name}", value) for name, value in model.state_dict().items()),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 5}}}},
        "callbacks": {
            "ModelCheckpoint{'monitor': 'val_loss', 'mode': 'min'}": {
                "monitor": "val_loss",
                "best_model_score": torch.tensor(0.25),
                "best_k_models": {"/runs/epoch=4.ckpt": torch.tensor(0.25)},
                "dirpath": None,
            }
        },
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [schedule.state_dict()],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 1e-3, "classes": ["benign", "malignant"], "crop": (224, 224), "freeze": False},
    }


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_lightning_checkpoint_gives_its_state_dict(tmp_path: Path, is_zip: bool) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)).eval()
    torch.save(lightning_checkpoint(model), tmp_path / "x.ckpt", _use_new_zipfile_serialization=is_zip)
    read = read_state_dict(tmp_path / "x.ckpt")
    assert list(read) == [f"model.{name}" for name in model.state_dict()]
    assert all(torch.equal(read[f"model.{name}"], value) for name, value in model.state_dict().items())


def test_a_checkpoint_whose_hyperparameters_are_code_says_what_to_save(tmp_path: Path) -> None:
    checkpoint = lightning_checkpoint(nn.Linear(2, 1)) | {"hyper_parameters": Namespace(lr=1e-3)}
    torch.save(checkpoint, tmp_path / "x.ckpt")
    message = refusal(tmp_path / "x.ckpt")
    assert "argparse.Namespace" in message
    assert "save its state dict alone" in message


@pytest.mark.parametrize("key", [*CHECKPOINT_KEYS, "weights of mine"])
def test_a_state_dict_alone_in_a_checkpoint_is_found_under_any_name(tmp_path: Path, key: str) -> None:
    torch.save({"epoch": 1, "arch": "resnet50", key: {"a": torch.ones(2)}, "empty": {}}, tmp_path / "x.pth")
    assert torch.equal(read_state_dict(tmp_path / "x.pth")["a"], torch.ones(2))


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [
        (("ema", "model"), "model"),
        (("student", "teacher"), "teacher"),
        (("other", "state_dict", "state_dict_ema"), "state_dict"),
        (CHECKPOINT_KEYS[::-1], CHECKPOINT_KEYS[0]),
    ],
)
def test_of_several_state_dicts_the_first_known_name_counts_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, keys: tuple[str, ...], chosen: str
) -> None:
    torch.save({key: {"a": torch.tensor(float(at))} for at, key in enumerate(keys)}, tmp_path / "x.pth")
    with caplog.at_level(logging.INFO):
        assert read_state_dict(tmp_path / "x.pth")["a"] == keys.index(chosen)
    assert f"the state dict under {chosen} of" in caplog.text


def test_a_known_name_that_holds_something_else_is_passed_over(tmp_path: Path) -> None:
    torch.save({"state_dict": "see model", "model": {"a": torch.ones(1)}, "net": {"b": {}}}, tmp_path / "x.pth")
    assert list(read_state_dict(tmp_path / "x.pth")) == ["a"]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("names", "read"),
    [
        (("module.a", "module.b.c"), ("a", "b.c")),
        (("_orig_mod.a", "_orig_mod.b.c"), ("a", "b.c")),
        (("module._orig_mod.a", "module._orig_mod.b"), ("a", "b")),
        (("_orig_mod.module.module.a", "_orig_mod.module.module.b"), ("a", "b")),
        (("body._orig_mod.a", "head.b"), ("body.a", "head.b")),  # a part alone was compiled
        (("module.a", "b"), ("module.a", "b")),  # a part that is so named
        (("modules.a", "modules.b"), ("modules.a", "modules.b")),
        (("_orig_mod.a", "a"), ("_orig_mod.a", "a")),  # two names may not become one
    ],
)
def test_the_names_of_wrappers_are_removed_where_nothing_is_lost(
    tmp_path: Path, suffix: str, names: tuple[str, ...], read: tuple[str, ...]
) -> None:
    from safetensors.torch import save_file

    state: dict[str, Tensor] = {name: torch.tensor([float(at)]) for at, name in enumerate(names)}
    if suffix == ".pth":
        torch.save(state, tmp_path / "x.pth")
    else:
        save_file(state, tmp_path / "x.safetensors")
    found = read_state_dict(tmp_path / f"x{suffix}")
    assert {name: value.item() for name, value in found.items()} == {name: at for at, name in enumerate(read)}

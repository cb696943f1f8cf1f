"""A network of the user's own as a TorchScript program."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classifiers.files.torch_files import kind_of_content
from classifiers.models.backbones import IMAGENET_MEAN, IMAGENET_STD, Normalise, resize
from classifiers.transforms import to_float
from ganaug.errors import WeightsError, private
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs, require_features
from ganaug.provenance import digest_of_file

SIDE_PX = 224


def torchscript(inputs: ExtractorInputs) -> Extractor:
    """What `torch.jit.save` wrote: a program, which is run. Open only what you trust.

    Our choice, as a program does not say it: images are resized to 224 px (anti-aliased bilinear) and have ImageNet's
    mean and standard deviation; the program gives features [N,D].

    The label after the colon of its name, or else the first digits of its digest, distinguishes it in figures.

    Raises WeightsError where the file cannot be opened, or what it gives are no finite features that differ.
    """
    file, device = inputs.require_file("torchscript"), inputs.compute.device
    program = _open(file).to(device).eval()
    normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD).to(device)

    def embed(img: Tensor) -> Tensor:
        x = normalise(resize(to_float(img), SIDE_PX))
        try:
            features = program(x)
        except Exception as error:  # whatever the program does
            raise WeightsError(
                f"{private(file)} fails on images {list(x.shape)} ({private(_reason(error))})",
                expected="features [N,D]",
            ) from error
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(img):
            seen = list(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise WeightsError(
                f"{private(file)} gives {seen} for {len(img)} images", expected=f"features [{len(img)},D]"
            )
        if not features.isfinite().all():
            raise WeightsError(
                f"{private(file)} gives NaN or infinity", expected="finite features", todo="check the program"
            )
        return features

    num_features = require_features(embed, SIDE_PX, file, device)
    preprocessing = f"{SIDE_PX} px, anti-aliased bilinear, ImageNet mean and standard deviation, the program's output"
    digest = digest_of_file(file)
    name = f"torchscript-{inputs.network or digest[:8]}"
    return Extractor(name, digest, preprocessing, embed, device, num_features=num_features)


def _open(file: Path) -> Any:
    if problem := _problem(file):
        raise _no_program(file, problem)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch would rather export programs, yet such files are there
            return torch.jit.load(str(file), map_location="cpu")  # type: ignore[no-untyped-call]
    except Exception as error:  # PyTorch's own errors, of several kinds
        is_archive = "PytorchStreamReader" in str(error)  # whose reasons are about its internals
        reason = "its archive is incomplete" if is_archive else private(_reason(error))
        raise _no_program(file, reason) from error


def _problem(file: Path) -> str:
    """Why a file can be no program; empty where its outside does not show it."""
    try:
        with file.open("rb") as stream:
            kind = kind_of_content(stream.read(1000))
        if kind:
            return f"it is {kind}"
        with zipfile.ZipFile(file) as archive:
            parts = {name.rpartition("/")[2] for name in archive.namelist()}
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    except Exception:  # of several kinds, as anything may be in there
        return "it is no whole zip archive"
    is_saved = "data.pkl" in parts and "constants.pkl" not in parts
    return "it holds weights without a program, as torch.save writes them" if is_saved else ""


def _no_program(file: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"{private(file)} is no TorchScript program ({reason})",
        expected="what torch.jit.save wrote",
        todo="save it so, or name the network of a state dict with timm:NAME",
    )


def _reason(error: Exception) -> str:
    """The last line of an error, as TorchScript's begin with a stack."""
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__

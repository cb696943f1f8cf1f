"""A network of the user's own as a TorchScript program."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classifiers.files.torch_files import kind_of_content
from classifiers.models.backbones import IMAGENET_MEAN, IMAGENET_STD, Normalise, resize
from classifiers.transforms import to_float
from ganaug.errors import WeightsError
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.provenance import digest_of_file

SIDE_PX = 224


def torchscript(inputs: ExtractorInputs) -> Extractor:
    """What `torch.jit.save` wrote: a program, which is run. Open only what you trust.

    Our choice, as a program does not say it: images are resized to 224 px (anti-aliased bilinear) and have ImageNet's
    mean and standard deviation; the program gives features [N,D].

    Raises WeightsError where the file cannot be opened, or what it gives are no finite features.
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
                f"{file} fails on images {list(x.shape)} ({_reason(error)})", expected="features [N,D]"
            ) from error
        if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(img):
            seen = list(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise WeightsError(f"{file} gives {seen} for {len(img)} images", expected=f"features [{len(img)},D]")
        if not features.isfinite().all():
            raise WeightsError(f"{file} gives NaN or infinity", expected="finite features", todo="check the program")
        return features

    with torch.inference_mode():
        num_features = embed(torch.zeros(2, 3, SIDE_PX, SIDE_PX, dtype=torch.uint8, device=device)).shape[1]
    preprocessing = f"{SIDE_PX} px, anti-aliased bilinear, ImageNet mean and standard deviation, the program's output"
    digest = digest_of_file(file)
    return Extractor("torchscript", digest, preprocessing, embed, device, num_features=num_features)


def _open(file: Path) -> Any:
    with file.open("rb") as stream:
        kind = kind_of_content(stream.read(1000))
    if kind:
        raise WeightsError(
            f"{file} is no TorchScript program: it is {kind}",
            expected="what torch.jit.save wrote",
            todo="get the file itself",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch would rather export programs, yet such files are there
            return torch.jit.load(str(file), map_location="cpu")  # type: ignore[no-untyped-call]
    except Exception as error:  # PyTorch's own errors, of several kinds
        raise WeightsError(
            f"{file} is no TorchScript program ({_reason(error)})",
            expected="what torch.jit.save wrote",
            todo="save it so, or name the network of a state dict with timm:NAME",
        ) from error


def _reason(error: Exception) -> str:
    """The last line of an error, as TorchScript's begin with a stack."""
    lines = [line.strip() for line in str(error).split("\n") if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__

"""A network of timm with weights of the user's own, as pathology's published encoders come."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classifiers.models.backbones import Normalise, resize
from classifiers.transforms import to_float
from ganaug.errors import ConfigError, WeightsError
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.provenance import digest_of_file
from ganaug.weights import read_weights


def timm_network(inputs: ExtractorInputs, name: str, file: Path) -> Extractor:
    """timm's network `name` without its head, weights of a state dict; size, mean and standard deviation of its card.

    A name may have a tag, which decides the card: vit_large_patch16_224.mae is ViT-L/16 with ImageNet's mean.
    LayerScale and the size of a vision transformer's images are the file's, as encoders often differ from the card.

    Raises ConfigError for an unknown name, WeightsError where the file is no state dict or does not fit.
    """
    state, device = read_weights(file), inputs.compute.device
    with torch.random.fork_rng(devices=[]):  # building draws initial weights that are then replaced
        body = _build(name, state)
    card = body.pretrained_cfg
    head = card.get("classifier") or ()
    heads = tuple(f"{part}." for part in ((head,) if isinstance(head, str) else head))
    kept = {key: value for key, value in state.items() if not (heads and key.startswith(heads))}
    _require_fit(body.state_dict(), kept, name, file)
    body.load_state_dict(kept)
    body = body.to(device).eval()
    normalise = Normalise(card["mean"], card["std"]).to(device)
    side_px = _side_px(body)

    def embed(img: Tensor) -> Tensor:
        features: Tensor = body(normalise(resize(to_float(img), side_px)))
        return features

    preprocessing = f"{side_px} px, anti-aliased bilinear, mean {card['mean']}, standard deviation {card['std']}"
    return Extractor(f"timm-{name}", digest_of_file(file), preprocessing, embed, device)


def _build(name: str, state: dict[str, Tensor]) -> Any:
    import timm

    if not timm.is_model(name):
        raise ConfigError(
            f"timm has no model {name!r}",
            expected="a name that timm.list_models() gives",
            todo="list them: python -c 'import timm; print(timm.list_models())'",
        )
    options: dict[str, Any] = {"num_classes": 0}
    if any(key.endswith(".ls1.gamma") for key in state):
        options["init_values"] = 1e-5  # gives it LayerScale, whose values are then loaded
    try:
        body: Any = timm.create_model(name, pretrained=False, **options)
        grid = _grid_of(body, state)
        if grid and grid * body.patch_embed.patch_size[0] != _side_px(body):
            side_px = grid * body.patch_embed.patch_size[0]
            body = timm.create_model(name, pretrained=False, img_size=side_px, **options)
    except (TypeError, RuntimeError, ValueError, AssertionError) as error:
        reason = str(error).split("\n")[0]
        raise WeightsError(f"timm cannot build {name} for these weights ({reason})", todo="check the name") from error
    return body


def _grid_of(body: Any, state: dict[str, Tensor]) -> int:
    """Patches along a side of the images that a vision transformer's file was trained on; 0 where it is none."""
    own, stored = getattr(body, "pos_embed", None), state.get("pos_embed")
    if own is None or stored is None or stored.ndim != 3 or not hasattr(body, "patch_embed"):
        return 0
    num_prefix = own.shape[1] - body.patch_embed.num_patches  # class and register tokens with a position
    return math.isqrt(max(stored.shape[1] - num_prefix, 0))


def _side_px(body: Any) -> int:
    img_size = getattr(getattr(body, "patch_embed", None), "img_size", None)
    return int(img_size[0] if img_size else body.pretrained_cfg["input_size"][-1])


def _require_fit(own: dict[str, Tensor], state: dict[str, Tensor], name: str, file: Path) -> None:
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    surplus = [key for key in state if key not in own]
    other = [key for key, value in own.items() if key in state and state[key].shape != value.shape]
    problems = [
        f"{len(keys)} {what}, the first is {keys[0][:80]}"
        for keys, what in ((missing, "names are missing"), (surplus, "names are unknown"), (other, "shapes differ"))
        if keys
    ]
    if problems:
        raise WeightsError(
            f"{file} does not fit timm's {name}: {'; '.join(problems)}",
            expected=f"its {len(own)} tensors",
            todo="give the name of the network that the file is of",
        )

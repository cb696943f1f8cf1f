"""A network of timm with weights out of a file, as pathology's published encoders come."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classifiers.models.backbones import Normalise, resize
from classifiers.transforms import to_float
from ganaug.errors import ConfigError, WeightsError, private
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs, require_features
from ganaug.provenance import digest_of_file
from ganaug.weights import read_weights


@dataclass(frozen=True)
class Tower:
    """One of timm's vision transformers, whose positions and names are translated to what is asked for."""

    network: str
    side_px: int
    has_head: bool = False  # whether its last linear layer belongs to the features


def timm_network(inputs: ExtractorInputs) -> Extractor:
    """timm's network of that name without its head, weights of a state dict; size and colours of its card.

    A name may have a tag, which decides the card: vit_large_patch16_224.mae is ViT-L/16 with ImageNet's mean.
    LayerScale and the size of a vision transformer's images are the file's, as encoders often differ from the card.

    Raises ConfigError for an unknown name, WeightsError where the file is no state dict, does not fit, or makes a
    network that gives all images the same features.
    """
    name, file = inputs.network, inputs.require_file(f"timm:{inputs.network}")
    state = read_weights(file)
    with torch.random.fork_rng(devices=[]):  # building draws initial weights that are then replaced
        body = _build(name, state)
    head = body.pretrained_cfg.get("classifier") or ()
    heads = tuple(f"{part}." for part in ((head,) if isinstance(head, str) else head))
    kept = {key: value for key, value in state.items() if not (heads and key.startswith(heads))}
    return _extractor_of(body, kept, name, file, inputs.compute.device, f"timm-{name}")


def open_tower(tower: Tower, inputs: ExtractorInputs, name: str, file: Path) -> Extractor:
    """The extractor `name` of a vision transformer; raises WeightsError where the file does not fit it.

    Other names of the same tensors, as the network's authors have them, and positions of another image size are
    translated as timm does when it loads them.
    """
    state = read_weights(file)
    with torch.random.fork_rng(devices=[]):
        body = _create(tower.network, img_size=tower.side_px, **({} if tower.has_head else {"num_classes": 0}))
    from timm.models.vision_transformer import checkpoint_filter_fn

    try:
        translated = checkpoint_filter_fn(state, body)
    except Exception as error:  # of any kind, as it expects a file of this network
        raise _unfit(file, tower.network, f"timm cannot translate it ({_first_line(error)})", body) from error
    return _extractor_of(body, translated, tower.network, file, inputs.compute.device, name)


def _extractor_of(body: Any, state: dict[str, Tensor], network: str, file: Path, device: str, name: str) -> Extractor:
    card, side_px = body.pretrained_cfg, _side_px(body)
    _require_fit(body, state, network, file)
    body.load_state_dict(state)
    body = body.to(device).eval()
    normalise = Normalise(card["mean"], card["std"]).to(device)

    def embed(img: Tensor) -> Tensor:
        features: Tensor = body(normalise(resize(to_float(img), side_px)))
        return features

    preprocessing = f"{side_px} px, anti-aliased bilinear, mean {card['mean']}, standard deviation {card['std']}"
    num_features = require_features(embed, side_px, file, device)
    return Extractor(name, digest_of_file(file), preprocessing, embed, device, num_features=num_features)


def _build(name: str, state: dict[str, Tensor]) -> Any:
    """timm's network without its head, with LayerScale and of the image size that the state dict is of."""
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
    body = _create(name, **options)
    grid = _grid_of(body, state)
    if grid and grid * body.patch_embed.patch_size[0] != _side_px(body):
        body = _create(name, img_size=grid * body.patch_embed.patch_size[0], **options)
    return body


def _create(name: str, **options: Any) -> Any:
    import timm

    try:
        return timm.create_model(name, pretrained=False, **options)
    except (TypeError, RuntimeError, ValueError, AssertionError) as error:
        raise WeightsError(
            f"timm cannot build {name} for these weights ({_first_line(error)})", todo="check the name"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0][:200]


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


def _require_fit(body: Any, state: dict[str, Tensor], network: str, file: Path) -> None:
    own = body.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    surplus = [key for key in state if key not in own]
    other = [key for key, value in own.items() if key in state and state[key].shape != value.shape]
    problems = [
        f"{len(keys)} {what}, the first is {keys[0][:80]}"
        for keys, what in ((missing, "names are missing"), (surplus, "names are unknown"), (other, "shapes differ"))
        if keys
    ]
    if problems:
        raise _unfit(file, network, "; ".join(problems), body)


def _unfit(file: Path, network: str, problems: str, body: Any) -> WeightsError:
    return WeightsError(
        f"{private(file)} does not fit timm's {network}: {problems}",
        expected=f"its {len(body.state_dict())} tensors",
        todo="give the name of the network that the file is of",
    )

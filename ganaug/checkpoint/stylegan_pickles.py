"""StyleGAN2 checkpoints of other tools: their configuration and weights under our names, also for other classes."""

import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from classifiers.files.pickles import describe_value
from ganaug.checkpoint.unpickler import PickledNetwork, read_networks
from ganaug.config import NetworkConfig
from ganaug.errors import DataError, UserError
from ganaug.model.discriminator import Discriminator
from ganaug.model.generator import Generator
from ganaug.model.shapes import shapes_of

State = dict[str, Tensor]
MAX_WIDTH = 8192  # of any layer; more is no network but an attack on the memory
MAX_MAPPING_LAYERS = 64  # the published networks have 2 or 8
MAX_COUNT = 2**20  # of half-precision resolutions, and of images in a group
_CONV = re.compile(r"synthesis\.b(\d{1,4})\.conv1\.weight")
# Options whose other values make networks that are not ours; those that names and shapes of tensors show are skipped.
_COMPUTED: dict[str, tuple[Any, ...]] = {
    "activation": ("lrelu",),
    "architecture": ("skip", "resnet"),
    "img_channels": (3,),
    "lr_multiplier": (0.01,),
    "mbstd_num_channels": (1,),
    "resample_filter": ([1, 3, 3, 1],),
    "use_noise": (True,),
}


class ExternalCheckpoint(NamedTuple):
    """What a pickle holds; a network that it lacks, or that is not ours, is None, and `skipped` says why."""

    config: NetworkConfig
    G: State | None
    D: State | None
    ema: State
    skipped: tuple[str, ...]


def load_external(path: Path) -> ExternalCheckpoint:
    """Read a pickle of stylegan2-ada-pytorch, or of StyleGAN2 from stylegan3, without running code from it.

    The class count, 1 where the networks are unconditional, and all sizes are those of the averaged generator. Raises
    DataError where the file is no such pickle or its averaged generator is no StyleGAN2 as it is computed here.
    """
    networks = read_networks(path)
    try:
        config = _config(networks["G_ema"], networks.get("D"))
        ema = _state(networks["G_ema"], config, Generator)
    except UserError as error:
        raise DataError(f"{path}: its G_ema {error}", expected="a StyleGAN2 generator with skip connections") from error
    states: dict[str, State | None] = {"G": None, "D": None}
    skipped = []
    for name, kind in (("G", Generator), ("D", Discriminator)):
        try:
            if name not in networks:
                raise DataError("is not in the file")
            states[name] = _state(networks[name], config, kind)
        except UserError as error:
            skipped.append(f"{name} {error}")
    return ExternalCheckpoint(config, states["G"], states["D"], ema, tuple(skipped))


def _config(G: PickledNetwork, D: PickledNetwork | None) -> NetworkConfig:
    """Sizes from the tensors' shapes; only what leaves no trace in them from the options."""
    shapes = {name: list(value.shape) for name, value in G.tensors.items()}
    channels = {int(match[1]): (shapes[name] or [0])[0] for name in shapes if (match := _CONV.fullmatch(name))}
    first, w_dim = shapes.get("mapping.fc0.weight", []), shapes.get("mapping.w_avg", [])
    if not (channels and first and w_dim):
        raise DataError("has no layers of these names: synthesis.b4.conv1, mapping.fc0, mapping.w_avg")
    embed = shapes.get("mapping.embed.weight", [0, 1])
    if [len(first), len(w_dim), len(embed)] != [2, 1, 2]:
        raise DataError("has no matrices for mapping.fc0 and mapping.embed, or no vector for mapping.w_avg")
    if "mapping.embed.weight" in shapes and embed[1] == 1:
        raise DataError("is conditioned on a single class")
    mapping_layers = sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", name)) for name in shapes)
    if mapping_layers > MAX_MAPPING_LAYERS:
        raise DataError(f"has {mapping_layers} mapping layers, where at most {MAX_MAPPING_LAYERS} were expected")
    z_dim = first[1] - embed[0]
    if not all(1 <= width <= MAX_WIDTH for width in (z_dim, *w_dim, *channels.values())):
        raise DataError("has layers of impossible widths")
    num_half, clamp = _precision(G)
    return NetworkConfig(
        resolution_px=max(channels),
        num_classes=embed[1],
        z_dim=z_dim,
        w_dim=w_dim[0],
        mapping_layers=mapping_layers,
        channel_base=max(resolution * number for resolution, number in channels.items()),
        channel_max=max(channels.values()),
        num_half=num_half,
        conv_clamp=clamp,
        std_group=_count(D.options.get("b4.mbstd", {}), "group_size", 4) if D else 4,
    )


def _precision(network: PickledNetwork) -> tuple[int, float | None]:
    """How many resolutions are in half precision, and the clamp; the generator's are options of its synthesis."""
    options = network.options.get("synthesis", network.options.get("", {}))
    clamp = options.get("conv_clamp")
    if clamp is not None and (type(clamp) not in (int, float) or not (math.isfinite(clamp) and clamp > 0)):
        raise DataError(f"has conv_clamp {describe_value(clamp)}, where a positive number was expected")
    return _count(options, "num_fp16_res", 0), None if clamp is None else float(clamp)


def _count(options: dict[str, Any], name: str, default: int) -> int:
    value = options.get(name, default)
    if type(value) is not int or not 0 <= value <= MAX_COUNT:
        raise DataError(f"has {name} {describe_value(value)}, where a whole number from 0 to {MAX_COUNT} was expected")
    return value


def _state(network: PickledNetwork, config: NetworkConfig, kind: type[Generator | Discriminator]) -> State:
    """The tensors under our names; raises DataError where they are not those of such a network."""
    _require_computed(network)
    if _precision(network) != (config.num_half, config.conv_clamp):
        raise DataError("has another precision or clamp than G_ema")
    tensors = {_our_name(name, kind): value for name, value in network.tensors.items() if "resample_filter" not in name}
    expected = shapes_of(lambda: kind(config, generator=torch.Generator()))  # it may be declared of any size
    for name in sorted(expected.keys() | tensors.keys()):
        seen, wanted = list(tensors[name].shape) if name in tensors else None, expected.get(name)
        if seen != wanted:
            raise DataError(f"has {name} {seen or 'missing'}, where {wanted or 'none'} was expected")
        if not tensors[name].isfinite().all():
            raise DataError(f"has NaN or infinity in {name}, where trained weights were expected")
    return tensors


def _require_computed(network: PickledNetwork) -> None:
    for path, options in network.options.items():
        for name in _COMPUTED:  # options may be shared by many modules, and may be many themselves
            if name in options and options[name] not in _COMPUTED[name]:
                seen = f"{path}.{name}".lstrip(".")
                raise DataError(f"has {seen} {describe_value(options[name])}, which is not computed here")


def _our_name(name: str, kind: type[Generator | Discriminator]) -> str:
    name = re.sub(r"^b\d+\.fromrgb\.", "fromrgb.", name)
    name = re.sub(r"^mapping\.fc(\d+)\.", r"mapping.layers.\1.", name)
    if kind is Generator:
        name = re.sub(r"^mapping\.(embed|layers)\.", r"mapping.trunk.\1.", name)
    return name

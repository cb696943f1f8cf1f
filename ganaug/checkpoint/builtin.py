"""Generators that come with this package, to begin a training with: trained on procedural tissue, they saw nobody."""

import math
from pathlib import Path

from ganaug.config import NO_WEIGHTS, PHANTOM
from ganaug.errors import ConfigError
from ganaug.presets import PAPER

BUILTIN_FOLDER = Path(__file__).parent / "weights"


def phantom_resolutions() -> tuple[int, ...]:
    """The resolutions, in pixels, for which there are weights."""
    return tuple(sorted(int(path.stem.removeprefix("phantom-").removesuffix("px")) for path in _files()))


def phantom_weights(resolution_px: int) -> Path:
    """The snapshot that was trained on the phantom at this resolution, or at the nearest one.

    Raises ConfigError where none came with the installation.
    """
    if not phantom_resolutions():
        raise ConfigError(
            "--init phantom, for which this installation holds no weights",
            expected=f"snapshots in {BUILTIN_FOLDER}",
            todo="install ganaug again, or pass --init none",
        )
    nearest = min(phantom_resolutions(), key=lambda known: abs(math.log2(known / resolution_px)))
    return BUILTIN_FOLDER / f"phantom-{nearest}px.safetensors"


def _files() -> list[Path]:
    return list(BUILTIN_FOLDER.glob("phantom-*px.safetensors"))


def default_weights(preset: str, resolution_px: int, device: str) -> Path | None:
    """The weights that a preset begins with: the phantom's on a CPU, where there are some, but for the papers' presets.

    On a GPU, where the published rule has the time to learn all by itself, there are none.
    """
    is_fit = device == "cpu" and preset not in PAPER and bool(phantom_resolutions())
    return phantom_weights(resolution_px) if is_fit else None


def choose_weights(init: Path | str | None, preset: str, resolution_px: int, device: str) -> Path | None:
    """The file that a training begins with: the one asked for as `phantom` or by its path, or the preset's; or none.

    init: one of BUILT_IN, a file, or None for what the preset begins with. Raises ConfigError where there is none.
    """
    if init is None:
        return default_weights(preset, resolution_px, device)
    if init == PHANTOM:
        return phantom_weights(resolution_px)
    return None if init == NO_WEIGHTS else Path(init)

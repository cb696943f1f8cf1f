"""The rule by which images of any size become the squares of a stored classifier: that of its data set."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ganaug.config import PrepareConfig
from ganaug.data.dataset import DataSet
from ganaug.data.images.decode import DEPTHS
from ganaug.data.prepare.stain import Reference
from ganaug.fields import require_kinds

_SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "macenko": {"stains": (3, 2), "max_concentration": (2,)},
    "reinhard": {"means": (3,), "stds": (3,)},
}


@dataclass(frozen=True)
class PixelRule:
    """How an image of any size becomes the squares that a classifier takes, as `prepare` did for its data set."""

    fit: str = "crop"  # see `ganaug.data.images.squares`
    field_px: int | None = None  # side of the square, in an image's own pixels
    field_um: float | None = None  # the same in micrometres
    grey_bits: int | None = None  # that files of 16-bit grey were taken to have; None: there were none
    stain: Reference | None = None  # that the images of the fold were normalised to; None: they were not

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "stain": self.stain and self.stain.to_dict()}


def read_pixel_rule(values: dict[str, Any], image_size_px: int) -> PixelRule:
    """The rule out of JSON values; raises ConfigError, ValueError or TypeError where no data set can have it."""
    require_kinds(PixelRule, {name: value for name, value in values.items() if name != "stain"})
    pixels = PixelRule(**{**values, "stain": _reference(values.get("stain"))})
    if pixels.grey_bits not in (None, *DEPTHS):
        raise ValueError(f"grey of {pixels.grey_bits} bits")
    squares_config(image_size_px, pixels)  # the bounds of its own
    return pixels


def squares_config(image_size_px: int, pixels: PixelRule) -> PrepareConfig:
    """What cuts the squares of any image; raises ConfigError where no data set can have been prepared so."""
    return PrepareConfig(
        "folder", resolution_px=image_size_px, fit=pixels.fit, field_px=pixels.field_px, field_um=pixels.field_um
    )


def pixel_rule_of(dataset: DataSet, fold: int) -> PixelRule:
    """How the images of a data set came about, as a fold sees them; those that were drawn are taken as they are."""
    about, stain = dataset.table.attrs.get("pixels") or {}, dataset.table.attrs.get("stain")
    fit = about["fit"] if about.get("fit") in ("crop", "tile", "resize") else "crop"
    reference = _reference(stain["references"][fold]) if stain else None
    bits = about.get("grey_bits")
    return PixelRule(
        fit, about.get("field_px"), about.get("field_um"), bits if bits in DEPTHS else None, stain=reference
    )


def _reference(stored: Any) -> Reference | None:
    """The stain that images are normalised to; ValueError where it is none."""
    if stored is None:
        return None
    method = stored.get("method") if isinstance(stored, dict) else None
    if method not in _SHAPES or set(stored) != {"method", *_SHAPES[method]}:
        raise ValueError("a stain of another kind")
    values = {name: np.array(stored[name], dtype=np.float64) for name in _SHAPES[method]}
    if any(
        values[name].shape != shape or not np.isfinite(values[name]).all() for name, shape in _SHAPES[method].items()
    ):
        raise ValueError("a stain of another kind")
    return Reference(method, values)

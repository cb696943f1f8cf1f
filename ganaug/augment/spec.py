"""The strength of each augmentation as a frozen dataclass, and the named specifications; free of torch."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class AugmentSpec:
    """The magnitude of every transformation of the pipeline; False or 0 is off.

    Where a field is a standard deviation, the number is drawn from a normal distribution around 0; "octaves" means that
    2 to the power of it is the factor. Where a field is a limit, the number is drawn evenly from ± that limit.
    Source: Karras et al. 2020b, appendix B and figure 11.
    """

    x_flip: bool = False  # mirror, every second time
    quarter_turns: bool = False  # 0 to 3 of them
    integer_shift: float = 0.0  # limit, fraction of the image's side, rounded to pixels
    scale: float = 0.0  # standard deviation, octaves
    rotation: float = 0.0  # limit, turns; before and after the stretch
    stretch: float = 0.0  # standard deviation, octaves; as much wider as lower
    shift: float = 0.0  # standard deviation, fraction of the image's side
    brightness: float = 0.0  # standard deviation, where the image's range is -1 to 1
    contrast: float = 0.0  # standard deviation, octaves
    luma_flip: bool = False  # light and dark exchanged at kept hue, every second time
    hue: float = 0.0  # limit, turns around the grey axis
    saturation: float = 0.0  # standard deviation, octaves
    filter: float = 0.0  # standard deviation of each frequency band's gain, octaves
    noise: float = 0.0  # of the half-normal distribution of the noise's standard deviation, on a range of -1 to 1
    cutout: float = 0.0  # side of the hole, fraction of the image's side

    @property
    def is_resampled(self) -> bool:
        """Whether images are resampled; if not, only whole pixels move."""
        return any((self.scale, self.rotation, self.stretch, self.shift))

    @property
    def is_coloured(self) -> bool:
        return any((self.brightness, self.contrast, self.luma_flip, self.hue, self.saturation))


_NONE = AugmentSpec()
_BLIT = replace(_NONE, x_flip=True, quarter_turns=True, integer_shift=0.125)
_BG = replace(_BLIT, scale=0.2, rotation=0.5, stretch=0.2, shift=0.125)
_BGC = replace(_BG, brightness=0.2, contrast=0.5, luma_flip=True, hue=0.5, saturation=1.0)
_BGCFNC = replace(_BGC, filter=1.0, noise=0.1, cutout=0.5)

# Tissue has no up, so flips and any rotation cost nothing. Cells have a size and are round, so scale and stretch stay
# mild, and small shifts keep little of the image mirrored at its edge. Colour is diagnosis: haematoxylin must stay blue
# to purple, eosin pink and the glass white. So hue, saturation, brightness and contrast vary as they do between
# laboratories, and light and dark are never exchanged: no stain looks so, and D would learn less from it.
_HISTOLOGY = AugmentSpec(
    x_flip=True,
    quarter_turns=True,
    integer_shift=0.0625,
    scale=0.1,
    rotation=0.5,
    stretch=0.05,
    shift=0.03125,
    brightness=0.05,
    contrast=0.1,
    hue=0.03,
    saturation=0.25,
)

SPECS: dict[str, AugmentSpec] = {
    "none": _NONE,
    "blit": _BLIT,
    "bg": _BG,
    "bgc": _BGC,
    "bgcfnc": _BGCFNC,
    "histology": _HISTOLOGY,
}

"""The brushes of the phantom: stroma, fat, glands and nuclei, painted as concentrations of haematoxylin and eosin.

Lengths are micrometres, and a random number belongs to a place in the tissue, never to a pixel, so that one field of
view shows the same scene at every resolution.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import ceil, cos, hypot, pi, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]  # of tissue: micrometres, concentrations, covers, mostly f32
Place = tuple[slice, slice]


@dataclass
class Scene:
    """A square field of tissue on a fine grid; the brushes paint on its planes, the later over the earlier."""

    field_um: float
    side_px: int
    rng: np.random.Generator
    haematoxylin: Array = field(init=False)  # f32 [side, side], concentration 0 and up
    eosin: Array = field(init=False)
    mask: NDArray[np.bool_] = field(init=False)  # [side, side], the structures that decide the class
    deciding_nuclei: list["Nuclei"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.haematoxylin, self.eosin = np.zeros((2, self.side_px, self.side_px), dtype=np.float32)
        self.mask = np.zeros((self.side_px, self.side_px), dtype=bool)
        self.um_per_px = self.field_um / self.side_px
        self.axis_um = ((np.arange(self.side_px) + 0.5) * self.um_per_px).astype(np.float32)
        self.outline_noise, self.chromatin_noise = self.noise(3.0), self.noise(1.3)

    def window(self, x: float, y: float, reach_um: float) -> tuple[Place, Array, Array]:
        """The part of the planes within `reach_um` of a point: its slices, and x [1,w] and y [h,1] of its pixels."""
        low, high = np.searchsorted(self.axis_um, (x - reach_um, x + reach_um))
        top, bottom = np.searchsorted(self.axis_um, (y - reach_um, y + reach_um))
        place = (slice(top, bottom), slice(low, high))
        return place, self.axis_um[None, low:high], self.axis_um[top:bottom, None]

    def paint(self, place: Place, cover: Array, haematoxylin: Array | float, eosin: Array | float) -> None:
        """Replace what is there by the given concentrations, in the proportion `cover` from 0 to 1."""
        for plane, value in ((self.haematoxylin, haematoxylin), (self.eosin, eosin)):
            plane[place] += cover * (value - plane[place])

    def noise(self, scale_um: float) -> Array:
        """A smooth random field [side, side] of zero mean and unit variance that varies over about `scale_um`."""
        weights = _noise_weights(scale_um, self.field_um, self.side_px)
        white = self.rng.standard_normal((weights.shape[1], weights.shape[1]))
        return np.asarray(weights @ white @ weights.T, np.float32)

    def look_up(self, plane: Array, x: Array, y: Array) -> Array:
        """The values of a plane at points that may lie outside of the field (then at its border)."""
        row, column = (np.clip((at / self.um_per_px).astype(int), 0, self.side_px - 1) for at in (y, x))
        return np.asarray(plane[row, column])

    def scatter(self, radii_um: Array, gap_um: float, first: tuple[float, float]) -> list[tuple[float, float, float]]:
        """Discs (x, y, radius) `gap_um` apart: one at `first`, then each radius that fits at a random place."""
        discs = [(*first, float(radii_um[0]))]
        for radius, (u, v) in zip(radii_um[1:].tolist(), self.rng.random((len(radii_um) - 1, 2)).tolist()):
            x, y = (fraction * (self.field_um + 2 * radius) - radius for fraction in (u, v))
            if all(hypot(other[0] - x, other[1] - y) > other[2] + radius + gap_um for other in discs):
                discs.append((x, y, radius))
        return discs


@lru_cache(maxsize=16)
def _noise_weights(scale_um: float, field_um: float, side_px: int) -> Array:
    """How much each of the knots along one axis adds to each pixel of it; the squares of a row sum to one."""
    knots = np.arange(-2 * scale_um, field_um + 2 * scale_um, 0.8 * scale_um)
    pixels = (np.arange(side_px) + 0.5) * (field_um / side_px)
    weights = np.exp(-0.5 * ((pixels[:, None] - knots) / (0.6 * scale_um)) ** 2)
    return np.asarray(weights / np.linalg.norm(weights, axis=1, keepdims=True))


def ramp(depth_um: Array, softness_um: float | Array = 1.0) -> Array:
    """Cover of what begins at depth 0: rises from 0 to 1 over `softness_um` on either side of the edge."""
    return np.asarray(np.clip(0.5 + 0.5 * depth_um / softness_um, 0.0, 1.0))


@dataclass(frozen=True)
class Outline:
    """A closed outline: an ellipse whose axis may be bent and whose border may be lobed."""

    x: float
    y: float
    along_um: float  # half axes
    across_um: float
    angle: float = 0.0
    bend: float = 0.0  # how far the ends bow, as a fraction of the long half axis
    lobes: tuple[float, float, float] = (0.0, 0.0, 0.0)  # relative height of 2, 3 and 5 lobes around the border
    phase: float = 0.0

    @property
    def reach_um(self) -> float:
        return self.along_um * (1 + abs(self.bend) + sum(map(abs, self.lobes))) + 2.0

    def _border(self, around: Array) -> Array:
        """Distance of the border from the middle in the direction `around`, relative to the ellipse's."""
        border = np.ones_like(around)
        for height, count in zip(self.lobes, (2, 3, 5)):
            if height:
                border += height * np.cos(count * (around + self.phase))
        return border

    def depth(self, x: Array, y: Array) -> Array:
        """Distance to the border in micrometres to first order, positive inside."""
        along = (x - self.x) * cos(self.angle) + (y - self.y) * sin(self.angle)
        across = (y - self.y) * cos(self.angle) - (x - self.x) * sin(self.angle)
        across = across - self.bend * (along**2 / self.along_um - self.along_um / 3)
        u, v = along / self.along_um, across / self.across_um
        level = np.hypot(u, v)
        slope_v = v / self.across_um
        slope_u = u / self.along_um - slope_v * (2 * self.bend * u)
        slope = np.maximum(np.hypot(slope_u, slope_v) / np.maximum(level, 1e-6), 1 / (2 * self.along_um))
        level = level / self._border(np.arctan2(v, u))
        # Near the long axis the first order overshoots; no point is deeper than the outline is wide there.
        return np.asarray(np.minimum((1 - level) / slope, self.across_um * np.sqrt(np.clip(1 - level**2, 0, None))))

    @cached_property
    def _walk(self) -> tuple[Array, Array, Array, Array]:
        """The border as a polygon: x, y, its direction, and the way from its start."""
        around = np.linspace(0, 2 * pi, 91)
        border = self._border(around)
        along, across = self.along_um * border * np.cos(around), self.across_um * border * np.sin(around)
        across = across + self.bend * (along**2 / self.along_um - self.along_um / 3)
        x = self.x + along * cos(self.angle) - across * sin(self.angle)
        y = self.y + along * sin(self.angle) + across * cos(self.angle)
        step_x, step_y = np.gradient(x), np.gradient(y)
        return x, y, np.unwrap(np.arctan2(step_y, step_x)), np.cumsum(np.hypot(step_x, step_y))

    def ring(self, spacing_um: float, depth_um: float) -> Array:
        """Points [3,n] about `spacing_um` apart at a depth below the border: x, y and the border's direction there."""
        *corners, way = self._walk
        stops = np.arange(way[0], way[-1] - spacing_um / 2, spacing_um)
        x, y, tangent = (np.interp(stops, way, corner) for corner in corners)
        return np.stack([x - depth_um * np.sin(tangent), y + depth_um * np.cos(tangent), tangent])


@dataclass(frozen=True)
class Nuclei:
    """Nuclei as arrays of one length: place, half axes, direction of the long axis, and how much dye they bind."""

    x: Array
    y: Array
    along_um: Array
    across_um: Array
    angle: Array
    density: Array

    def area_um2(self) -> Array:
        return np.asarray(np.pi * self.along_um * self.across_um)


def _stamp(scene: Scene, cells: Nuclei, swell: float) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """The pixels within `swell` half axes of each cell: flat index [m], which cell [m], how many half axes away [m]."""
    reach_um, half_um = swell * float(np.max(cells.along_um, initial=0.0)), scene.field_um / 2
    seen = np.flatnonzero(np.maximum(abs(cells.x - half_um), abs(cells.y - half_um)) < half_um + reach_um)
    centre_x, centre_y, half_along, half_across, angle = (
        values[seen][:, None, None] for values in (cells.x, cells.y, cells.along_um, cells.across_um, cells.angle)
    )
    reach_px = ceil(reach_um / scene.um_per_px) + 1
    steps = np.arange(-reach_px, reach_px + 1)
    column = np.floor(centre_x / scene.um_per_px).astype(int) + steps[None, None, :]
    row = np.floor(centre_y / scene.um_per_px).astype(int) + steps[None, :, None]
    x = ((column + 0.5) * scene.um_per_px - centre_x).astype(np.float32)
    y = ((row + 0.5) * scene.um_per_px - centre_y).astype(np.float32)
    along = (x * np.cos(angle) + y * np.sin(angle)) / half_along
    across = (y * np.cos(angle) - x * np.sin(angle)) / half_across
    away = along**2 + across**2
    in_field = (row >= 0) & (row < scene.side_px) & (column >= 0) & (column < scene.side_px)
    near = in_field & (away < swell**2)
    which = np.repeat(seen, near.sum(axis=(1, 2))).astype(np.int64)
    return (row * scene.side_px + column)[near], which, np.sqrt(away[near])


def stain_nuclei(scene: Scene, nuclei: Nuclei, wobble: float = 0.06, vesicular: float = 0.3) -> None:
    """Paint nuclei; `wobble` roughens the outline, `vesicular` (0 to 1) clears the middle and leaves rim and clumps."""
    pixel, which, radius = _stamp(scene, nuclei, 1.3)
    radius = radius * (1 + wobble * scene.outline_noise.ravel()[pixel])
    cover = ramp((1 - radius) * nuclei.across_um[which], 0.5 * np.minimum(nuclei.across_um, 2.0)[which])
    chromatin = 1 - vesicular * (0.75 * np.exp(-((radius / 0.65) ** 4)) - 0.45 * scene.chromatin_noise.ravel()[pixel])
    covered = np.zeros_like(scene.eosin)
    np.maximum.at(covered.ravel(), pixel, cover)
    np.maximum.at(scene.haematoxylin.ravel(), pixel, cover * nuclei.density[which] * chromatin)
    scene.eosin *= 1 - 0.55 * covered


def stain_cytoplasm(scene: Scene, cells: Nuclei, haematoxylin: float, eosin: float) -> Array:
    """Paint the bodies of loose cells around their nuclei; returns their cover [side, side]."""
    pixel, which, radius = _stamp(scene, cells, 2.2)
    covered = np.zeros_like(scene.eosin)
    np.maximum.at(covered.ravel(), pixel, ramp((1.8 - radius) * cells.across_um[which], 1.2))
    scene.paint(np.s_[:, :], 0.85 * covered, haematoxylin, eosin)
    return covered


def stroma(scene: Scene, density: float, wave_um: float, looseness: float) -> Array:
    """Fill the field with wavy collagen; returns the fibres' direction [side, side] in radians.

    `density` is the eosin of the fibres, `wave_um` how far they swing, `looseness` (0 to 1) how much is pale.
    """
    heading = scene.rng.uniform(0, pi)
    across = cos(heading) * scene.axis_um[:, None] - sin(heading) * scene.axis_um[None, :]
    across = across + wave_um * scene.noise(40.0)
    fray, pale = scene.noise(9.0), scene.noise(24.0)
    bands = np.zeros_like(across)
    for length_um, height, shift in ((19.0, 0.5, 0.9), (9.0, 0.5, -1.3), (4.9, 0.45, 1.9), (2.7, 0.35, -2.6)):
        bands += height * np.sin(across * (2 * pi / length_um) + shift * fray + scene.rng.uniform(0, 6.3))
    body = 1 / (1 + np.exp(-1.5 * bands - 1.1 * pale - 2.6 * (1 - 2 * looseness)))
    scene.eosin[:] = density * (0.3 + 0.7 * body)
    scene.haematoxylin[:] = 0.05 + 0.05 * body
    slope_y, slope_x = np.gradient(across)
    return np.asarray(np.arctan2(slope_y, slope_x) + pi / 2)


def fat(scene: Scene, fraction: float) -> None:
    """Cover about `fraction` of the field with fat: white cells of some 50 micrometres in thin pink walls."""
    size = 50.0
    count = ceil(scene.field_um / size) + 3
    corner = np.indices((count, count)).transpose(1, 2, 0) - 1
    centres = (corner + scene.rng.uniform(0.15, 0.85, (count, count, 2))) * size  # (y, x) of each cell
    region = scene.look_up(scene.noise(70.0), centres[..., 1], centres[..., 0])
    is_fat = region > np.quantile(region, 1 - fraction)
    warp_x, warp_y = 3 * scene.noise(25.0), 3 * scene.noise(25.0)
    nearest, second = np.full((2, scene.side_px, scene.side_px), np.float32(4 * size))
    inside = np.zeros_like(scene.eosin)
    for (centre_y, centre_x), fatty in zip(centres.reshape(-1, 2).tolist(), is_fat.ravel()):
        place, x, y = scene.window(centre_x, centre_y, 1.8 * size)
        away = np.hypot(x + warp_x[place] - centre_x, y + warp_y[place] - centre_y)
        inside[place][away < nearest[place]] = fatty
        second[place] = np.minimum(second[place], np.maximum(nearest[place], away))
        nearest[place] = np.minimum(nearest[place], away)
    wall = ramp(1.8 - (second - nearest) / 2, 0.9)
    scene.paint(np.s_[:, :], inside, 0.04 * wall, 0.5 * wall)

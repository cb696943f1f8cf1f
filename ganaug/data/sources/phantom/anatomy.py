"""What the phantom's tissue looks like: the ground that every field shows, and one function for each class.

Each class is drawn as a pathologist would describe it, with the look-alikes that make the work hard: benign glands
pressed to cords, hyperplastic ducts full of regular cells, low-grade ducts with an open middle, tumour in tubules.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, exp, hypot

import numpy as np

from ganaug.data.sources.phantom.tissue import (
    Array,
    Nuclei,
    Outline,
    Scene,
    fat,
    ramp,
    stain_cytoplasm,
    stain_nuclei,
    stroma,
)


@dataclass(frozen=True)
class Habits:
    """How one patient's tissue grows."""

    nuclear_scale: float  # size of every nucleus, relative
    grade: float  # 0 to 1, how far the epithelium departs from the ordinary of its class
    collagen: float  # eosin of the stroma
    looseness: float  # 0 to 1, pale ground between the fibres
    wave_um: float  # how far the fibres swing
    fat: float  # the share of fields that show fat
    lymphocytes: float  # in a field of 128 by 128 micrometres, on average


def paint_tissue(scene: Scene, habits: Habits, class_name: str) -> None:
    """Fill a scene: stroma with its spindle nuclei, at times fat, lymphocytes, and what the class is made of."""
    rng = scene.rng
    looseness = float(np.clip(habits.looseness + rng.normal(0, 0.12), 0, 1))
    direction = stroma(scene, habits.collagen * exp(rng.normal(0, 0.1)), habits.wave_um, looseness)
    x, y = rng.uniform(0, scene.field_um, (2, rng.poisson(rng.uniform(6, 22) * _fields(scene))))
    slant = scene.look_up(direction, x, y) + rng.normal(0, 0.15, len(x))
    spindles = _nuclei(rng, x, y, 2.9 * habits.nuclear_scale, spread=0.18, ratio=2.8, angle=slant, density=1.35)
    stain_nuclei(scene, spindles, vesicular=0.1)
    if rng.random() < habits.fat:
        fat(scene, rng.uniform(0.1, 0.5))
    _lymphocytes(scene, habits)
    CLASS_BRUSHES[class_name](scene, habits)


def _fields(scene: Scene) -> float:
    """The area in units of the usual field, 128 by 128 micrometres."""
    return (scene.field_um / 128) ** 2


def _middle(scene: Scene, reach_um: float) -> tuple[float, float]:
    """A place near enough to the middle of the field that what lies around it is seen."""
    away = min(reach_um, 0.3 * scene.field_um)
    x, y = 0.5 * scene.field_um + scene.rng.uniform(-away, away, 2)
    return float(x), float(y)


def _nuclei(
    rng: np.random.Generator,
    x: Array,
    y: Array,
    radius_um: float,
    *,
    spread: float,
    ratio: float,
    angle: Array,
    density: float,
) -> Nuclei:
    """Nuclei at the given places: `spread` is the relative scatter of size, `ratio` the mean of long to short axis."""
    radius = radius_um * np.exp(rng.normal(0, spread, len(x)))
    stretch = np.sqrt(np.maximum(ratio * np.exp(rng.normal(0, 0.6 * spread, len(x))), 1.0))
    darkness = density * np.exp(rng.normal(0, 0.10 + 0.4 * spread, len(x)))
    columns = (x, y, radius * stretch, radius / stretch, angle, darkness)
    return Nuclei(*(column.astype(np.float32) for column in columns))


def _lymphocytes(scene: Scene, habits: Habits) -> None:
    rng = scene.rng
    place = np.array(_middle(scene, 0.5 * scene.field_um))[:, None]
    x, y = place + rng.normal(0, 0.25 * scene.field_um, (2, rng.poisson(habits.lymphocytes * _fields(scene))))
    angle = rng.uniform(0, np.pi, len(x))
    cells = _nuclei(rng, x, y, 2.9, spread=0.07, ratio=1.05, angle=angle, density=1.9)
    stain_nuclei(scene, cells, vesicular=0.15)


def _epithelium(scene: Scene, nuclei: Nuclei, wobble: float, vesicular: float) -> None:
    stain_nuclei(scene, nuclei, wobble, vesicular)
    scene.deciding_nuclei.append(nuclei)


# ---- glands: nuclei in rings around a lumen ----


def _glands(scene: Scene, outlines: list[Outline], radius_um: float, spread: float, two_rows: float) -> None:
    """Glands with an open lumen in cytoplasm with one row of nuclei, or two with the given probability."""
    rng = scene.rng
    rings = []
    for outline in outlines:
        rows = 1 + (rng.random() < two_rows)
        wall_um = min(2.0 + 3.1 * rows * radius_um, 0.8 * outline.across_um)
        place, x, y = scene.window(outline.x, outline.y, outline.reach_um)
        depth = outline.depth(x, y)
        scene.paint(place, ramp(depth), 0.22, 0.30)
        scene.paint(place, ramp(depth - wall_um), 0.0, 0.05 * rng.random())
        scene.mask[place] |= depth > 0
        depths = np.minimum(2.5 + radius_um * (1.2 + 2.4 * np.arange(rows)), 0.7 * outline.across_um)
        rings += [outline.ring(2.3 * radius_um, below) for below in depths]
    x, y, border = np.concatenate(rings, axis=1)
    x, y = np.stack([x, y]) + rng.normal(0, 0.5, (2, len(x)))
    outwards = border + np.pi / 2 + rng.normal(0, 0.2, len(x))
    nuclei = _nuclei(rng, x, y, radius_um, spread=spread, ratio=1.35, angle=outwards, density=1.35)
    _epithelium(scene, nuclei, wobble=0.05, vesicular=0.35)


def _myoepithelium(scene: Scene, outlines: list[Outline], spacing_um: float, depth_um: float) -> None:
    """The flat dark nuclei that line the borders of glands and ducts, here and there one missing."""
    rng = scene.rng
    x, y, border = np.concatenate([outline.ring(spacing_um, depth_um) for outline in outlines], axis=1)
    seen = rng.random(len(x)) < 0.7
    x, y = np.stack([x, y])[:, seen] + rng.normal(0, 0.5, (2, seen.sum()))
    nuclei = _nuclei(rng, x, y, 2.0, spread=0.2, ratio=3.2, angle=border[seen], density=1.4)
    stain_nuclei(scene, nuclei, vesicular=0.1)


def _lobes(rng: np.random.Generator, height: float) -> tuple[float, float, float]:
    return rng.normal(0, height), rng.normal(0, height), rng.normal(0, height)


def _normal(scene: Scene, habits: Habits) -> None:
    """Round acini in lobules, or a small duct; one row of small regular nuclei, open lumen, much stroma."""
    rng = scene.rng
    sizes = np.exp(rng.normal(np.log(18), 0.22, ceil((6 + 14 * habits.grade) * _fields(scene)) + 1))
    if rng.random() < 0.25:
        sizes[0] = rng.uniform(24, 38)
    acini = scene.scatter(sizes, 4.0, _middle(scene, 40.0))
    outlines = []
    for x, y, size in acini:
        away = hypot(x - acini[0][0], y - acini[0][1]) % 260  # lobules recur every 260 um around the first one
        if 70 < away < 220:
            continue
        along, angle, phase = size * rng.uniform(1.0, 1.3), rng.uniform(0, np.pi), rng.uniform(0, 6.3)
        outlines.append(Outline(x, y, along, size, angle, rng.normal(0, 0.08), _lobes(rng, 0.05), phase))
    _glands(scene, outlines, 3.1 * habits.nuclear_scale * (1 + 0.12 * habits.grade), 0.11, two_rows=0.1)
    _myoepithelium(scene, outlines, 9.0, 0.8)


def _benign(scene: Scene, habits: Habits) -> None:
    """More and larger irregular glands, open or pressed to slits and cords; nuclei regular, slightly bigger.

    At times a duct is full, as in usual hyperplasia; then its border is lobed and its nuclei are small.
    """
    rng = scene.rng
    radius = 3.25 * habits.nuclear_scale * (1 + 0.25 * habits.grade)
    pressed = float(np.clip(habits.grade + rng.normal(0, 0.3), 0, 1))
    sizes = np.exp(rng.normal(np.log(24 - 5 * pressed), 0.25, ceil(rng.uniform(6, 24) * _fields(scene)) + 1))
    full = rng.random() < 0.25
    if full:
        sizes[0] = rng.uniform(24, 42)
    discs = scene.scatter(sizes, 3.0 - 8.0 * pressed, _middle(scene, 40.0))
    drift = rng.uniform(0, np.pi)
    outlines = []
    for x, y, size in discs:
        across = size * (1 - 0.68 * pressed * rng.uniform(0.7, 1.0))
        along, bend = size * rng.uniform(1.0, 1.3 + 0.4 * pressed), rng.normal(0, 0.1 + 0.25 * pressed)
        angle, phase = drift + rng.normal(0, 0.5), rng.uniform(0, 6.3)
        outlines.append(Outline(x, y, along, across, angle, bend, _lobes(rng, 0.09), phase))
    if full:
        x, y, size = discs[0]
        duct = Outline(x, y, 1.15 * size, size, drift, 0.0, _lobes(rng, 0.07), rng.uniform(0, 6.3))
        _filled_duct(scene, duct, radius, 0.13, "cribriform" if rng.random() < 0.6 else "solid")
        outlines = outlines[1:] or [duct]
    _glands(scene, outlines, radius, 0.13, two_rows=0.4)
    _myoepithelium(scene, outlines, 9.0, 0.8)


# ---- ducts full of cells ----


def _in_situ(scene: Scene, habits: Habits) -> None:
    """Expanded ducts filled by uneven nuclei: solid, sieve-like, clinging or dead in the middle; the border whole."""
    rng = scene.rng
    grade = float(np.clip(habits.grade + rng.normal(0, 0.15), 0, 1))
    radius = 3.4 * habits.nuclear_scale * (1 + 0.4 * grade)
    sizes = rng.uniform(26, 72, ceil(4 * _fields(scene)) + 2)
    patterns = ["solid", "cribriform", "clinging", "comedo"]
    for x, y, size in scene.scatter(sizes, 8.0, _middle(scene, 0.7 * sizes[0])):
        angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 6.3)
        duct = Outline(x, y, size * rng.uniform(1.0, 1.25), size, angle, 0.0, _lobes(rng, 0.025), phase)
        pattern = rng.choice(patterns, p=[0.35, 0.3 - 0.15 * grade, 0.3 - 0.2 * grade, 0.05 + 0.35 * grade])
        _filled_duct(scene, duct, radius, 0.13 + 0.12 * grade, pattern)


def _filled_duct(scene: Scene, duct: Outline, radius_um: float, spread: float, pattern: str) -> None:
    rng = scene.rng
    place, x, y = scene.window(duct.x, duct.y, duct.reach_um)
    depth = duct.depth(x, y)
    scene.paint(place, ramp(depth + 2.5) - ramp(depth), 0.03, 0.55)  # the basement membrane
    scene.paint(place, ramp(depth), 0.25, 0.42)
    scene.mask[place] |= depth > 0

    living_um = duct.across_um * {"comedo": 0.5, "clinging": 0.4}.get(pattern, np.inf)
    if pattern == "clinging":
        scene.paint(place, ramp(depth - living_um), 0.0, 0.08)
    elif pattern == "comedo":
        debris = 0.75 + 0.2 * scene.noise(4.0)[place]
        scene.paint(place, ramp(depth - living_um + 2 * scene.noise(7.0)[place], 2.5), 0.15, debris)
        _dust(scene, duct)
    holes = _holes(rng, duct) if pattern == "cribriform" else []
    for hole in holes:
        spot, u, v = scene.window(hole.x, hole.y, hole.reach_um)
        scene.paint(spot, ramp(hole.depth(u, v)), 0.0, 0.08)

    u, v = _honeycomb(rng, duct.x, duct.y, duct.reach_um, 2.35 * radius_um)
    deep = duct.depth(u, v)
    alive = (deep > 0.9 * radius_um) & (deep < living_um)
    for hole in holes:
        alive &= hole.depth(u, v) < -0.6 * radius_um
    u, v = u[alive], v[alive]
    angle = rng.uniform(0, np.pi, len(u))
    nuclei = _nuclei(rng, u, v, radius_um, spread=spread, ratio=1.25, angle=angle, density=1.35)
    _epithelium(scene, nuclei, wobble=0.09, vesicular=0.5)
    _myoepithelium(scene, [duct], 11.0, -0.6)


def _dust(scene: Scene, duct: Outline) -> None:
    """The dark specks of nuclei that fell apart in the middle of a duct."""
    rng = scene.rng
    away_x, away_y = duct.across_um * rng.normal(0, 0.22, (2, int(duct.across_um)))
    angle = rng.uniform(0, np.pi, len(away_x))
    specks = _nuclei(rng, duct.x + away_x, duct.y + away_y, 1.2, spread=0.3, ratio=1.2, angle=angle, density=1.5)
    stain_nuclei(scene, specks)


def _holes(rng: np.random.Generator, duct: Outline) -> list[Outline]:
    """The punched-out spaces of a sieve-like duct."""
    x, y = np.array([[duct.x], [duct.y]]) + duct.along_um * rng.uniform(-1, 1, (2, 12))
    fits = duct.depth(x, y) > 15
    places = np.stack([x, y, rng.uniform(4.5, 10, 12)], axis=1)[fits].tolist()
    return [Outline(u, v, 1.15 * size, size, lobes=(0.0, 0.05, 0.03)) for u, v, size in places]


def _honeycomb(rng: np.random.Generator, x: float, y: float, reach_um: float, spacing_um: float) -> tuple[Array, Array]:
    """Cell places about `spacing_um` apart around a point, in shaken rows."""
    count = ceil(2 * reach_um / spacing_um) + 1
    row, column = np.indices((count, count)).reshape(2, -1) * spacing_um - reach_um
    column = column + (np.arange(count) % 2).repeat(count) * spacing_um / 2
    shake = rng.normal(0, 0.14 * spacing_um, (2, count * count))
    return x + column + shake[0], y + row + shake[1]


# ---- cells without a border ----


def _invasive(scene: Scene, habits: Habits) -> None:
    """No whole border: cords, ragged nests and single cells with large dark uneven nuclei among the fibres.

    A low grade also forms angular tubules, which lack the myoepithelium of a gland.
    """
    rng = scene.rng
    grade = float(np.clip(habits.grade + rng.normal(0, 0.15), 0, 1))
    radius, spread = 3.6 * habits.nuclear_scale * (1 + 0.45 * grade), 0.15 + 0.15 * grade
    drift = rng.uniform(0, np.pi)
    if rng.random() < 0.7 - 0.5 * grade:
        tubules = []
        for x, y, size in scene.scatter(rng.uniform(12, 24, ceil(5 * _fields(scene)) + 1), 4.0, _middle(scene, 40.0)):
            along, phase = size * rng.uniform(1.0, 1.5), rng.uniform(0, 6.3)
            tubules.append(Outline(x, y, along, 0.8 * size, drift, 0.0, _lobes(rng, 0.16), phase))
        _glands(scene, tubules, 0.95 * radius, spread, two_rows=0.0)
    clumps = [_nest(rng, *_middle(scene, 40.0), radius, drift)]
    for _ in range(rng.poisson(rng.uniform(2, 10) * _fields(scene))):
        grow = _nest if rng.random() < 0.2 + 0.5 * grade else _cord
        u, v = rng.uniform(-10, scene.field_um + 10, 2)
        clumps.append(grow(rng, u, v, radius, drift))
    strays = rng.uniform(0, scene.field_um, (2, rng.poisson(6 * _fields(scene))))
    x, y = np.concatenate([*clumps, strays], axis=1)
    angle = drift + rng.normal(0, 0.7, len(x))
    nuclei = _nuclei(rng, x, y, radius, spread=spread, ratio=1.35, angle=angle, density=1.5)
    scene.mask |= stain_cytoplasm(scene, nuclei, 0.24, 0.42) > 0.5
    _epithelium(scene, nuclei, wobble=0.13, vesicular=0.4)


def _nest(rng: np.random.Generator, x: float, y: float, radius_um: float, drift: float) -> Array:
    """Cell places [2,n] of a ragged clump."""
    u, v = _honeycomb(rng, x, y, 36.0, 2.5 * radius_um)
    along, across, bend = rng.uniform(12, 28), rng.uniform(8, 18), rng.normal(0, 0.3)
    clump = Outline(x, y, along, across, drift, bend, _lobes(rng, 0.18), rng.uniform(0, 6.3))
    return np.stack([u, v])[:, clump.depth(u, v) > 0]


def _cord(rng: np.random.Generator, x: float, y: float, radius_um: float, drift: float) -> Array:
    """Cell places [2,n] in single file along a wandering path."""
    heading = drift + rng.normal(0, 0.35) + np.cumsum(rng.normal(0, 0.22, rng.integers(4, 11)))
    steps = 2.5 * radius_um * np.stack([np.cos(heading), np.sin(heading)])
    return np.array([[x], [y]]) + np.cumsum(steps, axis=1) + rng.normal(0, 0.5, steps.shape)


CLASS_BRUSHES: dict[str, Callable[[Scene, Habits], None]] = {
    "Benign": _benign,
    "InSitu": _in_situ,
    "Invasive": _invasive,
    "Normal": _normal,
}

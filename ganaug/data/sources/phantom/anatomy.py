"""The phantom's tissue, class by class: the ground that every field shows, and one function for each class.

Each class is drawn as a pathologist would describe it, with the look-alikes that make the work hard: benign glands
pressed to cords, hyperplastic ducts full of regular cells, low-grade ducts with an open middle, tumour in tubules.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, exp, hypot

import numpy as np

from ganaug.data.sources.phantom.structures import (
    area_in_fields,
    draw_lobes,
    nuclei_at,
    paint_epithelium,
    paint_filled_duct,
    paint_glands,
    paint_myoepithelium,
    place_near_middle,
    shake_honeycomb,
)
from ganaug.data.sources.phantom.tissue import (
    Array,
    Outline,
    Scene,
    fat,
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
    fat: float  # the fraction of fields that show fat
    lymphocytes: float  # in a field of 128 by 128 micrometres, on average


def paint_tissue(scene: Scene, habits: Habits, class_name: str) -> None:
    """Fill a scene: stroma with its spindle nuclei, at times fat, lymphocytes, and what the class is made of."""
    rng = scene.rng
    looseness = float(np.clip(habits.looseness + rng.normal(0, 0.12), 0, 1))
    direction = stroma(scene, habits.collagen * exp(rng.normal(0, 0.1)), habits.wave_um, looseness)
    x, y = rng.uniform(0, scene.field_um, (2, rng.poisson(rng.uniform(6, 22) * area_in_fields(scene))))
    slant = scene.look_up(direction, x, y) + rng.normal(0, 0.15, len(x))
    spindles = nuclei_at(rng, x, y, 2.9 * habits.nuclear_scale, spread=0.18, ratio=2.8, angle=slant, density=1.35)
    stain_nuclei(scene, spindles, vesicular=0.1)
    if rng.random() < habits.fat:
        fat(scene, rng.uniform(0.1, 0.5))
    _lymphocytes(scene, habits)
    CLASS_BRUSHES[class_name](scene, habits)


def _lymphocytes(scene: Scene, habits: Habits) -> None:
    rng = scene.rng
    place = np.array(place_near_middle(scene, 0.5 * scene.field_um))[:, None]
    x, y = place + rng.normal(0, 0.25 * scene.field_um, (2, rng.poisson(habits.lymphocytes * area_in_fields(scene))))
    angle = rng.uniform(0, np.pi, len(x))
    cells = nuclei_at(rng, x, y, 2.9, spread=0.07, ratio=1.05, angle=angle, density=1.9)
    stain_nuclei(scene, cells, vesicular=0.15)


# ---- the classes ----


def _normal(scene: Scene, habits: Habits) -> None:
    """Round acini in lobules, or a small duct; one row of small regular nuclei, open lumen, much stroma."""
    rng = scene.rng
    sizes = np.exp(rng.normal(np.log(18), 0.22, ceil((6 + 14 * habits.grade) * area_in_fields(scene)) + 1))
    if rng.random() < 0.25:
        sizes[0] = rng.uniform(24, 38)
    acini = scene.scatter(sizes, 4.0, place_near_middle(scene, 40.0))
    outlines = []
    for x, y, size in acini:
        away = hypot(x - acini[0][0], y - acini[0][1]) % 260  # lobules recur every 260 um around the first one
        if 70 < away < 220:
            continue
        along, angle, phase = size * rng.uniform(1.0, 1.3), rng.uniform(0, np.pi), rng.uniform(0, 6.3)
        outlines.append(Outline(x, y, along, size, angle, rng.normal(0, 0.08), draw_lobes(rng, 0.05), phase))
    paint_glands(scene, outlines, 3.1 * habits.nuclear_scale * (1 + 0.12 * habits.grade), 0.11, two_rows=0.1)
    paint_myoepithelium(scene, outlines, 9.0, 0.8)


def _benign(scene: Scene, habits: Habits) -> None:
    """More and larger irregular glands, open or pressed to slits and cords; nuclei regular, slightly bigger.

    At times a duct is full, as in usual hyperplasia; then its border is lobed and its nuclei are small.
    """
    rng = scene.rng
    radius = 3.25 * habits.nuclear_scale * (1 + 0.25 * habits.grade)
    pressed = float(np.clip(habits.grade + rng.normal(0, 0.3), 0, 1))
    sizes = np.exp(rng.normal(np.log(24 - 5 * pressed), 0.25, ceil(rng.uniform(6, 24) * area_in_fields(scene)) + 1))
    full = rng.random() < 0.25
    if full:
        sizes[0] = rng.uniform(24, 42)
    discs = scene.scatter(sizes, 3.0 - 8.0 * pressed, place_near_middle(scene, 40.0))
    drift = rng.uniform(0, np.pi)
    outlines = []
    for x, y, size in discs:
        across = size * (1 - 0.68 * pressed * rng.uniform(0.7, 1.0))
        along, bend = size * rng.uniform(1.0, 1.3 + 0.4 * pressed), rng.normal(0, 0.1 + 0.25 * pressed)
        angle, phase = drift + rng.normal(0, 0.5), rng.uniform(0, 6.3)
        outlines.append(Outline(x, y, along, across, angle, bend, draw_lobes(rng, 0.09), phase))
    if full:
        x, y, size = discs[0]
        duct = Outline(x, y, 1.15 * size, size, drift, 0.0, draw_lobes(rng, 0.07), rng.uniform(0, 6.3))
        paint_filled_duct(scene, duct, radius, 0.13, "cribriform" if rng.random() < 0.6 else "solid")
        outlines = outlines[1:] or [duct]
    paint_glands(scene, outlines, radius, 0.13, two_rows=0.4)
    paint_myoepithelium(scene, outlines, 9.0, 0.8)


def _in_situ(scene: Scene, habits: Habits) -> None:
    """Expanded ducts filled by uneven nuclei: solid, sieve-like, clinging or dead in the middle; the border whole."""
    rng = scene.rng
    grade = float(np.clip(habits.grade + rng.normal(0, 0.15), 0, 1))
    radius = 3.4 * habits.nuclear_scale * (1 + 0.4 * grade)
    sizes = rng.uniform(26, 72, ceil(4 * area_in_fields(scene)) + 2)
    patterns = ["solid", "cribriform", "clinging", "comedo"]
    for x, y, size in scene.scatter(sizes, 8.0, place_near_middle(scene, 0.7 * sizes[0])):
        angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 6.3)
        duct = Outline(x, y, size * rng.uniform(1.0, 1.25), size, angle, 0.0, draw_lobes(rng, 0.025), phase)
        pattern = rng.choice(patterns, p=[0.35, 0.3 - 0.15 * grade, 0.3 - 0.2 * grade, 0.05 + 0.35 * grade])
        paint_filled_duct(scene, duct, radius, 0.13 + 0.12 * grade, pattern)


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
        for x, y, size in scene.scatter(
            rng.uniform(12, 24, ceil(5 * area_in_fields(scene)) + 1), 4.0, place_near_middle(scene, 40.0)
        ):
            along, phase = size * rng.uniform(1.0, 1.5), rng.uniform(0, 6.3)
            tubules.append(Outline(x, y, along, 0.8 * size, drift, 0.0, draw_lobes(rng, 0.16), phase))
        paint_glands(scene, tubules, 0.95 * radius, spread, two_rows=0.0)
    clumps = [_nest(rng, *place_near_middle(scene, 40.0), radius, drift)]
    for _ in range(rng.poisson(rng.uniform(2, 10) * area_in_fields(scene))):
        grow = _nest if rng.random() < 0.2 + 0.5 * grade else _cord
        u, v = rng.uniform(-10, scene.field_um + 10, 2)
        clumps.append(grow(rng, u, v, radius, drift))
    strays = rng.uniform(0, scene.field_um, (2, rng.poisson(6 * area_in_fields(scene))))
    x, y = np.concatenate([*clumps, strays], axis=1)
    angle = drift + rng.normal(0, 0.7, len(x))
    nuclei = nuclei_at(rng, x, y, radius, spread=spread, ratio=1.35, angle=angle, density=1.5)
    scene.mask |= stain_cytoplasm(scene, nuclei, 0.24, 0.42) > 0.5
    paint_epithelium(scene, nuclei, wobble=0.13, vesicular=0.4)


def _nest(rng: np.random.Generator, x: float, y: float, radius_um: float, drift: float) -> Array:
    """Cell places [2,n] of a ragged clump."""
    u, v = shake_honeycomb(rng, x, y, 36.0, 2.5 * radius_um)
    along, across, bend = rng.uniform(12, 28), rng.uniform(8, 18), rng.normal(0, 0.3)
    clump = Outline(x, y, along, across, drift, bend, draw_lobes(rng, 0.18), rng.uniform(0, 6.3))
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

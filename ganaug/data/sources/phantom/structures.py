"""The structures of the phantom's tissue: nuclei at places, glands around a lumen, and ducts full of cells."""

from math import ceil

import numpy as np

from ganaug.data.sources.phantom.tissue import Array, Nuclei, Outline, Scene, ramp, stain_nuclei


def area_in_fields(scene: Scene) -> float:
    """The area in units of the usual field, 128 by 128 micrometres."""
    return (scene.field_um / 128) ** 2


def place_near_middle(scene: Scene, reach_um: float) -> tuple[float, float]:
    """A place near enough to the middle of the field that what lies around it is seen."""
    away = min(reach_um, 0.3 * scene.field_um)
    x, y = 0.5 * scene.field_um + scene.rng.uniform(-away, away, 2)
    return float(x), float(y)


def nuclei_at(
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


def paint_epithelium(scene: Scene, nuclei: Nuclei, wobble: float, vesicular: float) -> None:
    stain_nuclei(scene, nuclei, wobble, vesicular)
    scene.deciding_nuclei.append(nuclei)


# ---- glands: nuclei in rings around a lumen ----


def paint_glands(scene: Scene, outlines: list[Outline], radius_um: float, spread: float, two_rows: float) -> None:
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
    nuclei = nuclei_at(rng, x, y, radius_um, spread=spread, ratio=1.35, angle=outwards, density=1.35)
    paint_epithelium(scene, nuclei, wobble=0.05, vesicular=0.35)


def paint_myoepithelium(scene: Scene, outlines: list[Outline], spacing_um: float, depth_um: float) -> None:
    """The flat dark nuclei that line the borders of glands and ducts, here and there one missing."""
    rng = scene.rng
    x, y, border = np.concatenate([outline.ring(spacing_um, depth_um) for outline in outlines], axis=1)
    seen = rng.random(len(x)) < 0.7
    x, y = np.stack([x, y])[:, seen] + rng.normal(0, 0.5, (2, seen.sum()))
    nuclei = nuclei_at(rng, x, y, 2.0, spread=0.2, ratio=3.2, angle=border[seen], density=1.4)
    stain_nuclei(scene, nuclei, vesicular=0.1)


def draw_lobes(rng: np.random.Generator, height: float) -> tuple[float, float, float]:
    return rng.normal(0, height), rng.normal(0, height), rng.normal(0, height)


# ---- ducts full of cells ----


def paint_filled_duct(scene: Scene, duct: Outline, radius_um: float, spread: float, pattern: str) -> None:
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
        _paint_dust(scene, duct)
    holes = _draw_holes(rng, duct) if pattern == "cribriform" else []
    for hole in holes:
        spot, u, v = scene.window(hole.x, hole.y, hole.reach_um)
        scene.paint(spot, ramp(hole.depth(u, v)), 0.0, 0.08)

    u, v = shake_honeycomb(rng, duct.x, duct.y, duct.reach_um, 2.35 * radius_um)
    deep = duct.depth(u, v)
    alive = (deep > 0.9 * radius_um) & (deep < living_um)
    for hole in holes:
        alive &= hole.depth(u, v) < -0.6 * radius_um
    u, v = u[alive], v[alive]
    angle = rng.uniform(0, np.pi, len(u))
    nuclei = nuclei_at(rng, u, v, radius_um, spread=spread, ratio=1.25, angle=angle, density=1.35)
    paint_epithelium(scene, nuclei, wobble=0.09, vesicular=0.5)
    paint_myoepithelium(scene, [duct], 11.0, -0.6)


def _paint_dust(scene: Scene, duct: Outline) -> None:
    """The dark specks of nuclei that fell apart in the middle of a duct."""
    rng = scene.rng
    away_x, away_y = duct.across_um * rng.normal(0, 0.22, (2, int(duct.across_um)))
    angle = rng.uniform(0, np.pi, len(away_x))
    specks = nuclei_at(rng, duct.x + away_x, duct.y + away_y, 1.2, spread=0.3, ratio=1.2, angle=angle, density=1.5)
    stain_nuclei(scene, specks)


def _draw_holes(rng: np.random.Generator, duct: Outline) -> list[Outline]:
    """The punched-out spaces of a sieve-like duct."""
    x, y = np.array([[duct.x], [duct.y]]) + duct.along_um * rng.uniform(-1, 1, (2, 12))
    fits = duct.depth(x, y) > 15
    places = np.stack([x, y, rng.uniform(4.5, 10, 12)], axis=1)[fits].tolist()
    return [Outline(u, v, 1.15 * size, size, lobes=(0.0, 0.05, 0.03)) for u, v, size in places]


def shake_honeycomb(
    rng: np.random.Generator, x: float, y: float, reach_um: float, spacing_um: float
) -> tuple[Array, Array]:
    """Cell places about `spacing_um` apart around a point, in shaken rows."""
    count = ceil(2 * reach_um / spacing_um) + 1
    row, column = np.indices((count, count)).reshape(2, -1) * spacing_um - reach_um
    column = column + (np.arange(count) % 2).repeat(count) * spacing_um / 2
    shake = rng.normal(0, 0.14 * spacing_um, (2, count * count))
    return x + column + shake[0], y + row + shake[1]

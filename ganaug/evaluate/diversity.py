"""LPIPS diversity: the mean distance of two images of a class, of synthetic and of real images."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ganaug.config import CPU, Compute
from ganaug.errors import WeightsError
from ganaug.evaluate.comparison.jackknife import NUM_BLOCKS, jackknife_interval
from ganaug.evaluate.comparison.scopes import number_patients
from ganaug.evaluate.judged import Chapter, ImageSet, Judged
from ganaug.evaluate.scores import ALL, ImageScore
from ganaug.interval import Interval
from ganaug.weights import find_weights, read_weights, require_digest

METRIC = "LPIPS diversity[alex]"
NUM_PAIRS = 200  # random pairs per class and side
BATCH = 32  # pairs compared at a time
MIN_SIDE_PX = 64  # the network's receptive fields; smaller images are enlarged to it
_LINEAR_SHA256 = "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"  # v0.1/alex.pth, inside lpips

Pixels = NDArray[np.uint8]  # [n,H,W,3]
Distance = Callable[[Pixels, Pixels], NDArray[np.float64]]  # two equally long batches -> [n]


@dataclass(frozen=True)
class Pairs:
    """Distances of random pairs of images of a class."""

    distances: NDArray[np.float64]  # [P]
    blocks: NDArray[np.int64]  # [P,2], the patients of each pair's images; of synthetic ones a random block of images
    sizes: NDArray[np.int64]  # [B], images of each patient or block

    def interval(self) -> Interval:
        """The 95 % interval of the mean, leaving out one patient or block with all pairs that it is in."""
        mean, without = float(self.distances.mean()), []
        for block in range(len(self.sizes)):
            left = self.distances[(self.blocks != block).all(axis=1)]
            without.append(float(left.mean()) if len(left) else np.nan)
        return jackknife_interval(mean, np.array(without), self.sizes, np.zeros(len(self.sizes), np.int64))


def judge_lpips_diversity(judged: Judged, *, compute: Compute = CPU, seed: int = 0) -> Chapter:
    """Per class, the mean LPIPS distance of random pairs of synthetic (`value`) and of training images (`floor`).

    Larger is more diverse; a generator whose `ratio` of the two lies well below 1 repeats itself. The two images of a
    training pair are of different patients: images of one patient resemble each other, and how many such pairs there
    are says how the images were collected. The intervals leave out one patient at a time (`floor`), or one of
    `jackknife.NUM_BLOCKS` random blocks of synthetic images, which are independent (`value`). Without the weights, the
    only score says what is missing.
    """
    try:
        distance = lpips_distance(compute.weights_dir, compute.device)
    except WeightsError as error:
        return Chapter((ImageScore(METRIC, ALL, None, question="diverse", note=error.shared),))
    rng = np.random.default_rng(seed)
    rows = []
    for label, name in enumerate(judged.class_names):
        made, real = judged.synthetic.of_class(label), judged.train.of_class(label)
        blocks = rng.permutation(len(made)) % NUM_BLOCKS
        of_made = draw_pairs(judged.synthetic, made, blocks, distance, rng, across=False)
        patients = number_patients(judged.train.group[real])
        of_real = draw_pairs(judged.train, real, patients, distance, rng, across=True)
        rows.append(_row(name, of_made, of_real, len(real), len(made)))
    return Chapter(tuple(rows))


def _row(name: str, made: Pairs | None, real: Pairs | None, n_real: int, n_synthetic: int) -> ImageScore:
    value, floor = (None if pairs is None else float(pairs.distances.mean()) for pairs in (made, real))
    notes = []
    if made is None:
        notes.append(f"{name}: fewer than 2 synthetic images")
    if real is None:
        notes.append(f"{name}: fewer than 2 training patients, to pair images of")
    ends: list[float | None] = []
    for pairs in (made, real):
        interval = None if pairs is None else pairs.interval()
        is_given = interval is not None and not interval.reason
        ends += [interval.low, interval.high] if interval is not None and is_given else [None, None]
        if interval is not None and interval.reason:
            notes.append(f"{name}, {'synthetic' if pairs is made else 'real'}: {interval.reason}")
    return ImageScore(
        METRIC,
        name,
        value,
        low=ends[0],
        high=ends[1],
        floor=floor,
        floor_low=ends[2],
        floor_high=ends[3],
        ratio=value / floor if value is not None and floor else None,
        n_real=n_real,
        n_synthetic=n_synthetic,
        num_pairs=NUM_PAIRS,
        question="diverse",
        note="; ".join(notes),
    )


def draw_pairs(
    images: ImageSet,
    places: NDArray[np.int64],
    blocks: NDArray[np.int64],
    distance: Distance,
    rng: np.random.Generator,
    *,
    across: bool,
    num_pairs: int = NUM_PAIRS,
) -> Pairs | None:
    """Random pairs of different images at these `places` of the set, [n] in `blocks` [n]; None where there is none.

    across: whether the images of a pair are of different blocks.
    """
    sizes = np.bincount(blocks)
    if len(places) < 2 or (across and len(sizes) < 2):
        return None
    order = np.argsort(blocks, kind="stable")  # of the images of a block, one after the other
    starts, block = np.cumsum(sizes) - sizes, blocks[order]
    first = rng.integers(len(places), size=num_pairs)
    start, skipped = (starts[block[first]], sizes[block[first]]) if across else (first, np.ones(num_pairs, np.int64))
    second = (start + skipped + rng.integers(0, len(places) - skipped)) % len(places)
    at = places[order]
    parts = [
        distance(images.pixels(at[first[begin : begin + BATCH]]), images.pixels(at[second[begin : begin + BATCH]]))
        for begin in range(0, num_pairs, BATCH)
    ]
    return Pairs(np.concatenate(parts), np.stack([block[first], block[second]], axis=1), sizes)


def lpips_distance(weights_dir: Path | None, device: str = "cpu") -> Distance:
    """LPIPS v0.1 on AlexNet, from the published weights and no others.

    Raises WeightsError where they are missing.

    Source: Zhang et al. 2018 (1801.03924), equation 1.
    """
    backbone_path = find_weights(weights_dir, "alexnet")
    import lpips

    linear_path = Path(lpips.__file__).parent / "weights" / "v0.1" / "alex.pth"
    require_digest(linear_path, _LINEAR_SHA256)
    # The package downloads weights that it is not given, and does not detect a wrong file: so it is built without
    # weights, and filled from a complete state under a strict check.
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # it calls torchvision in an old way
        net = lpips.LPIPS(net="alex", version="0.1", pretrained=False, pnet_rand=True, verbose=False)
    net.load_state_dict(_lpips_state(net.state_dict(), read_weights(backbone_path), read_weights(linear_path)))
    net = net.to(device).eval()

    def distance(first: Pixels, second: Pixels) -> NDArray[np.float64]:
        with torch.inference_mode():
            distances: Tensor = net(_as_input(first, device), _as_input(second, device))
        return distances.flatten().double().cpu().numpy()

    return distance


def _lpips_state(blank: dict[str, Tensor], backbone: dict[str, Tensor], linear: dict[str, Tensor]) -> dict[str, Tensor]:
    """The whole state of the network: AlexNet's layers, the linear layers (which it holds twice), the two constants."""
    state = {}
    for name, value in blank.items():
        part, *rest = name.split(".")
        if part == "net":  # net.slice2.3.weight is AlexNet's features.3.weight
            state[name] = backbone[".".join(["features", *rest[1:]])]
        elif part == "lins":  # lins.2.model.1.weight is lin2.model.1.weight
            state[name] = linear[".".join([f"lin{rest[0]}", *rest[1:]])]
        else:
            state[name] = linear[name] if part.startswith("lin") else value
    return state


def _as_input(images: Pixels, device: str) -> Tensor:
    """u8 [n,H,W,3] as float [n,3,H',W'] in [-1,1], enlarged where it is smaller than the network can take."""
    img: Tensor = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    short = min(img.shape[2:])
    if short >= MIN_SIDE_PX:
        return img
    return F.interpolate(img, scale_factor=MIN_SIDE_PX / short, mode="bilinear", align_corners=False)

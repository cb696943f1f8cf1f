"""LPIPS diversity: the mean distance of two images of a class, of synthetic and of real images."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from classifiers.samples import IndexedImages
from ganaug.config import CPU, Compute
from ganaug.errors import WeightsError
from ganaug.evaluate.scores import ALL, ImageScore
from ganaug.weights import find_weights, read_weights, require_digest

METRIC = "LPIPS diversity[alex]"
NUM_PAIRS = 200  # random pairs per class and side
BATCH = 32  # pairs compared at a time
MIN_SIDE_PX = 64  # the network's receptive fields; smaller images are enlarged to it
_LINEAR_SHA256 = "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"  # v0.1/alex.pth, inside lpips

Pixels = NDArray[np.uint8]  # [n,H,W,3]
Distance = Callable[[Pixels, Pixels], NDArray[np.float64]]  # two equally long batches -> [n]


@dataclass(frozen=True)
class Pool:
    """IndexedImages to draw pairs from."""

    images: IndexedImages
    indices: NDArray[np.int64]  # [n], of the images that count


def diversity_scores(
    pools: Mapping[str, tuple[Pool, Pool]], *, compute: Compute = CPU, seed: int = 0
) -> list[ImageScore]:
    """Per class, the mean LPIPS distance of random pairs of synthetic images (`value`) and of real ones (`floor`).

    Larger is more diverse; a generator whose value lies well below the real one repeats itself. `pools` gives the real
    and the synthetic images of each class. Without the weights, the only score says what is missing.
    """
    try:
        distance = lpips_distance(compute.weights_dir, compute.device)
    except WeightsError as error:
        return [ImageScore(METRIC, ALL, None, note=error.shared)]
    rng = np.random.default_rng(seed)
    scores = []
    for name, (real, synthetic) in pools.items():
        value, floor = mean_pairwise(synthetic, distance, rng), mean_pairwise(real, distance, rng)
        score = ImageScore(
            METRIC,
            name,
            value,
            floor=floor,
            n_real=len(real.indices),
            n_synthetic=len(synthetic.indices),
            num_pairs=NUM_PAIRS,
            note=f"{name}: fewer than 2 images on a side" if value is None or floor is None else "",
        )
        scores.append(score)
    return scores


def mean_pairwise(
    pool: Pool, distance: Distance, rng: np.random.Generator, *, num_pairs: int = NUM_PAIRS
) -> float | None:
    """The mean distance over random pairs of different images of the pool; None where it has fewer than two."""
    images, indices = pool.images, pool.indices
    if len(indices) < 2:
        return None
    first = rng.integers(len(indices), size=num_pairs)
    second = (first + rng.integers(1, len(indices), size=num_pairs)) % len(indices)
    parts = [
        distance(images[indices[first[start : start + BATCH]]], images[indices[second[start : start + BATCH]]])
        for start in range(0, num_pairs, BATCH)
    ]
    return float(np.concatenate(parts).mean())


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

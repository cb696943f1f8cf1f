"""LPIPS diversity: how far two images of a class are from each other, for synthetic and for real images."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from classifiers.predict import IndexedImages
from ganaug.errors import WeightsError
from ganaug.weights import find_weights, read_weights, require_digest

METRIC = "LPIPS diversity[alex]"
NUM_PAIRS = 200  # random pairs of a class and side
MIN_SIDE_PX = 64  # the network's receptive fields; smaller images are enlarged to it
_LINEAR_SHA256 = "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"  # v0.1/alex.pth, inside lpips

Pool = tuple[IndexedImages, np.ndarray]  # images, and the positions i64 [n] of those that count
Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]  # u8 [n,H,W,3] twice -> f64 [n]


def diversity_rows(
    pools: Mapping[str, tuple[Pool, Pool]], *, weights_dir: Path | None, device: str, seed: int
) -> list[dict[str, Any]]:
    """A row for each class: the mean LPIPS distance of random pairs, synthetic (`value`) and real (`real_value`).

    Larger is more diverse; a generator whose value lies well below the real one repeats itself. `pools` gives the real
    and the synthetic images of each class. Without the weights, one row says what is missing.
    """
    try:
        distance = lpips_distance(weights_dir, device)
    except WeightsError as error:
        return [{"metric": METRIC, "class": "all", "value": None, "real_value": None, "note": error.shared}]
    rng = np.random.default_rng(seed)
    rows = []
    for name, (real, fake) in pools.items():
        row = {"metric": METRIC, "class": name, "n_real": len(real[1]), "n_fake": len(fake[1]), "num_pairs": NUM_PAIRS}
        value, real_value = mean_pairwise(fake, distance, rng), mean_pairwise(real, distance, rng)
        note = f"{name}: fewer than 2 images on a side" if value is None or real_value is None else ""
        rows.append({**row, "value": value, "real_value": real_value, "note": note})
    return rows


def mean_pairwise(
    pool: Pool, distance: Distance, rng: np.random.Generator, *, num_pairs: int = NUM_PAIRS
) -> float | None:
    """The mean distance over random pairs of different images of the pool; None where it has fewer than two."""
    images, indices = pool
    if len(indices) < 2:
        return None
    first = rng.integers(len(indices), size=num_pairs)
    second = (first + rng.integers(1, len(indices), size=num_pairs)) % len(indices)
    parts = [
        distance(images[indices[first[start : start + 32]]], images[indices[second[start : start + 32]]])
        for start in range(0, num_pairs, 32)
    ]
    return float(np.concatenate(parts).mean())


def lpips_distance(weights_dir: Path | None, device: str = "cpu") -> Distance:
    """LPIPS v0.1 on AlexNet, from the published weights and no others; raises WeightsError where they are missing.

    Source: Zhang et al. 2018 (1801.03924), equation 1.
    """
    backbone_path = find_weights(weights_dir, "alexnet")
    import lpips

    linear_path = Path(lpips.__file__).parent / "weights" / "v0.1" / "alex.pth"
    require_digest(linear_path, _LINEAR_SHA256)
    # The package downloads what it is not told, and loads a wrong file in silence: so it is built empty, and filled
    # from a complete state under a strict check.
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # it calls torchvision in an old way
        net = lpips.LPIPS(net="alex", version="0.1", pretrained=False, pnet_rand=True, verbose=False)
    net.load_state_dict(_lpips_state(net.state_dict(), read_weights(backbone_path), read_weights(linear_path)))
    net = net.to(device).eval()

    def distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return net(_as_input(first, device), _as_input(second, device)).flatten().double().cpu().numpy()

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


def _as_input(images: np.ndarray, device: str) -> Tensor:
    """u8 [n,H,W,3] as float [n,3,H',W'] in [-1,1], enlarged where it is smaller than the network can take."""
    img = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    short = min(img.shape[2:])
    if short >= MIN_SIDE_PX:
        return img
    return F.interpolate(img, scale_factor=MIN_SIDE_PX / short, mode="bilinear", align_corners=False)

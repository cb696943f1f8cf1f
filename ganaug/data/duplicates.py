"""Images that occur twice: exact copies are found by digest; a perceptual hash is kept of every image."""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.fft import dctn


def phash(image: np.ndarray) -> int:
    """64-bit perceptual hash of u8 [H,W,3]: the signs of the 8×8 lowest cosine frequencies of its 32×32 grey version.

    Each coefficient is compared with the median of the 63 that vary. Similar images differ in few bits.
    Source: Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions", DCT-based hash.
    """
    grey = Image.fromarray(image).convert("L").resize((32, 32), Image.Resampling.BOX)
    low = dctn(np.asarray(grey, dtype=np.float64), norm="ortho")[:8, :8].ravel()
    bits = low > np.median(low[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@dataclass(frozen=True)
class Copies:
    """What exact copies mean for a data set: the images to keep, the groups to count with, what to tell the user."""

    keep: np.ndarray  # bool [N]
    group: np.ndarray  # text [N], groups that share an image bear one name
    notices: tuple[str, ...]


def exact_duplicates(sha256: np.ndarray, label: np.ndarray, group: np.ndarray) -> Copies:
    """Keep one of each set of equal images; join the patients who share one; drop all copies whose labels disagree."""
    order = np.argsort(sha256, kind="stable")
    _, starts = np.unique(sha256[order], return_index=True)
    sets = [copies for copies in np.split(order, starts[1:]) if len(copies) > 1]
    keep = np.ones(len(sha256), dtype=bool)
    joined: dict[str, str] = {}
    num_extra = num_conflicting = 0
    for copies in sets:
        if len(set(label[copies])) > 1:
            keep[copies] = False
            num_conflicting += len(copies)
            continue
        keep[np.sort(copies)[1:]] = False
        num_extra += len(copies) - 1
        _join(joined, sorted({_root(joined, name) for name in group[copies].tolist()}))
    notices = []
    if num_extra:
        notices.append(f"{num_extra} images are exact copies of others of the same class and were left out")
    if num_conflicting:
        notices.append(f"{num_conflicting} images are exact copies under different classes; all of these were left out")
    for name in sorted(joined):
        root = _root(joined, name)
        notices.append(f"patient {name} shares an image with {root}; both count as {root}")
    return Copies(keep, np.array([_root(joined, name) for name in group.tolist()]), tuple(notices))


def _root(joined: dict[str, str], name: str) -> str:
    while name in joined:
        name = joined[name]
    return name


def _join(joined: dict[str, str], roots: list[str]) -> None:
    for name in roots[1:]:
        joined[name] = roots[0]

"""Maps of where the classifiers of a study look on test images, kept with the predictions of a few cells."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ganaug.classify.predictions import Predictions, find_tested
from ganaug.classify.train import images_of
from ganaug.config.choices import BASELINE, TREATMENT
from ganaug.data.dataset import DataSet
from ganaug.study.design import Cell, Design
from ganaug.workspace import atomic_path

MAP_PX = 32  # side of a stored map


def keeps_maps(design: Design, cell: Cell) -> bool:
    """Whether the maps of a cell are kept: of the two arms that the question is about, under the first seed."""
    return cell.arm in (BASELINE, TREATMENT) and cell.seed == design.config.seeds[0]


def write_maps(path: Path, model: nn.Module, dataset: DataSet, cell: Cell, tested: Predictions) -> None:
    """Write the Grad-CAM map of each test image for its true class; nothing where the classifier has no such layer."""
    from classifiers.explain.gradcam import find_cam_layer
    from classifiers.explain.measures import CamLayer, make_maps
    from classifiers.explain.registry import METHODS
    from classifiers.transforms import to_float

    try:
        layer = CamLayer(*find_cam_layer(model, cell.classifier))
    except ValueError:
        return
    shown = images_of(dataset, cell.fold, find_tested(dataset, cell.fold))
    images = to_float(torch.from_numpy(shown[np.arange(len(shown))]).permute(0, 3, 1, 2))
    maps = make_maps(model.eval(), METHODS["gradcam"], images, torch.tensor(tested.labels), layer)
    with atomic_path(path) as part, part.open("wb") as file:
        np.save(file, _reduce(maps))


def read_maps(path: Path, num_images: int) -> NDArray[np.uint8] | None:
    """The maps u8 [N, MAP_PX, MAP_PX] of a cell; None where there are none, or they are of other images."""
    try:
        maps = np.load(path, allow_pickle=False)
    except (OSError, ValueError):
        return None
    is_right = isinstance(maps, np.ndarray) and maps.dtype == np.uint8 and maps.shape == (num_images, MAP_PX, MAP_PX)
    return maps if is_right else None


def _reduce(maps: Tensor) -> NDArray[np.uint8]:
    """Maps [N,H,W] in [0, 1] at the side that is kept."""
    small = nn.functional.interpolate(maps[:, None], (MAP_PX, MAP_PX), mode="bilinear", antialias=True)[:, 0]
    reduced: NDArray[np.uint8] = (255 * small.clamp(0, 1)).round().to(torch.uint8).numpy()
    return reduced

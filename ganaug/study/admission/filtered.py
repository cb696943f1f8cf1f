"""The synthetic images that a classifier of the fold's training images assigns to their class."""

import numpy as np
from numpy.typing import NDArray

from ganaug.config import Compute
from ganaug.data.dataset import DataSet
from ganaug.data.schema import IMAGES_AT_A_TIME, ImageReader, read_table
from ganaug.generate.filters import REJECTORS, FilterInputs
from ganaug.study.admission.guard import AdmittedSupply

FEWEST_CONFIDENCE = 0.0  # the class alone counts


def accept(dataset: DataSet, supply: AdmittedSupply, compute: Compute) -> NDArray[np.bool_]:
    """Which images of a file the filter accepts, [N]."""
    inputs = FilterInputs(supply.data_of(dataset), supply.fold, supply.run, compute)
    chosen = REJECTORS["confidence"](FEWEST_CONFIDENCE, inputs)
    label, reader = read_table(supply.synthetic).label, ImageReader(supply.synthetic)
    accepted = np.zeros(len(label), dtype=bool)
    for name in np.unique(label).tolist():
        members = np.flatnonzero(label == name)
        for start in range(0, len(members), IMAGES_AT_A_TIME):
            places = members[start : start + IMAGES_AT_A_TIME]
            accepted[places] = chosen.accepts(reader[places], name)
    return accepted

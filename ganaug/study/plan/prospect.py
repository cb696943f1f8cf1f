"""What a study of these patients could show, before it is run."""

from collections.abc import Sequence

import numpy as np

from ganaug.config import StudyConfig
from ganaug.data.dataset import DataSet
from ganaug.study.statistics.out_of_fold import FEWEST_PATIENTS
from ganaug.study.statistics.paired import ANSWER
from ganaug.study.statistics.power import Prospect, simulate_prospect
from ganaug.study.statistics.simulated import Patients, World

TYPICAL = World()  # how much patients, runs and generators vary, where no study of this data set says so


def foresee(dataset: DataSet, folds: Sequence[int], config: StudyConfig, num_generators: int) -> Prospect | None:
    """Simulated studies of the patients that the folds test; None where none can answer, whatever images gain.

    A patient of several classes counts as one of its most frequent class. Of repeated folds the first that tests a
    patient counts.
    """
    patients = patients_of(dataset, folds)
    holders = np.bincount(patients.label, minlength=dataset.table.num_classes)
    judged = holders >= FEWEST_PATIENTS
    if judged.sum() < 2 or len(config.seeds) < 2:
        return None
    kept = judged[patients.label]
    world = World(
        num_patients=int(kept.sum()),
        num_classes=dataset.table.num_classes,
        num_folds=int(patients.fold.max()) + 1,
        num_seeds=len(config.seeds),
        num_generators=num_generators,
        accuracy=max(TYPICAL.accuracy, 1.5 / dataset.table.num_classes),
    )
    tested = Patients(patients.label[kept], patients.fold[kept], patients.images[kept])
    prospect = simulate_prospect(world, tested, ANSWER, config.metric, config.confidence)
    return prospect if prospect.smallest_gain < 1 - world.accuracy else None


def patients_of(dataset: DataSet, folds: Sequence[int]) -> Patients:
    """The patients that are tested in these folds, with the fold's position among them."""
    table, seen, rows = dataset.table, set(), []
    for position, fold in enumerate(folds):
        test = dataset.test(fold)
        for group in np.unique(table.group_id[test]).tolist():
            if group not in seen:
                seen.add(group)
                labels = table.label[test[table.group_id[test] == group]]
                rows.append((int(np.bincount(labels).argmax()), position, len(labels)))
    label, place, images = np.array(rows, dtype=np.int64).T
    return Patients(label, place, images)

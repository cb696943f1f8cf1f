"""The refusal, before anything is trained, of images and weights that could carry a test patient into the training."""

from pathlib import Path

import numpy as np

from ganaug.checkpoint.snapshot import load_tensors, snapshot_record
from ganaug.data.dataset import DataSet
from ganaug.data.held_out import find_shown
from ganaug.data.schema import ImageReader
from ganaug.data.synthetic import admit_synthetic, require_serves
from ganaug.errors import LeakError, private
from ganaug.provenance import Provenance
from ganaug.workspace import Workspace

BLOCK = 256  # images compared at a time


def admit(workspace: Workspace, dataset: DataSet, fold: int, path: Path) -> Provenance:
    """The provenance of a synthetic file, once neither it nor its generator speaks against using it for this fold.

    Beside what `admit_synthetic` checks, the generator's own snapshot is looked at where the workspace still has it:
    its record and that of the images were written apart, and must tell the same.

    Raises LeakError, or DataError where the file does not fit the data set.
    """
    _, record = admit_synthetic(dataset, path, fold)
    _require_no_held_out_picture(dataset, fold, path)
    snapshot = workspace.gan(dataset.name, fold, record.config_digest).ema(record.kimg)
    if snapshot.exists():
        _require_agrees(dataset, fold, record, path, snapshot)
    return record


def _require_no_held_out_picture(dataset: DataSet, fold: int, path: Path) -> None:
    """Raise LeakError where an image of the file is a picture of the validation or test part, whatever its record says.

    The hashes are computed from the pixels, as the file's own could be anybody's.
    """
    reader = ImageReader(path)
    for start in range(0, len(reader), BLOCK):
        images = reader[np.arange(start, min(start + BLOCK, len(reader)))]
        for place, member in find_shown(dataset, fold, images).tolist():
            raise LeakError(
                f"image {start + place} of {path} shows the picture {private(dataset.table.image_id[member])}, "
                f"of the validation or test part of fold {fold}",
                expected="images that the generator made from training patients",
                todo="find out where the file comes from; train the generator and synthesize again",
            )


def _require_agrees(dataset: DataSet, fold: int, record: Provenance, path: Path, snapshot: Path) -> None:
    own = snapshot_record(snapshot, *load_tensors(snapshot))
    if own.content != record.generator:
        raise LeakError(
            f"{path} was made by the generator {record.generator[:12]}",
            expected=f"{own.content[:12]}, which is in {snapshot}",
            todo="synthesize again",
        )
    require_serves(dataset, fold, own, snapshot)
    if (own.seen, own.declared) != (record.seen, record.declared):
        raise LeakError(
            f"{path} and its generator {snapshot} name different patients",
            expected=f"the same {len(own.groups_seen)}, not {len(record.groups_seen)}",
            todo="synthesize again",
        )

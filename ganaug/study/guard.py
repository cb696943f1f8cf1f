"""The refusal, before anything is trained, of synthetic images that could carry a test patient into the training."""

from pathlib import Path

from ganaug.checkpoint import digest_of_tensors, load_tensors
from ganaug.data.dataset import DataSet
from ganaug.data.synthetic import admit_synthetic, require_serves
from ganaug.errors import LeakError
from ganaug.provenance import Provenance, read_provenance, require_content
from ganaug.workspace import Workspace


def admit(workspace: Workspace, dataset: DataSet, fold: int, path: Path) -> Provenance:
    """The provenance of a synthetic file, once neither it nor its generator speaks against using it for this fold.

    Beside what `admit_synthetic` checks, the generator's own snapshot is looked at where the workspace still has it:
    its record and that of the images were written apart, and must tell the same.

    Raises LeakError, or DataError where the file does not fit the data set.
    """
    _, record = admit_synthetic(dataset, path, fold)
    snapshot = workspace.gan(dataset.name, fold, record.config_digest).ema(record.kimg)
    if snapshot.exists():
        _require_agrees(dataset, fold, record, path, snapshot)
    return record


def _require_agrees(dataset: DataSet, fold: int, record: Provenance, path: Path, snapshot: Path) -> None:
    tensors, metadata = load_tensors(snapshot)
    own = read_provenance(metadata.get("provenance"), snapshot)
    require_content(own, digest_of_tensors(tensors), snapshot)
    if own.content != record.generator:
        raise LeakError(
            f"{path} was made by the generator {record.generator[:12]}",
            expected=f"{own.content[:12]}, which is in {snapshot}",
            todo="synthesize anew",
        )
    require_serves(dataset, fold, own, snapshot)
    if (own.groups_seen, own.declared) != (record.groups_seen, record.declared):
        raise LeakError(
            f"{path} and its generator {snapshot} name different patients",
            expected=f"the same {len(own.groups_seen)}, not {len(record.groups_seen)}",
            todo="synthesize anew",
        )

"""The refusal, before anything is trained, of images and weights that could carry a test patient into the training.

Every file of weights that a classifier starts from has an origin that the report states: a record of ours, which is
checked; a published file, known by its digest; or what the user declares, which nothing can check.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganaug.checkpoint.snapshot import content_of, load_tensors, snapshot_record
from ganaug.config import StudyConfig
from ganaug.data.dataset import DataSet
from ganaug.data.schema import name_to_share, resolve_patients
from ganaug.data.synthetic import admit_synthetic, require_compared, require_serves, require_unseen
from ganaug.errors import DataError, LeakError
from ganaug.evaluate.extractors.trained_classifier import content_of_weights
from ganaug.generate.supplies import Supply
from ganaug.provenance import Provenance, digest_of_file, read_provenance, require_content
from ganaug.weights import WEIGHTS
from ganaug.workspace import Workspace, parse_json

# Weights of torchvision, trained on ImageNet's photographs; the digits are the first eight of a file's SHA-256.
TORCHVISION = {
    "0676ba61": "resnet50 (V1)", "11ad3fa6": "resnet50 (V2)", "f37072fd": "resnet18", "a639ec97": "densenet121",
    "397923af": "vgg16", "704ceda3": "swin_t", "c867db91": "vit_b_16",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AdmittedSupply(Supply):
    """The synthetic file of a fold after `admit`, with the provenance that its record states."""

    provenance: Provenance
    accepted: NDArray[np.bool_] | None = field(default=None, compare=False)  # by the filter [N]; None: not filtered yet

    @property
    def file_name(self) -> str:
        """How records and reports call the file."""
        return name_to_share(self.synthetic, self.provenance.content)


@dataclass(frozen=True)
class LeakySupply:
    """A synthetic file whose generator knows patients that a fold tests: for a leak audit, and for nothing else."""

    supply: AdmittedSupply  # admitted to another fold
    num_known: int  # patients under test whom its generator saw
    num_tested: int


def find_leaky(
    dataset: DataSet, supplies: Mapping[int, tuple[AdmittedSupply, ...]], fold: int, seed: int
) -> LeakySupply | None:
    """Of the other folds' supplies that whose generator saw most of the patients under test; None where none did.

    seed: which of that fold's generators, where it has several.
    """
    tested = {dataset.table.patient_digest(group) for group in dataset.folds.test_groups(fold)}
    others = [of_fold[seed % len(of_fold)] for other, of_fold in supplies.items() if other != fold]
    known = [len(tested & set(supply.provenance.groups_seen)) for supply in others]
    if not known or max(known) == 0:
        return None
    return LeakySupply(others[int(np.argmax(known))], max(known), len(tested))


def admit(workspace: Workspace, dataset: DataSet, supply: Supply) -> AdmittedSupply:
    """Admit the synthetic file of a fold, once neither it nor its generator speaks against using it there.

    After the checks of `admit_synthetic` the images are compared with the held-out pictures, and the record with that
    of the generator's snapshot where the workspace still has it: both were written apart, and must agree.

    Raises LeakError, or DataError where the file does not fit the data set.
    """
    fold, path, dataset = supply.fold, supply.synthetic, supply.data_of(dataset)
    _, record = admit_synthetic(dataset, path, fold)
    require_compared(workspace, dataset, fold, path, record.content)
    run = workspace.gan(dataset.name, fold, record.config_digest)
    if run.root.name != supply.run.root.name and supply.run.newest_ema() is not None:
        raise LeakError(
            f"{path} lies under the name of the generator {supply.run.root.name}, and its record is of another",
            expected=f"images of it, not of {run.root.name}",
            todo="synthesize again",
        )
    snapshot = run.ema(record.kimg)
    if snapshot.exists():
        _require_agrees(dataset, fold, record, path, snapshot)
    return AdmittedSupply(**vars(supply), provenance=record)


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


def origins_of(dataset: DataSet, folds: Sequence[int], config: StudyConfig) -> dict[str, str]:
    """By classifier where its weights come from, in words for the report.

    Raises LeakError where a file says that it saw a patient or a picture that a studied fold holds back, or where
    nothing is known of it and nothing was declared; DataError where there is no such file.
    """
    declared = dict(config.pretrained_saw)
    return {name: _origin(dataset, folds, name, Path(file), declared.get(name)) for name, file in config.pretrained}


def _origin(dataset: DataSet, folds: Sequence[int], name: str, path: Path, declared: str | None) -> str:
    if not path.is_file():
        raise DataError(f"there is no file of weights {path}", todo=f"name one with --pretrained {name}=FILE")
    if has_record(path):
        return _origin_of_ours(dataset, folds, name, path, declared)
    sha256 = digest_of_file(path)
    if sha256[:8] in TORCHVISION:
        return f"published by torchvision: {TORCHVISION[sha256[:8]]}, ImageNet"
    for use, weights in WEIGHTS.items():
        for file in weights.files:
            if sha256.startswith(file.sha256):
                return f"published: {use}, {file.name}, from {file.origin}"
    if declared:
        return f"declared, and checked by nothing: {' '.join(declared.split())} (weights {sha256[:12]})"
    raise LeakError(
        f"{path} carries no record of what it saw and is no published file known here ({sha256[:12]})",
        expected="weights whose origin is known, or declared",
        todo=f"say what they were trained on with --pretrained-saw {name}=TEXT, which the report repeats",
    )


def _origin_of_ours(dataset: DataSet, folds: Sequence[int], name: str, path: Path, declared: str | None) -> str:
    """The same for a file with a record of ours, which must be of these very weights.

    Patients whom the data set does not know may be its own under other names, so they need the user's word.
    """
    tensors, metadata = load_tensors(path)
    record = read_provenance(metadata.get("provenance"), path)
    contents = (content_of(tensors, metadata), content_of_weights(tensors))  # of a generator, of a classifier
    require_content(record, record.content if record.content in contents else contents[1], path)
    _require_same_classes(dataset, metadata, path)
    for fold in folds:
        todo = f"start from weights that were trained and selected without them, or leave out --pretrained {name}"
        require_unseen(dataset, fold, record.seen, path, unknown_is_refused=False, todo=todo)
    num_patients = len(record.groups_seen)
    num_unknown = num_patients - len(resolve_patients(dataset.table, record.groups_seen))
    if (num_unknown or not num_patients) and not declared:
        raise LeakError(
            f"{path} comes from a training that saw {num_unknown} patients whom {dataset.name} does not know",
            expected="training patients of this data set, or your word for who else was seen",
            todo=f"say whom it saw with --pretrained-saw {name}=TEXT, which the report repeats",
        )
    trained = f"trained by ganaug on fold {record.fold} of {record.dataset} ({num_patients} patients, "
    words = [*record.declared, *([" ".join(declared.split())] if declared else [])]
    if words:
        return f"declared, and checked by nothing: {'; '.join(words)}; {trained}{num_unknown} of them unknown here)"
    return f"{trained}none of whom is held back here)"


def _require_same_classes(dataset: DataSet, metadata: Mapping[str, str], path: Path) -> None:
    """Raise DataError where a file lists as many classes as the data set, but others: its last layer would fit."""
    own = list(dataset.table.class_names)
    classes = parse_json(metadata.get("class_names", "null"))
    if isinstance(classes, list) and len(classes) == len(own) and classes != own:
        raise DataError(
            f"{path} is of the classes {', '.join(map(str, classes))}",
            expected=f"those of {dataset.name} in their order: {', '.join(own)}",
            todo="start from another file, or prepare the data set with these classes",
        )


def has_record(path: Path) -> bool:
    """Whether a file is safetensors with a provenance in its metadata."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return "provenance" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False

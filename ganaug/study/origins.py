"""Where the weights come from that a classifier starts with, and the refusal of those that saw a held-out patient.

Every file of weights that enters a cell has an origin that the report states: a record of ours, which is checked; a
published file, known by its digest; or what the user declares, which nothing can check.
"""

from collections.abc import Sequence
from pathlib import Path

from ganaug.checkpoint.snapshot import content_of, load_tensors
from ganaug.classify.trained import content_of_weights
from ganaug.config import StudyConfig
from ganaug.data.dataset import DataSet
from ganaug.data.schema import resolve_patients
from ganaug.data.synthetic import require_unseen
from ganaug.errors import DataError, LeakError
from ganaug.provenance import digest_of_file, read_provenance, require_content
from ganaug.weights import WEIGHTS

# Weights of torchvision, trained on ImageNet's photographs; the digits are the first eight of a file's SHA-256.
TORCHVISION = {
    "0676ba61": "resnet50 (V1)", "11ad3fa6": "resnet50 (V2)", "f37072fd": "resnet18", "a639ec97": "densenet121",
    "397923af": "vgg16", "704ceda3": "swin_t", "c867db91": "vit_b_16",
}  # fmt: skip


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
    if _has_record(path):
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
    for fold in folds:
        require_unseen(dataset, fold, record.seen, path, unknown_is_refused=False)
    num_patients = len(record.groups_seen)
    num_unknown = num_patients - len(resolve_patients(dataset.table, record.groups_seen))
    if (num_unknown or not num_patients) and not declared:
        raise LeakError(
            f"{path} comes from a training that saw {num_unknown} patients whom {dataset.name} does not know",
            expected="training patients of this data set, or your word for who else was seen",
            todo=f"say whom it saw with --pretrained-saw {name}=TEXT, which the report repeats",
        )
    told = f"trained by ganaug on fold {record.fold} of {record.dataset} ({num_patients} patients, "
    words = [*record.declared, *([" ".join(declared.split())] if declared else [])]
    if words:
        return f"declared, and checked by nothing: {'; '.join(words)}; {told}{num_unknown} of them unknown here)"
    return f"{told}none of whom is held back here)"


def _has_record(path: Path) -> bool:
    """Whether a file is safetensors with a provenance in its metadata."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return "provenance" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False

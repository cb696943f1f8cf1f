"""Where the weights come from that a classifier starts with, and the refusal of those that saw a held-out patient.

Every file of weights that enters a cell has an origin that the report states: a record of ours, which is checked; a
published file, known by its digest; or what the user declares, which nothing can check.
"""

from collections.abc import Sequence
from pathlib import Path

from ganaug.config import StudyConfig
from ganaug.data.dataset import DataSet
from ganaug.data.synthetic import require_unseen
from ganaug.errors import DataError, LeakError
from ganaug.provenance import digest_of_file, read_provenance
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
    record = _record_of(path)
    if record:
        provenance = read_provenance(record, path)
        for fold in folds:
            require_unseen(dataset, fold, provenance.seen, path, unknown_is_refused=False)
        return (
            f"trained by ganaug on fold {provenance.fold} of {provenance.dataset} "
            f"({len(provenance.groups_seen)} patients, none of whom is held back here)"
        )
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


def _record_of(path: Path) -> str | None:
    """The provenance in the metadata of a safetensors file, None where it has none or is no such file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return (file.metadata() or {}).get("provenance")
    except (SafetensorError, OSError):
        return None

"""A feature extractor of the data set's own: a small classifier trained on one fold's real training images."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from classifiers.config import FitConfig
from classifiers.fit import fit
from classifiers.registry import build_seeded
from classifiers.transforms import to_float
from ganaug.checkpoint.snapshot import bytes_of, load_tensors, save_tensors
from ganaug.data.dataset import DataSet
from ganaug.errors import CorruptFile, LeakError, private
from ganaug.provenance import Provenance, digest_of, digest_of_bytes, read_provenance, require_content

CLASSIFIER = "dalaresnet50_small"
FIT = FitConfig(num_steps=300, select="last", seed=0)  # after 150, blurred tissue still passed for sharp


@dataclass(frozen=True)
class TrainedClassifier:
    """The stored classifier as a function of images."""

    name: str
    digest: str  # of the weights
    embed: Callable[[Tensor], Tensor]  # u8 [n,3,H,W] -> float [n,D]
    probabilities: Callable[[Tensor], Tensor]  # u8 [n,3,H,W] -> float [n,K]


def open_classifier(
    path: Path, dataset: DataSet, fold: int, *, device: str = "cpu", progress: bool = False
) -> TrainedClassifier:
    """The classifier stored at `path`, trained now where it is missing or was trained with other options.

    Raises LeakError where the file belongs to another data set or fold, or was changed after it was written.
    """
    state = _load(path, dataset, fold) if path.exists() else None
    model = _build(dataset)
    if state is None:
        _train(model, dataset, fold, device=device, progress=progress)
        state = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
        _save(path, state, dataset, fold)
    model.load_state_dict(state)
    model.to(device).eval()

    def embed(img: Tensor) -> Tensor:
        features: Tensor = model.features(to_float(img))  # type: ignore[operator]
        return features

    def probabilities(img: Tensor) -> Tensor:
        logits: Tensor = model(to_float(img))
        return logits.softmax(1)

    return TrainedClassifier(f"{CLASSIFIER}-{dataset.name}-fold{fold}", content_of_weights(state), embed, probabilities)


def _build(dataset: DataSet) -> nn.Module:
    table = dataset.table
    return build_seeded(CLASSIFIER, table.num_classes, FIT.seed, image_size_px=table.resolution_px)


def _train(model: nn.Module, dataset: DataSet, fold: int, *, device: str, progress: bool) -> None:
    """Training images only: no validation patient decides anything, so no held-out patient is ever seen."""
    train = dataset.train(fold)
    config = FitConfig(**{**asdict(FIT), "device": device})
    fit(model, dataset.images(fold)[train], dataset.table.label[train], config=config, progress=progress)


def content_of_weights(state: dict[str, Tensor]) -> str:
    """What a stored classifier's provenance is sealed to: the digest of its weights."""
    return digest_of_bytes(part for name, value in sorted(state.items()) for part in (name.encode(), bytes_of(value)))


def _record(dataset: DataSet, fold: int, content: str) -> Provenance:
    seen = dataset.table.seen(dataset.train(fold))
    options = {name: value for name, value in asdict(FIT).items() if name != "device"}
    return Provenance(
        dataset=dataset.name,
        dataset_fingerprint=dataset.table.fingerprint,
        folds_digest=dataset.folds.digest,
        fold=fold,
        groups_seen=seen.groups,
        config_digest=digest_of({"classifier": CLASSIFIER, "resolution_px": dataset.table.resolution_px, **options}),
        images_seen=seen.images,
        hashes_seen=seen.hashes,
    ).sealed(content)


def _save(path: Path, state: dict[str, Tensor], dataset: DataSet, fold: int) -> None:
    metadata = {
        "provenance": _record(dataset, fold, content_of_weights(state)).to_json(),
        "config": json.dumps({"classifier": CLASSIFIER, "fit": asdict(FIT)}),
    }
    save_tensors(path, state, metadata)


def _load(path: Path, dataset: DataSet, fold: int) -> dict[str, Tensor] | None:
    """The stored weights, checked; None where they were trained with other options than today's."""
    try:
        state, metadata = load_tensors(path)
    except CorruptFile as error:
        raise CorruptFile(
            f"{private(path)} is not a readable extractor ({private(error.__cause__)})", todo="remove it"
        ) from error
    record = read_provenance(metadata.get("provenance"), path)
    require_content(record, content_of_weights(state), path)
    wanted = _record(dataset, fold, record.content)
    if record == wanted:
        own = {name: value.shape for name, value in _build(dataset).state_dict().items()}
        if {name: value.shape for name, value in state.items()} != own:
            raise CorruptFile(f"{private(path)} holds weights of another network than {CLASSIFIER}", todo="remove it")
        return state
    if replace(record, config_digest=wanted.config_digest).sealed(record.content) == wanted:
        return None
    raise LeakError(
        f"{private(path)} was trained on fold {record.fold} of {record.dataset} ({record.dataset_fingerprint[:12]})",
        expected=f"fold {fold} of {dataset.name} ({wanted.dataset_fingerprint[:12]}) and its training patients",
        todo="remove it; it is trained again",
    )

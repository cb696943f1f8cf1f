"""A classifier to train: its images, its options, and the record of all that it will have seen."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from classifiers.config import FitConfig
from classifiers.names import find_entry
from classifiers.registry import CLASSIFIERS, TIMM_PREFIX
from ganaug.classify.probes import identity_of, is_probe, require_known_extractor
from ganaug.classify.stored import require_images
from ganaug.data.dataset import DataSet
from ganaug.data.mixture import Mixture
from ganaug.errors import ConfigError
from ganaug.provenance import Provenance, Seen, digest_of, sealed
from ganaug.workspace import ClassifierRun, Workspace, creation_time, moment, write_json

CLASSIFIER_VERSION = 2  # raise it when a classifier of the same options would come out otherwise


@dataclass(frozen=True)
class TrainingSet:
    """The images that a classifier is trained on, and what whoever made them or the initial weights had seen."""

    images: Mixture
    kind: str = "real"  # or real+synthetic
    seen: Seen = field(default_factory=Seen)  # by the generator of the synthetic images, and by the initial weights
    declared: tuple[str, ...] = ()  # what these had seen, by the user's word
    about: dict[str, Any] = field(default_factory=dict)  # of the synthetic images, for config.json; names no path


@dataclass(frozen=True)
class InitialWeights:
    """The weights that a classifier begins with."""

    seed: int  # of those that are drawn
    path: Path | None = None  # local file of all others
    sha256: str = ""  # of the file
    origin: str = ""  # a sentence


@dataclass(frozen=True)
class ClassifierTask:
    """One classifier to train on a fold."""

    workspace: Workspace
    dataset: DataSet
    fold: int
    name: str  # canonical
    training: TrainingSet
    weights: InitialWeights
    fit: FitConfig  # with the default device: what decides the classifier
    run: ClassifierRun
    digest: str

    def provenance(self) -> Provenance:
        """The record that the classifier carries.

        The validation patients count as seen: they choose the weights and the temperature.
        """
        table, dataset = self.dataset.table, self.dataset
        seen = table.seen(dataset.train(self.fold)) | table.seen(dataset.val(self.fold)) | self.training.seen
        return Provenance(
            dataset=dataset.name,
            dataset_fingerprint=table.fingerprint,
            folds_digest=dataset.folds.digest,
            fold=self.fold,
            groups_seen=seen.groups,
            config_digest=self.digest,
            declared=self.training.declared,
            images_seen=seen.images,
            hashes_seen=seen.hashes,
        )

    @property
    def fit_options(self) -> dict[str, Any]:
        return fit_options(self.name, self.fit, self.weights.path)

    @property
    def options(self) -> dict[str, Any]:
        """What was chosen, as JSON values that name no path."""
        begins = {"sha256": self.weights.sha256, "origin": self.weights.origin} if self.weights.path else None
        return {
            "images": self.training.kind,
            "fit": self.fit_options,
            "weights_seed": self.weights.seed,
            "pretrained": begins,
            "synthetic": self.training.about or None,
        }


def plan_classifier(
    workspace: Workspace,
    dataset: DataSet,
    fold: int,
    name: str,
    *,
    training: TrainingSet,
    weights: InitialWeights,
    fit: FitConfig,
) -> ClassifierTask:
    """Resolve a task: the same data, folds, fold, images and options lead to the same folder, and so to its state."""
    deciding = {
        "version": CLASSIFIER_VERSION,
        "dataset": dataset.table.fingerprint,
        "folds": dataset.folds.digest,
        "fold": fold,
        "classifier": name,
        "fit": fit_options(name, fit, weights.path),
        "weights": [weights.seed, weights.sha256],
        "images": [training.kind, training.about.get("content"), training.about.get("ratio")],
        "declared": list(training.declared),
    }
    digest = digest_of(deciding)
    run = workspace.classifier(dataset.name, name, fold, digest)
    return ClassifierTask(workspace, dataset, fold, name, training, weights, fit, run, digest)


def fit_options(name: str, fit: FitConfig, weights: Path | None) -> dict[str, Any]:
    """The options that decide what comes out, so not the device; of a probe few of `fit`, and its own effort."""
    if is_probe(name):
        augmentation = "none" if fit.classical_augmentation == "none" else "light"  # what it has of any level
        return {"seed": fit.seed, "classical_augmentation": augmentation, "probe": identity_of(name, weights)}
    return {name: value for name, value in asdict(fit).items() if name != "device"}


def require_trainable(name: str) -> None:
    """Raise ConfigError for a classifier that does not exist, or cannot be trained on images."""
    if name.startswith(TIMM_PREFIX):
        return
    if is_probe(name):
        require_known_extractor(name)
        return
    try:
        find_entry(name, CLASSIFIERS)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    require_images(name)


def write_config(task: ClassifierTask) -> None:
    """Write what is fixed at the start; a time that stands there already is kept."""
    others = (path for path in task.run.root.parent.glob("*/config.json") if path != task.run.config)
    created = creation_time(task.run.config) if task.run.config.exists() else ""
    about = {
        "dataset": task.dataset.name,
        "dataset_fingerprint": task.dataset.table.fingerprint,
        "folds_digest": task.dataset.folds.digest,
        "fold": task.fold,
        "classifier": task.name,
        "class_names": list(task.dataset.table.class_names),
        "config_digest": task.digest,
        "config": task.options,
        "created": created or moment(after=map(creation_time, others)),
    }
    write_json(task.run.config, sealed(about))

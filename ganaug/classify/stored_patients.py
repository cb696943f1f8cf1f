"""Models of tiles and expression as files: safetensors whose provenance is sealed to weights, genes and classes."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.models.cross_attention import CrossAttention, PatientSamples
from classifiers.predict import predict
from classifiers.registry import build_seeded
from ganaug.checkpoint.snapshot import content_of, load_tensors, save_tensors
from ganaug.classify.patients import Patients
from ganaug.classify.predictions import are_probabilities
from ganaug.data.dataset import DataSet
from ganaug.data.expression_table import order_genes
from ganaug.errors import ConfigError, CorruptFile, LeakError, UserError
from ganaug.fields import require_kinds
from ganaug.provenance import Provenance, digest_of, read_provenance, require_content, require_seal, sealed
from ganaug.workspace import ClassifierRun, Workspace, parse_json, read_json, write_json

VERSION = 1  # raise it when a model of the same options would come out otherwise
TRAIN = "train it with `ganaug train-classifier --classifier cross_attention`"


@dataclass(frozen=True)
class PatientModelConfig:
    """What decides a model's probabilities next to its weights."""

    classifier: str  # canonical name
    extractor: str  # of the features of the tiles
    extractor_digest: str  # of its name, weights and preprocessing
    num_features: int  # of a tile
    max_tiles: int  # of a patient
    genes: tuple[str, ...]  # in the order of the columns
    weights_seed: int  # of the weights that the training begins with
    fit: dict[str, Any]  # fields of `classifiers.config.FitConfig` without the device


@dataclass(frozen=True)
class StoredPatientModel:
    """A model of one fold, ready to predict, and the proof of what it saw."""

    model: CrossAttention
    config: PatientModelConfig
    class_names: tuple[str, ...]
    provenance: Provenance
    device: str

    def probabilities(self, patients: Patients) -> NDArray[np.float32]:
        """Class probabilities f32 [P,K]; the expression is scaled as it was for the training.

        Genes in another order are put in the model's. Raises DataError for other genes, ConfigError for features of
        another extractor.
        """
        columns = order_genes(patients.genes, self.config.genes, "these patients")
        if patients.extractor_digest != self.config.extractor_digest:
            same = patients.extractor == self.config.extractor
            raise ConfigError(
                f"features of {patients.extractor or 'no extractor'}{' with other weights' if same else ''}",
                expected=f"{self.config.extractor} as the model was trained with",
                todo="read the patients with the extractor of the model",
            )
        samples = PatientSamples(patients.samples.tiles, patients.samples.expression[:, columns])
        return predict(self.model, samples, device=self.device)


# ---- files -----------------------------------------------------------------------------------------------------------


def find_run(workspace: Workspace, dataset: DataSet, fold: int, config: PatientModelConfig) -> ClassifierRun:
    """The folder of one training, whose name holds the digest of all that decides it."""
    return workspace.classifier(dataset.name, config.classifier, fold, digest_of_training(dataset, fold, config))


def digest_of_training(dataset: DataSet, fold: int, config: PatientModelConfig) -> str:
    return digest_of([VERSION, dataset.table.fingerprint, dataset.folds.digest, fold, asdict(config)])


def write_tested(
    workspace: Workspace,
    dataset: DataSet,
    fold: int,
    config: PatientModelConfig,
    tested: Mapping[str, NDArray[np.float32]],
) -> None:
    """Write the probabilities f32 [K] of each test patient, under digests that name nobody, in the order of these."""
    rows = {dataset.table.patient_digest(group): probs.tolist() for group, probs in tested.items()}
    values = {
        "dataset": dataset.name,
        "fold": fold,
        "classifier": config.classifier,
        "training": digest_of_training(dataset, fold, config),
        "class_names": list(dataset.table.class_names),
        "patients": dict(sorted(rows.items())),
    }
    write_json(find_run(workspace, dataset, fold, config).tested, sealed(values))


def read_tested(
    workspace: Workspace, dataset: DataSet, fold: int, config: PatientModelConfig, groups: Sequence[str]
) -> NDArray[np.float32] | None:
    """The probabilities f32 [n,K] of these test patients, in their order; None where the training is not finished.

    Where there are some and they are refused, a warning says why, as the model is trained again.
    """
    path = find_run(workspace, dataset, fold, config).tested
    if not path.exists():
        return None
    names = [dataset.table.patient_digest(group) for group in groups]
    try:
        values = require_seal(read_json(path), path)
        if values["training"] != digest_of_training(dataset, fold, config) or set(values["patients"]) != set(names):
            raise LeakError(f"{path} is of another training or other test patients")
        probs = np.array([values["patients"][name] for name in names], np.float32)
        if probs.shape != (len(names), dataset.table.num_classes) or not are_probabilities(probs):
            raise CorruptFile(f"{path} holds no probabilities of {dataset.table.num_classes} classes")
        return probs
    except (UserError, OSError, KeyError, TypeError, ValueError) as error:
        warnings.warn(f"ganaug: {error}; this model is trained again", stacklevel=2)
        return None


def keep_patient_model(
    workspace: Workspace, dataset: DataSet, fold: int, model: CrossAttention, config: PatientModelConfig
) -> Path:
    """Write a model of a fold with its provenance; returns the file. The same content gives the same bytes.

    The validation patients count as seen: they choose the weights.
    """
    table = dataset.table
    seen = table.seen(dataset.train(fold)) | table.seen(dataset.val(fold))
    record = Provenance(
        dataset=dataset.name,
        dataset_fingerprint=table.fingerprint,
        folds_digest=dataset.folds.digest,
        fold=fold,
        groups_seen=seen.groups,
        config_digest=digest_of_training(dataset, fold, config),
        images_seen=seen.images,
        hashes_seen=seen.hashes,
    )
    path = find_run(workspace, dataset, fold, config).patients
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    about = {
        "config": json.dumps(asdict(config), sort_keys=True),
        "class_names": json.dumps(list(table.class_names)),
    }
    save_tensors(path, tensors, {**about, "provenance": record.sealed(content_of(tensors, about)).to_json()})
    return path


def open_patient_model(path: Path, device: str = "cpu") -> StoredPatientModel:
    """The model in a file that `keep_patient_model` wrote.

    Raises WorkspaceError where it is missing, CorruptFile where it is truncated or of another kind, LeakError where
    weights, genes, classes or provenance were edited.
    """
    tensors, metadata = load_tensors(path)
    record = read_provenance(metadata.get("provenance"), path)
    require_content(record, content_of(tensors, metadata), path)
    try:
        values, class_names = parse_json(metadata["config"]), parse_json(metadata["class_names"])
        if not isinstance(values, dict) or not isinstance(class_names, list):
            raise ValueError("a configuration of another kind")
        values["genes"] = tuple(values["genes"])
        require_kinds(PatientModelConfig, {name: value for name, value in values.items() if name != "fit"})
        config = PatientModelConfig(**values)
        model = build_seeded(
            config.classifier, len(class_names), 0, num_features=config.num_features, num_genes=len(config.genes)
        )
        if not isinstance(model, CrossAttention):
            raise ValueError(f"{config.classifier} reads images")
        model.load_state_dict(tensors)
    except (KeyError, ValueError, TypeError, RuntimeError, ConfigError) as error:
        reason = str(error).split("\n")[0][:200]
        raise CorruptFile(f"{path} is no model of tiles and expression ({reason})", todo=TRAIN) from error
    return StoredPatientModel(model.to(device).eval(), config, tuple(class_names), record, device)

"""Models of tiles and expression as files: safetensors whose provenance is sealed to weights, genes and classes."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.models.cross_attention import CrossAttention
from classifiers.predict import predict
from classifiers.registry import build_seeded
from ganaug.checkpoint.snapshot import content_of, load_tensors, save_tensors
from ganaug.classify.patients import Patients
from ganaug.data.dataset import DataSet
from ganaug.data.expression_table import require_genes
from ganaug.errors import ConfigError, CorruptFile
from ganaug.fields import require_kinds
from ganaug.provenance import Provenance, digest_of, read_provenance, require_content
from ganaug.workspace import Workspace, parse_json

TRAIN = "train it with `ganaug train-classifier --classifier cross_attention`"


@dataclass(frozen=True)
class PatientModelConfig:
    """What decides a model's probabilities next to its weights."""

    classifier: str  # canonical name
    extractor: str  # of the features of the tiles
    num_features: int  # of a tile
    max_tiles: int  # of a patient
    genes: tuple[str, ...]  # in the order of the columns
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

        Raises DataError for other genes, ConfigError for features of another extractor.
        """
        require_genes(patients.genes, self.config.genes, "these patients")
        if patients.extractor != self.config.extractor:
            raise ConfigError(
                f"features of {patients.extractor or 'no extractor'}",
                expected=self.config.extractor,
                todo="read the patients with the extractor of the model",
            )
        return predict(self.model, patients.samples, device=self.device)


def keep_patient_model(
    workspace: Workspace, dataset: DataSet, fold: int, model: CrossAttention, config: PatientModelConfig
) -> Path:
    """Write a model of a fold with its provenance; returns the file. The same content gives the same bytes.

    The validation patients count as seen: they choose the weights.
    """
    table = dataset.table
    deciding = [table.fingerprint, dataset.folds.digest, fold, asdict(config)]
    seen = table.seen(dataset.train(fold)) | table.seen(dataset.val(fold))
    record = Provenance(
        dataset=dataset.name,
        dataset_fingerprint=table.fingerprint,
        folds_digest=dataset.folds.digest,
        fold=fold,
        groups_seen=seen.groups,
        config_digest=digest_of(deciding),
        images_seen=seen.images,
        hashes_seen=seen.hashes,
    )
    path = workspace.classifier(dataset.name, config.classifier, fold, record.config_digest).patients
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

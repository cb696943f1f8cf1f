"""Trained classifiers as files: safetensors whose provenance is sealed to weights, configuration and class names."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.names import split_name
from classifiers.predict import predict
from classifiers.registry import CLASSIFIERS, build_seeded
from classifiers.samples import IndexedImages
from ganaug.checkpoint.snapshot import content_of, load_tensors, save_tensors
from ganaug.classify.pixel_rule import PixelRule, read_pixel_rule
from ganaug.classify.probes import ProbeNet, is_probe, open_probe
from ganaug.errors import ConfigError, CorruptFile, LeakError, UserError, WorkspaceError, some_of
from ganaug.evaluate.extractors.record import ExtractorPlace, ExtractorRecord, read_extractor_record
from ganaug.fields import require_kinds
from ganaug.provenance import Provenance, read_provenance, require_content, require_seal
from ganaug.workspace import ClassifierRun, Workspace, parse_json, read_json

AGAIN = "remove it, and train again with the same command"


@dataclass(frozen=True)
class ClassifierConfig:
    """What decides a stored classifier's probabilities next to its weights, and how these came about."""

    classifier: str  # canonical name
    image_size_px: int  # resolution of the data set
    temperature: float  # of the softmax, chosen on the validation images
    images: str  # what it was trained on: real, or real+synthetic
    fit: dict[str, Any]  # fields of `classifiers.config.FitConfig` without the device
    pixels: PixelRule = field(default_factory=PixelRule)
    extractor: ExtractorRecord | None = None  # of a probe, which holds no weights of it


@dataclass(frozen=True)
class StoredClassifier:
    """A classifier of one fold, ready to predict, and the proof of what it saw."""

    run: ClassifierRun
    name: str
    dataset: str
    fold: int
    class_names: tuple[str, ...]
    image_size_px: int  # resolution of the data set
    temperature: float
    provenance: Provenance
    model: nn.Module  # in evaluation mode, on `device`
    device: str
    pixels: PixelRule = field(default_factory=PixelRule)

    def probabilities(
        self, images: IndexedImages, *, average_orientations: bool = True, batch: int = 64
    ) -> NDArray[np.float32]:
        """Class probabilities f32 [N,K] of images u8 [N,H,W,3], each row summing to 1.

        Logits are divided by the temperature; average_orientations takes the mean over the eight orientations, which
        the logits of a probe are in any case.
        """
        return predict(
            self.model,
            images,
            batch=batch,
            device=self.device,
            average_orientations=average_orientations and not isinstance(self.model, ProbeNet),
            temperature=self.temperature,
        )


# ---- files -----------------------------------------------------------------------------------------------------------


def save_classifier(
    run: ClassifierRun, model: nn.Module, config: ClassifierConfig, class_names: Sequence[str], record: Provenance
) -> Provenance:
    """Write a classifier with its provenance sealed to weights, configuration and classes; returns the sealed record.

    The same content gives the same bytes.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    about = {
        "config": json.dumps({**asdict(config), "pixels": config.pixels.to_dict()}, sort_keys=True),
        "class_names": json.dumps(list(class_names)),
    }
    sealed = record.sealed(content_of(tensors, about))
    save_tensors(run.weights, tensors, {**about, "provenance": sealed.to_json()})
    return sealed


def open_classifier_run(
    run: ClassifierRun | Path, device: str = "cpu", *, place: ExtractorPlace | None = None, needs_map: bool = False
) -> StoredClassifier:
    """The classifier in a folder, given as its run, its path, or the path of the file of weights in it.

    place: of a probe's extractor; None looks for published weights. needs_map: refuse what shows no place in the image.

    Raises WorkspaceError where it is missing, CorruptFile where it is truncated or no classifier of this tool,
    LeakError where weights, configuration, classes or provenance were edited, or are of another run than the folder's,
    ConfigError for a model of tiles and expression, ConfigError or WeightsError where the extractor of a probe is
    missing or another one.
    """
    run = _run_at(run)
    if not run.weights.is_file():
        if run.patients.is_file():
            raise _of_patients(str(run.patients))
        raise WorkspaceError(
            f"there is no finished classifier in {run.root}", todo="train it with `ganaug train-classifier`"
        )
    tensors, metadata = load_tensors(run.weights)
    record = read_provenance(metadata.get("provenance"), run.weights)
    require_content(record, content_of(tensors, metadata), run.weights)
    config, class_names = _about(run.weights, metadata)
    _require_of_run(run, record)
    if needs_map and is_probe(config.classifier):
        raise ConfigError(
            f"{config.classifier} is a linear probe on frozen features, which have no map of the image",
            expected="a classifier whose network was trained",
            todo="choose another one with --classifier or --run",
        )
    model = _build(run.weights, config, class_names, tensors, place or ExtractorPlace(), device)
    return StoredClassifier(
        run=run,
        name=config.classifier,
        dataset=record.dataset,
        fold=record.fold,
        class_names=class_names,
        image_size_px=config.image_size_px,
        temperature=config.temperature,
        provenance=record,
        model=model.to(device).eval(),
        device=device,
        pixels=config.pixels,
    )


def _run_at(given: ClassifierRun | Path) -> ClassifierRun:
    if isinstance(given, ClassifierRun):
        return given
    own = ClassifierRun(given.parent)
    if given.is_file() and given.name == own.patients.name:
        raise _of_patients(str(given))
    if given.is_file() and given.name != own.weights.name:
        raise ConfigError(f"{given} is not named as a classifier", expected="a folder of classifiers/")
    return ClassifierRun(given.parent if given.is_file() else given)


def _about(path: Path, metadata: Mapping[str, str]) -> tuple[ClassifierConfig, tuple[str, ...]]:
    """The configuration and the classes out of the metadata; raises CorruptFile."""
    try:
        values, class_names = parse_json(metadata["config"]), parse_json(metadata["class_names"])
        if not isinstance(values, dict) or not isinstance(values.get("pixels"), dict):
            raise ValueError("no configuration of a classifier")
        if not isinstance(class_names, list) or not all(isinstance(name, str) for name in class_names):
            raise ValueError("class names of another kind")
        if len(class_names) < 2 or len(set(class_names)) != len(class_names):
            raise ValueError(f"the classes {', '.join(class_names)[:80]}")
        if not isinstance(values.get("fit"), dict):
            raise ValueError("no options of a training")
        require_kinds(ClassifierConfig, {name: value for name, value in values.items() if name != "fit"})
        pixels = read_pixel_rule(values["pixels"], values["image_size_px"])
        config = ClassifierConfig(
            **{
                **values,
                "pixels": pixels,
                "extractor": read_extractor_record(values.get("extractor"), values["classifier"]),
            }
        )
        if not 1e-3 <= config.temperature <= 1e3:
            raise ValueError(f"the temperature {config.temperature}")
        return config, tuple(class_names)
    except (KeyError, ValueError, TypeError, OverflowError, ConfigError) as error:
        raise CorruptFile(
            f"{path} is no classifier of this tool ({error})", expected="what train-classifier writes", todo=AGAIN
        ) from error


def _build(
    path: Path,
    config: ClassifierConfig,
    class_names: Sequence[str],
    tensors: dict[str, Tensor],
    place: ExtractorPlace,
    device: str,
) -> nn.Module:
    """The network with these weights; raises CorruptFile where they are of another."""
    name, num_classes = config.classifier, len(class_names)
    try:
        if config.extractor is not None:
            return open_probe(name, tensors, config.extractor, place, num_classes=num_classes, device=device)
        if place.is_named:
            raise ConfigError(
                f"--pretrained or --weights-dir with {name}", expected="it with a probe alone", todo="leave it out"
            )
        model = build_seeded(name, num_classes, 0, image_size_px=config.image_size_px)
        own = {name: value.shape for name, value in model.state_dict().items()}
        if own != {name: value.shape for name, value in tensors.items()}:
            raise ValueError("the weights are of another network")
        model.load_state_dict(tensors)
    except (ValueError, RuntimeError, TypeError) as error:
        reason = str(error).split("\n")[0][:200]
        raise CorruptFile(f"{path} does not fit the classifier {name} ({reason})", todo=AGAIN) from error
    return model


def _require_of_run(run: ClassifierRun, record: Provenance) -> None:
    """Raise LeakError where the folder's config.json, if it is there, is of another classifier than the weights."""
    if run.config.exists():
        wanted = config_of_classifier(run).get("config_digest")
        if wanted is None:
            raise LeakError(
                f"{run.config} was edited after it was written, or is damaged",
                expected="what train-classifier wrote",
                todo=f"remove the folder {run.root} and train it again, or bring the file back",
            )
        if wanted != record.config_digest:
            raise LeakError(
                f"{run.weights} is of another classifier ({record.config_digest[:12]})",
                expected=f"that of {run.config} ({str(wanted)[:12]})",
                todo=AGAIN,
            )


# ---- lookup ----------------------------------------------------------------------------------------------------------


def find_classifier(
    workspace: Workspace, dataset: str | None = None, fold: int | None = None, name: str | None = None
) -> ClassifierRun:
    """The finished classifier of this data set, fold and name that was configured last; None leaves any.

    Raises WorkspaceError, with what there is, where there is none; ConfigError for a model of tiles and expression.
    """
    require_images(name)
    found, edited = [], []
    for run in workspace.classifiers():
        values = config_of_classifier(run)
        if run.weights.is_file() and not values:
            edited.append(run.root.name)
        elif run.weights.is_file():
            found.append((run, (values.get("dataset"), values.get("fold"), values.get("classifier"))))
    asked = (dataset, fold, name)
    fits = [run for run, has in found if all(want in (None, own) for want, own in zip(asked, has))]
    if not fits:
        words = [f"fold {fold}" if fold is not None else "", dataset or ""]
        of = " of ".join(word for word in words if word)
        num_patients = len(list(workspace.root.glob("classifiers/*/patients.safetensors")))
        models = [f"{own[2]} of fold {own[1]} of {own[0]}" for _, own in found]
        models += [f"models of patients' tiles and expression ({num_patients})"] if num_patients else []
        models += [f"{some_of(edited)}, whose config.json was edited or is damaged"] if edited else []
        have = ", ".join(models) or "none"
        raise WorkspaceError(
            f"{workspace.root} holds no finished classifier{f' {name}' if name else ''}{f' for {of}' if of else ''}; "
            f"there is: {have}",
            todo="train one with `ganaug train-classifier`",
        )
    return fits[-1]


def require_images(name: str | None) -> None:
    """Raise ConfigError for the name of a model of tiles and expression."""
    base = split_name(name)[0] if name else ""
    if base in CLASSIFIERS and CLASSIFIERS[base].inputs != "image":
        raise _of_patients(str(name))


def _of_patients(what: str) -> ConfigError:
    return ConfigError(
        f"{what} is a model of patients' tiles and expression",
        expected="a classifier of images, as ganaug predict and explain read folders and data sets of these",
        todo="open it in Python with ganaug.classify.stored_patients.open_patient_model",
    )


def config_of_classifier(run: ClassifierRun) -> dict[str, Any]:
    """What the config.json of a classifier says; empty where it is missing, malformed or edited."""
    try:
        return require_seal(read_json(run.config), run.config)
    except UserError:
        return {}

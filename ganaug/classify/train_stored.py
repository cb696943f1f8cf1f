"""The training of a classifier that is kept: logged and saved as it goes, resumed, calibrated, scored and sealed."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from classifiers.calibration import expected_calibration_error, fit_temperature, negative_log_likelihood
from classifiers.fit import Training
from classifiers.predict import predict_views
from classifiers.scores import score
from classifiers.training.state import TrainingState
from ganaug.checkpoint.snapshot import digest_of_tensors, load_tensors, save_tensors
from ganaug.classify.pixel_rule import pixel_rule_of
from ganaug.classify.predictions import find_tested, find_tested_images
from ganaug.classify.probes import (
    ProbeNet,
    extract,
    extractor_of,
    is_probe,
    predict_logits_by_probe,
    train_probe,
)
from ganaug.classify.stored import (
    ClassifierConfig,
    StoredClassifier,
    open_classifier_run,
    save_classifier,
)
from ganaug.classify.task import ClassifierTask, require_trainable, write_config
from ganaug.classify.train import build_classifier, images_of
from ganaug.config import CPU, Compute
from ganaug.data.schema import ImageReader
from ganaug.errors import ConfigError, CorruptFile, Ended, LeakError, UserError, WorkspaceError
from ganaug.evaluate.extractors.record import ExtractorPlace, ExtractorRecord
from ganaug.files import try_lock
from ganaug.parallel.interrupt import StopRequest, note_stop_requests
from ganaug.provenance import require_seal, sealed
from ganaug.workspace import (
    NUMBER,
    ClassifierRun,
    append_jsonl,
    os_errors_as_workspace_errors,
    parse_json,
    read_json,
    read_jsonl,
    write_json,
    write_jsonl,
)

OF_TEST = "one training run on one fold: its patients decide much of these figures, and no interval is claimed"
OF_VALIDATION = "the validation images chose the weights and the temperature: these figures are no test"


@dataclass(frozen=True)
class KeptClassifier:
    """A finished classifier of a fold."""

    stored: StoredClassifier
    scores: dict[str, Any]  # the content of scores.json: of the validation and of the test images
    was_there: bool  # and so was not trained again


def train_stored(task: ClassifierTask, compute: Compute = CPU) -> KeptClassifier:
    """Train the classifier of a task to its end and keep it, from its state if there is one; or find it finished.

    The one place where kinds of classifiers part: what `require_trainable` refuses is trained nowhere else.

    A request to stop saves the state and raises KeyboardInterrupt on SIGINT, its child Ended on SIGTERM and SIGUSR1;
    the same call resumes from there, on the CPU to the same bytes. A probe has no state: it stops at once, and the
    features that were stored are not extracted again. Raises ConfigError where it cannot be trained,
    WorkspaceError where another process trains it, CorruptFile or LeakError where its files are no longer its own.
    """
    require_trainable(task.name)
    with _note_stop_requests(task) as stop, _lock(task.run):
        was_there, views = task.run.weights.exists(), None
        if not was_there:
            write_config(task)
            views = _keep(task, _train(task, compute, stop), compute)
        with os_errors_as_workspace_errors(task.run.state):
            task.run.state.unlink(missing_ok=True)
        place = ExtractorPlace(task.weights.path) if is_probe(task.name) else None
        stored = open_classifier_run(task.run, compute.device, place=place)
        return KeptClassifier(stored, _find_scores(task, stored, views), was_there)


def _note_stop_requests(task: ClassifierTask) -> AbstractContextManager[StopRequest]:
    return nullcontext(StopRequest()) if is_probe(task.name) else note_stop_requests()


@contextmanager
def _lock(run: ClassifierRun) -> Iterator[None]:
    """Keep every other process from training the run; the system releases the lock however this one ends."""
    with os_errors_as_workspace_errors(run.trainer):
        run.root.mkdir(parents=True, exist_ok=True)
        file = run.trainer.open("ab+", buffering=0)
    with file:
        if not try_lock(file.fileno()):
            raise WorkspaceError(
                f"another process trains {run.root}",
                todo="wait for it, or stop it first: this command then resumes from its state",
            )
        with os_errors_as_workspace_errors(run.trainer):
            file.truncate(0)
            file.write(json.dumps({"process": os.getpid()}).encode())
        yield


# ---- training --------------------------------------------------------------------------------------------------------


def _train(task: ClassifierTask, compute: Compute, stop: StopRequest) -> nn.Module:
    """The model with the weights, or the penalty of a probe, that the validation images chose."""
    try:
        return _train_probe(task, compute) if is_probe(task.name) else _train_network(task, compute, stop)
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            f"the GPU is out of memory with {task.fit.batch} images of {task.name} at a time",
            todo="choose a smaller classifier, or --device cpu",
        ) from error
    except ValueError as error:  # the loss is no number, or the images are too few: these options end so every time
        shutil.rmtree(task.run.root, ignore_errors=True)
        raise ConfigError(str(error).split("\n")[0]) from error


def _train_network(task: ClassifierTask, compute: Compute, stop: StopRequest) -> nn.Module:
    dataset, images = task.dataset, task.training.images
    validation = images_of(dataset, task.fold, dataset.val(task.fold))
    model = build_classifier(dataset, task.name, task.weights.seed, task.weights.path)
    config = replace(task.fit, device=compute.device)
    training = Training(model, images, images.labels, val=(validation, validation.labels), config=config)
    _resume(task, training)
    _run_steps(task, training, stop, progress=compute.progress)
    training.result()
    return model


def _train_probe(task: ClassifierTask, compute: Compute) -> nn.Module:
    extractor = extractor_of(task.name, task.weights.path, compute.device)
    for reader in task.training.images.sources:
        if isinstance(reader, ImageReader):
            extract(task.workspace, reader, extractor, progress=compute.progress)
    config = replace(task.fit, device=compute.device)
    images, weights = task.training.images, task.weights.path
    trained = train_probe(task.workspace, task.dataset, task.fold, task.name, images, config, weights=weights)
    write_jsonl(task.run.history, trained.result.history)
    return trained.model


def _run_steps(task: ClassifierTask, training: Training, stop: StopRequest, *, progress: bool) -> None:
    """Train to the last step; what is logged and saved depends on the step alone, not on where it was resumed."""
    num_steps = task.fit.num_steps
    with tqdm(
        desc=task.run.root.name,
        total=num_steps,
        initial=training.num_steps,
        unit="step",
        disable=not progress or None,
    ) as bar:
        while training.num_steps < num_steps:
            record = training.step()
            bar.update()
            if record is not None:
                append_jsonl(task.run.history, record.to_row())
                bar.set_postfix(record.to_row())
            is_stopping = bool(stop)
            if record is not None or is_stopping:
                _save_state(task, training.state())
            if is_stopping:
                raise KeyboardInterrupt if stop.is_by_hand else Ended


def _save_state(task: ClassifierTask, state: TrainingState) -> None:
    about = {"task": task.digest, "values": json.dumps(state.values)}
    whole = sealed({**about, "tensors": digest_of_tensors(state.tensors)})
    save_tensors(task.run.state, state.tensors, {name: text for name, text in whole.items() if name != "tensors"})


def _resume(task: ClassifierTask, training: Training) -> None:
    """Resume from the state where there is one, and drop the lines of the history that come after it."""
    path = task.run.state
    if path.exists():
        tensors, metadata = load_tensors(path)
        try:
            values = require_seal({**metadata, "tensors": digest_of_tensors(tensors)}, path)
            if values["task"] != task.digest:
                raise LeakError(f"{path} is of another training")
            training.resume(TrainingState(tensors, parse_json(values["values"])))
        except (UserError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise CorruptFile(
                f"{path} cannot be resumed from ({reason})", todo="remove it: the training then begins again"
            ) from error
    lines = read_jsonl(task.run.history, {"step": NUMBER})
    kept = [line for line in lines if line["step"] <= training.num_steps]
    if lines:
        write_jsonl(task.run.history, kept)


# ---- what is kept ----------------------------------------------------------------------------------------------------


def _keep(task: ClassifierTask, model: nn.Module, compute: Compute) -> Tensor:
    """Fit the temperature to the validation images as they will be predicted, and write the classifier.

    Returns the logits that it was fitted to, see `_predict_validation`.
    """
    table, extractor = task.dataset.table, None
    val = task.dataset.val(task.fold)
    views = _predict_validation(task, model, compute.device)
    if isinstance(model, ProbeNet):
        own = model.extractor
        extractor = ExtractorRecord(own.name, task.weights.sha256, own.preprocessing)
    config = ClassifierConfig(
        classifier=task.name,
        image_size_px=table.resolution_px,
        temperature=fit_temperature(views, table.label[val]),
        images=task.training.kind,
        fit=task.fit_options,
        pixels=pixel_rule_of(task.dataset, task.fold),
        extractor=extractor,
    )
    save_classifier(task.run, model, config, table.class_names, task.provenance())
    return views


def _predict_validation(task: ClassifierTask, model: nn.Module, device: str) -> Tensor:
    """Logits of the validation images, [N,V,K]: of their eight orientations, or of a probe the one that it gives."""
    val = task.dataset.val(task.fold)
    if isinstance(model, ProbeNet):
        return predict_logits_by_probe(task.workspace, model, task.dataset, task.fold, val)[:, None]
    return predict_views(model, images_of(task.dataset, task.fold, val), device=device)


def _find_scores(task: ClassifierTask, stored: StoredClassifier, views: Tensor | None) -> dict[str, Any]:
    """The scores as they were written for these weights, else computed and written now.

    views: of the validation images, where they are at hand, see `_predict_validation`.
    """
    try:
        scores = require_seal(read_json(task.run.scores), task.run.scores)
        if scores["weights"] == stored.provenance.content and "nll_after" in scores["validation"]:
            return scores
    except (UserError, KeyError, TypeError):
        pass
    if views is None:
        views = _predict_validation(task, stored.model, stored.device)
    scores = {
        "weights": stored.provenance.content,
        "validation": _score_validation(task, stored, views),
        "test": _score_test(task, stored),
    }
    write_json(task.run.scores, sealed(scores))
    return scores


def _score_validation(task: ClassifierTask, stored: StoredClassifier, views: Tensor) -> dict[str, Any]:
    before, probs = ((views / t).softmax(2).mean(1).numpy() for t in (1.0, stored.temperature))
    labels = task.dataset.table.label[task.dataset.val(task.fold)]
    overall = score(labels, probs, None, stored.class_names)["by_image"]["overall"]
    return {
        "note": OF_VALIDATION,
        "num_images": len(labels),
        "accuracy": overall["accuracy"],
        "balanced_accuracy": overall["balanced_accuracy"],
        "temperature": stored.temperature,
        "ece_before": expected_calibration_error(labels, before),
        "ece_after": expected_calibration_error(labels, probs),
        "nll_before": negative_log_likelihood(labels, before),
        "nll_after": negative_log_likelihood(labels, probs),
    }


def _score_test(task: ClassifierTask, stored: StoredClassifier) -> dict[str, Any]:
    """The scores of the fold's test images, by image and by patient, under digests that name nobody."""
    tested = find_tested_images(task.dataset, task.fold)
    probs = _predict_test(task, stored)
    return {"note": OF_TEST, **score(tested.labels, probs, tested.groups.tolist(), stored.class_names)}


def _predict_test(task: ClassifierTask, stored: StoredClassifier) -> NDArray[np.float32]:
    """Probabilities of the test images as `StoredClassifier` gives them; of a probe from stored features."""
    indices = find_tested(task.dataset, task.fold)
    if isinstance(stored.model, ProbeNet):
        logits = predict_logits_by_probe(task.workspace, stored.model, task.dataset, task.fold, indices)
        probs: NDArray[np.float32] = (logits / stored.temperature).softmax(1).numpy()
        return probs
    images = images_of(task.dataset, task.fold, indices)
    return stored.probabilities(images)

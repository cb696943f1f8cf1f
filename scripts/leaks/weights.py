"""Leaks planted in the weights that classifiers and extractors start from."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

from ganaug.checkpoint.snapshot import load_tensors, save_tensors
from ganaug.evaluate.extractors import trained_classifier
from leaks.forge import edit_metadata, record_of_weights, seal_weights
from leaks.leak import Leak
from leaks.scene import Command, Scene, command, study

SMALL = "dalaresnet50_small"


def _study_with(path: Path, saw: str = "") -> Command:
    return study("--pretrained", f"{SMALL}={path}", *(["--pretrained-saw", f"{SMALL}={saw}"] if saw else []))


def start_from_a_classifier_of_another_fold(scene: Scene) -> Command:
    """The classifiers of fold 0 start from one that was trained on fold 0's test patients."""
    return _study_with(scene.classifier(1).weights)


def keep_a_classifier_that_starts_from_another_folds(scene: Scene) -> Command:
    """The same, for a classifier that is to be kept."""
    start = scene.classifier(1).weights
    return command("train-classifier", "--fold", 0, "--steps", 2, "--pretrained", start)


def start_from_weights_under_anothers_record(scene: Scene) -> Command:
    """The weights are of fold 1's classifier, the record is of fold 0's."""
    tensors, _ = load_tensors(scene.classifier(1).weights)
    _, metadata = load_tensors(scene.classifier(0).weights)
    path = scene.root / "start.safetensors"
    save_tensors(path, tensors, metadata)
    return _study_with(path)


def start_from_a_record_without_a_patient(scene: Scene) -> Command:
    """A test patient is taken out of the record of the weights."""
    path = scene.root / "start.safetensors"
    shutil.copy(scene.classifier(1).weights, path)
    edit_metadata(path, "provenance", lambda it: {**it, "groups_seen": it["groups_seen"][1:]})
    return _study_with(path)


def start_from_weights_without_a_record(scene: Scene) -> Command:
    """The record of the weights is removed."""
    path = scene.root / "start.safetensors"
    seal_weights(scene.classifier(1).weights, path, None)
    return _study_with(path)


def start_from_weights_and_declare_what_they_saw(scene: Scene) -> Command:
    """The same, and the user says what they saw, which is not true."""
    path = scene.root / "start.safetensors"
    seal_weights(scene.classifier(1).weights, path, None)
    return _study_with(path, "photographs of birds")


def start_from_weights_of_unknown_patients(scene: Scene) -> Command:
    """The weights have a record of patients whom the data set does not know, and who may be its own."""
    path = scene.root / "start.safetensors"
    record = record_of_weights(scene.classifier(1).weights)
    others = tuple(name[::-1] for name in record.groups_seen)
    changed = replace(record, groups_seen=others, images_seen=(), hashes_seen=())
    seal_weights(scene.classifier(1).weights, path, changed)
    return _study_with(path)


def start_from_weights_that_began_with_declared_ones(scene: Scene) -> Command:
    """The record of the weights names training patients alone, and that they began with declared weights."""
    path = scene.root / "start.safetensors"
    record = replace(record_of_weights(scene.snapshot(0)), declared=("weights 0123456789ab: many birds",))
    seal_weights(scene.classifier(0).weights, path, record)
    return _study_with(path)


def start_from_the_same_number_of_other_classes(scene: Scene) -> Command:
    """The weights are of as many classes, in another order."""
    path = scene.root / "start.safetensors"
    names = json.dumps(scene.dataset.table.class_names[::-1])
    seal_weights(scene.classifier(0).weights, path, record_of_weights(scene.classifier(0).weights), class_names=names)
    return _study_with(path)


def probe_an_encoder_without_a_word(scene: Scene) -> Command:
    """A linear probe rests on an encoder of which nobody says what it saw."""
    import torch

    path = scene.root / "encoder.pt"
    encoder = torch.jit.script(torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()))
    torch.jit.save(encoder, str(path))
    asked = ("--classifier", "probe:torchscript", "--pretrained", f"probe:torchscript={path}")
    return command("train-classifier", "--fold", 0, *asked)


# ---- extractors of features ------------------------------------------------------------------------------------------


def _extractor_of_fold_1(scene: Scene) -> None:
    """The classifier by which fold 0's images are judged and filtered is one of fold 1's training images."""
    dataset, path = scene.dataset, scene.gan(0).root / "extractor.safetensors"
    weights = load_tensors(scene.classifier(1).weights)[0]
    trained_classifier._save(path, weights, dataset, 1)


def filter_by_a_classifier_of_test_patients(scene: Scene) -> Command:
    """The arm of filtered images is filtered by a classifier that was trained on test patients."""
    _extractor_of_fold_1(scene)
    return study("--arm", "real+synthetic-filtered")


def judge_by_a_classifier_of_test_patients(scene: Scene) -> Command:
    """Synthetic images are judged by the features of a classifier that was trained on test patients."""
    _extractor_of_fold_1(scene)
    return command("evaluate-gan", "--fold", 0, "--extractor", "classifier")


def judge_by_the_network_that_taught(scene: Scene) -> Command:
    """Synthetic images are judged by the features of the network that taught their generator."""
    return command("evaluate-gan", "--fold", 0, "--extractor", "efficientnet_lite0")


def judge_by_other_weights_under_a_published_name(scene: Scene) -> Command:
    """A file under the name of published weights holds others."""
    from ganaug.weights import WEIGHTS

    folder = scene.root / "weights"
    folder.mkdir()
    for file in WEIGHTS["squeezenet"].files:
        save_tensors(folder / file.name, *load_tensors(scene.classifier(1).weights))
    return command("evaluate-gan", "--fold", 0, "--extractor", "squeezenet", "--weights-dir", folder)


SAW = r"a training that saw .* of the validation or test part of fold 0"

LEAKS = (
    Leak(start_from_a_classifier_of_another_fold, SAW),
    Leak(keep_a_classifier_that_starts_from_another_folds, SAW),
    Leak(start_from_weights_under_anothers_record, r"was changed after its provenance was sealed"),
    Leak(start_from_a_record_without_a_patient, r"the provenance of .* was edited after it was written"),
    Leak(start_from_weights_without_a_record, r"carries no record of what it saw"),
    Leak(start_from_weights_and_declare_what_they_saw, r"declared, and checked by nothing: photographs of birds"),
    Leak(start_from_weights_of_unknown_patients, r"saw 8 patients whom phantom does not know"),
    Leak(start_from_weights_that_began_with_declared_ones, r"declared, and checked by nothing: .*many birds"),
    Leak(start_from_the_same_number_of_other_classes, r"is of the classes Normal, Invasive, InSitu, Benign"),
    Leak(probe_an_encoder_without_a_word, r"encoder\.pt carries no record of what it saw"),
    Leak(filter_by_a_classifier_of_test_patients, r"was trained on fold 1 of phantom"),
    Leak(judge_by_a_classifier_of_test_patients, r"was trained on fold 1 of phantom"),
    Leak(judge_by_the_network_that_taught, r"efficientnet_lite0 served this generator as the discriminator"),
    Leak(judge_by_other_weights_under_a_published_name, r"squeezenet\S+ is not the published file"),
)

"""A kept probe holds the regression alone, and predicts on the extractor that it was trained with or not at all."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from classifiers.calibration import fit_temperature
from classifiers.transforms import NUM_ORIENTATIONS
from ganaug.checkpoint.snapshot import content_of, load_tensors, save_tensors
from ganaug.classify import probes
from ganaug.classify.probes import ProbeNet, extractor_of, open_probe, predict_logits_by_probe
from ganaug.classify.stored import StoredClassifier, open_classifier_run
from ganaug.classify.task import ClassifierTask
from ganaug.classify.train_stored import train_stored
from ganaug.config import StudyConfig
from ganaug.data.dataset import DataSet
from ganaug.errors import ConfigError, CorruptFile, DataError, LeakError
from ganaug.evaluate.extractors.record import ExtractorPlace, ExtractorRecord
from ganaug.provenance import digest_of_file, read_provenance
from ganaug.study.training_set import plan_classifiers
from ganaug.weights import find_weights
from ganaug.workspace import Workspace, read_json, read_jsonl

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
NAME = "probe:torchscript"


def save_pooling(path: Path, side_px: int) -> Path:
    network = torch.nn.Sequential(torch.nn.AvgPool2d(side_px), torch.nn.Flatten())
    torch.jit.save(torch.jit.script(network), str(path))
    return path


@pytest.fixture
def plan(workspace: Workspace, dataset: DataSet, program: Path) -> Callable[..., ClassifierTask]:
    """The task of a probe of fold 0 on the program, with options of a study."""

    def plan_one(**options: object) -> ClassifierTask:
        config = StudyConfig(
            classifiers=(NAME,), seeds=(0,), pretrained=((NAME, str(program)),), pretrained_saw=((NAME, "nothing"),)
        )
        (task,) = plan_classifiers(workspace, dataset, [0], replace(config, **options))  # type: ignore[arg-type]
        return task

    return plan_one


@pytest.fixture
def stored(plan: Callable[..., ClassifierTask]) -> StoredClassifier:
    return train_stored(plan()).stored


def net_of(stored: StoredClassifier) -> ProbeNet:
    assert isinstance(stored.model, ProbeNet)
    return stored.model


def test_what_is_kept_is_the_regression_and_the_digest_of_the_extractor(
    stored: StoredClassifier, program: Path
) -> None:
    tensors, metadata = load_tensors(stored.run.weights)
    assert set(tensors) == {"probe.mean", "probe.std", "probe.classify.weight", "probe.classify.bias"}
    extractor = extractor_of(NAME, program)
    record = {"name": extractor.name, "sha256": digest_of_file(program), "preprocessing": extractor.preprocessing}
    assert json.loads(metadata["config"])["extractor"] == record
    assert str(program.parent) not in stored.run.config.read_text() + str(metadata)
    assert len(read_jsonl(stored.run.history)) == len(probes.PROBE.penalties)
    assert not stored.run.state.exists()


def test_the_orientations_are_averaged_once_and_the_temperature_divides_the_log_probabilities(
    stored: StoredClassifier, workspace: Workspace, dataset: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, val = net_of(stored), dataset.val(0)
    log_probs = predict_logits_by_probe(workspace, net, dataset, 0, val)
    np.testing.assert_allclose(log_probs.exp().sum(1), 1, atol=1e-5)
    assert stored.temperature == fit_temperature(log_probs, dataset.table.label[val])
    num_seen, embed = [], net.extractor.embed

    def counting(img: torch.Tensor) -> torch.Tensor:
        num_seen.append(len(img))
        return embed(img)

    monkeypatch.setattr(net, "extractor", replace(net.extractor, embed=counting))
    assert stored.temperature < 1.7
    found = replace(stored, temperature=1.7).probabilities(dataset.images(0)[val])
    assert sum(num_seen) == NUM_ORIENTATIONS * len(val)
    np.testing.assert_allclose(found, (log_probs / 1.7).softmax(1).numpy(), atol=1e-5)


def test_it_is_opened_again_on_the_same_file_wherever_that_lies(
    stored: StoredClassifier, dataset: DataSet, program: Path, tmp_path: Path
) -> None:
    images = dataset.images(0)[np.arange(5)]
    moved = program.rename(tmp_path / "elsewhere.pt")
    again = open_classifier_run(stored.run.root, place=ExtractorPlace(moved))
    np.testing.assert_array_equal(again.probabilities(images), stored.probabilities(images))


def test_another_file_or_none_is_refused(stored: StoredClassifier, program: Path, tmp_path: Path) -> None:
    other = save_pooling(tmp_path / "other.pt", 28)
    with pytest.raises(ConfigError, match="expected the file that it was trained with") as caught:
        open_classifier_run(stored.run, place=ExtractorPlace(other))
    assert digest_of_file(program)[:12] in str(caught.value)
    with pytest.raises(ConfigError, match="--pretrained FILE"):
        open_classifier_run(stored.run)
    with pytest.raises(DataError, match="no file of weights"):
        open_classifier_run(stored.run, place=ExtractorPlace(tmp_path / "gone.pt"))
    with pytest.raises(ConfigError, match="frozen features, which have no map"):
        open_classifier_run(stored.run, needs_map=True)


def test_published_weights_are_found_and_others_than_those_of_the_training_refused() -> None:
    path = find_weights(None, "efficientnet_lite0")
    record = ExtractorRecord(path.stem, digest_of_file(path), "as it is")
    name = "probe:efficientnet_lite0"
    assert ExtractorPlace().find(name, record) == path
    with pytest.raises(ConfigError, match="expected the file that it was trained with"):
        ExtractorPlace().find(name, replace(record, sha256="0" * 64))


def test_another_preprocessing_is_refused(stored: StoredClassifier, program: Path) -> None:
    record = ExtractorRecord("torchscript", digest_of_file(program), "of an earlier version")
    with pytest.raises(ConfigError, match="prepared otherwise"):
        open_probe(NAME, stored.model.state_dict(), record, ExtractorPlace(program), num_classes=2)


@pytest.mark.parametrize(
    "extractor",
    [None, 3, {}, {"name": "a", "sha256": "b"}, {"name": "a", "sha256": "b", "preprocessing": 5}, {"more": "a"}],
)
def test_a_record_of_an_extractor_that_cannot_be_is_refused_though_it_is_sealed(
    stored: StoredClassifier, program: Path, extractor: object
) -> None:
    tensors, metadata = load_tensors(stored.run.weights)
    config = {**json.loads(metadata["config"]), "extractor": extractor}
    metadata["config"] = json.dumps(config)
    record = read_provenance(metadata["provenance"], stored.run.weights)
    metadata["provenance"] = record.sealed(content_of(tensors, metadata)).to_json()
    save_tensors(stored.run.weights, tensors, metadata)
    with pytest.raises(CorruptFile):
        open_classifier_run(stored.run, place=ExtractorPlace(program))


def test_tensors_of_another_probe_are_refused_though_they_are_sealed(stored: StoredClassifier, program: Path) -> None:
    tensors, metadata = load_tensors(stored.run.weights)
    for damaged in (
        {"weight": torch.zeros(3)},
        {**tensors, "probe.mean": torch.zeros(5)},
        dict(list(tensors.items())[:3]),
    ):
        record = read_provenance(metadata["provenance"], stored.run.weights)
        sealed = record.sealed(content_of(damaged, metadata)).to_json()
        save_tensors(stored.run.weights, damaged, {**metadata, "provenance": sealed})
        with pytest.raises(CorruptFile, match="does not fit the classifier"):
            open_classifier_run(stored.run, place=ExtractorPlace(program))


def test_it_saw_the_patients_that_any_classifier_sees_and_says_what_its_extractor_saw(
    stored: StoredClassifier, dataset: DataSet, plan: Callable[..., ClassifierTask]
) -> None:
    record = stored.provenance
    seen = {*dataset.folds.train_groups(0), *dataset.folds.val_groups(0)}
    assert set(record.groups_seen) == set(map(dataset.table.patient_digest, seen))
    assert "nothing" in record.declared[0]
    with pytest.raises(LeakError, match="--pretrained-saw"):
        plan(pretrained_saw=())


def test_what_was_stopped_finds_the_features_that_were_stored_and_ends_the_same(
    workspace: Workspace,
    dataset: DataSet,
    plan: Callable[..., ClassifierTask],
    program: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = extractor_of(NAME, program)
    num_seen = 0

    def stopping(img: torch.Tensor) -> torch.Tensor:
        nonlocal num_seen
        if num_seen == 3 * len(dataset.table):
            raise KeyboardInterrupt
        num_seen += len(img)
        return opened.embed(img)

    task = plan()
    with monkeypatch.context() as patch:
        for module in ("ganaug.classify.train_stored", "ganaug.classify.probes"):
            patch.setattr(f"{module}.extractor_of", lambda *_: replace(opened, embed=stopping))
        with pytest.raises(KeyboardInterrupt):
            train_stored(task)
    assert len(list((workspace.root / "cache" / "features").iterdir())) == 3
    assert not task.run.weights.exists()
    whole = contents(train_stored(plan()).stored)
    for path in task.run.root.iterdir():
        path.unlink()
    assert contents(train_stored(plan()).stored) == whole
    assert train_stored(plan()).was_there


def contents(stored: StoredClassifier) -> list[bytes]:
    return [path.read_bytes() for path in (stored.run.weights, stored.run.history, stored.run.scores)]


def test_options_that_a_probe_has_lead_to_another_folder_and_those_of_networks_do_not(
    plan: Callable[..., ClassifierTask], tmp_path: Path
) -> None:
    base = plan()
    other = str(save_pooling(tmp_path / "other.pt", 28))
    others = [plan(seeds=(1,)), plan(classical_augmentation="none"), plan(pretrained=((NAME, other),))]
    assert len({task.run.root for task in (base, *others)}) == 4
    same = [plan(num_steps=7), plan(learning_rate=0.5), plan(classical_augmentation="light")]
    assert {task.run.root for task in same} == {base.run.root}
    assert set(base.options["fit"]) == {"seed", "classical_augmentation", "probe"}


def test_scores_of_stored_features_are_those_of_the_images(stored: StoredClassifier, dataset: DataSet) -> None:
    test = read_json(stored.run.scores)["test"]
    indices = dataset.test(0)
    right = stored.probabilities(dataset.images(0)[indices]).argmax(1) == dataset.table.label[indices]
    assert test["by_image"]["overall"]["accuracy"] == pytest.approx(right.mean())
    assert right.mean() == 1

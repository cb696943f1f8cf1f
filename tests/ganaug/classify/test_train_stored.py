"""A classifier that is kept: trained as a study's cell, resumed to the bit, and honest about what it saw."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor, nn

from classifiers.calibration import MAX_TEMPERATURE, MIN_TEMPERATURE, fit_temperature
from classifiers.predict import predict_views
from ganaug.classify import train_stored as module
from ganaug.classify.stored import StoredClassifier, find_classifier, open_classifier_run
from ganaug.classify.task import require_trainable
from ganaug.classify.train import images_of, train_classifier
from ganaug.classify.train_stored import OF_TEST, train_stored
from ganaug.config import StudyConfig
from ganaug.data.mixture import Mixture
from ganaug.data.schema import resolve_patients
from ganaug.errors import ConfigError, CorruptFile, Ended, LeakError, WorkspaceError
from ganaug.parallel.interrupt import StopRequest
from ganaug.provenance import digest_of_bytes
from ganaug.study.admission.guard import origins_of
from ganaug.study.design import fit_config_of, seeds_of
from ganaug.study.training_set import plan_classifiers
from ganaug.workspace import ClassifierRun, read_json, read_jsonl

if TYPE_CHECKING:
    from tests.ganaug.classify.conftest import Lab

CONFIG = StudyConfig(classifiers=("dalaresnet50_small",), seeds=(0,), num_steps=4, batch=4)


class Stops(StopRequest):
    """A request to stop that comes after some steps."""

    def __init__(self, after: int, number: int) -> None:
        super().__init__()
        self.left, self.signal = after, number

    def __bool__(self) -> bool:
        self.left -= 1  # it is looked at once a step
        return self.left <= 0


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Trainings from now on are asked to stop after so many steps."""

    def patch(num_steps: int, number: int = signal.SIGTERM) -> None:
        @contextmanager
        def note() -> Iterator[StopRequest]:
            yield Stops(num_steps, number)

        monkeypatch.setattr(module, "note_stop_requests", note)

    return patch


def contents(run: ClassifierRun) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in run.root.iterdir() if path.name not in ("trainer.json", "config.json")
    }


def without_created(run: ClassifierRun) -> dict[str, object]:
    return {name: value for name, value in read_json(run.config).items() if name not in ("created", "seal")}


def test_a_training_that_was_stopped_anywhere_ends_with_the_same_bytes(
    lab: "Lab", stop_after: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"num_steps": 20, "seeds": (3,)}
    task = lab.task(**options)
    whole, about = contents(train_stored(task).stored.run), without_created(task.run)
    assert set(whole) == {"classifier.safetensors", "history.jsonl", "scores.json"}
    assert len(whole["history.jsonl"].splitlines()) == 10
    for path in task.run.root.iterdir():
        path.unlink()
    for num_steps, number, raised in ((1, signal.SIGTERM, Ended), (2, signal.SIGINT, KeyboardInterrupt)):
        for _ in range(2):
            stop_after(num_steps, number)
            with pytest.raises(raised) as caught:
                train_stored(lab.task(**options))
            assert (type(caught.value) is Ended) == (number == signal.SIGTERM)
            assert task.run.state.exists()
            assert not task.run.weights.exists()
    monkeypatch.undo()
    with task.run.history.open("a") as file:
        file.write('{"step": 19.0, "train_loss": 0.0}\n{"ste')  # as a kill between line and state leaves them
    kept = train_stored(lab.task(**options))
    assert not kept.was_there
    assert contents(task.run) == whole
    assert without_created(task.run) == about


def test_what_is_finished_is_not_trained_again(lab: "Lab", monkeypatch: pytest.MonkeyPatch) -> None:
    run = find_classifier(lab.workspace)
    before = {path: path.read_bytes() for path in run.root.iterdir() if path != run.trainer}
    monkeypatch.setattr(module, "Training", None)
    run.state.write_bytes(b"left behind by a kill after the end")
    kept = train_stored(lab.task())
    assert kept.was_there
    assert kept.stored.run == run
    assert {path: path.read_bytes() for path in run.root.iterdir() if path != run.trainer} == before


def test_scores_that_were_edited_or_lost_are_computed_again(lab: "Lab", monkeypatch: pytest.MonkeyPatch) -> None:
    run = find_classifier(lab.workspace)
    whole = run.scores.read_bytes()
    for damage in (whole.replace(b'"accuracy"', b'"exactness"'), b"{", None):
        run.scores.unlink()
        if damage is not None:
            run.scores.write_bytes(damage)
        train_stored(lab.task())
        assert run.scores.read_bytes() == whole


def test_it_is_trained_as_the_cell_of_a_study_with_these_options(lab: "Lab") -> None:
    dataset, run = lab.dataset, find_classifier(lab.workspace)
    fit, seeds = fit_config_of(CONFIG, 0, 0), seeds_of(0, 0)
    images = images_of(dataset, 0, dataset.train(0))
    cell = train_classifier(dataset, 0, "dalaresnet50_small", images, fit, seed=seeds.weights)
    assert read_jsonl(run.history) == cell.result.history
    assert weights_of(open_classifier_run(run).model) == weights_of(cell.model)


def weights_of(model: nn.Module) -> str:
    return digest_of_bytes(value.numpy().tobytes() for value in model.state_dict().values())


def loss_of(stored: StoredClassifier, images: Mixture) -> float:
    return -float(np.log(stored.probabilities(images)[np.arange(len(images)), images.labels]).mean())


def test_the_temperature_is_that_of_the_validation_images(lab: "Lab") -> None:
    stored, dataset = open_classifier_run(find_classifier(lab.workspace)), lab.dataset
    images = images_of(dataset, 0, dataset.val(0))
    assert stored.temperature == fit_temperature(predict_views(stored.model, images), images.labels)
    grid = np.geomspace(MIN_TEMPERATURE, MAX_TEMPERATURE, 41).tolist()
    losses = [loss_of(replace(stored, temperature=t), images) for t in (stored.temperature, *grid)]
    assert losses[0] <= min(losses) + 1e-6, "what is fitted is what is predicted"
    validation = read_json(stored.run.scores)["validation"]
    right = stored.probabilities(images).argmax(1) == images.labels
    assert validation["accuracy"] == pytest.approx(right.mean())
    assert validation["num_images"] == len(images)


def test_the_temperature_is_fitted_to_what_is_predicted(lab: "Lab", monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = []

    def fit(logits: Tensor, labels: NDArray[np.int64]) -> float:
        fitted.append((logits, labels))
        return 1.7

    monkeypatch.setattr(module, "fit_temperature", fit)
    stored, dataset = lab.train(1), lab.dataset
    ((logits, labels),) = fitted
    assert stored.temperature == 1.7
    images = images_of(dataset, 1, dataset.val(1))
    np.testing.assert_array_equal(labels, images.labels)
    np.testing.assert_allclose((logits / 1.7).softmax(2).mean(1).numpy(), stored.probabilities(images), atol=1e-6)


def test_the_scores_are_of_the_test_images_under_digests(lab: "Lab") -> None:
    stored, dataset = open_classifier_run(find_classifier(lab.workspace)), lab.dataset
    test = read_json(stored.run.scores)["test"]
    images = images_of(dataset, 0, dataset.test(0))
    right = stored.probabilities(images).argmax(1) == images.labels
    assert test["by_image"]["overall"]["accuracy"] == pytest.approx(right.mean())
    assert test["by_patient"]["num_patients"] == len(dataset.folds.test_groups(0))
    assert test["note"] == OF_TEST
    assert "patient 0" not in stored.run.scores.read_text()


def test_training_and_validation_patients_count_as_seen_and_no_test_patient_does(lab: "Lab") -> None:
    dataset, record = lab.dataset, open_classifier_run(find_classifier(lab.workspace)).provenance
    seen = set(resolve_patients(dataset.table, record.groups_seen).values())
    assert seen == {*dataset.folds.train_groups(0), *dataset.folds.val_groups(0)}
    assert len(seen) == len(record.groups_seen)
    assert not seen & set(dataset.folds.test_groups(0))
    shown = np.concatenate([dataset.train(0), dataset.val(0)])
    assert set(record.images_seen) == set(dataset.table.image_digests(shown))
    assert len(record.hashes_seen) == len(np.unique(dataset.table.phash[shown]))


def test_a_study_refuses_to_begin_with_a_classifier_that_saw_its_test_patients(lab: "Lab") -> None:
    run, dataset = find_classifier(lab.workspace), lab.dataset
    for fold in range(3):
        config = replace(CONFIG, pretrained=(("dalaresnet50_small", str(run.weights)),))
        with pytest.raises(LeakError, match=f"of the validation or test part of fold {fold}"):
            origins_of(dataset, [fold], config)
    with pytest.raises(LeakError):
        plan_classifiers(lab.workspace, dataset, [1], config)


def test_what_the_initial_weights_saw_is_added_to_what_it_saw(lab: "Lab", lab_of: Callable[..., "Lab"]) -> None:
    before, other = open_classifier_run(find_classifier(lab.workspace)), lab_of(seed=6)
    pretrained = (("dalaresnet50_small", str(before.run.weights)),)
    with pytest.raises(LeakError, match="8 patients whom lab does not know"):
        other.task(pretrained=pretrained)
    saw = (("dalaresnet50_small", "another laboratory"),)
    record = other.task(pretrained=pretrained, pretrained_saw=saw).provenance()
    own = other.task().provenance()
    assert own.groups_seen != before.provenance.groups_seen
    assert set(record.groups_seen) == {*own.groups_seen, *before.provenance.groups_seen}
    assert set(record.hashes_seen) == {*own.hashes_seen, *before.provenance.hashes_seen}
    assert "another laboratory" in record.declared[0]
    assert own.declared == ()


def test_a_state_that_cannot_be_resumed_from_is_one_line(
    lab: "Lab", stop_after: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(1)
    states = []
    for seed in (4, 5):
        task = lab.task(seeds=(seed,))
        with pytest.raises(Ended):
            train_stored(task)
        states.append(task.run.state.read_bytes())
        stop_after(1)
    other, whole = states
    monkeypatch.undo()
    assert whole.count(b"best_step") == 1
    for damage in (b"", b"no tensors", whole[:-5], whole.replace(b"best_step", b"next_step"), other):
        task.run.state.write_bytes(damage)
        with pytest.raises(CorruptFile, match="remove it") as caught:
            train_stored(task)
        assert "\n" not in str(caught.value)
    task.run.state.unlink()
    assert not train_stored(task).was_there


def test_one_process_trains_a_classifier_at_a_time(lab: "Lab") -> None:
    task = lab.task(seeds=(6,))
    with module._lock(task.run), pytest.raises(WorkspaceError, match="another process trains"):
        train_stored(task)


def test_options_that_decide_the_classifier_lead_to_another_folder(lab: "Lab") -> None:
    base = lab.task()
    others = [lab.task(**options) for options in (
        {"fold": 1}, {"seeds": (1,)}, {"num_steps": 5}, {"classical_augmentation": "strong"}, {"batch": 5},
        {"classifiers": ("resvit_gannet_small",)},
    )]  # fmt: skip
    roots = {task.run.root for task in (base, *others)}
    assert len(roots) == 7
    assert lab.task().run == base.run


def test_a_kind_of_classifier_that_is_not_trained_here_is_refused() -> None:
    require_trainable("dalaresnet50_small")
    require_trainable("timm:resnet18")
    require_trainable("probe:torchscript:mine")
    for name in ("nobody", "dalaresnet50_small[off=on]", "probe:vgg"):
        with pytest.raises(ConfigError):
            require_trainable(name)


def test_config_json_names_the_options_and_no_path(lab: "Lab") -> None:
    text = find_classifier(lab.workspace).config.read_text()
    assert str(lab.source.parent) not in text
    config = json.loads(text)["config"]
    assert config["images"] == "real"
    assert config["fit"]["num_steps"] == 4
    assert "device" not in config["fit"]


def test_a_training_that_diverges_leaves_nothing_behind(lab: "Lab") -> None:
    task = lab.task(1, learning_rate=1e12, num_steps=6)
    with pytest.raises(ConfigError, match="lower the learning rate"):
        train_stored(task)
    assert not task.run.root.exists()

"""The arms of the subtype model: fusion gains where neither input suffices, and no test patient has a part."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from classifiers.models.cross_attention import PatientSamples
from ganaug.classify import patients as classify_patients
from ganaug.classify.patients import Parts, Patients, read_patients, train_patients
from ganaug.cli.main import main
from ganaug.cli.train_patients import format_subtypes
from ganaug.config import CPU, FoldsConfig, PairedConfig, PhantomConfig, PrepareConfig, SubtypeConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.data.sources.phantom.paired import SUBTYPES, TISSUES, draw_expression, draw_genes, draw_tissue, subtype_of
from ganaug.errors import ConfigError, DataError
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.study.plan import cost
from ganaug.study.statistics.increments import BOTH, GENES, IMAGE, PUBLISHED, PatientPredictions, compare
from ganaug.study.subtypes import (
    ARMS,
    compare_arms,
    fit_config_of,
    parts_of,
    run_arms,
)
from ganaug.workspace import Workspace

DIM = 16  # features of a tile
QUICK = SubtypeConfig(seeds=(0,), num_steps=60, num_resamples=300)


def paired(num: int = 160, config: PairedConfig | None = None, seed: int = 0) -> Patients:
    """The paired phantom with features that show the tissue, in place of images."""
    config = config or PairedConfig(num_informative=30)
    genes, rng = draw_genes(config, seed), np.random.default_rng(seed)
    tissue = [TISSUES.index(draw_tissue(config, seed, patient)) for patient in range(num)]
    tiles = [(rng.normal(size=(2 + n % 3, DIM)) + 2 * tissue[n]).astype(np.float32) for n in range(num)]
    values = np.stack([draw_expression(genes, seed, patient) for patient in range(num)])
    return Patients(
        groups=tuple(f"p{patient:03d}" for patient in range(num)),
        labels=np.array([subtype_of(patient) for patient in range(num)], np.int64),
        samples=PatientSamples(tiles, values),
        class_names=SUBTYPES,
        genes=tuple(f"G{gene}" for gene in range(values.shape[1])),
    )


def one_fold(num: int) -> Parts:
    order = np.random.default_rng(0).permutation(num)
    return Parts(order[: num // 2], order[num // 2 : 5 * num // 8], order[5 * num // 8 :])


def test_fusion_recovers_what_neither_input_has_alone_and_the_published_form_does_not() -> None:
    patients = paired()
    parts = {0: one_fold(len(patients.labels))}
    tested = run_arms(lambda fold: patients, parts, QUICK)
    scores, increments = compare(
        PatientPredictions(
            tested.labels[parts[0].test], {arm: probs[:, parts[0].test] for arm, probs in tested.probs.items()}
        ),
        QUICK,
    )
    value = {(row.arm, row.metric): row.value for row in scores}
    half = 0.5 + 0.12  # what one bit allows, and the luck of 60 patients
    assert value[GENES, "balanced_accuracy"] < half
    assert value[IMAGE, "balanced_accuracy"] < half
    assert value[PUBLISHED, "balanced_accuracy"] < half
    assert value[BOTH, "balanced_accuracy"] > 0.7
    gain = {(row.arm, row.baseline): row for row in increments if row.metric == "pr_auc"}
    assert gain[BOTH, GENES].interval.is_above(0)
    assert gain[BOTH, IMAGE].interval.is_above(0)
    assert not gain[PUBLISHED, GENES].interval.is_above(0.1)


def test_scales_see_training_patients_only() -> None:
    patients = paired(40)
    parts = one_fold(40)
    config = fit_config_of(replace(QUICK, num_steps=2), 0, "cpu")
    plain = train_patients(patients, parts, ARMS[BOTH], config, weights_seed=0).state_dict()
    patients.samples.expression[parts.test] = 1e6
    for index in parts.test:
        patients.samples.tiles[index][:] = -1e6
    planted = train_patients(patients, parts, ARMS[BOTH], config, weights_seed=0).state_dict()
    assert len(plain) > 10
    assert all(np.array_equal(plain[name], planted[name]) for name in plain)
    np.testing.assert_allclose(
        plain["scale_genes.mean"], patients.samples.expression[parts.train].mean(0), rtol=1e-6
    )  # fmt: skip
    patients.samples.expression[parts.train[0]] = 1e6
    moved = train_patients(patients, parts, ARMS[BOTH], config, weights_seed=0).state_dict()
    assert not np.array_equal(plain["scale_genes.mean"], moved["scale_genes.mean"])


@pytest.mark.parametrize("part", ["val", "test"])
def test_nothing_but_the_choice_of_weights_depends_on_patients_who_are_not_trained_on(part: str) -> None:
    """With one step there is one state to choose, so validation patients may change nothing either."""
    config = fit_config_of(replace(QUICK, num_steps=1), 0, "cpu")
    parts = one_fold(40)

    def train(planted: np.ndarray) -> dict[str, Tensor]:
        patients = paired(40)
        patients.labels[planted] = (patients.labels[planted] + 1) % len(SUBTYPES)
        patients.samples.expression[planted] *= -3
        for index in planted:
            patients.samples.tiles[index][:] += 7
        return train_patients(patients, parts, ARMS[BOTH], config, weights_seed=0).state_dict()

    plain = train(np.empty(0, np.int64))
    planted = train(getattr(parts, part))
    assert len(plain) > 10
    assert all(torch.equal(plain[name], planted[name]) for name in plain)
    learnt = train(parts.train[:1])
    assert not all(torch.equal(plain[name], learnt[name]) for name in plain)


def test_the_classes_of_tested_patients_do_not_change_what_is_predicted_of_them() -> None:
    patients, parts = paired(40), {0: one_fold(40)}
    quick = replace(QUICK, num_steps=2)
    plain = run_arms(lambda fold: patients, parts, quick)
    relabelled = replace(patients, labels=patients.labels.copy())
    relabelled.labels[parts[0].test] = (relabelled.labels[parts[0].test] + 1) % len(SUBTYPES)
    planted = run_arms(lambda fold: relabelled, parts, quick)
    assert not np.array_equal(plain.labels, planted.labels)
    for arm in ARMS:
        np.testing.assert_array_equal(plain.probs[arm], planted.probs[arm])


def test_every_repeat_of_the_folds_is_a_run_and_tests_everybody_once() -> None:
    patients, quick = paired(24), replace(QUICK, seeds=(0, 1), num_steps=1)
    order, parts = np.arange(24), {}
    for fold in range(6):  # 3 folds, twice
        third = order[fold % 3 :: 3] if fold < 3 else order[8 * (fold - 3) : 8 * (fold - 2)]
        others = np.setdiff1d(order, third)
        parts[fold] = Parts(others[4:], others[:4], third)
    tested = run_arms(lambda fold: patients, parts, quick, arms=(GENES,), repeat_of=lambda fold: fold // 3)
    assert tested.probs[GENES].shape == (4, 24, 4)
    assert np.isfinite(tested.probs[GENES]).all()
    scores = compare(tested, quick)[0]
    singly = [
        compare(PatientPredictions(tested.labels, {GENES: tested.probs[GENES][run : run + 1]}), quick)[0][0].value
        for run in range(4)
    ]
    assert scores[0].value == pytest.approx(np.mean(singly))


def test_an_increment_is_paired_by_patient() -> None:
    """Where two arms differ in few patients, the difference is known better than either score."""
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 2
    right = np.where(rng.random(100) < 0.7, labels, 1 - labels)
    genes = np.eye(2)[right] * 0.8 + 0.1
    both = genes.copy()
    both[:3] = np.eye(2)[labels[:3]] * 0.8 + 0.1
    tested = PatientPredictions(labels, {BOTH: both[None], GENES: genes[None]})
    scores, increments = compare(tested, QUICK)
    score, increment = scores[2].interval, increments[2].interval
    assert scores[2].metric == increments[2].metric == "balanced_accuracy"
    assert increments[2].value == pytest.approx(scores[2].value - scores[5].value)
    assert increment.high - increment.low < 0.6 * (score.high - score.low)


def test_the_score_of_an_arm_is_the_mean_over_its_runs_and_an_arm_gains_nothing_over_itself() -> None:
    rng = np.random.default_rng(0)
    labels, probs = np.arange(40) % 2, rng.dirichlet(np.ones(2), (2, 40))
    tested = PatientPredictions(labels, {BOTH: probs, GENES: probs})
    scores, increments = compare(tested, QUICK)
    single = [compare(PatientPredictions(labels, {BOTH: probs[run : run + 1]}), QUICK)[0][0].value for run in range(2)]
    assert scores[0].value == pytest.approx(np.mean(single))
    assert all(row.value == row.interval.low == row.interval.high == 0 for row in increments)
    assert len(increments) == 3


def test_patients_that_no_fold_tests_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    labels, probs = np.arange(40) % 2, rng.dirichlet(np.ones(2), (1, 40))
    untested = np.concatenate([probs, np.full((1, 10, 2), np.nan)], axis=1)
    fewer = compare(PatientPredictions(labels, {BOTH: probs}), QUICK)
    more = compare(PatientPredictions(np.append(labels, np.zeros(10, np.int64)), {BOTH: untested}), QUICK)
    assert fewer == more
    lacking = compare(PatientPredictions(labels, {BOTH: np.insert(probs, 2, 0.0, axis=2)}), QUICK)[0][0].to_dict()
    assert (lacking["value"], lacking["low"]) == (None, None)
    assert "no value" in lacking["reason"]


def test_a_patient_stands_in_one_part_only() -> None:
    with pytest.raises(AssertionError, match="two parts"):
        Parts(np.arange(5), np.arange(5, 8), np.arange(7, 9))


# ---- on a prepared data set


@pytest.fixture(autouse=True)
def means(monkeypatch: pytest.MonkeyPatch) -> None:
    """An extractor that takes no time: the mean colour."""
    means = Extractor("means", "0" * 64, "of each channel", lambda images: images.float().mean((2, 3)))
    monkeypatch.setattr(classify_patients, "open_extractor", lambda *given: means)
    monkeypatch.setattr(cost, "open_extractor", lambda *given: means)


@pytest.fixture
def dataset(workspace: Workspace) -> DataSet:
    config = PrepareConfig(
        "paired-phantom", resolution_px=16, phantom=PhantomConfig(16, 24, 2, 8.0), folds=FoldsConfig(num_folds=3)
    )
    prepare_dataset(workspace, config)
    return open_dataset(workspace, "paired-phantom")


def test_every_patient_is_tested_in_one_fold_and_trained_on_in_none_of_its_own(
    workspace: Workspace, dataset: DataSet
) -> None:
    patients = read_patients(workspace, dataset, 0, extractor=None, max_tiles=1, compute=CPU)
    assert [len(bag) for bag in patients.samples.tiles] == [1] * 24
    parts = [parts_of(dataset, patients, fold) for fold in range(3)]
    assert sorted(np.concatenate([part.test for part in parts]).tolist()) == list(range(24))
    for fold, part in enumerate(parts):
        named = {patients.groups[at] for at in part.test}
        assert named == set(dataset.folds.test_groups(fold))
        assert not named & {patients.groups[at] for at in (*part.train, *part.val)}


def test_the_arms_of_a_data_set_are_compared_and_no_patient_is_named(workspace: Workspace, dataset: DataSet) -> None:
    config = SubtypeConfig(seeds=(0,), num_steps=2, num_resamples=100)
    result = compare_arms(workspace, dataset, None, config)
    assert (result.num_patients, result.num_tiles, result.num_genes) == (24, 48, 50)
    assert [row.arm for row in result.scores] == [arm for arm in ARMS for _ in range(3)]
    text, stored = format_subtypes(result), json.dumps(result.to_dict())
    assert "both − genes" in text
    assert "50 genes, 1 seed;" in text
    assert "--fold-by site" in text
    assert "at best 47.5% of the patients" in text
    assert "paired-p0" not in text + stored
    assert compare_arms(workspace, dataset, None, config).scores == result.scores


def test_a_dry_run_counts_what_is_not_there_yet_and_writes_nothing(
    workspace: Workspace, dataset: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SubtypeConfig(seeds=(0, 1), num_steps=2, num_resamples=100)

    def files() -> list[Path]:  # but for notes on files that were checked, which the command does not keep
        return sorted(path for path in workspace.root.rglob("*") if path.is_file() and path.parent.name != "checked")

    before = files()
    found = cost.estimate_subtypes(workspace, dataset, [0, 1], config, CPU, BOTH)
    assert (found.tiles, found.models) == (48, 2 * 2 * len(ARMS))
    assert found.seconds > 0
    assert files() == before
    fewer = cost.estimate_subtypes(workspace, dataset, [0], replace(config, max_tiles=1), CPU, BOTH)
    assert (fewer.tiles, fewer.models) == (24, 2 * len(ARMS))
    monkeypatch.setattr(cost, "_time_arm", lambda *given: 10.0)
    compare_arms(workspace, dataset, [0], config, keep=BOTH)
    half = cost.estimate_subtypes(workspace, dataset, [0, 1], config, CPU, BOTH)
    assert (half.tiles, half.models) == (0, 2 * len(ARMS))
    assert half.seconds == 10.0 * half.models
    done = cost.estimate_subtypes(workspace, dataset, [0], config, CPU, BOTH)
    assert (done.tiles, done.models, done.seconds) == (0, 0, 0.0)


def test_a_dry_run_of_the_command_says_how_long_it_takes(workspace: Workspace, dataset: DataSet) -> None:
    given = ["train-classifier", "--classifier", "cross_attention", "--dataset", dataset.name, "--preset", "quick"]
    given += ["--device", "cpu", "--fold", "0", "--steps", "2", "--dry-run", "--workspace", str(workspace.root)]
    text = CliRunner().invoke(main, given).stdout
    assert "tiles to extract: 48" in text
    assert f"models to train: {len(ARMS)}" in text
    assert text.splitlines()[-1].startswith("about ")
    value = json.loads(CliRunner().invoke(main, [*given, "--json"]).stdout)
    assert value["seconds"] >= 0


def test_what_cannot_be_compared_is_one_line(workspace: Workspace, tiny: DataSet, dataset: DataSet) -> None:
    with pytest.raises(DataError, match="phantom holds no expression"):
        compare_arms(workspace, tiny, None, QUICK)
    patients = paired(16)
    with pytest.raises(ConfigError, match="dalaresnet50_small"):
        train_patients(patients, one_fold(16), "dalaresnet50_small", fit_config_of(QUICK, 0, "cpu"), weights_seed=0)
    with pytest.raises(ConfigError, match="0 tiles"):
        SubtypeConfig(max_tiles=0)

"""A kept model of tiles and expression predicts as it did, and is refused where anything differs."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from classifiers.models.cross_attention import CrossAttention, PatientSamples
from classifiers.predict import predict
from ganaug.checkpoint.snapshot import load_tensors, save_tensors
from ganaug.classify import patients as classify_patients
from ganaug.classify.patients import Parts, Patients, read_patients, train_patients
from ganaug.classify.stored import find_classifier
from ganaug.classify.stored_patients import PatientModelConfig, keep_patient_model, open_patient_model
from ganaug.cli.main import main
from ganaug.cli.train_patients import OF_IMAGES
from ganaug.config import CPU, FoldsConfig, PhantomConfig, PrepareConfig, SubtypeConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.errors import ConfigError, CorruptFile, DataError, LeakError, WorkspaceError
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.inspect import describe
from ganaug.provenance import require_seal, sealed
from ganaug.study import subtypes
from ganaug.study.statistics.increments import BOTH
from ganaug.study.subtypes import about_model, fit_config_of, parts_of
from ganaug.workspace import Workspace, open_workspace, read_json, write_json


@pytest.fixture(autouse=True)
def means(monkeypatch: pytest.MonkeyPatch) -> None:
    """An extractor that takes no time: the mean colour."""
    means = Extractor("means", "0" * 64, "of each channel", lambda images: images.float().mean((2, 3)))
    monkeypatch.setattr(classify_patients, "open_extractor", lambda *given: means)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Prepared once, and copied for each test."""
    workspace = open_workspace(tmp_path_factory.mktemp("prepared"))
    config = PrepareConfig(
        "paired-phantom", resolution_px=16, phantom=PhantomConfig(16, 12, 1, 8.0), folds=FoldsConfig(num_folds=3)
    )
    prepare_dataset(workspace, config)
    return workspace


@pytest.fixture
def dataset(prepared: Workspace, workspace: Workspace) -> DataSet:
    shutil.copytree(prepared.root, workspace.root, dirs_exist_ok=True)
    return open_dataset(workspace, "paired-phantom")


@pytest.fixture
def patients(workspace: Workspace, dataset: DataSet) -> Patients:
    return read_patients(workspace, dataset, 0, extractor=None, max_tiles=4, compute=CPU)


def keep(workspace: Workspace, dataset: DataSet, patients: Patients) -> tuple[Path, np.ndarray]:
    chosen = SubtypeConfig(num_steps=2, max_tiles=4)
    fit = fit_config_of(chosen, 0, "cpu")
    model = train_patients(patients, parts_of(dataset, patients, 0), "cross_attention", fit, weights_seed=0)
    about: PatientModelConfig = about_model(patients, 0, 0, BOTH, chosen)
    return keep_patient_model(workspace, dataset, 0, model, about), predict(model, patients.samples)


def test_a_kept_model_predicts_as_it_did_and_carries_what_it_saw(
    workspace: Workspace, dataset: DataSet, patients: Patients
) -> None:
    path, probs = keep(workspace, dataset, patients)
    stored = open_patient_model(path)
    assert np.array_equal(stored.probabilities(patients), probs)
    table = dataset.table
    held_out = {table.patient_digest(group) for group in dataset.folds.test_groups(0)}
    seen = set(stored.provenance.groups_seen)
    assert (len(seen), seen & held_out) == (8, set())
    assert path.read_bytes() == keep(workspace, dataset, patients)[0].read_bytes()
    assert b"paired-p0" not in path.read_bytes()


def test_genes_in_another_order_are_put_in_the_models_and_others_refused(
    workspace: Workspace, dataset: DataSet, patients: Patients
) -> None:
    path, probs = keep(workspace, dataset, patients)
    stored, order = open_patient_model(path), np.random.default_rng(0).permutation(len(patients.genes))
    other = PatientSamples(patients.samples.tiles, patients.samples.expression[:, order])
    genes = tuple(patients.genes[column] for column in order)
    assert genes != patients.genes
    assert np.array_equal(stored.probabilities(replace(patients, samples=other, genes=genes)), probs)
    with pytest.raises(DataError, match=r"1 of the model's genes are missing \(GENE0000\), 1 are further ones \(X\)"):
        stored.probabilities(replace(patients, genes=("X", *patients.genes[1:])))
    with pytest.raises(DataError, match="1 stand there more than once"):
        stored.probabilities(replace(patients, genes=(*patients.genes, patients.genes[0])))


def test_features_of_another_extractor_are_refused(workspace: Workspace, dataset: DataSet, patients: Patients) -> None:
    stored = open_patient_model(keep(workspace, dataset, patients)[0])
    with pytest.raises(ConfigError, match="features of squeezenet; expected means"):
        stored.probabilities(replace(patients, extractor="squeezenet", extractor_digest="other"))
    with pytest.raises(ConfigError, match="features of means with other weights; expected means"):
        stored.probabilities(replace(patients, extractor_digest="other"))


def test_a_kept_model_is_described(workspace: Workspace, dataset: DataSet, patients: Patients) -> None:
    description, text = describe(keep(workspace, dataset, patients)[0])
    assert description["kind"] == "model of tiles and expression"
    assert "classifier: cross_attention\ndataset: paired-phantom\nfold: 0\nclasses: " in text
    assert "patients_seen: 8\ngenes: 50: GENE0000, " in text
    assert "features: 3\nextractor: means\n" in text


def test_an_edited_or_other_file_is_refused(workspace: Workspace, dataset: DataSet, patients: Patients) -> None:
    path, _ = keep(workspace, dataset, patients)
    tensors, metadata = load_tensors(path)
    save_tensors(path, tensors, metadata | {"config": metadata["config"].replace("GENE0001", "GENE9999")})
    with pytest.raises(LeakError):
        open_patient_model(path)
    tensors["scale_genes.mean"][0] += 1
    save_tensors(path, tensors, metadata)
    with pytest.raises(LeakError):
        open_patient_model(path)
    path.write_bytes(b"no model")
    with pytest.raises(CorruptFile):
        open_patient_model(path)


# ---- the command


def run(workspace: Workspace, *arguments: object, command: str = "train-classifier") -> Result:
    given = [command, "--classifier", *map(str, arguments), "--device", "cpu", "--workspace", str(workspace.root)]
    return CliRunner().invoke(main, given)


QUICK = ("--preset", "quick", "--steps", 2)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the classifiers that are trained, as they are."""
    names: list[str] = []

    def train(patients: Patients, parts: Parts, classifier: str, *given: Any, **more: Any) -> CrossAttention:
        names.append(classifier)
        return train_patients(patients, parts, classifier, *given, **more)

    monkeypatch.setattr(subtypes, "train_patients", train)
    return names


def test_the_command_compares_the_arms_and_keeps_the_one_named(workspace: Workspace, dataset: DataSet) -> None:
    plan = run(workspace, "cross_attention", *QUICK, "--dry-run")
    assert plan.exit_code == 0, plan.stderr
    assert "models: 8" in plan.stdout
    assert "tiles: 12\ngenes: 50" in plan.stdout
    done = run(workspace, "cross_attention[arm=genes]", *QUICK, "--fold", 1)
    assert done.exit_code == 0, done.stderr
    assert "both − genes" in done.stdout
    stored = open_patient_model(workspace.root / done.stdout.strip().splitlines()[-1])
    assert (stored.config.classifier, stored.provenance.fold) == ("cross_attention[arm=genes]", 1)


def test_what_was_interrupted_resumes_with_the_next_training_and_what_is_finished_is_printed(
    workspace: Workspace, dataset: DataSet, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = open_workspace(workspace.root.parent / "whole")
    shutil.copytree(workspace.root, whole.root, dirs_exist_ok=True)
    expected = run(whole, "cross_attention", *QUICK)
    assert expected.exit_code == 0, expected.stderr
    assert len(trained) == 8
    counted = vars(subtypes)["train_patients"]

    def stop_at_the_fourth(*given: Any, **more: Any) -> CrossAttention:
        if len(trained) == 11:
            raise KeyboardInterrupt
        model: CrossAttention = counted(*given, **more)
        return model

    monkeypatch.setattr(subtypes, "train_patients", stop_at_the_fourth)
    stopped = run(workspace, "cross_attention", *QUICK)
    assert (stopped.exit_code, len(stopped.stderr.strip().splitlines())) == (130, 1)
    assert "run the same command again" in stopped.stderr
    monkeypatch.setattr(subtypes, "train_patients", counted)
    for num_trained in (16, 16):
        again = run(workspace, "cross_attention", *QUICK)
        assert again.stdout == expected.stdout
        assert len(trained) == num_trained
    assert run(workspace, "cross_attention[arm=image]", *QUICK).exit_code == 0
    assert trained[16:] == ["cross_attention[arm=image]"] * 2  # the models to keep, one per fold
    assert run(workspace, "cross_attention", *QUICK, "--seed", 1, "--fold", 0).exit_code == 0
    assert len(trained) == 22


@pytest.mark.parametrize("what", ["seal", "patients", "text", "model"])
def test_a_finished_training_that_was_edited_is_trained_again(
    workspace: Workspace, dataset: DataSet, trained: list[str], what: str
) -> None:
    command = ("cross_attention", *QUICK, "--fold", 0)
    expected = run(workspace, *command)
    (model,) = workspace.root.glob("classifiers/*/patients.safetensors")
    path = model.parent / "tested.json"
    values = read_json(path)
    assert list(values["patients"]) == sorted(map(dataset.table.patient_digest, dataset.folds.test_groups(0)))
    assert "paired-p0" not in path.read_text()
    if what == "seal":
        next(iter(values["patients"].values())).reverse()
        write_json(path, values)
    elif what == "patients":
        others = {dataset.table.patient_digest(group): [0.5, 0.5] for group in dataset.folds.train_groups(0)}
        write_json(path, sealed({**values, "patients": others}))
    elif what == "text":
        path.write_text('{"a":')
    else:
        model.write_bytes(b"no model")
    again = run(workspace, *command)
    assert again.stdout == expected.stdout
    assert "this model is trained again" in again.stderr
    assert trained[4:] == ["cross_attention"]
    require_seal(read_json(path), path)
    open_patient_model(model)


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (("cross_attention[arm=protein]",), "arm=protein"),
        (("cross_attention[variant=published,arm=genes]",), "is no arm of the comparison"),
        (("cross_attention", "--pretrained", "weights.pth"), "--pretrained with cross_attention"),
        (("cross_attention", "--pretrained", "none"), "--pretrained with cross_attention"),
        (("cross_attention", "--pretrained-saw", "photographs"), "--pretrained-saw with cross_attention"),
        (("cross_attention", "--classical-augmentation", "strong"), "--classical-augmentation with cross_attention"),
        (("cross_attention", "--classical-augmentation", "standard"), "--classical-augmentation with cross_attention"),
        (("cross_attention", "--images", "real+synthetic"), "--images with cross_attention"),
        (("cross_attention", "--images", "real"), "--images with cross_attention"),
        (("cross_attention", "--ratio", 1), "--ratio with cross_attention"),
        (("cross_attention", "--gan", "nobody"), "--gan with cross_attention"),
        (("cross_attention", "--synthetic", __file__), "--synthetic with cross_attention"),
    ],
)
def test_what_the_command_does_not_take_is_one_line(
    workspace: Workspace, dataset: DataSet, arguments: tuple[object, ...], facts: str
) -> None:
    refused = run(workspace, *arguments)
    assert refused.exit_code == 2
    assert facts in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert not (workspace.root / "classifiers").exists()


def test_every_option_of_the_command_is_used_or_refused() -> None:
    used = {"dataset", "fold", "classifier", "num_steps", "weights_dir", "workspace_path", "preset", "seed"}
    used |= {"device_name", "dry_run", "as_json", "debug", "verify"}
    names = {option.name for option in main.commands["train-classifier"].params}
    assert used | OF_IMAGES == names
    assert not used & OF_IMAGES


def test_commands_that_read_images_say_what_such_a_model_is(
    workspace: Workspace, dataset: DataSet, patients: Patients
) -> None:
    path, _ = keep(workspace, dataset, patients)
    predict_command = ("predict", workspace.root, "--out", workspace.root / "out.csv")
    for arguments in (
        (*predict_command, "--run", path),
        (*predict_command, "--run", path.parent),
        (*predict_command, "--classifier", "cross_attention"),
        ("explain", "--run", path.parent),
        ("explain", "--classifier", "cross_attention[arm=genes]"),
    ):
        refused = CliRunner().invoke(main, [*map(str, arguments), "--workspace", str(workspace.root)])
        assert refused.exit_code == 2
        (line,) = refused.stderr.strip().splitlines()
        assert "is a model of patients' tiles and expression; expected a classifier of images" in line
        assert "ganaug.classify.stored_patients.open_patient_model" in line
    with pytest.raises(ConfigError, match="tiles and expression"):
        find_classifier(workspace, name="cross_attention")
    with pytest.raises(WorkspaceError, match=r"there is: models of patients' tiles and expression \(1\)"):
        find_classifier(workspace)


def test_a_data_set_of_images_alone_is_one_line(workspace: Workspace, tiny: DataSet) -> None:
    refused = run(workspace, "cross_attention")
    assert refused.exit_code == 2
    assert "holds no expression" in refused.stderr

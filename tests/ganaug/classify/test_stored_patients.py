"""A kept model of tiles and expression predicts as it did, and is refused where anything differs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from classifiers.predict import predict
from ganaug.checkpoint.snapshot import load_tensors, save_tensors
from ganaug.classify.patients import Patients, read_patients, train_patients
from ganaug.classify.stored_patients import PatientModelConfig, keep_patient_model, open_patient_model
from ganaug.cli.main import main
from ganaug.config import CPU, FoldsConfig, PhantomConfig, PrepareConfig, SubtypeConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.errors import ConfigError, CorruptFile, DataError, LeakError
from ganaug.study.subtypes import about_model, fit_config_of, parts_of
from ganaug.workspace import Workspace


@pytest.fixture
def dataset(workspace: Workspace) -> DataSet:
    config = PrepareConfig(
        "paired-phantom", resolution_px=16, phantom=PhantomConfig(16, 12, 1, 8.0), folds=FoldsConfig(num_folds=3)
    )
    prepare_dataset(workspace, config)
    return open_dataset(workspace, "paired-phantom")


@pytest.fixture
def patients(workspace: Workspace, dataset: DataSet) -> Patients:
    return read_patients(workspace, dataset, 0, extractor=None, max_tiles=4, compute=CPU)


def keep(workspace: Workspace, dataset: DataSet, patients: Patients) -> tuple[Path, np.ndarray]:
    chosen = SubtypeConfig(num_steps=2, max_tiles=4)
    fit = fit_config_of(chosen, 0, "cpu")
    model = train_patients(patients, parts_of(dataset, patients, 0), "cross_attention", fit, weights_seed=0)
    about: PatientModelConfig = about_model("cross_attention", patients, fit, chosen)
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


def test_other_genes_or_features_are_refused(workspace: Workspace, dataset: DataSet, patients: Patients) -> None:
    stored = open_patient_model(keep(workspace, dataset, patients)[0])
    with pytest.raises(DataError, match=r"1 of the model's genes are missing \(GENE0000\), 1 are further ones \(X\)"):
        stored.probabilities(replace(patients, genes=("X", *patients.genes[1:])))
    with pytest.raises(ConfigError, match="features of squeezenet; expected efficientnet"):
        stored.probabilities(replace(patients, extractor="squeezenet"))


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


def run(workspace: Workspace, *arguments: object) -> Result:
    given = [*map(str, arguments), "--device", "cpu", "--preset", "quick", "--workspace", str(workspace.root)]
    return CliRunner().invoke(main, ["train-classifier", "--classifier", *given])


def test_the_command_compares_the_arms_and_keeps_the_one_named(workspace: Workspace, dataset: DataSet) -> None:
    plan = run(workspace, "cross_attention", "--dry-run")
    assert plan.exit_code == 0, plan.stderr
    assert "models: 8" in plan.stdout
    assert "genes: 50" in plan.stdout
    done = run(workspace, "cross_attention[arm=genes]", "--steps", 2, "--fold", 1)
    assert done.exit_code == 0, done.stderr
    assert "both − genes" in done.stdout
    stored = open_patient_model(workspace.root / done.stdout.strip().splitlines()[-1])
    assert (stored.config.classifier, stored.provenance.fold) == ("cross_attention[arm=genes]", 1)


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (("cross_attention[arm=protein]",), "arm=protein"),
        (("cross_attention[variant=published,arm=genes]",), "is no arm of the comparison"),
        (("cross_attention", "--pretrained", "weights.pth"), "--pretrained with cross_attention"),
    ],
)
def test_what_the_command_does_not_take_is_one_line(
    workspace: Workspace, dataset: DataSet, arguments: tuple[str, ...], facts: str
) -> None:
    refused = run(workspace, *arguments)
    assert refused.exit_code == 2
    assert facts in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_data_set_of_images_alone_is_one_line(workspace: Workspace, tiny: DataSet) -> None:
    refused = run(workspace, "cross_attention")
    assert refused.exit_code == 2
    assert "holds no expression" in refused.stderr

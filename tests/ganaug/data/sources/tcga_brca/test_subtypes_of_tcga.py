"""The arms of the subtype model on tiles and tables as TCGA has them, from files to figures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from ganaug.classify import patients as classify_patients
from ganaug.classify.patients import read_patients
from ganaug.classify.stored_patients import open_patient_model
from ganaug.config import CPU, FoldsConfig, PrepareConfig, SubtypeConfig
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.study.statistics.increments import BOTH
from ganaug.study.subtypes import compare_arms, parts_of
from ganaug.workspace import Workspace

SITES = ("A1", "A2", "BH", "C8", "D8", "E2")
CALLS = {
    f"TCGA-{site}-{10 * at + number:04d}": ("LumA", "Basal", "LumB")[number]
    for at, site in enumerate(SITES)
    for number in range(3)
}
LACKING = "TCGA-C8-0032"  # its table holds no expression of the tumour
VALUES = {f"{patient}-01": (at, at % 5, 2.5) for at, patient in enumerate(CALLS) if patient != LACKING}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tiles the extractor, the mean colour, is shown at a time."""
    shown: list[int] = []

    def embed(images: Tensor) -> Tensor:
        shown.append(len(images))
        return images.float().mean((2, 3))

    means = Extractor("means", "0" * 64, "of each channel", embed)
    monkeypatch.setattr(classify_patients, "open_extractor", lambda *given: means)
    return shown


@pytest.fixture
def dataset(
    workspace: Workspace,
    tmp_path: Path,
    write_tiles: Callable[..., Path],
    xena_clinical: Callable[..., str],
    write_table: Callable[..., str],
) -> DataSet:
    config = PrepareConfig(
        "tcga-brca",
        str(write_tiles(tmp_path / "tiles", list(CALLS), num=3)),
        resolution_px=16,
        clinical=xena_clinical(tmp_path / "BRCA_clinicalMatrix", CALLS),
        expression=write_table(tmp_path / "HiSeqV2", VALUES),
        folds=FoldsConfig(num_folds=3, by="site"),
    )
    prepare_dataset(workspace, config)
    return open_dataset(workspace, "tcga-brca")


def test_the_arms_are_compared_on_patients_of_laboratories_that_no_training_saw(
    workspace: Workspace, dataset: DataSet, seen: list[int]
) -> None:
    config = SubtypeConfig(seeds=(0,), num_steps=2, max_tiles=2, num_resamples=100)
    result = compare_arms(workspace, dataset, None, config, keep=BOTH)
    assert sum(seen) == result.num_tiles == 34
    assert (result.num_patients, result.num_genes) == (17, 3)
    assert result.class_names == ("Luminal", "BasalHer2")
    assert "class Luminal: 1 patients have no usable expression and are skipped" in result.notes
    assert [note for note in result.notes if "near-circular" in note]
    assert [note for note in result.notes if "laboratory as independent" in note]
    assert not [note for note in result.notes if "--fold-by site" in note]
    assert len(result.kept) == 3

    patients = read_patients(workspace, dataset, 0, extractor=None, max_tiles=2, compute=CPU)
    assert set(patients.groups) == set(CALLS) - {LACKING}
    called = [patients.class_names[label] for label in patients.labels]
    assert called == ["BasalHer2" if CALLS[group] == "Basal" else "Luminal" for group in patients.groups]
    expected = np.array([VALUES[f"{group}-01"] for group in patients.groups], np.float32)
    assert np.array_equal(patients.samples.expression, expected)
    for fold, path in enumerate(result.kept):
        parts = parts_of(dataset, patients, fold)
        sites = [{patients.groups[at][5:7] for at in part} for part in (parts.train, parts.val, parts.test)]
        assert sum(map(len, sites)) == len(set().union(*sites)) == 6
        stored = open_patient_model(workspace.root / path)
        mean = stored.model.scale_genes.mean.numpy()
        np.testing.assert_allclose(mean, expected[parts.train].mean(0), rtol=1e-6)
        held_out = {dataset.table.patient_digest(patients.groups[at]) for at in parts.test}
        assert not held_out & set(stored.provenance.groups_seen)
        assert np.isfinite(stored.probabilities(patients)).all()


def test_folds_by_patient_warn_of_laboratories_that_are_trained_on_and_tested(
    workspace: Workspace, dataset: DataSet, seen: list[int], tmp_path: Path
) -> None:
    config = PrepareConfig(
        "tcga-brca",
        str(tmp_path / "tiles"),
        resolution_px=16,
        clinical=str(tmp_path / "BRCA_clinicalMatrix"),
        expression=str(tmp_path / "HiSeqV2"),
        folds=FoldsConfig(num_folds=3, by="group"),
    )
    prepare_dataset(workspace, config)
    config_of_arms = SubtypeConfig(seeds=(0,), num_steps=1, max_tiles=1, num_resamples=100)
    result = compare_arms(workspace, open_dataset(workspace, "tcga-brca"), [0], config_of_arms)
    assert [note for note in result.notes if "--fold-by site" in note]

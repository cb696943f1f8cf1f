"""The scores of a whole synthetic file: planted faults, floors, names of figures, records, and refusals."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from ganaug.config.choices import HELD_OUT, VALIDATION
from ganaug.data.dataset import DataSet
from ganaug.errors import DataError, LeakError, WeightsError, private
from ganaug.evaluate import judge_file
from ganaug.evaluate.extractors.extractor import Extractor
from ganaug.evaluate.judge_file import Evidence, judge_case, open_case, score_case
from ganaug.evaluate.judged import Chapter
from ganaug.evaluate.metrics.metric import QUESTIONS
from ganaug.evaluate.metrics.registry import METRICS
from ganaug.evaluate.scores import ALL, ImageScore
from ganaug.evaluate.table import format_scores
from ganaug.workspace import GanRun, Workspace, read_jsonl, write_json

Synthesize = Callable[..., Path]
Score = Callable[..., tuple[ImageScore, ...]]


@pytest.fixture
def score(workspace: Workspace, dataset: DataSet, synthesize: Synthesize, pixels: Extractor) -> Score:
    """The scores of a synthetic file of these images and labels, by `extractor` in place of `pixels` where given."""

    def scores_of(
        images: NDArray[np.uint8], label: NDArray[np.int64], name: str = "gan", extractor: Extractor = pixels
    ) -> tuple[ImageScore, ...]:
        path = synthesize(images, label, name=name)
        return score_case(open_case(workspace, dataset, path, None), extractor).scores

    return scores_of


def sample(dataset: DataSet, per_class: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Training images of fold 0 with a little noise: what a perfect generator would give."""
    rng = np.random.default_rng(seed)
    train = dataset.train(0)
    chosen = np.concatenate(
        [rng.choice(train[dataset.table.label[train] == label], per_class, replace=False) for label in (0, 1)]
    )
    noisy = dataset.reader[chosen].astype(float) + rng.normal(0, 3, size=(len(chosen), 16, 16, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8), dataset.table.label[chosen]


def figure_of(scores: Sequence[ImageScore], metric: str, name: str, figure: str) -> float:
    (found,) = (score for score in scores if score.metric.startswith(metric) and score.class_name == name)
    value = getattr(found, figure)
    assert value is not None
    return float(value)


def test_planted_faults_raise_the_distance_of_the_class_they_are_in(dataset: DataSet, score: Score) -> None:
    good, label = sample(dataset, 40)
    collapsed = good.copy()
    collapsed[label == 1] = good[label == 1][:1]  # one image of Malignant, forty times
    tinted = good.copy()
    tinted[label == 1] = np.clip(good[label == 1].astype(int) + np.array([0, 0, 40]), 0, 255)
    honest = score(good, label)
    for fault, images, metrics in (("collapsed", collapsed, ["frechet"]), ("tinted", tinted, ["frechet", "kernel"])):
        faulty = score(images, label, name=fault)
        for metric in metrics:
            for name in (ALL, "Malignant"):
                for figure in ("value", "value_at_half"):
                    bad, fine = (figure_of(scores, metric, name, figure) for scores in (faulty, honest))
                    assert bad > fine, (metric, fault, name, figure)
            untouched, same = (figure_of(scores, metric, "Benign", "value") for scores in (honest, faulty))
            assert same == pytest.approx(untouched)


def test_real_floor_lies_below_noise_and_about_a_perfect_generator(dataset: DataSet, score: Score) -> None:
    good, label = sample(dataset, 40)
    noise = np.random.default_rng(0).integers(0, 256, size=good.shape, dtype=np.uint8)
    perfect, random = score(good, label), score(noise, label, name="noise")
    for metric in ("frechet", "kernel"):
        for name in (ALL, "Benign", "Malignant"):
            floor, std = (figure_of(perfect, metric, name, figure) for figure in ("floor", "floor_std"))
            assert floor == figure_of(random, metric, name, "floor"), "the floor depends on the real images alone"
            assert figure_of(random, metric, name, "value_at_half") > 10 * max(floor, 1e-6)
            # Its images are those of the half's patients, so it may be nearer than other patients are.
            assert figure_of(perfect, metric, name, "value_at_half") < floor + 3 * std


def test_value_and_floor_at_half_are_between_equal_numbers_of_images(dataset: DataSet, score: Score) -> None:
    scores = score(*sample(dataset, 20))
    assert figure_of(scores, "frechet", ALL, "n_synthetic") == 40
    distances = [each for each in scores if each.num_splits is not None]
    assert len(distances) == 3 * len(METRICS)
    for each in distances:
        assert each.n_half == (40 if each.class_name == ALL else 20), "no half may hold more than the synthetic side"


def test_a_figure_is_called_fid_only_on_inception(dataset: DataSet, score: Score, pixels: Extractor) -> None:
    images = sample(dataset, 20)
    scores = score(*images)
    assert {each.metric for each in scores[: 3 * len(METRICS)]} == {f"{name}[pixels]" for name in METRICS}
    assert "FID" not in format_scores(scores)
    by_the_book = replace(pixels, figure_names={"frechet": "FID", "kernel": "KID"})
    names = {each.metric for each in score(*images, extractor=by_the_book)}
    assert {"FID", "KID", "precision[pixels]"} < names
    assert not {"frechet[pixels]", "kernel[pixels]"} & names


def test_the_note_of_an_extractor_stands_in_the_table(dataset: DataSet, score: Score, pixels: Extractor) -> None:
    scores = score(*sample(dataset, 20), extractor=replace(pixels, note="a floor too low"))
    notes = {each.note for each in scores if "a floor too low" in each.note}
    assert len(scores) > 2 * len(notes) > 0
    assert format_scores(scores).count("a floor too low") == len(notes), "once for each note, not for each row"


def test_scores_are_recorded_once_with_the_file_they_are_about(
    workspace: Workspace, dataset: DataSet, run: GanRun, synthesize: Synthesize, pixels: Extractor
) -> None:
    path = synthesize(*sample(dataset, 20))
    write_json(run.config, {})
    first = score_case(open_case(workspace, dataset, path, run, seed=3), pixels)
    again = score_case(open_case(workspace, dataset, path, run, seed=3), pixels)
    assert again == first, "same seed, same figures"
    rows = read_jsonl(run.metrics)
    assert rows == first.to_rows(), "written once"
    assert {(row["kimg"], row["psi"], row["seed"], row["fold"], row["synthetic"]) for row in rows} == {
        (4.0, 1.0, 3, 0, path.name)
    }
    assert {row["class"] for row in rows} == {ALL, *dataset.table.class_names}
    other = score_case(open_case(workspace, dataset, path, run, seed=4), pixels)
    floors = [figure_of(each.scores, "frechet", ALL, "floor") for each in (first, other)]
    assert floors[0] != floors[1]


def test_a_study_is_told_of_copies_among_images_taken_evenly_from_the_file(
    workspace: Workspace,
    dataset: DataSet,
    synthesize: Synthesize,
    pixels: Extractor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(judge_file, "NUM_AUDITED", 30)
    judgement = score_case(open_case(workspace, dataset, synthesize(*sample(dataset, 20)), None), pixels)
    copies = {score.class_name: score for score in judgement.scores if score.metric == "copies"}
    assert [copies[name].n_synthetic for name in (ALL, *dataset.table.class_names)] == [30, 15, 15]
    (first, *_) = [finding for finding in judgement.findings if finding.question == "copying"]
    assert first.is_alarm, "noise that no eye would see hides no training image"
    assert "30 of 30 are copies" in first.sentence
    (gallery,) = judgement.exhibits
    assert gallery.question == "copying"


def test_a_generator_whose_folder_is_gone_gets_no_folder_again(
    workspace: Workspace, dataset: DataSet, run: GanRun, synthesize: Synthesize, pixels: Extractor
) -> None:
    judgement = score_case(open_case(workspace, dataset, synthesize(*sample(dataset, 20)), run), pixels)
    assert judgement.scores
    assert not run.root.exists()


def test_images_of_a_generator_that_saw_a_test_patient_are_refused(
    workspace: Workspace, dataset: DataSet, synthesize: Synthesize, pixels: Extractor
) -> None:
    leaked = dataset.folds.test_groups(0)[0]
    path = synthesize(*sample(dataset, 20), saw=(leaked,))
    with pytest.raises(LeakError, match=leaked):
        score_case(open_case(workspace, dataset, path, None), pixels)


def test_changed_images_and_another_folds_run_are_refused(
    workspace: Workspace, dataset: DataSet, synthesize: Synthesize, pixels: Extractor
) -> None:
    path = synthesize(*sample(dataset, 20))
    with pytest.raises(LeakError, match="fold 1"):
        score_case(open_case(workspace, dataset, path, workspace.gan("toy", 1, "0123456789")), pixels)
    with h5py.File(path, "r+") as file:
        file["images"][0] = 0
    with pytest.raises(LeakError, match="changed"):
        score_case(open_case(workspace, dataset, path, None), pixels)


def test_every_judge_is_asked_and_one_that_fails_says_why(
    workspace: Workspace, dataset: DataSet, synthesize: Synthesize, pixels: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(given: Evidence) -> Chapter:
        raise DataError("the images are upside down", todo="turn them")

    monkeypatch.setattr(judge_file, "JUDGES", {**judge_file.JUDGES, "stain": ("appearance", fail)})
    judgement = judge_case(open_case(workspace, dataset, synthesize(*sample(dataset, 20)), None), [pixels, pixels])
    assert len(judgement.chapters) == len(judge_file.JUDGES)
    (failed,) = (finding for finding in judgement.findings if "upside down" in finding.sentence)
    assert not failed.is_alarm
    assert failed.question == "appearance"
    assert {answer.question for answer in judgement.answers()} == set(QUESTIONS)
    assert len(judgement.chapters[0].scores) == 2 * 3 * len(METRICS), "one row for each extractor, metric and class"
    for score in judgement.scores:
        assert score.value is not None or score.note, f"{score.metric} of {score.class_name} gives no reason"
        assert score.question in QUESTIONS


def test_the_patients_that_stand_for_unknown_ones_are_those_asked_for(
    workspace: Workspace, dataset: DataSet, synthesize: Synthesize
) -> None:
    path = synthesize(*sample(dataset, 20))
    train, val, test = (
        set(part(0)) for part in (dataset.folds.train_groups, dataset.folds.val_groups, dataset.folds.test_groups)
    )
    for against, patients in ((VALIDATION, val), (HELD_OUT, val | test)):
        case = open_case(workspace, dataset, path, None, against=against)
        assert set(case.judged.held_out.group.tolist()) == patients
        assert set(case.judged.train.group.tolist()) == train
        assert ("test" in case.about.held_out_part) == (against == HELD_OUT)


def test_an_extractor_that_fails_costs_its_own_figures_and_names_no_file(
    workspace: Workspace, dataset: DataSet, synthesize: Synthesize, pixels: Extractor
) -> None:
    def fail(img: Tensor) -> Tensor:
        raise WeightsError(f"{private('/home/jane/net.pt')} gives NaN")

    blind = replace(pixels, name="blind", digest="b" * 64, embed=fail)
    case = open_case(workspace, dataset, synthesize(*sample(dataset, 20)), None)
    for extractors, has_figures in (([blind, pixels], True), ([blind], False)):
        judgement = judge_case(case, extractors)
        (failed,) = (each for each in judgement.findings if "by blind" in each.sentence)
        assert "gives NaN" in failed.sentence
        assert "jane" not in failed.sentence
        metrics = {score.metric for score in judgement.scores}
        assert ("kernel[pixels]" in metrics) == has_figures
        assert "copies" in metrics, "pixels are enough to find copies"

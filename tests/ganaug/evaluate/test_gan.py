from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ganaug.data.dataset import DataSet
from ganaug.errors import LeakError
from ganaug.evaluate.extractors.extractor import Extractor, as_they_are
from ganaug.evaluate.gan import ALL, Sides, distance_rows, evaluate_gan
from ganaug.evaluate.table import format_rows
from ganaug.workspace import GanRun, Workspace, read_jsonl

Synthesize = Callable[..., Path]


def sample(dataset: DataSet, per_class: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Training images of fold 0 with a little noise: what a perfect generator would give."""
    rng = np.random.default_rng(seed)
    train = dataset.train(0)
    chosen = np.concatenate(
        [rng.choice(train[dataset.table.label[train] == label], per_class, replace=False) for label in (0, 1)]
    )
    noisy = dataset.reader[chosen].astype(float) + rng.normal(0, 3, size=(len(chosen), 16, 16, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8), dataset.table.label[chosen]


def row_of(rows: list[dict[str, Any]], metric: str, name: str) -> dict[str, Any]:
    return next(row for row in rows if row["metric"].startswith(metric) and row["class"] == name)


def test_planted_faults_raise_the_distance_of_the_class_they_are_in(
    workspace: Workspace, dataset: DataSet, synthesize: Synthesize, pixels: Extractor
) -> None:
    good, label = sample(dataset, 40)
    collapsed = good.copy()
    collapsed[label == 1] = good[label == 1][:1]  # one image of Malignant, forty times
    tinted = good.copy()
    tinted[label == 1] = np.clip(good[label == 1].astype(int) + np.array([0, 0, 40]), 0, 255)
    scores = {
        name: evaluate_gan(workspace, dataset, synthesize(images, label, name=name), None, extractor=pixels)
        for name, images in {"good": good, "collapsed": collapsed, "tinted": tinted}.items()
    }
    for metric in ("frechet", "kernel"):
        for fault in ("collapsed", "tinted") if metric == "frechet" else ("tinted",):
            for name in (ALL, "Malignant"):
                for figure in ("value", "value_at_half"):
                    bad = row_of(scores[fault], metric, name)[figure]
                    assert bad > row_of(scores["good"], metric, name)[figure], (metric, fault, name, figure)
            same = row_of(scores[fault], metric, "Benign")
            assert same["value"] == pytest.approx(row_of(scores["good"], metric, "Benign")["value"])


def test_real_floor_lies_below_noise_and_about_a_perfect_generator(
    workspace: Workspace, dataset: DataSet, synthesize: Synthesize, pixels: Extractor
) -> None:
    good, label = sample(dataset, 40)
    noise = np.random.default_rng(0).integers(0, 256, size=good.shape, dtype=np.uint8)
    perfect = evaluate_gan(workspace, dataset, synthesize(good, label), None, extractor=pixels)
    random = evaluate_gan(workspace, dataset, synthesize(noise, label, name="noise"), None, extractor=pixels)
    for metric in ("frechet", "kernel"):
        for name in (ALL, "Benign", "Malignant"):
            floor, bad = row_of(perfect, metric, name), row_of(random, metric, name)
            assert floor["real_floor"] == bad["real_floor"], "the floor depends on the real images alone"
            assert bad["value_at_half"] > 10 * max(bad["real_floor"], 1e-6)
            # Its images are those of the half's patients, so it may be nearer than other patients are.
            assert floor["value_at_half"] < floor["real_floor"] + 3 * floor["real_floor_std"]


def test_value_and_floor_at_half_are_between_equal_numbers_of_images(
    workspace: Workspace, dataset: DataSet, synthesize: Synthesize, pixels: Extractor
) -> None:
    images, label = sample(dataset, 15)
    rows = evaluate_gan(workspace, dataset, synthesize(images, label), None, extractor=pixels)
    for row in rows[:6]:
        assert row["n_half"] == (30 if row["class"] == ALL else 15), "no half may hold more than the synthetic side has"
    assert row_of(rows, "frechet", ALL)["n_fake"] == 30


def test_overall_value_uses_the_class_proportions_of_the_real_images(pixels: Extractor) -> None:
    rng = np.random.default_rng(0)
    real_label = np.repeat([0, 1], [20, 60])
    fake_label = np.repeat([0, 1], [60, 60])
    sides = Sides(
        real=rng.normal(size=(80, 3)) + 4 * real_label[:, None],
        real_label=real_label,
        group=np.array([f"p{i // 4}" for i in range(80)]),
        fake=rng.normal(size=(120, 3)) + 4 * fake_label[:, None],
        fake_label=fake_label,
        class_names=("a", "b"),
    )
    rows = distance_rows(sides, pixels, seed=0)
    overall = row_of(rows, "frechet", ALL)
    assert overall["n_fake"] == 80
    mismatched = replace(sides, real=sides.real[20:], real_label=real_label[20:], group=sides.group[20:])
    assert overall["value"] < row_of(distance_rows(mismatched, pixels, seed=0), "frechet", "b")["value"] + 1


def test_too_few_patients_or_images_give_no_figure_but_a_reason(pixels: Extractor) -> None:
    rng = np.random.default_rng(0)
    real_label, fake_label = np.repeat([0, 1, 2], [30, 30, 30]), np.repeat([0, 1, 2], [30, 30, 3])
    group = np.array(["only"] * 30 + [f"p{i // 3}" for i in range(60)])
    sides = Sides(rng.normal(size=(90, 3)), real_label, group, rng.normal(size=(63, 3)), fake_label, ("a", "b", "c"))
    rows = distance_rows(sides, pixels, seed=0)
    alone, few, fine = (row_of(rows, "frechet", name) for name in ("a", "c", "b"))
    assert alone["value"] is not None
    assert alone["real_floor"] is None
    assert "1 training patients" in alone["note"]
    assert few["value"] is few["real_floor"] is None
    assert "3 synthetic" in few["note"]
    assert fine["real_floor"] is not None
    assert not fine["note"]
    assert "leave out a" in row_of(rows, "frechet", ALL)["note"]
    text = format_rows(rows)
    assert alone["note"] in text
    assert "–" in text


def test_a_figure_is_called_fid_only_on_inception(
    workspace: Workspace, dataset: DataSet, synthesize: Synthesize, pixels: Extractor
) -> None:
    path = synthesize(*sample(dataset, 20))
    rows = evaluate_gan(workspace, dataset, path, None, extractor=pixels)
    assert {row["metric"] for row in rows[:6]} == {"frechet[pixels]", "kernel[pixels]"}
    assert "FID" not in format_rows(rows)
    by_the_book = replace(pixels, figure_names={"frechet": "FID", "kernel": "KID"})
    rows = evaluate_gan(workspace, dataset, path, None, extractor=by_the_book)
    assert {row["metric"] for row in rows[:6]} == {"FID", "KID"}


def test_the_caveat_of_an_extractor_stands_in_the_table(
    workspace: Workspace, dataset: DataSet, synthesize: Synthesize, pixels: Extractor
) -> None:
    careful = replace(pixels, caveat="a floor too low")
    rows = evaluate_gan(workspace, dataset, synthesize(*sample(dataset, 20)), None, extractor=careful)
    assert format_rows(rows).count("a floor too low") == 2, "once for each metric, not for each class"


def test_the_scale_of_features_matters_to_fid_alone(pixels: Extractor) -> None:
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 30)
    group = np.array([f"p{i // 5}" for i in range(60)])
    sides = Sides(rng.normal(size=(60, 3)), label, group, rng.normal(1, 1, size=(60, 3)), label, ("a", "b"))
    louder = replace(sides, real=10 * sides.real, fake=10 * sides.fake)
    for extractor, factor in ((pixels, 1), (replace(pixels, feature_scale=as_they_are), 100)):
        quiet, loud = (distance_rows(each, extractor, seed=0)[0] for each in (sides, louder))
        for figure in ("value", "value_at_half", "real_floor"):
            assert loud[figure] == pytest.approx(factor * quiet[figure], rel=1e-9)


def test_rows_are_recorded_once_with_what_they_are_about(
    workspace: Workspace, dataset: DataSet, run: GanRun, synthesize: Synthesize, pixels: Extractor
) -> None:
    path = synthesize(*sample(dataset, 20))
    rows = evaluate_gan(workspace, dataset, path, run, extractor=pixels, seed=3)
    again = evaluate_gan(workspace, dataset, path, run, extractor=pixels, seed=3)
    assert again == rows == read_jsonl(run.metrics), "same seed, same figures, written once"
    assert {(row["kimg"], row["psi"], row["seed"], row["fold"], row["synthetic"]) for row in rows} == {
        (4.0, 1.0, 3, 0, path.name)
    }
    other = evaluate_gan(workspace, dataset, path, run, extractor=pixels, seed=4)
    assert row_of(other, "frechet", ALL)["real_floor"] != row_of(rows, "frechet", ALL)["real_floor"]


def test_images_of_a_generator_that_saw_a_test_patient_are_refused(
    workspace: Workspace, dataset: DataSet, synthesize: Synthesize, pixels: Extractor
) -> None:
    leaked = dataset.folds.test_groups(0)[0]
    path = synthesize(*sample(dataset, 20), saw=(leaked,))
    with pytest.raises(LeakError, match=leaked):
        evaluate_gan(workspace, dataset, path, None, extractor=pixels)


def test_changed_images_and_another_folds_run_are_refused(
    workspace: Workspace, dataset: DataSet, synthesize: Synthesize, pixels: Extractor
) -> None:
    path = synthesize(*sample(dataset, 20))
    with pytest.raises(LeakError, match="validation or test part of fold 1"):
        evaluate_gan(workspace, dataset, path, workspace.gan("toy", 1, "0123456789"), extractor=pixels)
    with h5py.File(path, "r+") as file:
        file["images"][0] = 0
    with pytest.raises(LeakError, match="changed"):
        evaluate_gan(workspace, dataset, path, None, extractor=pixels)

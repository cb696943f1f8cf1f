"""Advice on a training: it is right on simulated trainings as often as the table says, and names options that exist."""

import base64
import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganaug.cli.train_gan import train_gan
from ganaug.config import GanConfig, NetworkConfig, to_dict
from ganaug.evaluate.advice import (
    FEWEST_SNAPSHOTS,
    Curve,
    Discriminator,
    advise,
    direction_of,
    snapshot_kimg_for_trend,
    trend_of,
)
from ganaug.evaluate.metrics.metric import QUESTIONS
from ganaug.evaluate.training_curve import draw_curve, judge_training, read_curve, read_discriminator
from ganaug.provenance import sealed
from ganaug.workspace import GanRun, append_jsonl, write_json

CONFIG = GanConfig(NetworkConfig(16, 4), total_kimg=40.0, extractor="auto", snapshot_kimg=4.0)
SHAPES = ("better", "flat", "overfitting")


def simulate(shape: str, number: int, noise: float, rng: np.random.Generator, correlation: float = 0.0) -> Curve:
    """A training of 40 kimg whose distances fall steeply at first and then go their way.

    Then that to validation patients falls by 43 %, stays, or rises by 72 %, within the last 60 % of the training.
    noise: standard deviation of a snapshot's distance as a fraction of it.
    """
    time = np.arange(1, number + 1) / number
    val = {"better": 2 - time, "flat": np.ones(number), "overfitting": 1 + 1.2 * np.clip(time - 0.4, 0, None)}[shape]
    train = {"better": 1.4 - time, "flat": np.full(number, 0.4), "overfitting": 0.7 - 0.3 * time}[shape]
    error = rng.normal(size=(2, number))
    for place in range(1, number):
        error[:, place] = correlation * error[:, place - 1] + math.sqrt(1 - correlation**2) * error[:, place]
    first = 2 * np.exp(-time / 0.12)
    return Curve(40 * time, (val + first) * (1 + noise * error[0]), (train + first) * (1 + noise * error[1]), 0.1)


# Of 200 trainings, how many are called better, flat, overfitting; nothing is said of the others.
# Snapshots that differ from their neighbours by 3 to 4 % of the distance were measured on the phantom.
TABLE = {  # snapshots, noise: by true shape
    (6, 0.02): ((200, 0, 0), (0, 195, 0), (0, 0, 200)),
    (6, 0.05): ((196, 0, 0), (7, 84, 3), (0, 0, 193)),
    (6, 0.10): ((140, 0, 0), (6, 15, 7), (0, 0, 126)),
    (6, 0.20): ((59, 0, 2), (11, 2, 9), (0, 0, 55)),
    (12, 0.02): ((200, 0, 0), (0, 200, 0), (0, 0, 200)),
    (12, 0.05): ((200, 0, 0), (21, 148, 0), (0, 0, 200)),
    (12, 0.10): ((194, 0, 0), (18, 28, 4), (0, 0, 195)),
    (12, 0.20): ((122, 0, 0), (16, 3, 5), (0, 0, 114)),
}


@pytest.fixture(scope="module")
def counted() -> dict[tuple[int, float], tuple[tuple[int, ...], ...]]:
    rng = np.random.default_rng(0)
    return {case: tuple(count(shape, *case, rng) for shape in SHAPES) for case in TABLE}


def count(shape: str, number: int, noise: float, rng: np.random.Generator, **more: float) -> tuple[int, ...]:
    found: Counter[str] = Counter(direction_of(simulate(shape, number, noise, rng, **more))[0] for _ in range(200))
    return tuple(found[name] for name in SHAPES)


def test_the_error_rates_are_those_of_the_table(counted: dict[tuple[int, float], tuple[tuple[int, ...], ...]]) -> None:
    assert len(counted) == 8
    for case, by_shape in counted.items():
        for found, listed in zip(by_shape, TABLE[case], strict=True):
            assert np.abs(np.subtract(found, listed)).max() <= 6, case  # rounding differs between machines


def test_a_training_is_hardly_ever_called_the_opposite_of_what_it_is() -> None:
    for better, flat, overfitting in TABLE.values():
        assert better[2] <= 2  # of 200
        assert overfitting[0] == 0
        assert flat[2] <= 0.05 * 200 + 3  # one-sided, at 90 % confidence


def test_noise_that_lasts_over_snapshots_raises_false_alarms_to_at_most_one_in_eight() -> None:
    rng = np.random.default_rng(0)
    for number, noise in ((6, 0.1), (12, 0.1), (12, 0.2)):
        assert count("flat", number, noise, rng, correlation=0.5)[2] <= 25


def test_a_straight_line_is_its_own_trend() -> None:
    kimg = np.arange(1.0, 7.0)
    for step in (-0.1, 0.0, 0.3):
        trend = trend_of(kimg, 2 + step * kimg)
        expected = step * 5 / (2 + step * 3.5)
        assert [trend.low, trend.change, trend.high] == pytest.approx([expected] * 3, abs=1e-9)


def test_a_trend_is_that_of_a_regression() -> None:
    from scipy.stats import linregress
    from scipy.stats import t as student

    rng = np.random.default_rng(0)
    kimg, distance = np.cumsum(rng.uniform(1, 2, 9)), rng.normal(5, 1, 9)
    peer, trend = linregress(kimg, distance), trend_of(kimg, distance)
    scale = (kimg[-1] - kimg[0]) / distance.mean()
    assert trend.change == pytest.approx(peer.slope * scale)
    assert trend.high - trend.change == pytest.approx(peer.stderr * scale * student.ppf(0.95, 7))


def test_neither_units_nor_the_first_snapshots_matter() -> None:
    curve = simulate("overfitting", 12, 0.05, np.random.default_rng(0))
    scaled = Curve(curve.kimg * 3, curve.val * 100, curve.train * 100, curve.floor * 100)
    assert direction_of(scaled)[0] == direction_of(curve)[0] == "overfitting"
    other_start = np.where(np.arange(12) < curve.first, 9.0, curve.val)
    assert direction_of(replace(curve, val=other_start)) == direction_of(curve)


def test_distances_around_zero_are_judged_by_the_floor() -> None:
    near = np.array([1, -1, 1, -1, 1, -1, 1, -1]) * 1e-4
    curve = Curve(np.arange(1.0, 9.0), near, near, floor=0.05)
    assert direction_of(curve)[0] == "flat"
    assert direction_of(replace(curve, floor=math.nan))[0] != "overfitting"


@pytest.mark.parametrize("number", range(FEWEST_SNAPSHOTS))
def test_of_too_few_snapshots_nothing_is_concluded(number: int) -> None:
    curve = simulate("overfitting", 12, 0.0, np.random.default_rng(0))
    few = Curve(curve.kimg[:number], curve.val[:number], curve.train[:number])
    finding = advise(few, config=CONFIG)
    assert not finding.is_alarm
    assert f"it takes {FEWEST_SNAPSHOTS} to see a trend" in finding.sentence
    assert finding.todo.endswith("--snapshot-kimg 2")
    assert "--extractor auto" in advise(few, config=replace(CONFIG, extractor="none")).todo


CURVES = {
    "better": simulate("better", 10, 0.01, np.random.default_rng(0)),
    "flat": simulate("flat", 10, 0.01, np.random.default_rng(0)),
    "overfitting": simulate("overfitting", 10, 0.01, np.random.default_rng(0)),
    "unclear": simulate("flat", 10, 0.5, np.random.default_rng(0)),
}
CURVES["unstable"] = replace(CURVES["overfitting"], train=CURVES["overfitting"].val)


@pytest.mark.parametrize("direction", CURVES)
def test_every_option_that_is_suggested_exists(direction: str) -> None:
    assert direction_of(CURVES[direction])[0] == direction
    flags = {flag for option in train_gan.params for flag in option.opts}
    adaptive = replace(CONFIG, ada_pipeline="bgc")
    for config in (None, CONFIG, adaptive, replace(adaptive, ada_p=0.2), replace(CONFIG, extractor="none")):
        for p in (None, 0.3, 0.9):
            finding = advise(CURVES[direction], Discriminator(0.7, p), config)
            named = re.findall(r"--[a-z][a-z-]*", finding.todo)
            assert named
            assert set(named) <= flags
            assert finding.question in QUESTIONS
            assert finding.is_alarm == (direction in ("overfitting", "unstable"))
            assert "\n" not in finding.sentence + finding.todo


def test_the_option_fits_how_the_generator_was_trained() -> None:
    curve = CURVES["overfitting"]
    assert "--ada-pipeline histology" in advise(curve, config=CONFIG).todo
    adaptive = replace(CONFIG, ada_pipeline="bgc")
    for target, lower in ((0.6, "0.4"), (0.1, "0.05")):
        todo = advise(curve, Discriminator(0.7, 0.3), replace(adaptive, ada_target=target)).todo
        assert f"--ada-target {lower}," in todo
    assert "bring more patients" in advise(curve, Discriminator(0.7, 0.9), adaptive).todo
    assert "--ada-p above 0.2" in advise(curve, Discriminator(0.7, 0.2), replace(adaptive, ada_p=0.2)).todo
    assert "--kimg 80" in advise(CURVES["better"], config=CONFIG).todo
    assert f"nearest to others at {curve.kimg[curve.val.argmin()]:g} kimg" in advise(curve).sentence


def test_a_curve_that_stands_still_far_above_its_floor_may_be_on_a_plateau() -> None:
    far = CURVES["flat"]
    near = advise(replace(far, floor=0.5))
    assert "far above" in advise(far).sentence
    assert "--kimg 80" in advise(far).todo
    assert "more training brings little" in near.sentence
    assert "keep this length" in near.todo
    assert "far above" not in advise(replace(far, floor=math.nan)).sentence


def test_the_discriminator_is_a_second_sign() -> None:
    curve = CURVES["overfitting"]
    assert "72 % of the way" in advise(curve, Discriminator(memory=0.72)).sentence
    assert "of the way" not in advise(curve, Discriminator(memory=0.2)).sentence
    assert "of the way" in advise(CURVES["unclear"], Discriminator(memory=0.72)).sentence


# ---- runs ------------------------------------------------------------------------------------------------------------


def scores(curve: Curve, **change: Any) -> list[dict[str, Any]]:
    return [
        {"kimg": kimg, "snapshot": "x", "extractor": "e", "score": 1.0, "kernel": train, "val_kernel": val,
         "val_kernel_floor": curve.floor, **change}
        for kimg, val, train in zip(curve.kimg.tolist(), curve.val.tolist(), curve.train.tolist(), strict=True)
    ]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> GanRun:
    """A run that overfitted, by its files."""
    made = GanRun(tmp_path, "phantom", 0)
    for row in scores(CURVES["overfitting"]):
        append_jsonl(made.scores, sealed(row))
    for kimg in range(1, 41):
        line = {"kimg": float(kimg), "train_logits": 2.0, "fake_logits": -2.0, "val_logits": 2.0 - kimg / 10, "p": 0.1}
        append_jsonl(made.stats, line)
    write_json(made.config, sealed({"config": to_dict(CONFIG)}))
    return made


def test_a_run_is_judged_by_its_files(run: GanRun) -> None:
    chapter = judge_training(run)
    (finding,), (exhibit,) = chapter.findings, chapter.exhibits
    assert finding.is_alarm
    assert "overfits" in finding.sentence
    assert "--ada-pipeline histology" in finding.todo
    assert exhibit.uri.startswith("data:image/svg+xml;base64,")
    assert read_curve(run).floor == 0.1


def test_memory_is_how_far_validation_images_stand_from_training_images(run: GanRun) -> None:
    late = read_discriminator(run, 21.0)
    assert late.memory == pytest.approx(3.05 / 4)
    assert late.ada_p == 0.1
    assert read_discriminator(run, 41.0) == Discriminator()
    run.stats.unlink()
    assert read_discriminator(run, 0.0) == Discriminator()


def test_rows_that_were_edited_or_are_of_earlier_versions_do_not_count(run: GanRun) -> None:
    before = read_curve(run)
    append_jsonl(run.scores, {**sealed(scores(CURVES["better"])[0]), "val_kernel": 0.0})
    append_jsonl(run.scores, sealed({"kimg": 44.0, "snapshot": "x", "extractor": "e", "score": 1.0}))
    append_jsonl(run.scores, sealed(scores(CURVES["better"], val_kernel=None)[0]))
    after = read_curve(run)
    assert [side.tolist() for side in (after.kimg, after.val)] == [side.tolist() for side in (before.kimg, before.val)]


def test_rows_without_validation_patients_are_said_to_be_so(run: GanRun) -> None:
    run.scores.unlink()
    for kimg in (1.0, 2.0):
        append_jsonl(run.scores, sealed({"kimg": kimg, "snapshot": "x", "extractor": "e", "score": 1.0}))
    (finding,) = judge_training(run).findings
    assert "2 snapshots scored by an older version, without validation patients" in finding.sentence
    assert "--snapshot-kimg" not in finding.todo
    for row in scores(CURVES["better"], val_kernel=None)[:5]:
        append_jsonl(run.scores, sealed(row))
    (finding,) = judge_training(run).findings
    assert "5 snapshots scored where the fold has too few validation images" in finding.sentence
    assert "bring more patients" in finding.todo


@pytest.mark.parametrize(
    "change", [{"total_kimg": 0.5}, {"total_kimg": 2.0, "batch": 512}, {"transition_kimg": (4, 40)}]
)
def test_no_snapshots_are_advised_where_there_is_no_time_for_them(change: dict[str, Any]) -> None:
    config = replace(CONFIG, **change)
    assert snapshot_kimg_for_trend(config) is None
    todo = advise(CURVES["unclear"], config=config).todo
    assert "--snapshot-kimg" not in todo
    assert "train longer" in todo


def test_where_the_extractor_was_changed_only_the_last_one_counts(run: GanRun) -> None:
    append_jsonl(run.scores, sealed({**scores(CURVES["better"], extractor="other")[0], "kimg": 50.0}))
    assert read_curve(run).kimg.tolist() == [50.0]


def test_a_run_without_files_has_advice_and_no_picture(tmp_path: Path) -> None:
    chapter = judge_training(GanRun(tmp_path, "phantom", 0))
    assert "no snapshot has a distance to validation patients" in chapter.findings[0].sentence
    assert chapter.exhibits == ()


def test_the_picture_is_the_same_every_time_and_shows_both_curves_and_the_floor() -> None:
    curve = CURVES["overfitting"]
    assert draw_curve(curve) == draw_curve(curve)
    shown = base64.b64decode(draw_curve(curve).uri.partition(",")[2])
    less = base64.b64decode(draw_curve(replace(curve, floor=math.nan)).uri.partition(",")[2])
    assert len(shown) > len(less)
    assert b"<script" not in shown
    assert shown.count(b"<use") > less.count(b"<use") - 1 >= 20  # a mark for each snapshot and curve

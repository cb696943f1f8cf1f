"""Linear probes: scikit-learn's solution, a penalty chosen on validation rows, the same effort and bytes every time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from classifiers.probe import LinearProbe, ProbeConfig, ProbeResult, fit_probe, mean_log_probs

Rows = tuple[NDArray[np.float32], NDArray[np.int64]]
LONG = ProbeConfig(num_iterations=1000)


def draw(num: int, num_classes: int = 3, *, seed: int = 0, distance: float = 1.0) -> Rows:
    """Rows of 6 features around class means, of scales from 0.01 to 1000."""
    means = np.random.default_rng(99).normal(size=(num_classes, 6))
    rng, labels = np.random.default_rng(seed), np.arange(num) % num_classes
    features = (distance * means[labels] + rng.normal(size=(num, 6))) * np.logspace(-2, 3, 6) + 5
    return features.astype(np.float32), labels


def fit(train: Rows, val: Rows, config: ProbeConfig = LONG, num_classes: int = 3) -> ProbeResult:
    return fit_probe(*train, val=(val[0][None], val[1]), num_classes=num_classes, config=config)


def logits_of(probe: LinearProbe, features: NDArray[np.float32]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = probe(torch.from_numpy(features))
    return logits


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("penalty", [1.0, 0.01])
def test_a_probe_is_the_converged_regression_of_scikit_learn_on_standardised_rows(
    num_classes: int, penalty: float
) -> None:
    train, val = draw(120, num_classes), draw(60, num_classes, seed=1)
    result = fit(train, val, replace(LONG, penalties=(100.0, penalty)), num_classes)
    rows = train[0].astype(np.float64)
    mean, std = rows.mean(0), rows.std(0)
    peer = LogisticRegression(C=1 / (penalty * len(rows)), tol=1e-10, max_iter=10_000).fit(
        (rows - mean) / std, train[1]
    )
    assert result.penalty == penalty
    probs = logits_of(result.probe, val[0]).softmax(1).numpy()
    np.testing.assert_allclose(probs, peer.predict_proba((val[0] - mean) / std), atol=2e-3)


def test_a_penalty_weighs_the_mean_loss_so_that_repeated_rows_change_nothing() -> None:
    train, val, config = draw(60), draw(30, seed=1), replace(LONG, penalties=(0.1,))
    single = fit(train, val, config).probe
    double = fit((np.concatenate([train[0]] * 2), np.concatenate([train[1]] * 2)), val, config).probe
    np.testing.assert_allclose(logits_of(double, val[0]), logits_of(single, val[0]), atol=2e-3)


def test_classes_that_are_apart_are_told_apart_on_new_rows() -> None:
    result = fit(draw(90, distance=6), draw(30, seed=1, distance=6), ProbeConfig())
    features, labels = draw(300, seed=2, distance=6)
    assert (logits_of(result.probe, features).argmax(1).numpy() == labels).mean() > 0.98


def test_the_penalty_is_the_one_of_the_lowest_validation_loss() -> None:
    noisy = fit(draw(30, distance=0.3), draw(300, seed=1, distance=0.3))
    clear = fit(draw(300, distance=3), draw(300, seed=1, distance=3))
    assert noisy.penalty > clear.penalty
    for result in (noisy, clear):
        losses = {row["penalty"]: row["val_loss"] for row in result.history}
        assert tuple(losses) == LONG.penalties
        assert losses[result.penalty] == min(losses.values())
        assert result.best_step == (LONG.penalties.index(result.penalty) + 1) * LONG.num_iterations


def test_the_stronger_penalty_wins_a_tie() -> None:
    features, labels = np.ones((20, 2), np.float32), np.arange(20) % 2  # nothing to learn: every loss is log 2
    result = fit((features, labels), (features, labels), ProbeConfig(), num_classes=2)
    assert {round(row["val_loss"], 6) for row in result.history} == {0.693147}
    assert result.penalty == ProbeConfig().penalties[0]


def test_the_loss_of_the_history_is_that_of_the_chosen_probe_over_the_mean_of_its_views() -> None:
    train, (features, labels) = draw(90), draw(40, seed=1)
    views = np.stack([features, features + 0.1, 1.5 * features])
    result = fit_probe(*train, val=(views, labels), num_classes=3, config=ProbeConfig())
    with torch.inference_mode():
        probs = result.probe(torch.from_numpy(views)).softmax(2).mean(0).double().numpy()
    loss = -np.log(probs[np.arange(40), labels]).mean()
    assert min(row["val_loss"] for row in result.history) == pytest.approx(loss, abs=1e-4)


def test_the_mean_of_equal_views_is_the_view() -> None:
    logits = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(mean_log_probs(logits.expand(8, 4, 3)).exp(), logits[0].softmax(1), rtol=1e-6)


def test_few_iterations_lose_next_to_no_validation_loss() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(64, 64)) * np.logspace(0, -2, 64)  # correlated, as features of a network are

    def correlated(num: int, seed: int) -> Rows:
        labels = np.arange(num) % 2
        draws = np.random.default_rng(seed).normal(size=(num, 64)) + 0.4 * labels[:, None]
        return (draws @ mixing).astype(np.float32), labels

    train, val = correlated(400, 1), correlated(200, 2)
    losses = [min(row["val_loss"] for row in fit(train, val, config, 2).history) for config in (ProbeConfig(), LONG)]
    assert losses[0] < losses[1] + 0.005


def test_the_effort_is_the_grid_whatever_the_number_of_rows() -> None:
    config = ProbeConfig(num_iterations=3)
    for num in (30, 300):
        history = fit(draw(num), draw(30, seed=1), config).history
        assert [row["step"] for row in history] == [3.0 * number for number in range(1, len(config.penalties) + 1)]
        assert all(row["num_iterations"] <= 3 for row in history)
    assert config.num_steps == 3 * len(config.penalties)


def test_the_same_rows_give_the_same_bytes_and_stay_as_they_are() -> None:
    train, val = draw(80), draw(40, seed=1)
    before = train[0].copy()
    first, second = (fit(train, val, ProbeConfig()) for _ in range(2))
    np.testing.assert_array_equal(train[0], before)
    assert first.history == second.history
    for name, value in first.probe.state_dict().items():
        assert torch.equal(value, second.probe.state_dict()[name]), name


def test_a_constant_feature_counts_for_nothing() -> None:
    train, val = draw(60), draw(30, seed=1)
    flat = np.full((60, 1), 0.1, np.float32)
    probe = fit((np.hstack([train[0], flat]), train[1]), (np.hstack([val[0], flat[:30]]), val[1])).probe
    assert probe.std[-1] == 1
    assert probe.classify.weight[:, -1].abs().max() < 1e-6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x.astype(np.float64), y), "float64"),
        (lambda x, y: (x[:, 0], y), r"\[30\]; expected float32 \[n,D\]"),
        (lambda x, y: (x[:0], y[:0]), r"\[0, 6\]"),
        (lambda x, y: (x, y[:-1]), "30 training rows with labels"),
        (lambda x, y: (x, y + 1), "from 1 to 3; expected 0 to 2"),
        (lambda x, y: (np.where(x == x[0, 0], np.float32("nan"), x), y), "NaN"),
        (lambda x, y: (x[y < 2], y[y < 2]), "class 2 has no training image"),
    ],
)
def test_rows_that_are_none_are_refused_in_one_line(change: object, message: str) -> None:
    assert callable(change)
    with pytest.raises(ValueError, match=message) as caught:
        fit(change(*draw(30)), draw(30, seed=1))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options", [{"penalties": ()}, {"penalties": (0.1, 1.0)}, {"penalties": (1.0, 0.0)}, {"num_iterations": 0}]
)
def test_an_effort_that_is_none_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        ProbeConfig(**options)  # type: ignore[arg-type]

"""The scores are what their definitions say, whatever library computes them, and say what they cannot know."""

import json
import math
import warnings
from typing import Any

import numpy as np
import pytest
from imblearn import metrics as imblearn
from numpy.typing import NDArray
from sklearn import metrics

from classifiers.calibration import expected_calibration_error
from classifiers.scores import positive_class, score

NAMES = ("Benign", "InSitu", "Invasive", "Normal")
IBA = imblearn.make_index_balanced_accuracy(alpha=0.1, squared=True)(imblearn.geometric_mean_score)


def sample(num_classes: int, n: int = 200, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels of unequal frequency and probabilities that are better than guessing."""
    rng = np.random.default_rng(seed)
    labels = np.minimum(rng.geometric(0.4, n) - 1, num_classes - 1)
    logits = rng.normal(size=(n, num_classes)) + 1.2 * np.eye(num_classes)[labels]
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return labels.astype(np.int64), np.round(probs, 2) / np.round(probs, 2).sum(1, keepdims=True)  # with ties


def by_definition(labels: NDArray[np.int64], probs: NDArray[np.float64], k: int) -> dict[str, float]:
    """The scores of class k against the rest, from the four counts and from all pairs of images."""
    is_k, is_called = labels == k, probs.argmax(1) == k
    hits, misses = int((is_k & is_called).sum()), int((is_k & ~is_called).sum())
    alarms, rests = int((~is_k & is_called).sum()), int((~is_k & ~is_called).sum())
    recall, specificity = hits / (hits + misses), rests / (rests + alarms)
    above = probs[is_k, k][:, None] - probs[~is_k, k]
    thresholds = sorted(set(probs[:, k]), reverse=True)
    called = [probs[:, k] >= threshold for threshold in thresholds]
    found = [0.0, *((is_k & those).sum() / is_k.sum() for those in called)]
    return {
        "support": hits + misses,
        "precision": hits / (hits + alarms),
        "recall": recall,
        "specificity": specificity,
        "f1": 2 * hits / (2 * hits + alarms + misses),
        "auroc": float((np.sign(above) / 2 + 0.5).mean()),  # how often one of the class is above one of the rest
        "pr_auc": sum(
            (high - low) * (is_k & those).sum() / those.sum()
            for low, high, those in zip(found, found[1:], called, strict=False)
        ),
        "gmean": math.sqrt(recall * specificity),
        "iba": (1 + 0.1 * (recall - specificity)) * recall * specificity,
    }


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("seed", range(5))
def test_scores_are_what_their_definitions_say(num_classes: int, seed: int) -> None:
    labels, probs = sample(num_classes, seed=seed)
    called = probs.argmax(1)
    result = score(labels, probs, None, NAMES[:num_classes])["by_image"]
    rows = [by_definition(labels, probs, k) for k in range(num_classes)]
    assert list(result["per_class"].values()) == [pytest.approx(row) for row in rows]
    mean = {key: np.mean([row[key] for row in rows]) for key in rows[0]}
    recalls, specificities = (np.array([row[key] for row in rows]) for key in ("recall", "specificity"))
    gmean = recalls.prod() ** (1 / num_classes)
    dominance = recalls - specificities
    is_binary = num_classes == 2
    assert result["overall"] == pytest.approx(
        {
            "accuracy": (called == labels).mean(),
            "balanced_accuracy": recalls.mean(),
            **{key: mean[key] for key in ("precision", "recall", "f1", "auroc")},
            "pr_auc": rows[1]["pr_auc"] if is_binary else mean["pr_auc"],
            "gmean": gmean,
            "iba": (1 + 0.1 * (dominance[1] if is_binary else dominance.mean())) * gmean**2,
            "ece": expected_calibration_error(labels, probs),
            "brier": ((probs - np.eye(num_classes)[labels]) ** 2).sum(1).mean() / (2 if is_binary else 1),
        }
    )
    counts = [[int(((labels == row) & (called == column)).sum()) for column in range(num_classes)]
              for row in range(num_classes)]  # fmt: skip
    assert result["confusion"] == counts


@pytest.mark.parametrize("seed", range(20))
def test_scores_are_those_of_scikit_learn_and_imbalanced_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num_classes = int(rng.integers(2, 5))
    labels, probs = sample(num_classes, n=int(rng.integers(40, 300)), seed=seed)
    assert set(labels) == set(range(num_classes)), "those libraries have answers of their own where a class has none"
    found = score(labels, probs, None, NAMES[:num_classes])["by_image"]
    called, each = probs.argmax(1), {"labels": np.arange(num_classes), "average": None}
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, called, zero_division=np.nan, **each
    )
    columns = {
        "support": support,
        "precision": precision,
        "recall": recall,
        "specificity": imblearn.specificity_score(labels, called, **each),
        "f1": f1,
        "gmean": imblearn.geometric_mean_score(labels, called, **each),
        "iba": IBA(labels, called, **each),
        "auroc": [metrics.roc_auc_score(labels == k, probs[:, k]) for k in range(num_classes)],
        "pr_auc": [metrics.average_precision_score(labels == k, probs[:, k]) for k in range(num_classes)],
    }
    for name, column in columns.items():
        ours = [np.nan if row[name] is None else row[name] for row in found["per_class"].values()]
        assert ours == pytest.approx(list(column), nan_ok=True), name
    averaging = {"average": "binary", "pos_label": 1} if num_classes == 2 else {"average": "multiclass"}
    overall = {
        "accuracy": metrics.accuracy_score(labels, called),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, called),
        "gmean": imblearn.geometric_mean_score(labels, called),
        "iba": IBA(labels, called, **averaging),
        "brier": metrics.brier_score_loss(labels, probs, labels=np.arange(num_classes)),
    }
    assert {name: found["overall"][name] for name in overall} == pytest.approx(overall)
    assert found["confusion"] == metrics.confusion_matrix(labels, called).tolist()


def test_scores_of_a_table_counted_by_hand() -> None:
    """Two of three benign and three of five malignant images are right."""
    labels, called = np.array([0, 0, 0, 1, 1, 1, 1, 1]), np.array([0, 0, 1, 1, 1, 1, 0, 0])
    result = score(labels, np.eye(2)[called] * 0.6 + 0.2, None, ("benign", "malignant"))["by_image"]
    assert result["confusion"] == [[2, 1], [2, 3]]
    gmean = math.sqrt(2 / 3 * 3 / 5)
    assert result["overall"] == pytest.approx(
        {
            "accuracy": 5 / 8,
            "balanced_accuracy": (2 / 3 + 3 / 5) / 2,
            "precision": (2 / 4 + 3 / 4) / 2,
            "recall": (2 / 3 + 3 / 5) / 2,
            "f1": (4 / 7 + 6 / 9) / 2,
            "auroc": (2 * 3 + (2 * 2 + 1 * 3) / 2) / 15,  # of 15 pairs, six are in order and seven tie
            "pr_auc": 3 / 5 * 3 / 4 + 2 / 5 * 5 / 8,
            "gmean": gmean,
            "iba": (1 + 0.1 * (3 / 5 - 2 / 3)) * gmean**2,
            "ece": 0.8 - 5 / 8,
            "brier": (5 * 0.2**2 + 3 * 0.8**2) / 8,
        }
    )


def test_perfect_and_inverted_predictions_reach_the_ends_of_the_scales() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    perfect, inverted = (
        score(labels, probs, None, ("benign", "malignant"))["by_image"]["overall"]
        for probs in (np.eye(2)[labels], np.eye(2)[1 - labels])
    )
    errors = ("ece", "brier")
    assert perfect == {name: 0.0 if name in errors else 1.0 for name in perfect}
    lowest = {name: 1.0 if name in errors else 0.0 for name in inverted} | {"pr_auc": 3 / 5}  # the prevalence
    assert inverted == pytest.approx(lowest)


def test_scores_do_not_depend_on_the_order_of_the_images() -> None:
    labels, probs = sample(4)
    groups = np.array([f"p{label}{number % 3}" for number, label in enumerate(labels)])
    order = np.random.default_rng(0).permutation(len(labels))
    first = score(labels, probs, groups.tolist(), NAMES)
    again = score(labels[order], probs[order], groups[order].tolist(), NAMES)
    assert again["by_patient"] == first["by_patient"]
    assert again["by_image"]["overall"] == pytest.approx(first["by_image"]["overall"])


def test_the_likeliest_class_is_the_first_on_a_tie() -> None:
    result = score(np.array([0, 1]), np.full((2, 2), 0.5), None, ("a", "b"))
    assert result["by_image"]["confusion"] == [[1, 0], [1, 0]]


def test_a_library_that_is_asked_for_the_impossible_says_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score(np.array([1, 1]), np.array([[0.9, 0.1], [0.8, 0.2]], dtype=np.float32), None, ("a", "b"))
        score(np.array([0, 1, 1]), np.full((3, 4), 0.25), None, NAMES)


def test_always_the_majority_earns_no_balanced_accuracy() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    probs = np.tile([0.9, 0.1], (100, 1))
    result = score(labels, probs, None, ("benign", "malignant"))
    overall = result["by_image"]["overall"]
    assert overall["accuracy"] == 0.9
    assert overall["balanced_accuracy"] == overall["auroc"] == 0.5
    assert overall["gmean"] == overall["iba"] == 0
    assert overall["precision"] is None
    assert result["by_image"]["per_class"]["malignant"]["precision"] is None
    assert "precision of malignant" in result["undefined"][0]


def test_an_absent_class_gives_none_and_a_reason() -> None:
    labels, probs = np.array([0, 1, 1]), np.full((3, 3), 1 / 3)
    result = score(labels, probs, None, ("a", "b", "c"))
    overall = result["by_image"]["overall"]
    assert overall["accuracy"] == pytest.approx(1 / 3)
    for name in ("balanced_accuracy", "recall", "f1", "auroc", "pr_auc", "gmean", "iba"):
        assert overall[name] is None, name
    assert overall["brier"] == pytest.approx((2 / 3) ** 2 + 2 / 9)
    absent = result["by_image"]["per_class"]["c"]
    assert {key for key, value in absent.items() if value is None} == set(absent) - {"support", "specificity"}
    # though called and so zero by the formula, an F1 without images is none
    called = score(labels, np.eye(3)[[0, 1, 2]], None, ("a", "b", "c"))["by_image"]["per_class"]["c"]
    assert (called["precision"], called["recall"], called["f1"]) == (0, None, None)
    assert any("no image is c" in reason for reason in result["undefined"])


def test_images_of_a_class_alone_say_nothing_of_the_rest() -> None:
    result = score(np.array([1, 1, 1]), np.eye(2)[[0, 1, 1]], None, ("a", "b"))
    alone = result["by_image"]["per_class"]["b"]
    assert [alone[key] for key in ("recall", "precision", "f1")] == pytest.approx([2 / 3, 1, 4 / 5])
    assert [alone[key] for key in ("specificity", "auroc", "pr_auc", "gmean", "iba")] == [None] * 5
    assert result["by_image"]["per_class"]["a"]["specificity"] == pytest.approx(2 / 3)
    assert any("every image is b" in reason for reason in result["undefined"])


@pytest.mark.parametrize(
    ("names", "positive"),
    [(("benign", "malignant"), 1), (("Malignant", "Benign"), 0), (("Luminal", "Basal"), 1), (NAMES, None)],
)
def test_malignant_is_positive_where_a_class_is_so_named(names: tuple[str, ...], positive: int | None) -> None:
    assert positive_class(names) == positive


def test_iba_follows_the_positive_class() -> None:
    labels, probs = sample(2)
    as_named = score(labels, probs, None, ("benign", "malignant"))["by_image"]["overall"]
    swapped = score(1 - labels, probs[:, ::-1], None, ("malignant", "benign"))["by_image"]["overall"]
    other = score(labels, probs, None, ("malignant", "benign"))["by_image"]["overall"]
    assert as_named == pytest.approx(swapped)
    assert as_named["iba"] != pytest.approx(other["iba"])


def test_patient_score_is_the_mean_share_of_right_images() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1])
    probs = np.eye(2)[[0, 0, 0, 1, 1, 0]] * 0.8 + 0.1
    groups = ["p", "p", "p", "p", "q", "q"]
    by_patient = score(labels, probs, groups, ("benign", "malignant"))["by_patient"]
    assert by_patient["num_patients"] == 2
    assert by_patient["patient_score"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert by_patient["confusion"] == [[1, 0], [1, 0]]  # q's mean probability is a tie, and the first class has it
    assert by_patient["overall"]["accuracy"] == 0.5


def test_one_image_a_patient_makes_both_levels_equal() -> None:
    labels, probs = sample(4)
    result = score(labels, probs, [f"p{i:03}" for i in range(len(labels))], NAMES)
    assert result["by_patient"]["overall"] == pytest.approx(result["by_image"]["overall"])
    assert result["by_patient"]["patient_score"] == pytest.approx(result["by_image"]["overall"]["accuracy"])


def test_a_patient_of_two_classes_has_no_patient_label() -> None:
    result = score(np.array([0, 1, 1]), np.eye(2)[[0, 1, 1]], ["p", "p", "q"], ("a", "b"))
    assert result["by_patient"]["patient_score"] == 1
    assert result["by_patient"]["overall"] is None
    assert "1 patients have images of several classes, the first is p" in result["undefined"][-1]


def test_the_result_is_plain_json() -> None:
    labels, probs = sample(4)
    result = score(labels, probs.astype(np.float32), ["p"] * 100 + ["q"] * 100, NAMES)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_arrays_that_do_not_fit_are_refused() -> None:
    labels, probs = sample(2, 10)
    wrong: list[tuple[str, tuple[Any, ...]]] = [
        ("expected integers", (labels[:0], probs[:0], None, NAMES[:2])),
        ("expected integers", (labels / 2, probs, None, NAMES[:2])),
        (r"\[10, 2\]; expected \[10, 4\]", (labels, probs, None, NAMES)),
        ("run from", (labels + 1, probs, None, NAMES[:2])),
        ("softmax", (labels, probs * np.nan, None, NAMES[:2])),
        ("softmax", (labels, np.log(probs + 0.1), None, NAMES[:2])),
        ("3 patients for 10 images", (labels, probs, ["p"] * 3, NAMES[:2])),
        ("each name once", (labels, probs, None, ("a", "a"))),
    ]
    for message, arguments in wrong:
        with pytest.raises(ValueError, match=message):
            score(*arguments)

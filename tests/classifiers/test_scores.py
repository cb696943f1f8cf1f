"""The scores agree with scikit-learn and imbalanced-learn, and say what they cannot know."""

import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from classifiers.scores import SCORES, confusion, positive_class, score

NAMES = ("Benign", "InSitu", "Invasive", "Normal")


def sample(num_classes: int, n: int = 200, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels of unequal frequency and probabilities that are better than guessing."""
    rng = np.random.default_rng(seed)
    labels = np.minimum(rng.geometric(0.4, n) - 1, num_classes - 1)
    logits = rng.normal(size=(n, num_classes)) + 1.2 * np.eye(num_classes)[labels]
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return labels.astype(np.int64), np.round(probs, 2) / np.round(probs, 2).sum(1, keepdims=True)  # with ties


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("seed", range(5))
def test_overall_scores_agree_with_scikit_learn(num_classes: int, seed: int) -> None:
    from sklearn import metrics

    labels, probs = sample(num_classes, seed=seed)
    called = probs.argmax(1)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(labels, called, average="macro")
    theirs = {
        "accuracy": metrics.accuracy_score(labels, called),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, called),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "auroc": metrics.roc_auc_score(labels, probs if num_classes > 2 else probs[:, 1], multi_class="ovr"),
    }
    assert {name: SCORES[name](labels, probs) for name in theirs} == pytest.approx(theirs)
    assert np.array_equal(confusion(labels, probs), metrics.confusion_matrix(labels, called))


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("seed", range(5))
def test_gmean_and_iba_agree_with_imbalanced_learn(num_classes: int, seed: int) -> None:
    from imblearn.metrics import geometric_mean_score, make_index_balanced_accuracy

    labels, probs = sample(num_classes, seed=seed)
    called = probs.argmax(1)
    theirs_iba = make_index_balanced_accuracy(alpha=0.1, squared=True)(geometric_mean_score)
    average = "binary" if num_classes == 2 else "multiclass"
    assert SCORES["gmean"](labels, probs) == pytest.approx(geometric_mean_score(labels, called))
    assert SCORES["iba"](labels, probs) == pytest.approx(theirs_iba(labels, called, average=average))
    rows = score(labels, probs, None, NAMES[:num_classes])["by_image"]["per_class"].values()
    assert [row["gmean"] for row in rows] == pytest.approx(geometric_mean_score(labels, called, average=None))
    assert [row["iba"] for row in rows] == pytest.approx(theirs_iba(labels, called, average=None))


def test_per_class_scores_agree_with_scikit_learn() -> None:
    from sklearn import metrics

    labels, probs = sample(4)
    rows = score(labels, probs, None, NAMES)["by_image"]["per_class"]
    columns = metrics.precision_recall_fscore_support(labels, probs.argmax(1))
    for k, name in enumerate(NAMES):
        found = [rows[name][key] for key in ("precision", "recall", "f1", "support")]
        assert found == pytest.approx([column[k] for column in columns])
        assert rows[name]["auroc"] == pytest.approx(metrics.roc_auc_score(labels == k, probs[:, k]))


def test_perfect_and_inverted_predictions_reach_the_ends_of_the_scales() -> None:
    labels = np.array([0, 0, 1, 1, 1])
    perfect = np.eye(2)[labels]
    assert {name: function(labels, perfect) for name, function in SCORES.items()} == dict.fromkeys(SCORES, 1.0)
    assert {name: function(labels, 1 - perfect) for name, function in SCORES.items()} == dict.fromkeys(SCORES, 0.0)


def test_scores_do_not_depend_on_the_order_of_the_images() -> None:
    labels, probs = sample(4)
    order = np.random.default_rng(0).permutation(len(labels))
    for function in SCORES.values():
        assert function(labels[order], probs[order]) == pytest.approx(function(labels, probs))


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
    for name in ("balanced_accuracy", "recall", "f1", "auroc", "gmean", "iba"):
        assert overall[name] is None, name
        assert math.isnan(SCORES[name](labels, probs))
    assert result["by_image"]["per_class"]["c"]["f1"] is None
    assert any("no image is c" in reason for reason in result["undefined"])


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

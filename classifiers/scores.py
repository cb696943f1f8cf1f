"""Scores of a classifier from labels, probabilities and patients, by scikit-learn and imbalanced-learn.

Labels are i64 [N], probabilities [N,K]. These libraries give a zero, a warning, or the mean of what is left, where the
images cannot give a score, as a recall of a class without images; here it is None, and never a zero.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.calibration import brier, expected_calibration_error
from classifiers.votes import vote

Labels = NDArray[np.int64]
Probs = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]

IBA_ALPHA = 0.1  # weight of the dominance, imbalanced-learn's default
AVERAGING = (
    "precision, recall, F1 and balanced accuracy: unweighted mean over the classes; AUROC: a class against the rest, "
    "unweighted mean; PR-AUC: average precision, of the positive class where there are two classes, else the "
    "unweighted mean of each against the rest; GMean: geometric mean of the classes' recalls; IBA: (1 + 0.1·(TPR - "
    "TNR))·GMean², with TPR and TNR of the positive class where there are two classes, else their unweighted means; "
    "ECE: 15 bins of equal width of the likeliest class's probability; Brier: summed over the classes where there are "
    "more than two, 0 to 2, else 0 to 1; per class: against the rest"
)


def positive_class(class_names: Sequence[str]) -> int | None:
    """The positive class: malignant where one is so named, else class 1; None for more than two classes."""
    if len(class_names) != 2:
        return None
    names = [name.lower() for name in class_names]
    return names.index("malignant") if "malignant" in names else 1


def score(labels: Labels, probs: Probs, groups: Sequence[str] | None, class_names: Sequence[str]) -> dict[str, Any]:
    """All scores, per class and overall, by image and by patient, as plain JSON values.

    `groups` [N] names the patient of each image; None leaves "by_patient" None. By patient there are two readings:
    "patient_score", BreakHis's own, the mean over patients of the fraction of their images that are right; and the
    scores of one label and one mean probability per patient, None where a patient has images of several classes. What
    cannot be computed is None, and "undefined" says why. The predicted class is the likeliest, the first on a tie.

    Raises ValueError where the arrays do not fit each other or a row of probabilities does not sum to 1.

    Sources: GMean, Kubat and Matwin 1997, "Addressing the curse of imbalanced training sets"; IBA, García et al. 2009,
    "Index of balanced accuracy", in imbalanced-learn's multi-class form; ECE and Brier as in `calibration`.

    Three of four images are right, and one of the two patients entirely:

    >>> labels = np.array([0, 0, 1, 1])
    >>> probs = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    >>> scores = score(labels, probs, ["a", "a", "b", "b"], ["benign", "malignant"])
    >>> scores["by_image"]["overall"]["balanced_accuracy"], scores["by_image"]["per_class"]["benign"]["recall"]
    (0.75, 1.0)
    >>> scores["by_patient"]["patient_score"]
    0.75
    """
    from sklearn import config_context

    labels, probs = np.asarray(labels), np.asarray(probs)
    _check(labels, probs, groups, class_names)
    with config_context(assume_finite=True, skip_parameter_validation=True):  # both are checked above
        return _score(labels, probs, groups, class_names)


def _score(labels: Labels, probs: Probs, groups: Sequence[str] | None, class_names: Sequence[str]) -> dict[str, Any]:
    positive = positive_class(class_names)
    undefined: list[str] = []
    return {
        "num_images": len(labels),
        "class_names": list(class_names),
        "positive_class": None if positive is None else class_names[positive],
        "averaging": AVERAGING,
        "by_image": _table(labels, probs, class_names, "image", undefined),
        "by_patient": None if groups is None else _by_patient(labels, probs, groups, class_names, undefined),
        "undefined": undefined,
    }


def _table(labels: Labels, probs: Probs, class_names: Sequence[str], unit: str, undefined: list[str]) -> dict[str, Any]:
    """The scores of images or of patients, overall and per class; appends to `undefined` what is None."""
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(labels, probs.argmax(1), labels=np.arange(len(class_names)))
    support = counts.sum(1)
    for k, name in enumerate(class_names):
        if support[k] == 0:
            undefined.append(
                f"by {unit}, recall, F1, AUROC and PR-AUC of {name}, and every mean of them: no {unit} is {name}"
            )
        if counts[:, k].sum() == 0:
            undefined.append(f"by {unit}, precision of {name}, and the mean of precisions: no {unit} was called {name}")
        if support[k] == len(labels):
            undefined.append(f"by {unit}, specificity, AUROC and PR-AUC of {name}: every {unit} is {name}")
    columns = _columns(labels, probs, support)
    per_class = {
        name: {"support": int(support[k])} | {key: _plain(column[k]) for key, column in columns.items()}
        for k, name in enumerate(class_names)
    }
    overall = _overall(labels, probs, columns, bool(support.all()), positive_class(class_names))
    return {
        "overall": {name: _plain(value) for name, value in overall.items()},
        "per_class": per_class,
        "confusion": counts.tolist(),
    }


def _columns(labels: Labels, probs: Probs, support: NDArray[np.int64]) -> dict[str, Floats]:
    """Scores of each class against the rest [K], NaN where its images, or all others, are none."""
    from imblearn.metrics import geometric_mean_score, specificity_score
    from sklearn.exceptions import UndefinedMetricWarning
    from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

    called, classes = probs.argmax(1), np.arange(len(support))
    present, others = support > 0, support < len(labels)
    each: dict[str, Any] = {"labels": classes, "average": None}
    precision, recall, f1, _ = precision_recall_fscore_support(labels, called, zero_division=np.nan, **each)
    ranked = {"auroc": np.full(len(support), np.nan), "pr_auc": np.full(len(support), np.nan)}
    for k in classes[present & others]:
        ranked["auroc"][k] = roc_auc_score(labels == k, probs[:, k])
        ranked["pr_auc"][k] = average_precision_score(labels == k, probs[:, k])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # of zeros that become NaN below
        scorers = (specificity_score, geometric_mean_score, _iba_score())
        specificity, gmean, iba = (scorer(labels, called, **each) for scorer in scorers)
    return {
        "precision": precision,
        "recall": recall,
        "specificity": np.where(others, specificity, np.nan),
        "f1": np.where(present, f1, np.nan),  # by its formula a class without images has 0 once it is predicted
        **ranked,
        "gmean": np.where(present & others, gmean, np.nan),
        "iba": np.where(present & others, iba, np.nan),
    }


def _overall(
    labels: Labels, probs: Probs, columns: dict[str, Floats], has_all: bool, positive: int | None
) -> dict[str, float]:
    """Scores over all classes; NaN for those that need images of every class, unless `has_all`."""
    from imblearn.metrics import geometric_mean_score
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    called = probs.argmax(1)
    of_all = dict.fromkeys(("balanced_accuracy", "gmean", "iba"), math.nan)
    if has_all:
        averaging = {"average": "multiclass"} if positive is None else {"average": "binary", "pos_label": positive}
        of_all = {
            "balanced_accuracy": balanced_accuracy_score(labels, called),
            "gmean": geometric_mean_score(labels, called),
            "iba": _iba_score()(labels, called, **averaging),
        }
    return {
        "accuracy": accuracy_score(labels, called),
        **{name: columns[name].mean() for name in ("precision", "recall", "f1", "auroc")},
        "pr_auc": columns["pr_auc"].mean() if positive is None else columns["pr_auc"][positive],
        **of_all,
        "ece": expected_calibration_error(labels, probs),
        "brier": brier(labels, probs),
    }


def _iba_score() -> Callable[..., Any]:
    from imblearn.metrics import geometric_mean_score, make_index_balanced_accuracy

    scorer: Callable[..., Any] = make_index_balanced_accuracy(alpha=IBA_ALPHA, squared=True)(geometric_mean_score)
    return scorer


def _by_patient(
    labels: Labels, probs: Probs, groups: Sequence[str], class_names: Sequence[str], undefined: list[str]
) -> dict[str, Any]:
    votes = vote(probs, groups)
    right = vote((probs.argmax(1) == labels)[:, None], groups).probs
    result: dict[str, Any] = {"num_patients": len(votes.names), "patient_score": float(right.mean())}
    truth = vote(np.eye(len(class_names))[labels], groups).probs
    mixed = votes.names[truth.max(1) < 1]
    if len(mixed):
        undefined.append(
            f"by patient, scores of the mean probability: {len(mixed)} patients have images of several classes, "
            f"the first is {mixed[0]}"
        )
        return result | {"overall": None, "per_class": None, "confusion": None}
    return result | _table(truth.argmax(1), votes.probs, class_names, "patient", undefined)


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _check(labels: Labels, probs: Probs, groups: Sequence[str] | None, class_names: Sequence[str]) -> None:
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer) or len(labels) == 0:
        raise ValueError(
            f"labels are {labels.dtype} {list(labels.shape)}; expected integers [N] for at least one image"
        )
    if len(class_names) < 2 or len(set(class_names)) != len(class_names):
        raise ValueError(f"classes {', '.join(class_names)}; expected at least two, each name once")
    if probs.shape != (len(labels), len(class_names)):
        raise ValueError(f"probabilities {list(probs.shape)}; expected [{len(labels)}, {len(class_names)}]")
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}; expected 0 to {len(class_names) - 1}")
    if not (np.isfinite(probs).all() and (probs >= 0).all() and np.allclose(probs.sum(1), 1, atol=1e-3)):
        raise ValueError("probabilities that are not finite, at least 0 and summing to 1; expected a softmax's output")
    if groups is not None and len(groups) != len(labels):
        raise ValueError(f"{len(groups)} patients for {len(labels)} images; expected one for each image")

"""Scores of a classifier from labels, probabilities and patients: what counts and ranks give, in closed form.

Labels are i64 [N], probabilities [N,K]. Where the images cannot give a score, as a recall of a class without images, it
is NaN here and None in the result, and never a zero. The tests hold them against scikit-learn's and imbalanced-learn's,
which need some twenty times as long: too long for a study's thousands of runs.
"""

import math
from collections.abc import Sequence
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
    labels, probs = np.asarray(labels), np.asarray(probs)
    _check(labels, probs, groups, class_names)
    labels = labels.astype(np.int64)
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
    size = len(class_names)
    counts = np.bincount(labels * size + probs.argmax(1), minlength=size * size).reshape(size, size)
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
    columns = _of_counts(counts) | _of_ranks(labels, probs, support)
    per_class = {
        name: {"support": int(support[k])} | {key: _plain(column[k]) for key, column in columns.items()}
        for k, name in enumerate(class_names)
    }
    overall = _overall(counts, columns, positive_class(class_names))
    overall |= {"ece": expected_calibration_error(labels, probs), "brier": brier(labels, probs)}
    return {
        "overall": {name: _plain(value) for name, value in overall.items()},
        "per_class": per_class,
        "confusion": counts.tolist(),
    }


def _of_counts(counts: NDArray[np.int64]) -> dict[str, Floats]:
    """Scores of each class against the rest [K] from the confusion matrix [K,K]; NaN where its images are none."""
    hits, support, called = np.diag(counts), counts.sum(1), counts.sum(0)
    rest = counts.sum() - support
    recall, specificity = _ratio(hits, support), _ratio(rest - called + hits, rest)
    return {
        "precision": _ratio(hits, called),
        "recall": recall,
        "specificity": specificity,
        "f1": np.where(support > 0, _ratio(2 * hits, support + called), np.nan),
        "gmean": np.sqrt(recall * specificity),
        "iba": (1 + IBA_ALPHA * (recall - specificity)) * recall * specificity,
    }


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> Floats:
    """`part` / `whole`, NaN where the whole is nothing."""
    ratio: Floats = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return ratio


def _of_ranks(labels: Labels, probs: Probs, support: NDArray[np.int64]) -> dict[str, Floats]:
    """AUROC and average precision of each class against the rest [K]; NaN where it, or the rest, has no images.

    AUROC is the fraction of pairs, one image of the class and one of the rest, that stand in order, ties half (Mann and
    Whitney 1947). Average precision is the sum over thresholds of the gain in recall times the precision there.
    """
    auroc, pr_auc = np.full((2, len(support)), np.nan)
    for k in np.flatnonzero((support > 0) & (support < len(labels))):
        order = np.argsort(-probs[:, k], kind="stable")
        falling = probs[order, k]
        is_last = np.append(falling[1:] != falling[:-1], True)  # of those that share a probability
        hits, called = (labels[order] == k).cumsum()[is_last], 1 + np.flatnonzero(is_last)
        gained, alarms = (np.diff(totals, prepend=0) for totals in (hits, called - hits))
        auroc[k] = (alarms * (hits - gained / 2)).sum() / (support[k] * (len(labels) - support[k]))
        pr_auc[k] = (gained * hits / called).sum() / support[k]
    return {"auroc": auroc, "pr_auc": pr_auc}


def _overall(counts: NDArray[np.int64], columns: dict[str, Floats], positive: int | None) -> dict[str, float]:
    """Scores over all classes; NaN for those that need images of every class where one has none."""
    recall, specificity = columns["recall"], columns["specificity"]
    gmean = recall.prod() ** (1 / len(recall))
    dominance = recall - specificity
    return {
        "accuracy": np.trace(counts) / counts.sum(),
        **{name: columns[name].mean() for name in ("precision", "recall", "f1", "auroc")},
        "pr_auc": columns["pr_auc"].mean() if positive is None else columns["pr_auc"][positive],
        "balanced_accuracy": recall.mean(),
        "gmean": gmean,
        "iba": (1 + IBA_ALPHA * (dominance.mean() if positive is None else dominance[positive])) * gmean**2,
    }


def _by_patient(
    labels: Labels, probs: Probs, groups: Sequence[str], class_names: Sequence[str], undefined: list[str]
) -> dict[str, Any]:
    votes, size = vote(probs, groups), len(class_names)
    right = np.bincount(votes.of, weights=probs.argmax(1) == labels) / votes.num
    result: dict[str, Any] = {"num_patients": len(votes.names), "patient_score": float(right.mean())}
    truth = np.bincount(votes.of * size + labels, minlength=len(votes.names) * size).reshape(-1, size)
    mixed = votes.names[truth.max(1) < votes.num]
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

"""Scores of a classifier as pure functions of labels, probabilities and patients.

Every function takes labels i64 [N] and probabilities [N,K], and is fast enough for thousands of bootstrap resamples. A
score that the images cannot give, as a recall of a class without images, is NaN here and None in `score`, never a zero.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Labels = NDArray[np.int64]
Probs = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]

IBA_ALPHA = 0.1  # weight of the dominance, imbalanced-learn's default
AVERAGING = (
    "precision, recall, F1 and balanced accuracy: unweighted mean over the classes; AUROC: a class against the rest, "
    "unweighted mean; GMean: geometric mean of the classes' recalls; IBA: (1 + 0.1·(TPR - TNR))·GMean², with TPR and "
    "TNR of the positive class where there are two classes, else their unweighted means; per class: against the rest"
)


def confusion(labels: Labels, probs: Probs) -> NDArray[np.int64]:
    """Counts [K,K]: rows are the true classes, columns the likeliest ones, the first on a tie."""
    num_classes = probs.shape[1]
    pairs = labels * num_classes + probs.argmax(1)
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def _ratio(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """The quotient, NaN where the denominator is zero."""
    denominator = np.asarray(denominator, dtype=np.float64)
    quotient = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient


def recalls(counts: NDArray[np.int64]) -> Floats:
    """The true positive rate of each class [K]; NaN for a class without images."""
    return _ratio(counts.diagonal(), counts.sum(1))


def specificities(counts: NDArray[np.int64]) -> Floats:
    """The true negative rate of each class against the rest [K]; NaN where all images are of the class."""
    negatives = counts.sum() - counts.sum(1)
    false_positives = counts.sum(0) - counts.diagonal()
    return _ratio(negatives - false_positives, negatives)


def precisions(counts: NDArray[np.int64]) -> Floats:
    """The fraction [K] of the images predicted as each class that are of it; NaN for a class never predicted."""
    return _ratio(counts.diagonal(), counts.sum(0))


def f1s(counts: NDArray[np.int64]) -> Floats:
    """2·TP / (2·TP + FP + FN) of each class [K]; NaN for a class without images, as its recall is."""
    f1 = _ratio(2 * counts.diagonal(), counts.sum(0) + counts.sum(1))
    return np.where(counts.sum(1) > 0, f1, np.nan)


def aurocs(labels: Labels, probs: Probs) -> Floats:
    """The area under each class's ROC curve against the rest [K], by ranks; NaN where one of the two sides is empty."""
    from scipy.stats import rankdata

    areas = np.full(probs.shape[1], np.nan)
    for k in range(probs.shape[1]):
        is_k = labels == k
        num_pos, num_neg = int(is_k.sum()), int((~is_k).sum())
        if num_pos and num_neg:
            rank_sum = rankdata(probs[:, k])[is_k].sum()
            areas[k] = (rank_sum - num_pos * (num_pos + 1) / 2) / (num_pos * num_neg)
    return areas


def accuracy(labels: Labels, probs: Probs) -> float:
    """The fraction of the images whose likeliest class is theirs; NaN without images."""
    return float((probs.argmax(1) == labels).mean()) if len(labels) else math.nan


def balanced_accuracy(labels: Labels, probs: Probs) -> float:
    """The mean of the classes' recalls; NaN where a class has no images."""
    return float(recalls(confusion(labels, probs)).mean())


def precision(labels: Labels, probs: Probs) -> float:
    """The mean of the classes' precisions; NaN where a class is never predicted."""
    return float(precisions(confusion(labels, probs)).mean())


def f1(labels: Labels, probs: Probs) -> float:
    """The mean of the classes' F1; NaN where a class has no images."""
    return float(f1s(confusion(labels, probs)).mean())


def auroc(labels: Labels, probs: Probs) -> float:
    """The mean of the classes' areas against the rest; NaN where a class has no images."""
    return float(aurocs(labels, probs).mean())


def gmean(labels: Labels, probs: Probs) -> float:
    """The geometric mean of the classes' recalls: √(TPR·TNR) for two; NaN where a class has no images.

    Source: Kubat and Matwin 1997, "Addressing the curse of imbalanced training sets".
    """
    recall = recalls(confusion(labels, probs))
    return float(recall.prod() ** (1 / len(recall)))


def iba(labels: Labels, probs: Probs, positive: int = 1) -> float:
    """The index of balanced accuracy (1 + α·(TPR - TNR))·GMean², α = 0.1; NaN where a class has no images.

    TPR and TNR are those of class `positive` where there are two classes, else the means over the classes.

    Source: García et al. 2009, "Index of balanced accuracy"; the multi-class form is imbalanced-learn's.
    """
    counts = confusion(labels, probs)
    dominance = recalls(counts) - specificities(counts)
    chosen = dominance[positive] if len(counts) == 2 else dominance.mean()
    return float((1 + IBA_ALPHA * chosen) * gmean(labels, probs) ** 2)


SCORES: dict[str, Callable[[Labels, Probs], float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "precision": precision,
    "recall": balanced_accuracy,  # the macro recall is the balanced accuracy, under its other name
    "f1": f1,
    "auroc": auroc,
    "gmean": gmean,
    "iba": iba,  # of class 1 where there are two classes; `score` takes the class named malignant
}


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
    cannot be computed is None, and "undefined" says why.

    Raises ValueError where the arrays do not fit each other or a row of probabilities does not sum to 1.

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
    counts = confusion(labels, probs)
    for k, name in enumerate(class_names):
        if counts[k].sum() == 0:
            undefined.append(f"by {unit}, recall, F1 and AUROC of {name}, and every mean of them: no {unit} is {name}")
        if counts[:, k].sum() == 0:
            undefined.append(f"by {unit}, precision of {name}, and the mean of precisions: no {unit} was called {name}")
        if counts[k].sum() == counts.sum():
            undefined.append(f"by {unit}, specificity and AUROC of {name}: every {unit} is {name}")
    overall = {name: function(labels, probs) for name, function in SCORES.items()}
    overall["iba"] = iba(labels, probs, positive_class(class_names) or 0)
    recall, specificity = recalls(counts), specificities(counts)
    columns = {
        "precision": precisions(counts),
        "recall": recall,
        "specificity": specificity,
        "f1": f1s(counts),
        "auroc": aurocs(labels, probs),
        "gmean": np.sqrt(recall * specificity),
        "iba": (1 + IBA_ALPHA * (recall - specificity)) * recall * specificity,
    }
    per_class = {
        name: {"support": int(counts[k].sum())} | {key: _plain(column[k]) for key, column in columns.items()}
        for k, name in enumerate(class_names)
    }
    return {
        "overall": {name: _plain(value) for name, value in overall.items()},
        "per_class": per_class,
        "confusion": counts.tolist(),
    }


def _by_patient(
    labels: Labels, probs: Probs, groups: Sequence[str], class_names: Sequence[str], undefined: list[str]
) -> dict[str, Any]:
    patients, patient_of = np.unique(np.asarray(groups), return_inverse=True)
    num_images = np.bincount(patient_of)
    right = np.bincount(patient_of, weights=probs.argmax(1) == labels)
    result: dict[str, Any] = {"num_patients": len(patients), "patient_score": float((right / num_images).mean())}

    patient_labels = np.zeros(len(patients), dtype=np.int64)
    patient_labels[patient_of] = labels
    mixed = np.unique(patient_of[patient_labels[patient_of] != labels])
    if len(mixed):
        undefined.append(
            f"by patient, scores of the mean probability: {len(mixed)} patients have images of several classes, "
            f"the first is {patients[mixed[0]]}"
        )
        return result | {"overall": None, "per_class": None, "confusion": None}
    sums = np.zeros((len(patients), probs.shape[1]))
    np.add.at(sums, patient_of, probs)
    return result | _table(patient_labels, sums / num_images[:, None], class_names, "patient", undefined)


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

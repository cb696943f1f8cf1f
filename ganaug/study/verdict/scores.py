"""The scores of classifiers on each arm, as rows of tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from classifiers.scores import score
from ganaug.study.cells import CellResult
from ganaug.study.design import Design
from ganaug.study.statistics.out_of_fold import pool, runs_of


@dataclass(frozen=True)
class Column:
    """A column of the score tables."""

    heading: str
    side: str  # of what `classifiers.scores.score` returns: by_image or by_patient
    key: str


COLUMNS = (
    Column("accuracy", "by_image", "accuracy"),
    Column("balanced accuracy", "by_image", "balanced_accuracy"),
    Column("precision", "by_image", "precision"),
    Column("F1", "by_image", "f1"),
    Column("AUROC", "by_image", "auroc"),
    Column("GMean", "by_image", "gmean"),
    Column("IBA", "by_image", "iba"),
    Column("balanced accuracy", "by_patient", "balanced_accuracy"),
    Column("F1", "by_patient", "f1"),
    Column("AUROC", "by_patient", "auroc"),
)

CALIBRATION = (
    Column("PR-AUC", "by_image", "pr_auc"),
    Column("ECE", "by_image", "ece"),
    Column("Brier", "by_image", "brier"),
)


@dataclass(frozen=True)
class ScoreRow:
    """The scores of a classifier trained on an arm; None where a score does not exist."""

    arm: str
    values: tuple[float | None, ...]  # by COLUMNS
    patient_score: float | None
    recalls: tuple[float | None, ...]  # by class
    calibration: tuple[float | None, ...]  # by CALIBRATION


def score_rows(design: Design, results: Sequence[CellResult], class_names: Sequence[str]) -> dict[str, list[ScoreRow]]:
    """Per classifier, and in it per arm, the scores of the pooled test predictions, averaged over the runs."""
    config = design.config
    return {
        classifier: [
            _score_row(arm, [r for r in results if (r.cell.classifier, r.cell.arm) == (classifier, arm)], class_names)
            for arm in config.arms
        ]
        for classifier in config.classifiers
    }


def _score_row(arm: str, results: Sequence[CellResult], class_names: Sequence[str]) -> ScoreRow:
    runs = [pool(run) for run in runs_of(results)]
    per_run = [score(run.labels, run.probs, run.groups.tolist(), class_names) for run in runs]
    recalls = [[scores["by_image"]["per_class"][name]["recall"] for scores in per_run] for name in class_names]

    def means(columns: Sequence[Column]) -> tuple[float | None, ...]:
        return tuple(_mean([(scores[c.side]["overall"] or {}).get(c.key) for scores in per_run]) for c in columns)

    return ScoreRow(
        arm=arm,
        values=means(COLUMNS),
        patient_score=_mean([scores["by_patient"]["patient_score"] for scores in per_run]),
        recalls=tuple(_mean(values) for values in recalls),
        calibration=means(CALIBRATION),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean, or None where one of them does not exist."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None

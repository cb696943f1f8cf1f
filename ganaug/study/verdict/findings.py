"""All that a finished study found, for the pages and tables that show it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ganaug.config.choices import BASELINE, TREATMENT
from ganaug.data.dataset import DataSet
from ganaug.evaluate.copies.verdict import QUESTION as COPYING
from ganaug.evaluate.judged import Exhibit, Finding
from ganaug.evaluate.judgement import Judgement
from ganaug.evaluate.scores import ALL, ImageScore
from ganaug.interval import Interval
from ganaug.study.cells import CellResult
from ganaug.study.design import Design
from ganaug.study.looks import Look
from ganaug.study.replication import Replication
from ganaug.study.statistics.out_of_fold import FEWEST_PATIENTS, out_of_fold, pool, runs_of
from ganaug.study.statistics.paired import ANSWER
from ganaug.study.statistics.reminders import McNemar, cohens_d, mcnemar, nadeau_bengio, sign_flip_p
from ganaug.study.statistics.subgroups import PartDifference, compare_parts
from ganaug.study.verdict.curves import Curves, trace_curves
from ganaug.study.verdict.scores import ScoreRow, score_rows
from ganaug.study.verdict.verdict import Verdict


@dataclass(frozen=True)
class Reminder:
    """What tests that reviewers know say of the answer, for one classifier."""

    classifier: str
    nadeau_bengio: Interval
    sign_flip: float  # p
    mcnemar: McNemar  # of the first run
    cohens_d: float  # NaN where patients do not vary


@dataclass(frozen=True)
class Findings:
    """A finished study, and what follows from its cells."""

    design: Design
    dataset: DataSet
    verdict: Verdict
    results: Sequence[CellResult]
    image_scores: Sequence[Judgement]
    looks: Sequence[Look]
    curves: Sequence[Curves]
    parts: Sequence[PartDifference]
    reminders: Sequence[Reminder]
    replication: Replication | None = None  # a paper's protocol next to the honest one

    @cached_property
    def scores(self) -> dict[str, list[ScoreRow]]:
        """Per classifier, and in it per arm, the scores of the pooled test predictions."""
        return score_rows(self.design, self.results, self.dataset.table.class_names)

    @property
    def distances(self) -> list[tuple[int, ImageScore]]:
        """The scores of each fold's synthetic files, those on copies apart."""
        found = [(judged.file.fold, score) for judged in self.image_scores for score in judged.scores]
        return [(fold, score) for fold, score in found if score.question != COPYING]

    @property
    def copies(self) -> list[tuple[str, Finding]]:
        """Whether synthetic files repeat training images, of all classes together, and every alarm; with the folds."""
        folds: dict[Finding, list[int]] = {}
        for judged in self.image_scores:
            for finding in judged.findings:
                if finding.question == COPYING and (finding.is_alarm or finding.class_name == ALL):
                    folds.setdefault(finding, []).append(judged.file.fold)
        return [(_name_folds(sorted(set(of_finding))), finding) for finding, of_finding in folds.items()]

    @property
    def closest_pairs(self) -> list[Exhibit]:
        """The gallery of the first file's images next to those nearest to them; none where it was not audited."""
        return [shown for judged in self.image_scores[:1] for shown in judged.exhibits if shown.question == COPYING]

    @property
    def num_train(self) -> int:
        """Real training images of a fold, the mean over the folds."""
        sizes = [sum(r.record.train_images.values()) for r in self.results if r.cell.arm == BASELINE]
        return round(float(np.mean(sizes)))


def _name_folds(folds: Sequence[int]) -> str:
    return f"fold{'' if len(folds) == 1 else 's'} {', '.join(map(str, folds))}"


def gather(
    design: Design,
    dataset: DataSet,
    verdict: Verdict,
    results: Sequence[CellResult],
    image_scores: Sequence[Judgement] = (),
    looks: Sequence[Look] = (),
) -> Findings:
    """What there is to say of a study that is judged."""
    return Findings(
        design=design,
        dataset=dataset,
        verdict=verdict,
        results=results,
        image_scores=image_scores,
        looks=looks,
        curves=trace_curves(design, results, verdict.differences, dataset.table.num_classes),
        parts=compare_parts(design, results, dataset.table),
        reminders=[_remind(design, dataset, results, name) for name in design.config.classifiers],
    )


def _remind(design: Design, dataset: DataSet, results: Sequence[CellResult], classifier: str) -> Reminder:
    config, fold = design.config, design.folds[0]
    tested = out_of_fold(results, classifier, dataset.table.num_classes, design.generators)
    tested = tested.judge_classes(FEWEST_PATIENTS)
    per_train = len(dataset.test(fold)) / len(dataset.train(fold))
    first = [
        pool(runs_of([r for r in results if (r.cell.classifier, r.cell.arm) == (classifier, arm)])[0])
        for arm in (TREATMENT, BASELINE)
    ]
    treated, alone = (run.probs.argmax(1) == run.labels for run in first)
    return Reminder(
        classifier,
        nadeau_bengio(ANSWER, tested, config.metric, config.confidence, per_train),
        sign_flip_p(ANSWER, tested, config.metric),
        mcnemar(treated, alone),
        cohens_d(ANSWER, tested, config.metric),
    )

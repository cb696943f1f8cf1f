"""The curves of a study: what more synthetic images bring, and what they bring where real ones are few."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ganaug.config.choices import BASELINE, ORACLE, TREATMENT
from ganaug.study.arms.registry import find_arm
from ganaug.study.cells import CellResult
from ganaug.study.design import Design
from ganaug.study.statistics.dose_response import Point, Worth, find_worth, trace
from ganaug.study.statistics.out_of_fold import FEWEST_PATIENTS, out_of_fold
from ganaug.study.statistics.paired import Difference, resample

BOOTSTRAP_SEED = 0  # as of the verdict
NUM_RESAMPLES = 1000
DRAWN = (BASELINE, TREATMENT, ORACLE)  # the arms whose scores are drawn over the fraction of real images


@dataclass(frozen=True)
class Curves:
    """Those of one classifier."""

    classifier: str
    doses: tuple[Point, ...]  # differences from the real images alone, over the images added per real one
    scores: Mapping[str, tuple[Point, ...]]  # by arm, over the fraction of the real images; empty: one fraction only
    worths: tuple[Worth, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def trace_curves(
    design: Design, results: Sequence[CellResult], differences: Sequence[Difference], num_classes: int
) -> list[Curves]:
    """The curves of each classifier; without points where a study has one dose and one fraction."""
    config, arms = design.config, [find_arm(name) for name in design.config.arms]
    by_fraction = {
        base: {arm.fraction: arm.name for arm in arms if arm.base == base and (arm.ratio is None or base == BASELINE)}
        for base in DRAWN
    }
    found = []
    for classifier in config.classifiers:
        tested = out_of_fold(results, classifier, num_classes, design.generators).judge_classes(FEWEST_PATIENTS)
        scores: dict[str, tuple[Point, ...]] = {}
        worths: tuple[Worth, ...] = ()
        if len(by_fraction[BASELINE]) > 1:
            scores = {
                base: trace(tested, named, config.metric, config.confidence)
                for base, named in by_fraction.items()
                if named
            }
            worths = find_worth(
                tested,
                resample(tested, NUM_RESAMPLES, np.random.default_rng(BOOTSTRAP_SEED)),
                real=by_fraction[BASELINE],
                treated=by_fraction[TREATMENT],
                metric=config.metric,
                confidence=config.confidence,
            )
        found.append(Curves(classifier, _doses(design, differences, classifier), scores, worths))
    return found


def _doses(design: Design, differences: Sequence[Difference], classifier: str) -> tuple[Point, ...]:
    """Differences from the real images alone, over the images added per real one."""
    ratio_of = {
        arm.name: arm.ratio_of(design.config.ratio)
        for arm in map(find_arm, design.config.arms)
        if arm.base == TREATMENT and arm.fraction == 1
    }
    points = [
        Point(ratio_of[d.arm], d.estimate, d.interval.low, d.interval.high)
        for d in differences
        if d.classifier == classifier and d.baseline == BASELINE and d.arm in ratio_of
    ]
    return tuple(sorted(points, key=lambda point: point.amount))

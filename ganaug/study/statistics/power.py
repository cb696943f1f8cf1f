"""The smallest gain that a design can show, and what it would take to show a smaller one."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ganaug.study.statistics.clustered import Contrast, Part, Spread, student_quantile
from ganaug.study.statistics.intervals import gap_of
from ganaug.study.statistics.simulated import Patients, World, simulate

POWER = 0.8  # with which a gain is said to be one that a design can show
NUM_STUDIES = 400  # made up in each step, to see beforehand what a design can show
NUM_STEPS = 4  # towards the gain that such studies show
MOST = 1000  # times as many patients, or generators, that are worth naming


@dataclass(frozen=True)
class Size:
    """How much of what varies a study has drawn."""

    num_patients: int
    num_seeds: int
    num_generators: int  # of each fold
    num_folds: int


def power(gain: float, variance: Part, confidence: float) -> float:
    """The fraction of studies with this variance whose interval excludes zero where the true difference is `gain`."""
    error, df = variance.variance**0.5, variance.used_df
    if error == 0:
        return float(gain != 0)
    limit = student_quantile((1 + confidence) / 2, df)
    return float(stats.nct.sf(limit, df, gain / error) + stats.nct.cdf(-limit, df, gain / error))


def smallest_gain(variance: Part, confidence: float) -> float:
    """The true difference that `POWER` of such studies would show; in units of the metric."""
    df = variance.used_df
    quantiles = student_quantile((1 + confidence) / 2, df) + student_quantile(POWER, df)
    return float(quantiles * variance.variance**0.5)


def scale(spread: Spread, now: Size, then: Size) -> Part:
    """The variance that a study of another size would have.

    Patients and their interaction with runs shrink with the patients alone, which errs on the wide side. What folds
    vary beyond patients and runs is the luck of their generators, which is averaged over as many as there are. Runs
    vary by the seed where each fold has one generator, and else by the generator, whose luck they hold.
    """
    crossed = spread.patients + spread.runs
    luck = max(spread.folds.variance - crossed.variance, 0.0)
    more_patients, more_generators = then.num_patients / now.num_patients, then.num_generators / now.num_generators
    more_runs = then.num_seeds / now.num_seeds if now.num_generators == 1 else more_generators
    patients = Part(spread.patients.variance / more_patients, spread.patients.df * more_patients)
    runs = Part(spread.runs.variance / more_runs, spread.runs.df * _df_of_runs(then) / _df_of_runs(now))
    return patients + runs + Part(luck / more_generators, _df_of_runs(then))


def _df_of_runs(size: Size) -> float:
    """Of what each fold shows by runs that differ, or, where it has a single one, of what folds show together."""
    num_runs = size.num_generators if size.num_generators > 1 else size.num_seeds
    return float(max(size.num_folds * (num_runs - 1), size.num_folds - 1, 1))


def say_what_would_show(spread: Spread, now: Size, gain: float, confidence: float) -> str:
    """What it would take to show a gain, in one sentence."""
    points = f"{100 * gain:g} points"
    if smallest_gain(spread.total, confidence) <= gain:
        return f"A gain of {points} would have shown in four of five such studies."
    patients = _times(lambda k: replace(now, num_patients=k * now.num_patients), spread, now, gain, confidence)
    several = replace(now, num_generators=max(now.num_generators, 2), num_seeds=max(now.num_seeds, 2))
    generators = _times(
        lambda k: replace(several, num_generators=k * several.num_generators, num_seeds=k * several.num_seeds),
        spread,
        now,
        gain,
        confidence,
    )
    ways = [f"{patients * now.num_patients} patients"] if patients else []
    ways += [f"{generators * several.num_generators} generators per fold, each with a seed"] if generators else []
    if ways:
        return f"A gain of {points} would show in four of five studies of about {', or '.join(ways)}."
    both = _times(
        lambda k: replace(
            now,
            num_patients=k * now.num_patients,
            num_seeds=k * several.num_seeds,
            num_generators=k * several.num_generators,
        ),
        spread,
        now,
        gain,
        confidence,
    )
    if both is None:
        return f"A gain of {points} is out of reach of such studies."
    return (
        f"A gain of {points} would show in four of five studies of about {both * now.num_patients} patients with "
        f"{both * several.num_generators} generators per fold; more of one alone is not enough."
    )


def _times(grow: Callable[[int], Size], spread: Spread, now: Size, gain: float, confidence: float) -> int | None:
    """How many times a study must grow to show the gain; None where nothing up to `MOST` times is enough."""
    sizes = range(1, MOST)
    first = bisect_left(sizes, True, key=lambda k: smallest_gain(scale(spread, now, grow(k)), confidence) <= gain)
    return sizes[first] if first < len(sizes) else None


@dataclass(frozen=True)
class Prospect:
    """What studies of a design would find: how far from the truth, and from where on an interval excludes zero."""

    errors: NDArray[np.float64]  # [N] of the estimates
    limits: NDArray[np.float64]  # [N], the smallest difference that shows

    def power(self, gain: float) -> float:
        """The fraction of studies that would show a true difference of `gain`."""
        return float(np.mean(self.errors + gain > self.limits))

    @property
    def smallest_gain(self) -> float:
        """The true difference that `POWER` of the studies would show."""
        return float(np.quantile(self.limits - self.errors, POWER))


def simulate_prospect(world: World, patients: Patients, contrast: Contrast, metric: str, confidence: float) -> Prospect:
    """Studies of these patients where all varies as in `world`, before the first is run.

    They are made up with the very gain that they show, which is found step by step: the better an arm is, the less its
    score can vary.
    """
    most = 1 - world.accuracy - 0.01
    found = _simulate_all(replace(world, gain=0.0), patients, contrast, metric, confidence)
    gain = min(found.smallest_gain, most)
    for _ in range(NUM_STEPS):
        found = _simulate_all(replace(world, gain=gain), patients, contrast, metric, confidence)
        gain = min((gain + found.smallest_gain) / 2, most)
    return found


def _simulate_all(world: World, patients: Patients, contrast: Contrast, metric: str, confidence: float) -> Prospect:
    rng, rows = np.random.default_rng(0), []
    for _ in range(NUM_STUDIES):
        tested = simulate(world, rng, patients)
        gap = gap_of(contrast, tested, metric)
        rows.append((gap.estimate - world.gain, gap.limit_at_zero(confidence)))
    errors, limits = np.array(rows).T
    return Prospect(errors, limits)

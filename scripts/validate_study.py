"""How often the study's intervals hold the truth, and how often gains are found, in made-up studies.

    python scripts/validate_study.py [--studies 1000] [--setting NAME] [--out scripts/results/study-validity.json]

Every setting draws studies whose true gain is known, see `ganaug.study.statistics.simulated`, and judges each by the
library's own functions. A setting with one generator per fold or one seed is one that the report flags.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from bench import common

from ganaug.config.choices import BASELINE, CONTROL, TREATMENT
from ganaug.study.statistics.clustered import Contrast
from ganaug.study.statistics.intervals import gap_of, interval_of
from ganaug.study.statistics.power import simulate_prospect
from ganaug.study.statistics.simulated import Patients, World, draw_patients, simulate

METRIC = "balanced_accuracy"
ANSWER = Contrast({TREATMENT: 1.0, BASELINE: -0.5, CONTROL: -0.5})
TWO = World(num_generators=2)
SETTINGS = {
    "two generators": TWO,
    "20 patients": replace(TWO, num_patients=20),
    "12 patients, 3 folds": replace(TWO, num_patients=12, num_folds=3),
    "80 patients": replace(TWO, num_patients=80),
    "80 patients, 8 classes": replace(TWO, num_patients=80, num_classes=8, accuracy=0.6),
    "4 classes": replace(TWO, num_classes=4, accuracy=0.6),
    "4 classes, the rarest of 5 patients": replace(TWO, num_classes=4, accuracy=0.6, rarest=5),
    "4 classes, the rarest of 3 patients": replace(TWO, num_classes=4, accuracy=0.6, rarest=3),
    "3 folds": replace(TWO, num_folds=3),
    "10 folds": replace(TWO, num_folds=10),
    "5 seeds and generators": replace(TWO, num_seeds=5, num_generators=5),
    "4 seeds of 2 generators": replace(TWO, num_seeds=4, luck=0.3),
    "lucky runs": replace(TWO, run=0.3),
    "lucky runs with each patient": replace(TWO, patient_run=0.4),
    "gains that differ between patients": replace(TWO, patient_arm=0.4),
    "some luck": replace(TWO, luck=0.1),
    "luck": replace(TWO, luck=0.3),
    "much luck": replace(TWO, luck=0.5),
    "much luck, 80 patients": replace(TWO, luck=0.5, num_patients=80),
    "luck, 3 seeds and generators": replace(TWO, luck=0.3, num_seeds=3, num_generators=3),
    "gain of 2 points": replace(TWO, gain=0.02),
    "gain of 5 points": replace(TWO, gain=0.05),
    "gain of 5 points, luck": replace(TWO, gain=0.05, luck=0.3),
    "a very good classifier": replace(TWO, accuracy=0.95),
    "a good classifier, gain of 7 points": replace(TWO, accuracy=0.9, gain=0.07),
    "one generator": World(),
    "one generator, luck": World(luck=0.3),
    "one generator, luck, 5 seeds": World(luck=0.3, num_seeds=5),
    "one generator, luck, 80 patients": World(luck=0.3, num_patients=80),
    "one seed": World(num_seeds=1),
    "one seed, lucky runs": World(num_seeds=1, run=0.3),
}


NUM_FORECASTS = 10  # draws of patients
PERCENTAGES = ("coverage", "above", "below", "gains", "width", "bias", "foreseen", "power")


def is_flagged(world: World) -> bool:
    """Whether the report of such a study says that its interval is not to be trusted as it stands."""
    return world.num_generators == 1 or world.num_seeds == 1


def is_shown(world: World, patients: Patients, rng: np.random.Generator) -> bool:
    """Whether a made-up study of these patients says that there is a gain."""
    tested = simulate(world, rng, patients)
    return interval_of(ANSWER, tested, METRIC, 0.95).is_above(0)


def try_forecast(world: World, num_studies: int, rng: np.random.Generator) -> tuple[float, float]:
    """The smallest gain that `--dry-run` would name for some patients, and how often studies of these then show it."""
    patients = draw_patients(world, rng)
    foreseen = simulate_prospect(world, patients, ANSWER, METRIC, 0.95).smallest_gain
    better = replace(world, gain=foreseen)
    return foreseen, float(np.mean([is_shown(better, patients, rng) for _ in range(num_studies)]))


def validate(world: World, num_studies: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(num_studies):
        tested = simulate(world, rng)
        gap = gap_of(ANSWER, tested, METRIC)
        rows.append((gap.estimate, *gap.interval(0.95).bounds, gap.variance.variance, gap.variance.df))
    estimate, low, high, variance, df = np.array(rows).T
    foreseen, power = None, None
    if world.num_seeds > 1:  # else the answer is inconclusive whatever is found, and nothing is forecast
        size = max(num_studies // NUM_FORECASTS, 1)
        forecasts = [try_forecast(world, size, rng) for _ in range(NUM_FORECASTS)]
        foreseen, power = np.mean(forecasts, axis=0).tolist()
    return {
        "coverage": float(np.mean((low <= world.gain) & (world.gain <= high))),
        "above": float(np.mean(low > world.gain)),
        "below": float(np.mean(high < world.gain)),
        "gains": float(np.mean(low > 0)),
        "foreseen": foreseen,  # the mean of the smallest gains that `--dry-run` would name
        "power": power,  # of studies of the patients of each forecast, as those of a data set are known beforehand
        "width": float(np.median(high - low)),
        "bias": float(np.mean(estimate) - world.gain),
        "standard_deviation": float(np.std(estimate)),
        "standard_error": float(np.mean(variance) ** 0.5),
        "df": float(np.median(df)),
    }


@click.command()
@click.option("--studies", "num_studies", default=1000, show_default=True, help="Made up in each setting")
@click.option(
    "--setting", "chosen", multiple=True, type=click.Choice(list(SETTINGS)), help="One of them  [default: all]"
)
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON")
def main(num_studies: int, chosen: tuple[str, ...], out: Path | None) -> None:
    """Simulate studies, and print how often their intervals hold the truth."""
    rows, lines = [], []
    for name in chosen or SETTINGS:
        world = SETTINGS[name]
        found = validate(world, num_studies)
        rows.append({"setting": name, "flagged": is_flagged(world), "world": asdict(world), **found})
        lines.append(
            [
                name + (" (flagged)" if is_flagged(world) else ""),
                *("–" if found[key] is None else f"{100 * found[key]:.1f}" for key in PERCENTAGES),
                f"{found['df']:.0f}",
            ]
        )
    headings = [
        "setting",
        "coverage, %",
        "above",
        "below",
        "gain said",
        "width, points",
        "bias",
        "foreseen",
        "power there",
        "df",
    ]
    print(common.markdown_table(headings, lines))
    if out:
        common.write_json(out, {"studies": num_studies, "confidence": 0.95, "metric": METRIC, "rows": rows})


if __name__ == "__main__":
    main()

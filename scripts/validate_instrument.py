"""Whether a study sees what is there, and only that: arms whose truth is known, on many patients of the phantom.

    python scripts/validate_instrument.py --keep FOLDER --weights-dir W [--out scripts/results/instrument-phantom.json]

More real images of other patients must win, synthetic images under permuted labels must not, a generator that knows
patients under test must be refused unless a leak audit is asked for, and two arms that differ by their seeds alone must
be called equivalent. The exit status is 1 where one of these fails. A stopped run resumes in its folder.
"""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click
import numpy as np
from bench import common

from ganaug.config import Compute, FoldsConfig, PhantomConfig, PrepareConfig, StudyConfig
from ganaug.config.choices import BASELINE, CONTROL, DEFAULT_ARMS, LEAKY, POOLED, TREATMENT
from ganaug.data.dataset import DataSet, open_dataset
from ganaug.data.prepare.pipeline import prepare_dataset
from ganaug.study.admission.admit import design_study
from ganaug.study.cells import load_cell
from ganaug.study.design import plan_cells
from ganaug.study.request import StudyRequest, add_published_weights, find_supplies, missing_config, run_study
from ganaug.study.statistics.out_of_fold import OutOfFold, out_of_fold
from ganaug.study.statistics.paired import Difference, paired_difference, resample, score_resamples
from ganaug.study.verdict.verdict import EQUIVALENT, words_of
from ganaug.workspace import Workspace, open_workspace

CLASSIFIER = "probe:squeezenet"  # features that taught no generator
FRACTION, MORE_REAL = 0.1, "real+more-real@4/0.1"  # a tenth of the real images, and half of them
SHUFFLED = "real+shuffled-synthetic"
DIVISIONS = 200  # of the seeds into three arms: a single one is wrong in 1 of 20 by design
ARMS = (*DEFAULT_ARMS, SHUFFLED, f"{BASELINE}/{FRACTION:g}", MORE_REAL, LEAKY)


def prepare(workspace: Workspace, num_patients: int) -> DataSet:
    phantom = PhantomConfig(resolution_px=64, num_patients=num_patients, images_per_patient=4)
    if "phantom" not in workspace.datasets():
        prepare_dataset(workspace, PrepareConfig("phantom", phantom=phantom, folds=FoldsConfig(num_folds=4)))
    return open_dataset(workspace, "phantom")


def request_study(dataset: DataSet, num_seeds: int, kimg: float, compute: Compute) -> StudyRequest:
    config = StudyConfig(classifiers=(CLASSIFIER,), arms=ARMS, seeds=tuple(range(num_seeds)), leak_audit=True)
    return StudyRequest(
        dataset=dataset,
        folds=range(dataset.folds.num_folds),
        config=add_published_weights(config, compute),
        missing=missing_config("quick", dataset, compute, kimg),
        num_generators=2,
    )


def is_refused(workspace: Workspace) -> str:
    """The line in which the command refuses a leaking arm that no audit asks for; empty where it does not."""
    words = ["evaluate-augmentation", "--dataset", "phantom", "--arm", LEAKY, "--workspace", str(workspace.root)]
    done = subprocess.run([sys.executable, "-m", "ganaug", *words], capture_output=True, text=True, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode == 2 else ""


def load_real(workspace: Workspace, request: StudyRequest) -> OutOfFold:
    """The answers of the runs on real images alone."""
    dataset = request.dataset
    design = design_study(workspace, dataset, find_supplies(workspace, request), request.config)
    cells = [cell for cell in plan_cells(design) if (cell.classifier, cell.arm) == (CLASSIFIER, BASELINE)]
    results = [load_cell(design.study(workspace), cell, dataset) for cell in cells]
    return out_of_fold([each for each in results if each], CLASSIFIER, dataset.table.num_classes)


def judge_alike(real: OutOfFold, config: StudyConfig, rng: np.random.Generator) -> str:
    """The word on three arms that differ by their seeds alone: the runs on real images, divided at random."""
    size = real.num_seeds // 3
    order = rng.permutation(real.num_seeds)
    arms = {arm: order[k * size : (k + 1) * size] for k, arm in enumerate((BASELINE, CONTROL, TREATMENT))}
    tested = OutOfFold({arm: real.counts[BASELINE][runs] for arm, runs in arms.items()}, real.fold)
    drawn = score_resamples(tested, resample(tested, 100, rng), config.metric)  # the bootstrap decides nothing
    pairs = [(TREATMENT, POOLED), (CONTROL, BASELINE), (TREATMENT, BASELINE), (TREATMENT, CONTROL)]
    differences = [
        paired_difference(
            tested,
            drawn,
            classifier=CLASSIFIER,
            arm=arm,
            baseline=baseline,
            metric=config.metric,
            confidence=config.confidence,
        )
        for arm, baseline in pairs
    ]
    return words_of(differences, config.margin, config.confidence)[CLASSIFIER]


def row_of(difference: Difference) -> dict[str, Any]:
    interval = difference.interval
    points = {"points": difference.estimate, "low": interval.low, "high": interval.high}
    return {"arm": difference.arm, "baseline": difference.baseline, **{k: 100 * v for k, v in points.items()}}


@click.command()
@click.option("--keep", type=click.Path(path_type=Path), required=True, help="Work in this folder, and resume there")
@click.option("--patients", default=320, show_default=True, help="Of the phantom, with four images each")
@click.option("--seeds", default=12, show_default=True, help="Of the probes")
@click.option("--kimg", default=2.5, show_default=True, help="Length of each generator's training")
@click.option("--weights-dir", type=click.Path(path_type=Path, exists=True), required=True, help="SqueezeNet's folder")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the figures here, as JSON")
def main(keep: Path, patients: int, seeds: int, kimg: float, weights_dir: Path, out: Path | None) -> None:
    """Run a study of arms whose truth is known, and say whether it saw it."""
    workspace, compute = open_workspace(keep), Compute(progress=True, weights_dir=weights_dir)
    dataset = prepare(workspace, patients)
    request = request_study(dataset, seeds, kimg, compute)
    outcome = run_study(workspace, request, compute)
    assert outcome is not None, "a whole study has an outcome"
    found = {(d.arm, d.baseline): d for d in outcome.verdict.differences}
    refusal = is_refused(workspace)
    real, rng = load_real(workspace, request), np.random.default_rng(0)
    alike = Counter(judge_alike(real, request.config, rng) for _ in range(DIVISIONS))
    more, shuffled = found[MORE_REAL, f"{BASELINE}/{FRACTION:g}"], found[SHUFFLED, BASELINE]
    checks = {
        "more real images win": more.interval.is_above(0),
        "permuted labels do not": not shuffled.interval.is_above(0),
        "a leak is refused": LEAKY in refusal,
        "seeds alone are equivalent": alike[EQUIVALENT] >= 0.9 * DIVISIONS,
    }
    rows = [row_of(each) for each in outcome.verdict.differences]
    cells = [[row["arm"], row["baseline"], *(f"{row[key]:+.1f}" for key in ("points", "low", "high"))] for row in rows]
    print(common.markdown_table(["arm", "baseline", "points", "low", "high"], cells))
    print(f"verdict: {outcome.verdict.sentence}\nrefusal: {refusal}\nseeds alone, of {DIVISIONS}: {dict(alike)}")
    print("\n".join(f"{name}: {'yes' if holds else 'NO'}" for name, holds in checks.items()))
    if out:
        settings = {"patients": patients, "seeds": seeds, "kimg": kimg, "classifier": CLASSIFIER}
        figures = {"verdict": outcome.verdict.word, "refusal": refusal, "seeds_alone": alike, "rows": rows}
        common.write_json(out, {**settings, "checks": checks, **figures})
    sys.exit(not all(checks.values()))


if __name__ == "__main__":
    main()

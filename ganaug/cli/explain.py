"""`ganaug explain`: where a trained classifier looks, whether the maps can be trusted, and a page to look at."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ganaug.cli import reference
from ganaug.cli.common import Common, common_options, warn
from ganaug.cli.find import ClassifierChoice, classifier_options
from ganaug.config import MAP_METHODS
from ganaug.report.numbers import count

if TYPE_CHECKING:
    from ganaug.classify.explain.explain import Explanations
    from ganaug.classify.explain.request import ExplainConfig
    from ganaug.classify.stored import StoredClassifier
    from ganaug.data.dataset import DataSet


@click.command(epilog=reference.EXPLAIN)
@classifier_options
@click.option("--per-class", type=click.IntRange(1), default=3, show_default=True, metavar="N",
              help="Images to show per class, rightly classified, and as many wrongly")  # fmt: skip
@click.option("--measured", "num_measured", type=click.IntRange(1), default=48, show_default=True, metavar="N",
              help="Test images to measure the methods on, drawn at random")  # fmt: skip
@click.option("--method", "methods", multiple=True, type=click.Choice(MAP_METHODS),
              help="Method to use; repeatable  [default: all that suit the classifier]")  # fmt: skip
@click.option("--threshold", default="otsu", show_default=True, metavar="RULE",
              help="otsu, mean+sd, mean+2sd or percentile:90")  # fmt: skip
@common_options("workspace", "seed", "device", "dry-run")
def explain(
    common: Common,
    choice: ClassifierChoice,
    per_class: int,
    num_measured: int,
    methods: tuple[str, ...],
    threshold: str,
) -> None:
    """Show what a classifier of train-classifier looks at in test images of its fold, and how faithful the maps are.

    It writes a page with pictures next to the classifier, and prints a table: each method compared with a random map
    and one of the image's centre.
    """
    from ganaug.classify.explain.explain import explain_classifier
    from ganaug.classify.explain.page import PAGE, write_page
    from ganaug.classify.explain.request import ExplainConfig, choose_methods, layer_of, require_same_data
    from ganaug.data.dataset import open_dataset

    config = ExplainConfig(tuple(dict.fromkeys(methods)), per_class, num_measured, threshold, common.seed)
    stored = choice.open(common, needs_map=True)
    data = open_dataset(common.workspace, stored.dataset)
    page = stored.run.explanations / PAGE
    if common.dry_run:
        layer = layer_of(stored, config)
        require_same_data(stored, data)
        suited, skipped = choose_methods(stored, layer, config)
        _warn_of_skipped(skipped)
        _print_plan(common, stored, data, replace(config, methods=suited), page)
        return
    warn(f"note: {stored.name} of fold {stored.fold} of {stored.dataset}, {stored.run.root.name}")
    found = explain_classifier(stored, data, config)
    _warn_of_skipped(found.skipped)
    write_page(stored.run.explanations, stored, data, found, command_of(stored, config))
    common.report(_as_json(found, stored, page), f"{format_scores(found)}\n{page}")


def _warn_of_skipped(skipped: Mapping[str, str]) -> None:
    for method, reason in skipped.items():
        warn(f"note: {method} is skipped: {reason}")


def _print_plan(
    common: Common, stored: "StoredClassifier", data: "DataSet", config: "ExplainConfig", page: Path
) -> None:
    from classifiers.explain.faithfulness import BASELINES, STEPS
    from classifiers.transforms import NUM_ORIENTATIONS

    num_tested = len(data.test(stored.fold))
    measured = min(config.num_measured, num_tested)
    methods = config.methods
    evaluations = num_tested * NUM_ORIENTATIONS + measured * len(methods) * len(BASELINES) * 2 * (STEPS + 1)
    value = {
        "classifier": str(stored.run.root), "dataset": data.name, "fold": stored.fold, "test_images": num_tested,
        "measured_images": measured, "methods": list(methods), "threshold": config.threshold,
        "network_evaluations": evaluations, "page": str(page),
    }  # fmt: skip
    text = (
        f"would explain {stored.name} of fold {stored.fold} of {data.name} with {', '.join(methods)}\n"
        f"on {measured} of {count(num_tested, 'test image')}, about {evaluations} evaluations of the network\n"
        f"and write {page}"
    )
    common.report(value, text)


def command_of(stored: "StoredClassifier", config: "ExplainConfig") -> str:
    """The command that makes the same page again from the same workspace."""
    words = ["ganaug", "explain", "--run", f"classifiers/{stored.run.root.resolve().name}"]
    for method in config.methods:
        words += ["--method", method]
    words += ["--per-class", str(config.per_class), "--measured", str(config.num_measured)]
    return shlex.join([*words, "--threshold", config.threshold, "--seed", str(config.seed)])


def format_scores(found: "Explanations") -> str:
    """The table of faithfulness as lines of text, one per method and measure."""
    from classifiers.explain.measures import MEASURES
    from ganaug.classify.explain.page import few_patients, has_intervals, unlike_a_prior

    of = f"{count(found.num_measured, 'test image')} of {count(found.num_patients, 'patient')}"
    lines = [f"{of}; mean{', 95 % interval over patients' if has_intervals(found) else ''}"]
    for measure, item in MEASURES.items():
        if all(row.scores[measure] is None for row in found.scores):
            continue
        lines.append(f"{item.heading} ({item.is_better} is better)")
        for row in found.scores:
            score = row.scores[measure]
            interval = "" if score is None or score.low is None else f"  {score.low:.3f} to {score.high:.3f}"
            lines.append(f"  {row.method:12s} {'–' if score is None else f'{score.mean:.3f}'}{interval}")
    if found.num_without_mask:
        lines.append(f"with an empty mask: {count(found.num_without_mask, 'image')}, for deletion and insertion only")
    if found.randomised:
        last = found.randomised[-1].rank_correlation
        kept = ", ".join(f"{name} {'–' if value is None else f'{value:.2f}'}" for name, value in last.items())
        lines.append(f"rank correlation with the maps of the same network with random weights: {kept}")
    return "\n".join([*lines, *filter(None, (few_patients(found), unlike_a_prior(found)))])


def _as_json(found: "Explanations", stored: "StoredClassifier", page: Path) -> dict[str, Any]:
    return {
        "classifier": str(stored.run.root),
        "page": str(page),
        "accuracy": found.accuracy,
        "measured_images": found.num_measured,
        "patients": found.num_patients,
        "without_mask": found.num_without_mask,
        "rows": [
            {"method": row.method, **{name: score and asdict(score) for name, score in row.scores.items()}}
            for row in found.scores
        ],
        "randomisation": [asdict(row) for row in found.randomised],
        "skipped": dict(found.skipped),
        "shown_images": len(found.shown),
    }

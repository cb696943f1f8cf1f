"""`ganaug train-classifier` for a model of tiles and expression: its arms compared on patients, and the model kept."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from ganaug.cli.common import Common, duration
from ganaug.config import Compute, SubtypeConfig
from ganaug.errors import ConfigError
from ganaug.report.numbers import count, number, percent

if TYPE_CHECKING:
    from ganaug.data.dataset import DataSet
    from ganaug.study.statistics.increments import SubtypeScore
    from ganaug.study.subtypes import SubtypeResult

OF_IMAGES = {
    "kind", "ratio", "pretrained", "pretrained_saw", "classical_augmentation", "gans", "files",
    "batch", "learning_rate", "body_learning_rate",
}  # fmt: skip


def reads_patients(classifier: str) -> bool:
    """Whether a classifier reads a patient's tiles and expression; raises ConfigError for a name that is none."""
    from classifiers.names import find_entry, split_name
    from classifiers.registry import CLASSIFIERS

    try:
        base, _ = split_name(classifier)
        return base in CLASSIFIERS and find_entry(classifier, CLASSIFIERS)[0].inputs == "image+expression"
    except ValueError as error:
        raise ConfigError(str(error)) from error


def require_none_of_images(classifier: str) -> None:
    """Raise ConfigError for an option of this command that a model of tiles and expression does not use."""
    context = click.get_current_context()
    for option in context.command.params:
        is_given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if option.name in OF_IMAGES and is_given:
            raise ConfigError(
                f"{option.opts[0]} with {classifier}", expected="it with a classifier of images", todo="remove it"
            )


def train_patients(
    common: Common, dataset: "DataSet", folds: Sequence[int], classifier: str, num_steps: int | None, compute: Compute
) -> None:
    """Compare the arms on the folds and print the result, or what would be trained; keep the arm that was named.

    Every finished training is kept: the same command resumes with the next one, and prints the same when all are.
    """
    from classifiers.names import canonical_name
    from classifiers.registry import CLASSIFIERS
    from ganaug.classify.patients import choose_tiles
    from ganaug.data.expression_table import read_expression_table
    from ganaug.study.plan.cost import estimate_subtypes
    from ganaug.study.subtypes import ARMS, compare_arms

    name = canonical_name(classifier, CLASSIFIERS)
    arm = next((arm for arm, of_arm in ARMS.items() if of_arm == name), None)
    if arm is None:
        raise ConfigError(f"{name} is no arm of the comparison", expected=" or ".join(ARMS.values()))
    plain = SubtypeConfig()
    num_seeds = 1 if common.preset == "quick" else len(plain.seeds)
    config = SubtypeConfig(
        seeds=tuple(range(common.seed, common.seed + num_seeds)), num_steps=num_steps or plain.num_steps
    )
    expression, tiles_of = read_expression_table(dataset), choose_tiles(dataset, config.max_tiles)
    if common.dry_run:
        cost = estimate_subtypes(common.workspace, dataset, folds, config, compute, arm)
        plan = {
            "dataset": dataset.name,
            "classifier": name,
            "arms": list(ARMS),
            "folds": list(folds),
            "seeds": list(config.seeds),
            "models": len(ARMS) * len(folds) * len(config.seeds),
            "steps": config.num_steps,
            "patients": len(tiles_of),
            "tiles": sum(map(len, tiles_of.values())),
            "genes": len(expression.genes),
            "tiles_to_extract": cost.tiles,
            "models_to_train": cost.models,
        }
        lines = [f"{key.replace('_', ' ')}: {value}" for key, value in plan.items()]
        lines.append(f"about {duration(cost.seconds)} on {compute.device}")
        common.report({**plan, "seconds": round(cost.seconds)}, "\n".join(lines))
        return
    result = compare_arms(common.workspace, dataset, folds, config, compute, keep=arm)
    common.report(result.to_dict(), format_subtypes(result))


def format_subtypes(result: "SubtypeResult") -> str:
    """The result as text: a line for each arm and each increment, then the notes."""
    from ganaug.study.statistics.increments import METRICS
    from ganaug.study.subtypes import AVERAGING

    by_arm = {
        arm: [row for row in result.scores if row.arm == arm] for arm in dict.fromkeys(r.arm for r in result.scores)
    }
    pairs = dict.fromkeys((row.arm, row.baseline) for row in result.increments)
    by_pair = {
        f"{arm} − {baseline}": [row for row in result.increments if (row.arm, row.baseline) == (arm, baseline)]
        for arm, baseline in pairs
    }
    confidence = percent(result.config.confidence)
    lines = [
        f"{result.dataset}: {count(result.num_patients, 'patient')} tested; in all {count(result.num_tiles, 'tile')} "
        f"({result.extractor}), {count(result.num_genes, 'gene')}, {count(len(result.config.seeds), 'seed')}; "
        f"{confidence} intervals over patients",
        f"{'':<20}" + "".join(f"{name:>26}" for name in METRICS.values()),
    ]
    for name, rows in {**by_arm, **by_pair}.items():
        lines.append(f"{name:<20}" + "".join(f"{_with_interval(row):>26}" for row in rows))
    return "\n".join([*lines, AVERAGING, *(f"note: {note}" for note in result.notes), *result.kept])


def _with_interval(row: "SubtypeScore") -> str:
    low, high = row.interval.low, row.interval.high
    bounds = row.interval.reason or f"{number(low)} to {number(high)}"
    return f"{number(row.value)} ({bounds})"

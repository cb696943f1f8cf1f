"""`ganaug train-classifier` for a model of tiles and expression: its arms compared on patients, and the model kept."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from classifiers.names import canonical_name, find_entry, split_name
from classifiers.registry import CLASSIFIERS
from ganaug.cli.common import Common
from ganaug.config import Compute, SubtypeConfig
from ganaug.errors import ConfigError

if TYPE_CHECKING:
    from ganaug.data.dataset import DataSet


def reads_patients(classifier: str) -> bool:
    """Whether a classifier reads a patient's tiles and expression; raises ConfigError for a name that is none."""
    try:
        base, _ = split_name(classifier)
        return base in CLASSIFIERS and find_entry(classifier, CLASSIFIERS)[0].inputs == "image+expression"
    except ValueError as error:
        raise ConfigError(str(error)) from error


def train_patients(
    common: Common, dataset: "DataSet", folds: Sequence[int], classifier: str, num_steps: int | None, compute: Compute
) -> None:
    """Compare the arms on the folds and print the result, or what would be trained; keep the arm that was named."""
    from ganaug.data.expression_table import read_expression_table
    from ganaug.study.subtypes import ARMS, compare_arms, format_subtypes

    name = canonical_name(classifier, CLASSIFIERS)
    arm = next((arm for arm, of_arm in ARMS.items() if of_arm == name), None)
    if arm is None:
        raise ConfigError(f"{name} is no arm of the comparison", expected=" or ".join(ARMS.values()))
    plain = SubtypeConfig()
    num_seeds = 1 if common.preset == "quick" else len(plain.seeds)
    config = SubtypeConfig(
        seeds=tuple(range(common.seed, common.seed + num_seeds)), num_steps=num_steps or plain.num_steps
    )
    expression = read_expression_table(dataset)
    if common.dry_run:
        plan = {
            "dataset": dataset.name,
            "classifier": name,
            "arms": list(ARMS),
            "folds": list(folds),
            "seeds": list(config.seeds),
            "models": len(ARMS) * len(folds) * len(config.seeds),
            "steps": config.num_steps,
            "patients": len(expression.groups),
            "genes": len(expression.genes),
        }
        common.report(plan, "\n".join(f"{key}: {value}" for key, value in plan.items()))
        return
    result = compare_arms(common.workspace, dataset, folds, config, compute, keep=arm)
    common.report(result.to_dict(), format_subtypes(result))

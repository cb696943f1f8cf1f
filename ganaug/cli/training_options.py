"""Options of how networks are trained, and the refusal of those that none of the classifiers uses."""

from collections.abc import Callable
from typing import Any, get_args

import click

from classifiers.config import ClassicalAugmentation
from ganaug.config import StudyConfig
from ganaug.errors import ConfigError
from ganaug.weights import PROBE_PREFIX

_OF_STEPS = ("num_steps", "batch", "learning_rate", "body_learning_rate")  # what no probe has


def rate_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command --learning-rate and --body-learning-rate; None leaves those of the preset."""
    of_body = click.option("--body-learning-rate", type=float, metavar="RATE",
                           help="The same of pretrained layers  [default: 0.003]")  # fmt: skip
    of_all = click.option("--learning-rate", type=float, metavar="RATE",
                          help="Learning rate at its peak  [default: 0.003]")  # fmt: skip
    return of_all(of_body(command))


def classical_option(of: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command --classical-augmentation; `of` says of what, as the help text begins."""
    return click.option(
        "--classical-augmentation",
        type=click.Choice(get_args(ClassicalAugmentation)),
        default="standard",
        show_default=True,
        help=f"{of}; light is orientations alone, strong varies the stain as well",
    )


def require_used(config: StudyConfig, given: dict[str, Any]) -> None:
    """Raise ConfigError for an option that no classifier of the study uses; None is an option that was not given."""
    networks = [name for name in config.classifiers if not name.startswith(PROBE_PREFIX)]
    used = [name for name in _OF_STEPS if given.get(name) is not None]
    if used and not networks:
        raise ConfigError(
            f"{_flag(used[0])} with {', '.join(config.classifiers)}",
            expected="it with a network, as the effort of a probe is fixed",
            todo="leave it out",
        )
    if not networks and config.classical_augmentation == "strong":
        raise ConfigError(
            f"--classical-augmentation strong with {', '.join(config.classifiers)}",
            expected="light or none, as a probe has the orientations of the square or nothing",
        )
    if "body_learning_rate" in used and not {name for name, _ in config.pretrained} & set(networks):
        raise ConfigError(
            "--body-learning-rate without pretrained layers",
            expected="a network that starts from weights",
            todo="leave it out, or add --pretrained",
        )


def _flag(name: str) -> str:
    return "--steps" if name == "num_steps" else f"--{name.replace('_', '-')}"

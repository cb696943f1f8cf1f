"""Options and output that the commands share."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Any

import click

from ganaug.config import Compute
from ganaug.errors import ConfigError, for_terminal
from ganaug.presets import PRESETS
from ganaug.workspace import Workspace, open_workspace

DEBUG = "ganaug.debug"  # in the context's notes: whether --debug was given


@dataclass(frozen=True)
class Common:
    """The options that a command shares with others; those that it does not have keep their defaults."""

    workspace_path: Path | None = None
    preset: str = "standard"
    seed: int = 0
    device_name: str = "auto"
    dry_run: bool = False
    as_json: bool = False

    @property
    def workspace(self) -> Workspace:
        """The workspace that was named; a dry run removes nothing from it."""
        return open_workspace(self.workspace_path, tidy=not self.dry_run)

    @property
    def device(self) -> str:
        """The device that was asked for, after a look whether it is there."""
        import torch

        from ganaug.parallel.processes import tune_allocator

        tune_allocator()
        if self.device_name == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        try:
            return str(torch.empty(0, device=self.device_name).device)
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(
                f"the device {self.device_name} cannot be used ({str(error).splitlines()[0]})",
                todo="use --device cpu, or see `ganaug doctor`",
            ) from error

    def compute(self, *, num_workers: int | None = None, weights_dir: Path | None = None, **cells: Any) -> Compute:
        """The means of this run, with its progress shown; None for what the command has no option for.

        cells: how those of a study are run, see `Compute`.
        """
        from ganaug.weights import weights_folder

        return Compute(self.device, num_workers, weights_folder(weights_dir), progress=True, **cells)

    def report(self, value: dict[str, Any], text: str) -> None:
        """Print a result to stdout: `value` for machines with --json, else `text` for people."""
        click.echo(for_terminal(json.dumps(value, indent=2, ensure_ascii=False) if self.as_json else text))


def common_options(
    *names: str, presets: Sequence[str] = PRESETS, preset: str = "standard"
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the shared options of these names, and all of them as its first argument, a `Common`.

    names: of "workspace", "preset", "seed", "device" and "dry-run"; every command has --json and --debug.
    """
    options = _shared_options(presets, preset)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def with_common(**given: Any) -> None:
            common = Common(**{field.name: given.pop(field.name) for field in fields(Common) if field.name in given})
            if common.dry_run:
                from ganaug.data.hdf5 import seals

                seals.keep_no_notes()
            command(common, **given)

        decorated: Callable[..., None] = with_common
        for name in reversed([*names, "json", "debug"]):
            decorated = options[name](decorated)
        return decorated

    return decorate


def _shared_options(
    presets: Sequence[str], preset: str
) -> dict[str, Callable[[Callable[..., None]], Callable[..., None]]]:
    return {
        "workspace": click.option(
            "--workspace", "workspace_path", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
            help="Folder of all that is made  [default: $GANAUG_WORKSPACE, else ./ganaug-workspace]"),
        "preset": click.option("--preset", type=click.Choice(presets), default=preset, show_default=True,
                               help="Named set of defaults"),
        "seed": click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True,
                             help="Random seed"),
        "device": click.option("--device", "device_name", default="auto", show_default=True, metavar="NAME",
                               help="cpu, cuda, cuda:1, or auto"),
        "dry-run": click.option("--dry-run", is_flag=True,
                                help="Print the resolved plan and its estimated cost, and do nothing"),
        "json": click.option("--json", "as_json", is_flag=True, help="Print the result as JSON"),
        "debug": click.option("--debug", is_flag=True, expose_value=False, callback=_note_debug,
                              help="Show where in the code an error arose"),
    }  # fmt: skip


def warn(line: str) -> None:
    """Print one line to stderr; characters that are not shown as they are stand escaped."""
    click.echo(for_terminal(" ".join(line.split())), err=True)


def shown(number: float | None) -> str:
    """A score as it is printed; None where it is undefined."""
    return "undefined" if number is None else f"{number:.3f}"


def _note_debug(context: click.Context, option: click.Parameter, value: bool) -> None:
    context.meta[DEBUG] = value


def duration(seconds: float) -> str:
    """A time in the unit that reads best."""
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86_400:.3g} d"

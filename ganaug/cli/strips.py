"""`ganaug strips`: sheets of the images between latents and between classes."""

import click

from ganaug.cli.common import Common, common_options
from ganaug.cli.find import find_generators, fold_option, gan_option


@click.command()
@click.option("--dataset", help="Data set whose generators are shown  [default: that of the generator configured last]")
@fold_option
@gan_option
@click.option(
    "--steps", "num_steps", type=int, default=4, show_default=True, help="Images from one latent or class to the next"
)
@click.option("--psi", type=float, default=1.0, show_default=True, help="Truncation, 0 to 1")
@common_options("workspace", "seed", "device", "dry-run")
def strips(
    common: Common, dataset: str | None, fold: str | None, gans: tuple[str, ...], num_steps: int, psi: float
) -> None:
    """Draw two sheets of each generator that show jumps between neighbours, and classes that look alike.

    interpolation: one row per class, from one latent to the next. morph: one row per latent, from one class to the
    next.
    """
    from ganaug.generate.latent_sheets import StripPlan, draw_strips

    plans = [StripPlan(run, num_steps, psi, common.seed) for run in find_generators(common, dataset, fold, gans)]
    files = [str(path) for plan in plans for path in plan.paths()]
    if not common.dry_run:
        for plan in plans:
            draw_strips(plan, device=common.device)
    would = "would write " if common.dry_run else ""
    common.report({"files": files}, "\n".join(would + file for file in files))

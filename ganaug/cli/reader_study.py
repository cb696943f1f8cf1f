"""`ganaug reader-study`: a page on which readers sort real from generated images, and the scores of their answers."""

import math
from pathlib import Path

import click

from ganaug.cli.common import Common, common_options
from ganaug.cli.find import choose_folds, find_dataset, fold_option
from ganaug.errors import ConfigError
from ganaug.report.numbers import percent


@click.command()
@click.option("--dataset", help="Data set whose images are shown  [default: the one prepared last]")
@fold_option
@click.option("--per-class", type=click.IntRange(1, 1000), default=20, show_default=True,
              help="Real images of each class, and generated ones")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="PAGE",
              help="The page; its key is written next to it as PAGE.key.json")  # fmt: skip
@click.option("--score", "key", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="KEY",
              help="Score answers by this key in place of writing a page")  # fmt: skip
@click.argument("answers", nargs=-1, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@common_options("workspace", "seed")
def reader_study(
    common: Common,
    dataset: str | None,
    fold: str | None,
    per_class: int,
    out: Path | None,
    key: Path | None,
    answers: tuple[Path, ...],
) -> None:
    """Write a page on which pathologists sort real from generated images blind, or score the ANSWERS that they saved.

    The page holds the images and no truth, needs no network, and can be sent; keep the key. The real images are of
    patients whom the generator never saw.
    """
    if (key is None) == (out is None) or bool(answers) != (key is not None):
        raise ConfigError(
            "neither a page to write nor answers to score, or both",
            expected="--out PAGE, or --score KEY ANSWERS...",
        )
    if key is not None:
        _print_scores(common, key, answers)
        return
    from ganaug.generate.supplies import require_supplies
    from ganaug.reader.build import draw_study, write_study

    assert out is not None
    data = find_dataset(common, dataset)
    supply = require_supplies(common.workspace, data, choose_folds(common, data, fold), at_least=per_class)[0]
    study = draw_study(common.workspace, data, supply.synthetic, per_class, common.seed, supply.fold)
    key_file = out.with_name(f"{out.name}.key.json")
    write_study(study, out, key_file)
    common.report(
        {"study": study.name, "page": str(out), "key": str(key_file), "images": len(study.items)},
        f"page: {out} ({len(study.items)} images)\nkey: {key_file}, which readers must not have",
    )


def _print_scores(common: Common, key: Path, answers: tuple[Path, ...]) -> None:
    from ganaug.reader.score import score_readers

    rows, kappa = score_readers(key, answers)
    lines = [
        f"{row.reader}, {row.class_name}: {percent(row.accuracy)} right ({percent(row.interval.confidence)} interval "
        f"{percent(row.interval.low)} to {percent(row.interval.high)}, {row.num_answers} answers); called real: "
        f"{percent(row.real_called_real)} of the real, {percent(row.generated_called_real)} of the generated"
        for row in rows
    ]
    agreement = None if math.isnan(kappa) else kappa
    lines += [] if agreement is None else [f"agreement of the readers (Fleiss' kappa): {agreement:.2f}"]
    common.report({"scores": [row.to_dict() for row in rows], "kappa": agreement}, "\n".join(lines))

"""`ganaug import-gan`: an external checkpoint as a snapshot of ours."""

from pathlib import Path

import click

from ganaug.cli.common import Common, common_options, warn


@click.command("import-gan")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="OUT.safetensors",
              help="Snapshot to write  [default: next to FILE, under its name]")  # fmt: skip
@common_options("dry-run")
def import_gan(common: Common, file: Path, out: Path | None) -> None:
    """Read FILE, a pickle of stylegan2-ada-pytorch or of StyleGAN2 from stylegan3, without running code from it.

    The snapshot holds the averaged generator, to sample from, and G and D, to train on from with train-gan --init.
    Which patients it saw is unknown: a study refuses it for every fold, and generators trained on from it, unless
    train-gan --init-saw says what it saw.
    """
    from ganaug.checkpoint.initial_weights import import_pickle
    from ganaug.checkpoint.snapshot import save_snapshot

    target = out or file.with_suffix(".safetensors")
    snapshot, skipped = import_pickle(file)
    for line in skipped:
        warn(f"note: skipped: {line}")
    warn("note: whom it saw is unknown, so a study refuses it for every fold, and what is trained on from it, unless "
         "train-gan --init-saw says what it saw")  # fmt: skip
    if not common.dry_run:
        save_snapshot(target, snapshot)
    network = snapshot.config.network
    would = "would write " if common.dry_run else ""
    classes = f"{network.num_classes} classes" if network.num_classes > 1 else "no classes"
    result = {"file": str(target), "resolution_px": network.resolution_px, "num_classes": network.num_classes}
    result |= {"skipped": list(skipped), "provenance": "unknown"}
    common.report(result, f"{would}{target}: {network.resolution_px} px, {classes}")

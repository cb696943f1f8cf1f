"""`ganaug export-gan`: a generator's weights for other tools."""

from dataclasses import replace
from pathlib import Path

import click

from ganaug.cli.common import Common, common_options
from ganaug.errors import ConfigError, WorkspaceError
from ganaug.workspace import GanRun, Workspace, kimg_of


@click.command("export-gan")
@click.argument("source")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="OUT.safetensors",
              help="File to write")  # fmt: skip
@click.option("--kimg", type=float, metavar="N", help="Which snapshot of a run  [default: the best, else the newest]")
@common_options
def export_gan(common: Common, source: str, out: Path, kimg: float | None) -> None:
    """Write the averaged generator of SOURCE, a snapshot or the name of a folder in gans/, as safetensors.

    The format is that of our snapshots, without the networks to train on from: tensors in float32, named as in
    StyleGAN2 (mapping.w_avg, mapping.trunk.embed.weight, mapping.trunk.layers.0.weight, synthesis.b4.const,
    synthesis.b8.conv0.weight, synthesis.b8.torgb.affine.bias, and so on), and as metadata, in JSON, the entries config,
    class_names and provenance.
    """
    from ganaug.checkpoint.snapshot import load_snapshot, save_snapshot

    path = Path(source)
    if not path.is_file():
        path = _snapshot_of(_run(common.workspace, source), kimg)
    elif kimg is not None:
        raise ConfigError(f"--kimg with the file {source}", expected="it with the name of a run")
    snapshot = replace(load_snapshot(path), companions={})
    if not common.dry_run:
        save_snapshot(out, snapshot)
    would = "would write " if common.dry_run else ""
    told = {"file": str(out), "source": str(path), "tensors": sorted(snapshot.generator.state_dict())}
    common.tell(told, f"{would}{out}: the generator of {path}, {len(told['tensors'])} tensors")


def _run(workspace: Workspace, name: str) -> GanRun:
    runs = {run.root.name: run for run in workspace.gans()}
    if name not in runs:
        have = ", ".join(sorted(runs)) or "none, so train one with `ganaug train-gan`"
        raise WorkspaceError(f"{name} is no file, nor a generator in {workspace.root}", expected=f"one of: {have}")
    return runs[name]


def _snapshot_of(run: GanRun, kimg: float | None) -> Path:
    from ganaug.checkpoint.snapshot import best_ema

    found = best_ema(run) if kimg is None else _at(run, kimg)
    if found is None or not found.exists():
        have = ", ".join(path.name for path in run.snapshots()) or "none yet"
        asked = "a snapshot" if kimg is None else f"a snapshot of {kimg:g} kimg"
        raise WorkspaceError(f"{run.root.name} has not {asked}", expected=f"one of its own: {have}")
    return found


def _at(run: GanRun, kimg: float) -> Path | None:
    """The snapshot of exactly so many kimg, else the only one that rounds to them."""
    if run.ema(kimg).exists():
        return run.ema(kimg)
    near = [path for path in run.snapshots() if round(kimg_of(path)) == kimg]
    return near[0] if len(near) == 1 else None

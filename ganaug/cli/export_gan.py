"""`ganaug export-gan`: a generator's weights for other tools."""

from dataclasses import replace
from pathlib import Path

import click

from ganaug.cli.common import Common, common_options
from ganaug.errors import ConfigError
from ganaug.files import require_output


@click.command("export-gan")
@click.argument("source")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="OUT.safetensors",
              help="File to write")  # fmt: skip
@click.option("--kimg", type=float, metavar="N", help="Which snapshot of a run  [default: the best, else the newest]")
@common_options("workspace", "dry-run")
def export_gan(common: Common, source: str, out: Path, kimg: float | None) -> None:
    """Write the averaged generator of SOURCE, a snapshot or the name of a folder in gans/, as safetensors.

    The format is that of our snapshots, without the networks to train on from: tensors in float32, named as in
    StyleGAN2 (mapping.w_avg, mapping.trunk.embed.weight, mapping.trunk.layers.0.weight, synthesis.b4.const,
    synthesis.b8.conv0.weight, synthesis.b8.torgb.affine.bias, and so on), and as metadata, in JSON, the entries config,
    class_names and provenance.
    """
    from ganaug.checkpoint.snapshot import load_snapshot, save_snapshot
    from ganaug.generate.find import find_snapshot

    path = Path(source)
    if not path.is_file():
        path = find_snapshot(common.workspace, source, kimg)
    elif kimg is not None:
        raise ConfigError(f"--kimg with the file {source}", expected="it with the name of a run")
    snapshot = replace(load_snapshot(path), companions={})
    require_output(out, ".safetensors", rb".{8}\{")
    if not common.dry_run:
        save_snapshot(out, snapshot)
    would = "would write " if common.dry_run else ""
    tensors = sorted(snapshot.generator.state_dict())
    text = f"{would}{out}: the generator of {path}, {len(tensors)} tensors"
    common.report({"file": str(out), "source": str(path), "tensors": tensors}, text)

"""`ganaug doctor`: what is here, what is missing, and what that costs."""

import os
import platform
from pathlib import Path
from typing import Any

import click

from ganaug.cli.common import Common, common_options
from ganaug.cli.find import weights_option
from ganaug.workspace import open_workspace

PACKAGES = ("torch", "torchvision", "timm", "scikit-learn", "numpy", "scipy", "pillow", "h5py", "safetensors",
            "torch-fidelity", "lpips", "matplotlib", "jinja2", "ninja", "click", "tqdm")  # fmt: skip


@click.command()
@weights_option
@common_options
def doctor(common: Common, weights_dir: Path | None) -> None:
    """Say which versions, devices, operator paths and weights were found, what is missing and what that costs."""
    found = {
        "ganaug": _version("ganaug"),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": _devices(),
        "operators": _operators(),
        "weights": _weights(weights_dir),
        "workspace": _workspace(common),
    }
    common.tell(found, _format(found))


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _devices() -> list[str]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpus = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    return [f"cpu, {cores} cores", *gpus]


def _operators() -> list[dict[str, Any]]:
    from custom_ops import info

    return info()


def _weights(weights_dir: Path | None) -> list[dict[str, Any]]:
    from ganaug.evaluate.weights import survey, weights_folder

    return survey(weights_folder(weights_dir))


def _workspace(common: Common) -> dict[str, Any]:
    workspace = open_workspace(common.workspace_path, create=False)
    return {
        "folder": str(workspace.root.resolve()),
        "datasets": workspace.datasets(),
        "generators": [run.root.name for run in workspace.gans()],
        "synthetic": [path.name for path in workspace.synthetics()],
    }


def _format(found: dict[str, Any]) -> str:
    lines = [f"ganaug {found['ganaug']}, python {found['python']}", "packages"]
    lines += [f"  {name:16} {version or 'MISSING'}" for name, version in found["packages"].items()]
    lines += ["devices", *(f"  {device}" for device in found["devices"])]
    lines += ["operators", *("  {op:10}{device:6} {path}: {reason}".format(**row) for row in found["operators"])]
    lines += ["weights", *(f"  {row['name']:16} {row['found'] or 'MISSING'}: {row['use']}" for row in found["weights"])]
    lines += ["workspace", *(f"  {key:16} {value}" for key, value in found["workspace"].items())]
    return "\n".join(lines)

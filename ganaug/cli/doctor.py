"""`ganaug doctor`: versions, devices, operators and weights found, what is missing, and what that costs.

It diagnoses what does not work, so none of its parts may need what another one finds broken, and it writes nothing.
"""

import os
import platform
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ganaug.cli import reference
from ganaug.cli.common import Common, common_options
from ganaug.cli.find import weights_option
from ganaug.errors import for_terminal
from ganaug.workspace import MARKER, NUMBER, WORKSPACE_VERSION, Workspace, read_json_object, workspace_root


@click.command(epilog=reference.DOCTOR)
@weights_option
@common_options("workspace")
def doctor(common: Common, weights_dir: Path | None) -> None:
    """Print which versions, devices, operator paths and weights were found, what is missing and what that costs."""
    problems: dict[str, str] = {}

    def examine(part: str, look: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return look()
        except Exception as error:  # a fault of one part must not hide the other parts
            reason = " ".join(str(error).split())[:500] or "no reason given"
            problems[part] = for_terminal(f"cannot be examined: {reason} ({type(error).__name__})")
            return otherwise

    found = {
        "ganaug": examine("ganaug", lambda: _version("ganaug"), None),
        "python": platform.python_version(),
        "packages": examine("packages", _packages, {}),
        "devices": examine("devices", _devices, []),
        "operators": examine("operators", _operators, []),
        "operator_cache": examine("operator_cache", _operator_cache, {}),
        "weights": examine("weights", lambda: _weights(weights_dir), []),
        "workspace": examine("workspace", lambda: _workspace(common), {}),
        "problems": problems,
    }
    common.report(found, _format(found))


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _packages() -> dict[str, str | None]:
    """The version of each package that the installed distribution requires; None where it is missing."""
    from importlib.metadata import requires

    required = [line for line in requires("ganaug") or [] if "extra ==" not in line]
    names = [match[0] for line in required if (match := re.match(r"[\w.-]+", line))]
    return {name: _version(name) for name in names}


def _devices() -> list[str]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpus = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    return [f"cpu, {cores} cores", *gpus]


def _operators() -> list[dict[str, str]]:
    from custom_ops import info

    return info()


def _operator_cache() -> dict[str, str]:
    from custom_ops.native import cache

    return {"folder": str(cache.folder()), "state": cache.find_obstacle() or "can be used"}


def _weights(weights_dir: Path | None) -> list[dict[str, Any]]:
    from ganaug.weights import survey

    return [asdict(row) for row in survey(weights_dir)]


def _workspace(common: Common) -> dict[str, Any]:
    """What stands in the workspace, if there is one, of whatever version; `open_workspace` refuses others."""
    root = Path(os.path.abspath(workspace_root(common.workspace_path)))
    if not os.path.lexists(root):
        return {"folder": str(root), "state": "none yet"}
    os.listdir(root)  # raises where it is no folder, or may not be read
    if not (root / MARKER).exists():
        return {"folder": str(root), "state": "none yet, the folder is there"}
    workspace = Workspace(root)
    return {
        "folder": str(root),
        "state": f"version {_version_of(root)}, {_access(root)}",
        "datasets": workspace.datasets(),
        "generators": [run.root.name for run in workspace.gans()],
        "synthetic": [path.name for path in workspace.synthetics()],
    }


def _version_of(root: Path) -> str:
    version = read_json_object(root / MARKER, {"version": NUMBER})["version"]
    return f"{version}" if version == WORKSPACE_VERSION else f"{version} (other commands need {WORKSPACE_VERSION})"


def _access(root: Path) -> str:
    return "can be written" if os.access(root, os.W_OK | os.X_OK) else "cannot be written"


def _format(found: dict[str, Any]) -> str:
    parts = {
        "packages": [f"{name:16} {version or 'MISSING'}" for name, version in found["packages"].items()],
        "devices": found["devices"],
        "operators": ["{op:10}{device:6} {path}: {reason}".format(**row) for row in found["operators"]],
        "operator_cache": [f"{key:16} {value}" for key, value in found["operator_cache"].items()],
        "weights": [_format_weights(row) for row in found["weights"]],
        "workspace": [f"{key:16} {value}" for key, value in found["workspace"].items()],
    }
    lines = [f"ganaug {found['ganaug'] or 'not installed'}, python {found['python']}"]
    for part, rows in parts.items():
        lines.append(part.replace("_", " "))
        lines += [f"  {row}" for row in rows]
        if part in found["problems"]:
            lines.append(f"  {found['problems'][part]}")
    return "\n".join(lines)


def _format_weights(row: dict[str, Any]) -> str:
    return f"{row['name']:16} {row['found'] or 'MISSING (' + row['reason'] + ')'}: {row['use']}"

"""Training state and generator snapshots to files and back: safetensors with JSON metadata, never pickled code."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ganaug.config import GanConfig, gan_config_from_dict, to_dict
from ganaug.errors import WorkspaceError
from ganaug.model.generator import Generator
from ganaug.provenance import Provenance, digest_of_bytes, read_provenance, require_content
from ganaug.workspace import atomic_path


@dataclass(frozen=True)
class Snapshot:
    """An averaged generator, ready to sample, and the proof of what it saw."""

    generator: Generator
    config: GanConfig
    class_names: tuple[str, ...]
    provenance: Provenance


def save_snapshot(path: Path, snapshot: Snapshot) -> Provenance:
    """Write a snapshot with its provenance sealed to the weights; returns the sealed record."""
    tensors = _portable(snapshot.generator.state_dict())
    weights = digest_of_tensors(tensors)
    record = Provenance(**{**vars(snapshot.provenance), "generator": weights}).sealed(weights)
    metadata = {
        "config": json.dumps(to_dict(snapshot.config)),
        "class_names": json.dumps(snapshot.class_names, ensure_ascii=False),
        "provenance": record.to_json(),
    }
    save_tensors(path, tensors, metadata)
    return record


def load_snapshot(path: Path, device: torch.device | str = "cpu") -> Snapshot:
    """Read a snapshot; raises WorkspaceError where it is missing or torn, LeakError where it was edited."""
    tensors, metadata = load_tensors(path)
    record = read_provenance(metadata.get("provenance"), path)
    require_content(record, digest_of_tensors(tensors), path)
    config = gan_config_from_dict(json.loads(metadata["config"]))
    generator = Generator(config.network, generator=torch.Generator())
    generator.load_state_dict(tensors)
    generator.eval().requires_grad_(False).to(device)
    return Snapshot(generator, config, tuple(json.loads(metadata["class_names"])), record)


def load_generator(path: Path, device: torch.device | str = "cpu") -> Generator:
    """The generator of a snapshot, to call as `G(z, c, psi=0.7, noise_mode='const')`."""
    return load_snapshot(path, device).generator


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write tensors, brought to the CPU, and their metadata."""
    with atomic_path(path) as part:
        try:
            save_file(_portable(tensors), part, metadata=metadata)
        except SafetensorError as error:  # safetensors hides the OSError of a full disk in its own type
            raise OSError(str(error)) from error


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors, on the CPU, and the metadata of a file; raises WorkspaceError where it is missing or torn."""
    if not path.exists():
        raise WorkspaceError(f"there is no file {path}", todo="train the generator with `ganaug train-gan`")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WorkspaceError(f"{path} is torn or not a safetensors file ({error})", todo="remove it") from error


def digest_of_tensors(tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of the names."""
    parts: list[bytes] = []
    for name in sorted(tensors):
        tensor = tensors[name]
        parts += [f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), tensor.contiguous().numpy().tobytes()]
    return digest_of_bytes(parts)


def pack_optimizer(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, torch.Tensor]:
    """An optimiser's moments as named tensors `<prefix>.<parameter index>.<moment>`."""
    state = optimizer.state_dict()["state"]
    return {f"{prefix}.{i}.{name}": value for i, values in state.items() for name, value in values.items()}


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor], prefix: str) -> None:
    """Put moments back that `pack_optimizer` took out; the parameter groups stay as they are."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        if key.startswith(prefix + "."):
            index, name = key.removeprefix(prefix + ".").split(".")
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _portable(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Detached, contiguous copies on the CPU, as safetensors wants them."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}

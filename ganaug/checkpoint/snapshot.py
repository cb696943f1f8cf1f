"""Training states and generator snapshots as files: safetensors with JSON metadata, never pickled code."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ganaug.config import GanConfig, NetworkConfig, gan_config_from_dict, network_config_from_dict, to_dict
from ganaug.errors import ConfigError, CorruptFile, LeakError, UserError, WorkspaceError
from ganaug.fields import require_kinds
from ganaug.model.generator import Generator
from ganaug.model.shapes import shapes_of
from ganaug.model.synthesis import NoiseMode
from ganaug.provenance import Provenance, digest_of, digest_of_bytes, read_provenance, require_content, require_seal
from ganaug.workspace import (
    NUMBER,
    TEXT,
    GanRun,
    Workspace,
    atomic_path,
    file_name,
    os_errors_as_workspace_errors,
    parse_json,
    read_jsonl,
)

_TYPE_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
COMPANIONS = ("G.", "D.")  # begin the names of tensors to train on from, next to those of the averaged generator


@dataclass(frozen=True)
class Import:
    """In place of a training configuration: where a generator that another tool trained came from."""

    network: NetworkConfig
    sha256: str  # of the file; its name is the user's own business


@dataclass(frozen=True)
class Snapshot:
    """An averaged generator, ready to sample, and the proof of what it saw."""

    generator: Generator
    config: GanConfig | Import
    class_names: tuple[str, ...]
    provenance: Provenance
    companions: dict[str, Tensor] = field(default_factory=dict)  # G.<name> and D.<name>; imports have them


class LoadedGenerator(nn.Module):
    """A generator to call: random noise comes from PyTorch's global state where no `generator` is given."""

    def __init__(self, network: Generator) -> None:
        super().__init__()
        self.network, self.config = network, network.config

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        psi: float = 1.0,
        noise_mode: NoiseMode = "random",
        generator: torch.Generator | None = None,
        force_float32: bool = False,
    ) -> Tensor:
        """Images [N, 3, H, W], about [-1, 1], as `Generator` makes them; one that knows no classes needs no c."""
        img: Tensor = self.network(z, c, psi, noise_mode, generator or torch.default_generator, force_float32)
        return img


def save_snapshot(path: Path, snapshot: Snapshot) -> Provenance:
    """Write a snapshot with its provenance sealed to weights, configuration and classes; returns the sealed record."""
    tensors = _portable({**snapshot.generator.state_dict(), **snapshot.companions})
    about = {
        "config": json.dumps(to_dict(snapshot.config)),
        "class_names": json.dumps(snapshot.class_names),  # ASCII: what is read back is what was sealed
    }
    content = content_of(tensors, about)
    record = replace(snapshot.provenance, generator=content).sealed(content)
    metadata = {**about, "provenance": record.to_json()}
    save_tensors(path, tensors, metadata)
    return record


def load_snapshot(path: Path, device: torch.device | str = "cpu", *, must_be_signed: bool = True) -> Snapshot:
    """Read a snapshot; raises WorkspaceError where it is missing or corrupt, LeakError where it was edited."""
    tensors, metadata = load_tensors(path)
    if "ada" in metadata or '"fit":' in metadata.get("config", ""):  # what lies next to snapshots
        kind = "a training state" if "ada" in metadata else "a classifier"
        raise ConfigError(f"{path} is {kind}", expected="a generator's snapshot, such as those in ema/")
    record = snapshot_record(path, tensors, metadata, must_be_signed=must_be_signed)
    config, class_names = _about(path, metadata)
    companions = {name: tensors.pop(name) for name in list(tensors) if name.startswith(COMPANIONS)}
    _require_shapes(path, config.network, tensors)
    return Snapshot(build_frozen_generator(config.network, tensors, device), config, class_names, record, companions)


def _require_shapes(path: Path, network: NetworkConfig, tensors: Mapping[str, Tensor]) -> None:
    """Raise CorruptFile where the weights are not those of such a generator, before one of any size is made."""
    mismatch = f"{network.mapping_layers} mapping layers in {len(tensors)} tensors"
    if network.mapping_layers <= len(tensors):
        try:
            expected = shapes_of(lambda: Generator(network, generator=torch.Generator()))
            seen = {name: list(tensor.shape) for name, tensor in tensors.items()}
            shapes = ((name, seen.get(name, "missing"), expected.get(name, "missing")) for name in {**expected, **seen})
            mismatch = next((f"{name} is {own}, not {due}" for name, own, due in sorted(shapes) if own != due), "")
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:  # sizes that no tensor can have
            mismatch = str(error).splitlines()[0][:200]
    if mismatch:
        raise CorruptFile(f"the weights of {path} do not fit its configuration ({mismatch})", todo="train it again")


def load_snapshot_of(run: GanRun, path: Path, device: torch.device | str = "cpu") -> Snapshot:
    """A snapshot of a run; raises as `load_snapshot` does, and LeakError where it was put there from another run."""
    snapshot = load_snapshot(path, device)
    record = snapshot.provenance
    own = Workspace(run.root.parent.parent).gan(record.dataset, record.fold, record.config_digest).root.name
    if own != run.root.name:
        raise LeakError(
            f"{path} is a snapshot of {own}",
            expected=f"one of {run.root.name}, in whose folder it lies",
            todo="remove it, and train again with the same command",
        )
    return snapshot


def snapshot_record(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str], *, must_be_signed: bool = True
) -> Provenance:
    """The provenance of a snapshot; raises LeakError where it, weights, configuration or classes were edited."""
    record = read_provenance(metadata.get("provenance"), path, must_be_signed=must_be_signed)
    require_content(record, content_of(tensors, metadata), path)
    return record


def content_of(tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> str:
    """What a snapshot's provenance is sealed to: the digest of its weights, configuration and class names."""
    return digest_of([digest_of_tensors(tensors), *(metadata.get(name) for name in ("config", "class_names"))])


def _about(path: Path, metadata: Mapping[str, str]) -> tuple[GanConfig | Import, tuple[str, ...]]:
    try:
        values, class_names = parse_json(metadata["config"]), parse_json(metadata["class_names"])
        are_texts = isinstance(class_names, list) and all(isinstance(name, str) for name in class_names)
        if not isinstance(values, dict) or not are_texts:
            raise ValueError("a configuration or class names of another kind")
        config = _config_from_dict(values)
        if len(class_names) != config.network.num_classes or len(set(class_names)) != len(class_names):
            raise ValueError(f"{len(class_names)} names for {config.network.num_classes} classes")
        return config, tuple(class_names)
    except (KeyError, ValueError, TypeError, ConfigError) as error:
        raise WorkspaceError(
            f"the metadata of {path} are malformed ({error})", todo="train the generator again"
        ) from error


def best_ema(run: GanRun) -> Path | None:
    """The snapshot of the lowest score in training, the newest where none was scored, None where there is none.

    Only scores that are as they were written count.
    """
    scores = {}
    for row in read_jsonl(run.scores, {"snapshot": TEXT, "score": NUMBER}):
        with suppress(UserError):  # edited, or of a snapshot that no file can be named after
            unedited = require_seal(row, run.scores)
            if math.isfinite(unedited["score"]):
                scores[run.root / "ema" / file_name(unedited["snapshot"])] = unedited["score"]
    kept = [path for path in scores if path.exists()]
    return min(kept, key=scores.__getitem__) if kept else run.newest_ema()


def build_frozen_generator(
    network: NetworkConfig, state: dict[str, Tensor], device: torch.device | str = "cpu"
) -> Generator:
    """A generator with these weights, to sample and not to train."""
    generator = Generator(network, generator=torch.Generator())
    generator.load_state_dict(state)
    return generator.eval().requires_grad_(False).to(device)


def load_generator(path: Path | str, device: torch.device | str = "cpu") -> LoadedGenerator:
    """The generator of the snapshot at `path`; see `LoadedGenerator`.

    >>> G = load_generator(path)
    >>> z, c = torch.zeros(4, G.config.z_dim), torch.eye(G.config.num_classes)[[0, 1, 2, 3]]
    >>> G(z, c, psi=0.7, noise_mode="const").shape
    torch.Size([4, 3, 16, 16])
    """
    return LoadedGenerator(load_snapshot(Path(path), device).generator)


def _config_from_dict(values: dict[str, Any]) -> GanConfig | Import:
    if "sha256" in values:
        given = Import(network_config_from_dict(values["network"]), values["sha256"])
        require_kinds(Import, vars(given))
        return given
    return gan_config_from_dict(values)


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write tensors, brought to the CPU, and their metadata as safetensors; the same content gives the same bytes.

    That library's own writer orders the metadata at random, and hides the OSError of a full disk.
    Source: https://huggingface.co/docs/safetensors, Format.
    """
    # The widest types first, so that every tensor lies at a multiple of its width.
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    # Half a letter, as undecodable file names hold, is escaped as JSON does, which the values are.
    escaped = {key: metadata[key].encode("utf-8", "backslashreplace").decode() for key in sorted(metadata)}
    header: dict[str, Any] = {"__metadata__": escaped} if metadata else {}
    end = 0
    for name in names:
        start, end = end, end + tensors[name].nbytes
        kind, shape = _TYPE_NAMES[tensors[name].dtype], list(tensors[name].shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    head = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with atomic_path(path) as part, part.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for name in names:
            flat = tensors[name].detach().cpu().contiguous().reshape(-1)
            file.write(flat.view(torch.uint8).numpy().data)


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """The tensors, on the CPU, and the metadata of a file.

    Raises WorkspaceError where it is missing or cannot be read, CorruptFile where it is truncated or of another format.
    """
    with os_errors_as_workspace_errors(path):
        if not path.exists():
            raise WorkspaceError(f"there is no file {path}", todo="train the generator with `ganaug train-gan`")
        try:
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
        except SafetensorError as error:
            raise CorruptFile(
                f"{path} is truncated or corrupt ({error})", expected="a safetensors file", todo="remove it"
            ) from error


def digest_of_tensors(tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of the names."""
    parts: list[bytes] = []
    for name in sorted(tensors):
        tensor = tensors[name]
        parts += [f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), bytes_of(tensor)]
    return digest_of_bytes(parts)


def bytes_of(tensor: Tensor) -> bytes:
    """The bytes of a tensor of any type and on any device, also of those that NumPy does not know."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def pack_optimizer(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, torch.Tensor]:
    """An optimizer's moments as named tensors `<prefix>.<parameter index>.<moment>`."""
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

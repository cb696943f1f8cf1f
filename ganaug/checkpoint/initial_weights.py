"""Networks that a training begins with: external pickles, and our own snapshots."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ganaug.checkpoint.builtin import BUILTIN_FOLDER
from ganaug.checkpoint.snapshot import COMPANIONS, Import, Snapshot, build_frozen_generator, load_snapshot
from ganaug.checkpoint.stylegan_pickles import load_external
from ganaug.config import GanConfig, NetworkConfig, to_dict
from ganaug.errors import CorruptFile
from ganaug.provenance import Provenance, Seen, digest_of, digest_of_file

State = dict[str, Tensor]


@dataclass(frozen=True)
class Pretrained:
    """Weights that a training begins with, and what it has thereby seen before it begins.

    declared: what a user stated about those whose names are not known, see `Provenance`.
    """

    network: NetworkConfig
    G: State
    D: State | None  # None: to be drawn
    ema: State
    seen: Seen
    declared: tuple[str, ...] = ()
    teachers: tuple[tuple[str, str], ...] = ()  # networks that taught them, as `GanConfig.pretrained` names them


def load_pretrained(path: Path) -> Pretrained:
    """Read an external pickle (.pkl) or one of our snapshots; without its own G, training continues from the average.

    A training from these weights adds `seen` and `declared` to what its generator saw. Raises UserError where the file
    cannot be read.
    """
    snapshot = import_pickle(path)[0] if path.suffix == ".pkl" else _own_snapshot(path)
    ema = snapshot.generator.state_dict()
    G, D = (_strip_prefix(snapshot.companions, prefix) for prefix in COMPANIONS)
    record, config = snapshot.provenance, snapshot.config
    teachers = config.pretrained if isinstance(config, GanConfig) else ()
    return Pretrained(config.network, G or ema, D, ema, record.seen, record.declared, teachers)


def _own_snapshot(path: Path) -> Snapshot:
    try:
        return load_snapshot(path, must_be_signed=path.parent != BUILTIN_FOLDER)
    except CorruptFile as error:  # it may well be complete, and something else
        raise CorruptFile(
            f"{path} is no snapshot ({error.__cause__})",
            expected="a snapshot of ganaug (.safetensors) or an external pickle (.pkl)",
            todo="name another file with --init",
        ) from error


def import_pickle(path: Path) -> tuple[Snapshot, tuple[str, ...]]:
    """An external pickle as a snapshot, and a line for each of its networks that was skipped; see `load_external`.

    Its classes have no names but their numbers. Nobody knows whom it saw, and its provenance says so with a patient
    whom no data set has: neither it nor what is trained on from it passes for a generator of training patients only.
    """
    external = load_external(path)
    config = Import(external.config, digest_of_file(path))
    record = Provenance(
        dataset="unknown",
        dataset_fingerprint="",
        folds_digest="",
        fold=-1,
        groups_seen=(f"unknown:{config.sha256[:16]}",),
        config_digest=digest_of(to_dict(config)),
    )
    generator = build_frozen_generator(external.config, external.ema)
    names = tuple(str(label) for label in range(external.config.num_classes))
    companions = {
        f"{key}.{name}": value for key in ("G", "D") for name, value in (getattr(external, key) or {}).items()
    }
    return Snapshot(generator, config, names, record, companions), external.skipped


def _strip_prefix(tensors: State, prefix: str) -> State | None:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)} or None

"""The task of training one generator: its data, configuration and folder, decided before anything is trained."""

import platform
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from ganaug.checkpoint.initial_weights import Pretrained, load_pretrained
from ganaug.config import GanConfig, to_dict
from ganaug.data.dataset import DataSet
from ganaug.data.held_out import find_seen
from ganaug.data.schema import resolve_patients
from ganaug.errors import ConfigError, DataError
from ganaug.model.projected.frozen_maps import frozen_digest
from ganaug.parallel.launcher import num_processes
from ganaug.provenance import Provenance, Seen, digest_of, digest_of_file, sealed
from ganaug.train.state import resumable_config
from ganaug.workspace import GanRun, Workspace, creation_time, moment, write_json


@dataclass(frozen=True)
class Task:
    """One generator to train."""

    dataset: DataSet
    fold: int
    config: GanConfig
    run: GanRun
    digest: str  # of all that decides the state, so not of how long to train
    init: Path | None = None  # weights that it begins with
    seen_before: Seen = field(default_factory=Seen)  # what those weights have seen
    declared: tuple[str, ...] = ()  # what else they have seen, by the user's word
    init_px: int | None = None  # the resolution of those weights

    def provenance(self, kimg: float) -> Provenance:
        """The record that the generator carries: it is shown the fold's training groups, and no others.

        Where it began with other weights, what they had seen is added.
        """
        seen = self.dataset.table.seen(self.dataset.train(self.fold)) | self.seen_before
        return Provenance(
            dataset=self.dataset.name,
            dataset_fingerprint=self.dataset.table.fingerprint,
            folds_digest=self.dataset.folds.digest,
            fold=self.fold,
            groups_seen=seen.groups,
            config_digest=self.digest,
            kimg=kimg,
            declared=self.declared,
            images_seen=seen.images,
            hashes_seen=seen.hashes,
        )

    @property
    def num_unknown(self) -> int:
        """Patients whom the weights have seen and the data set does not know; the study refuses what saw them."""
        seen = set(self.seen_before.groups)
        return len(seen) - len(resolve_patients(self.dataset.table, seen))

    @property
    def num_held_out(self) -> int:
        """Images of the fold's validation and test part that the weights have seen; a study refuses what saw them."""
        return len(find_seen(self.dataset, self.fold, self.seen_before))


def plan_training(
    workspace: Workspace,
    dataset: DataSet,
    fold: int,
    config: GanConfig,
    init: Path | None = None,
    init_saw: str | None = None,
) -> Task:
    """Resolve a task: the same data, folds, fold and configuration lead to the same folder, and so to its state.

    init: a snapshot or an external pickle to begin with. init_saw: the user's word for what those weights have seen in
    place of patients whom the data set does not know. Raises DataError where there are fewer images than a batch,
    ConfigError where the batch does not divide.
    """
    seen_before, init_px = Seen(), None
    declared: tuple[str, ...] = ()
    teachers: tuple[tuple[str, str], ...] = (
        (("discriminator", frozen_digest()),) if config.discriminator == "projected" else ()
    )
    if init is not None:
        config, pretrained = match_initial_weights(config, init)
        seen_before, declared, init_px = pretrained.seen, pretrained.declared, pretrained.network.resolution_px
        teachers += tuple((f"{role} of the initial weights", digest) for role, digest in pretrained.teachers)
    config = replace(config, pretrained=teachers)
    if init_saw is not None:
        if init is None or not init_saw.strip():
            raise ConfigError("--init-saw without --init, or without words", expected="what the weights of --init saw")
        known = tuple(resolve_patients(dataset.table, seen_before.groups))
        seen_before = replace(seen_before, groups=known)
        declared = (*declared, f"weights {digest_of_file(init)[:12]}: {' '.join(init_saw.split())}")
    dataset = dataset.reduced_to(config.real_fraction)
    num_images = len(dataset.train(fold))
    if num_images < config.batch:
        raise DataError(
            f"{dataset.title(fold)} has {num_images} training images",
            expected=f"at least one batch of {config.batch}",
            todo="use a smaller --batch" + (" or a larger --real-fraction" if config.real_fraction < 1 else ""),
        )
    size = num_processes()
    if config.batch % size or config.batch // size < 2:
        raise ConfigError(
            f"a batch of {config.batch} for {size} processes", expected=f"a multiple of {size} from {2 * size} up"
        )
    deciding = [resumable_config(config), dataset.table.fingerprint, dataset.folds.digest, fold]
    digest = digest_of([*deciding, list(declared)] if declared else deciding)
    run = workspace.gan(dataset.name, fold, digest)
    return Task(dataset, fold, config, run, digest, init, seen_before, declared, init_px)


def match_initial_weights(config: GanConfig, init: Path) -> tuple[GanConfig, Pretrained]:
    """The configuration with the widths of the weights that training begins with, and the weights.

    Classes, resolution and precision stay the configuration's own.
    """
    pretrained = load_pretrained(init)
    own = config.network
    network = replace(
        pretrained.network,
        num_classes=own.num_classes,
        resolution_px=own.resolution_px,
        num_half=own.num_half,
        conv_clamp=own.conv_clamp or pretrained.network.conv_clamp,
    )
    return replace(config, network=network, init=digest_of_file(init)), pretrained


def write_description(task: Task) -> None:
    """Write what is fixed at the start: the configuration, what it is trained on, and the environment."""
    write_json(task.run.environment, {"python": platform.python_version(), "torch": torch.__version__})
    record = task.provenance(kimg=0.0).to_dict()
    names = ("dataset", "dataset_fingerprint", "folds_digest", "fold", "config_digest")
    others = (path for path in task.run.root.parent.glob("*/config.json") if path != task.run.config)
    about = {
        **{name: record[name] for name in names},
        "class_names": list(task.dataset.table.class_names),
        "config": to_dict(task.config),
        "created": creation_time(task.run.config) or moment(after=map(creation_time, others)),
    }
    write_json(task.run.config, sealed(about))

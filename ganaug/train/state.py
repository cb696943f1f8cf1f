"""All that survives a resume: the three networks, both optimizers, ADA, the path length mean and the image count.

Nothing else is needed: the data's order, the latents, the noise and all other randomness are functions of the seed and
the iteration (`TrainingImages`, `make_random`).
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ganaug.augment.controller import AdaController
from ganaug.augment.pipeline import AugmentPipe
from ganaug.augment.spec import SPECS
from ganaug.checkpoint.adopt import adopt, fits
from ganaug.checkpoint.initial_weights import load_pretrained
from ganaug.checkpoint.snapshot import digest_of_tensors, load_tensors, pack_optimizer, save_tensors, unpack_optimizer
from ganaug.config import GanConfig, to_dict
from ganaug.errors import CorruptFile, LeakError, WorkspaceError, some_of
from ganaug.provenance import require_seal, sealed
from ganaug.train.distributed.process_group import ProcessGroup
from ganaug.train.networks import make_networks, make_optimizers
from ganaug.train.phases import Trainer
from ganaug.workspace import NUMBER, is_record, parse_json

FREE_FIELDS = (
    "total_kimg",
    "state_kimg",
    "keep_states",
    "snapshot_kimg",
    "keep_snapshots",
    "extractor",
    "on_alarm",
    "micro_batch",
)
MAX_IMAGES = 10**10  # shown in one training; the names of states have ten digits
_SEALS = ("seal", "signature")
_ADA_NUMBERS = dict.fromkeys(("p", "heuristic", "signs", "count"), NUMBER)


@dataclass
class TrainingState:
    """The moving parts of one training run; everything else is a function of its configuration."""

    trainer: Trainer
    pipe: AugmentPipe
    ada: AdaController  # also observes where the probability of ADA augmentation is fixed
    num_images: int = 0  # real images shown so far; also the position in the data's order

    @property
    def p(self) -> float:
        """The probability of each ADA augmentation."""
        config = self.trainer.config
        fixed = 0.0 if config.ada_pipeline == "none" else config.ada_p
        return self.ada.p if fixed is None else fixed

    def save(self, path: Path, run_digest: str) -> None:
        """Write the state; all processes call this together, and the main process writes."""
        trainer, ada = self.trainer, json.dumps(self.ada.state())
        if not trainer.processes.is_main:
            return
        tensors = {"pl_mean": trainer.pl_mean}
        for name, network in vars(trainer.networks).items():
            tensors |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
        for name, optimizer in vars(trainer.optimizers).items():
            tensors |= pack_optimizer(optimizer, f"optimizer.{name}")
        numbers = {"num_images": str(self.num_images), "num_tensors": str(len(tensors))}
        metadata = {"run": run_digest, "ada": ada, **numbers}
        record = sealed({**metadata, "tensors": digest_of_tensors(tensors)})
        save_tensors(path, tensors, metadata | {name: record[name] for name in _SEALS if name in record})

    def load(self, path: Path, run_digest: str) -> None:
        """Resume from a saved state; nothing is changed where it raises.

        Raises CorruptFile where the file is truncated, lacks something, holds tensors of other shapes or was edited, as
        weights put in from elsewhere may have seen anybody; WorkspaceError where it is of another run.
        """
        tensors, metadata = load_tensors(path)
        if metadata.get("run") != run_digest:
            raise WorkspaceError(
                f"{path} is the state of another configuration", todo="move its folder away to train this one"
            )
        trainer, ada = self.trainer, _read_ada(metadata, len(tensors), path)
        self._require_shapes(tensors, path)
        _require_sealed(tensors, metadata, path)
        for name, network in vars(trainer.networks).items():
            start = f"{name}."
            network.load_state_dict({k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)})
        for name, optimizer in vars(trainer.optimizers).items():
            unpack_optimizer(optimizer, tensors, f"optimizer.{name}")
        trainer.pl_mean.copy_(tensors["pl_mean"])
        self.ada.load(ada, trainer.processes.is_main)
        self.num_images = int(metadata["num_images"])

    def _require_shapes(self, tensors: dict[str, torch.Tensor], path: Path) -> None:
        """Raise CorruptFile where a tensor of the networks or optimizers is missing or of another shape."""
        shapes = {"pl_mean": self.trainer.pl_mean.shape}
        for name, network in vars(self.trainer.networks).items():
            shapes |= {f"{name}.{key}": value.shape for key, value in network.state_dict().items()}
        for name, optimizer in vars(self.trainer.optimizers).items():
            shapes |= _moment_shapes(optimizer, f"optimizer.{name}", tensors)
        wrong = [name for name, shape in shapes.items() if name not in tensors or tensors[name].shape != shape]
        wrong += sorted(tensors.keys() - shapes.keys())
        if wrong:
            raise CorruptFile(
                f"{path} has {some_of(wrong)} in another shape, or where there should be none, or not at all",
                expected=f"the {len(shapes)} tensors of this configuration",
                todo="remove it",
            )


def _read_ada(metadata: dict[str, str], num_tensors: int, path: Path) -> dict[str, float]:
    """ADA's part of a state, once all numbers next to the tensors are checked; raises CorruptFile."""
    try:
        ada = parse_json(metadata["ada"])
        is_valid = 0 <= int(metadata["num_images"]) < MAX_IMAGES and is_record(ada, _ADA_NUMBERS)
        is_valid = is_valid and 0 <= ada["p"] <= 1 and all(math.isfinite(ada[name]) for name in _ADA_NUMBERS)
        is_valid = is_valid and int(metadata.get("num_tensors", num_tensors)) == num_tensors
    except (KeyError, ValueError):
        is_valid = False
    if not is_valid:
        raise CorruptFile(
            f"{path} lacks tensors, the number of images shown or ADA's numbers",
            expected="a state as train-gan writes it",
            todo="remove it",
        )
    return dict(ada)


def _require_sealed(tensors: dict[str, torch.Tensor], metadata: dict[str, str], path: Path) -> None:
    """Raise CorruptFile where tensors or metadata are not those that the state was sealed with, or are not signed."""
    try:
        require_seal({**metadata, "tensors": digest_of_tensors(tensors)}, path)
    except LeakError as error:
        raise CorruptFile(str(error), todo="to do so, remove it and run the same command again") from error


def _moment_shapes(
    optimizer: torch.optim.Optimizer, prefix: str, tensors: dict[str, torch.Tensor]
) -> dict[str, torch.Size]:
    """The names and shapes of Adam's moments of the parameters that have any in `tensors`."""
    shapes: dict[str, torch.Size] = {}
    have = {name.rpartition(".")[0] for name in tensors}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, parameter in enumerate(parameters):
        if f"{prefix}.{index}" in have:
            of_parameter = {"step": torch.Size(), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
            shapes |= {f"{prefix}.{index}.{moment}": shape for moment, shape in of_parameter.items()}
    return shapes


def new_state(config: GanConfig, processes: ProcessGroup) -> TrainingState:
    """Networks with weights drawn from the configuration's seed, and optimizers that have taken no step."""
    random = torch.Generator().manual_seed(config.seed)
    networks = make_networks(config.network, random, config.discriminator)
    for network in vars(networks).values():
        network.to(processes.device)
    pl_mean = torch.zeros([], device=processes.device)
    trainer = Trainer(networks, make_optimizers(networks, config), config, processes, pl_mean)
    ada = AdaController(0.0, config.ada_target, config.ada_kimg, config.ada_interval, reduce=processes.sum)
    return TrainingState(trainer, AugmentPipe(SPECS[config.ada_pipeline]), ada)


def load_initial_weights(state: TrainingState, path: Path) -> None:
    """Load weights from elsewhere; classes and finer resolutions that they do not know stay as drawn.

    So does a discriminator that they lack, or that is of another kind or size.
    """
    pretrained, networks = load_pretrained(path), state.trainer.networks
    adopt(networks.G, pretrained.G)
    adopt(networks.ema, pretrained.ema)
    if pretrained.D is not None and fits(networks.D, pretrained.D):
        adopt(networks.D, pretrained.D)


def make_random(config: GanConfig, iteration: int, processes: ProcessGroup) -> torch.Generator:
    """The source of all randomness in one iteration of one process."""
    seed = np.random.SeedSequence([config.seed, iteration, processes.rank]).generate_state(1, np.uint64)[0]
    return torch.Generator(processes.device).manual_seed(int(seed >> np.uint64(1)))


def resumable_config(config: GanConfig) -> dict[str, object]:
    """The fields that a state depends on: not how long to train, what to keep and how much to hold in memory."""
    fields = {key: value for key, value in to_dict(config).items() if key not in FREE_FIELDS}
    for name, former in (("real_fraction", 1), ("class_penalty", 0)):
        if fields[name] == former:
            del fields[name]  # so that states of before there was such a field are resumed
    return fields

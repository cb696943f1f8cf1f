"""All that survives a resume: the three networks, both optimisers, the random generator and the image count."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ganaug.checkpoint import load_tensors, pack_optimizer, save_tensors, unpack_optimizer
from ganaug.config import GanConfig, to_dict
from ganaug.errors import WorkspaceError
from ganaug.train.phases import Networks, Optimizers, make_networks, make_optimizers


@dataclass
class TrainingState:
    """The moving parts of one training run; everything else is a function of its configuration."""

    networks: Networks
    optimizers: Optimizers
    random: torch.Generator  # latents, noise and amplification
    num_images: int = 0  # real images shown so far; also the position in the data's order

    def save(self, path: Path, run_digest: str) -> None:
        tensors = {"random": self.random.get_state()}
        for name, network in vars(self.networks).items():
            tensors |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
        for name, optimizer in vars(self.optimizers).items():
            tensors |= pack_optimizer(optimizer, f"optimizer.{name}")
        save_tensors(path, tensors, {"run": run_digest, "num_images": str(self.num_images)})

    def load(self, path: Path, run_digest: str) -> None:
        """Take up a saved state; raises WorkspaceError where it is torn or of another run."""
        tensors, metadata = load_tensors(path)
        if metadata.get("run") != run_digest:
            raise WorkspaceError(
                f"{path} is the state of another configuration", todo="move its folder away to train this one"
            )
        for name, network in vars(self.networks).items():
            start = f"{name}."
            network.load_state_dict({k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)})
        for name, optimizer in vars(self.optimizers).items():
            unpack_optimizer(optimizer, tensors, f"optimizer.{name}")
        self.random.set_state(tensors["random"])
        self.num_images = int(metadata["num_images"])


def new_state(config: GanConfig, device: torch.device) -> TrainingState:
    """Networks with weights drawn from the configuration's seed, and optimisers that have seen nothing."""
    weights, latents = torch.Generator().manual_seed(config.seed), torch.Generator(device).manual_seed(config.seed + 1)
    networks = make_networks(config.network, weights)
    for network in vars(networks).values():
        network.to(device)
    return TrainingState(networks, make_optimizers(networks, config), latents)


def resumable_config(config: GanConfig) -> dict[str, object]:
    """What a state depends on: the configuration, but not how long to train or how often to save."""
    return {key: value for key, value in to_dict(config).items() if key not in ("total_kimg", "state_kimg")}

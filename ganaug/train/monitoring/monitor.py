"""The main process's monitor of a run: the discriminator on other patients, and the scores of snapshots."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ganaug.config import Compute
from ganaug.evaluate.extractors.choice import ExtractorChoice
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.evaluate.extractors.independence import choose_judges, find_teachers
from ganaug.evaluate.labels.linear import Labelled
from ganaug.model.pixels import from_pixels, one_hot, to_pixels
from ganaug.provenance import sealed
from ganaug.train.monitoring.snapshot_scores import ClassProbe, RealSides, SnapshotScores, match_classes, spread
from ganaug.train.saving.publish import write_snapshot
from ganaug.train.saving.retention import drop_snapshots
from ganaug.train.schedule import blend_with_uniform, conditioning
from ganaug.train.state import TrainingState
from ganaug.train.task import Task
from ganaug.workspace import append_jsonl

NUM_WATCHED = 32  # images of each part on which the discriminator is observed
NUM_SCORED = 1000  # images on each side of a score, at most
NUM_AT_ONCE = 32  # images that are generated at a time


class Monitor:
    """Observes one run; nothing of it feeds back into the training."""

    def __init__(self, task: Task, weights_dir: Path | None = None) -> None:
        self.task, self.weights_dir = task, weights_dir
        self._images = task.dataset.images(task.fold)

    def require_extractor(self) -> None:
        """Raise WeightsError now, not at the first snapshot, where scores need weights that are missing."""
        _ = self.extractor

    @torch.no_grad()
    def logits(self, state: TrainingState) -> dict[str, float]:
        """The discriminator's mean output on training and on validation images, none of them augmented.

        The two diverge where it memorizes the training patients. Source: Karras et al. 2020b, figure 1.
        """
        data, found = self.task.dataset, {}
        for part, members in (("train", data.train(self.task.fold)), ("val", data.val(self.task.fold))):
            if len(members):
                chosen = spread(members, NUM_WATCHED)
                img = from_pixels(self._images[chosen], state.trainer.processes.device)
                found[f"{part}_logits"] = float(state.trainer.networks.D(img, self._classes(chosen, state)).mean())
        return found

    def snapshot(self, state: TrainingState) -> None:
        """Write the averaged generator and a sheet of its images; score it, and drop what need not be kept."""
        kimg, run = state.num_images / 1000, self.task.run
        write_snapshot(self.task, state)
        if self.extractor and conditioning(self.task.config, state.num_images) == 1:
            started = time.perf_counter()
            row = {"kimg": kimg, "snapshot": run.ema(kimg).name, "extractor": self.extractor.name}
            row |= {"num_images": len(self._scored), **self.score_of(state.trainer.networks.ema, state).to_dict()}
            append_jsonl(run.scores, sealed({**row, "seconds": time.perf_counter() - started}))
        drop_snapshots(self.task)

    def score_of(self, generator: Callable[..., torch.Tensor], state: TrainingState) -> SnapshotScores:
        """Scores of as many images as there are training images, of the same classes; the generator is called as ours.

        Snapshots are chosen by the distance to training images: what is chosen by validation patients has seen them,
        and could not be judged by them any more.
        """
        assert self.extractor is not None
        fake = self.extractor.features(self._generate(generator, state))
        scores, probe = self._real.scores(fake), self._probe
        if probe is None:
            return scores
        return replace(scores, agreement=probe.agreement(fake / self._real.scale), agreement_floor=probe.floor)

    @cached_property
    def extractor(self) -> Extractor | None:
        name, task = self.task.config.extractor, self.task
        if name == "none":
            return None
        inputs = ExtractorInputs(task.dataset, task.fold, task.run, Compute(weights_dir=self.weights_dir))
        choices = [] if name == "auto" else [ExtractorChoice(name)]
        (judge,) = choose_judges(choices, find_teachers(dict(task.config.pretrained), {}), inputs)
        return judge

    @cached_property
    def _scored(self) -> NDArray[np.int64]:
        return spread(self.task.dataset.train(self.task.fold), NUM_SCORED)

    @cached_property
    def _real(self) -> RealSides:
        """The features of the training images, and of validation images of the same classes, extracted once a run."""
        assert self.extractor is not None
        train = self.extractor.features(self._images[self._scored])
        held_out = self.extractor.features(self._images[self._val]) if len(self._val) else train[:0]
        return RealSides(train, held_out, self._matched[0], self.extractor.feature_scale(train), self.task.config.seed)

    @cached_property
    def _matched(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions of scored training images, and of validation images, with equal numbers of every class."""
        label, val = self.task.dataset.table.label, self.task.dataset.val(self.task.fold)
        return match_classes(label[self._scored], label[val])

    @property
    def _val(self) -> NDArray[np.int64]:
        """The validation images that are compared with."""
        return self.task.dataset.val(self.task.fold)[self._matched[1]]

    @cached_property
    def _probe(self) -> ClassProbe | None:
        """A classifier of the validation images that distances are taken to, on the same features."""
        table, real = self.task.dataset.table, self._real
        val = self._val
        held_out = Labelled(real.val / real.scale, table.label[val], table.group_id[val])
        own = Labelled(real.train / real.scale, table.label[self._scored], table.group_id[self._scored])
        return ClassProbe.fit(held_out, own, self.task.config.seed) if table.num_classes > 1 and len(val) else None

    @torch.no_grad()
    def _generate(self, generator: Callable[..., torch.Tensor], state: TrainingState) -> NDArray[np.uint8]:
        """Images u8 [n,H,W,3] from latents and noise that are the same for every snapshot."""
        device, z_dim = state.trainer.processes.device, self.task.config.network.z_dim
        fixed, parts = torch.Generator(device).manual_seed(self.task.config.seed), []
        for start in range(0, len(self._scored), NUM_AT_ONCE):
            c = self._classes(self._scored[start : start + NUM_AT_ONCE], state)
            z = torch.randn(len(c), z_dim, generator=fixed, device=device)
            parts.append(to_pixels(generator(z, c, noise_mode="random", generator=fixed)))
        return np.concatenate(parts)

    def _classes(self, members: NDArray[np.int64], state: TrainingState) -> torch.Tensor:
        table = self.task.dataset.table
        c = one_hot(table.label[members], table.num_classes, state.trainer.processes.device)
        return blend_with_uniform(c, conditioning(self.task.config, state.num_images))

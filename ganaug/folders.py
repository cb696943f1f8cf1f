"""The files of one generator, one classifier or one study, by name."""

import re
from dataclasses import dataclass
from pathlib import Path

from ganaug.errors import WorkspaceError

_STATE_NAME = re.compile(r"state-\d{10}\.safetensors")
_EMA_NAME = re.compile(r"ema-(?P<kimg>\d{6,}(?:\.\d{3})?)kimg\.safetensors")


def kimg_name(kimg: float) -> str:
    """Thousands of images in file names: 000012kimg, and 000012.032kimg where not whole; distinct for each image."""
    whole, rest = divmod(round(1000 * kimg), 1000)
    return f"{whole:06d}{f'.{rest:03d}' if rest else ''}kimg"


def kimg_of(snapshot: Path) -> float:
    """The thousands of images that a snapshot's file name says; raises WorkspaceError where it says none."""
    match = _EMA_NAME.fullmatch(snapshot.name)
    if match is None:
        raise WorkspaceError(f"{snapshot} is not named as a snapshot", expected="a name such as ema-000012kimg")
    return float(match["kimg"])


@dataclass(frozen=True)
class GanRun:
    """The folder of one generator: gans/<dataset>-fold<k>-<digest of its configuration>."""

    root: Path
    dataset: str
    fold: int

    @property
    def config(self) -> Path:
        return self.root / "config.json"

    @property
    def environment(self) -> Path:
        return self.root / "env.json"

    @property
    def stats(self) -> Path:
        return self.root / "stats.jsonl"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.jsonl"

    def state(self, num_images: int) -> Path:
        return self.root / "state" / f"state-{num_images:010d}.safetensors"

    def states(self) -> list[Path]:
        """The states to resume from, the newest last."""
        return sorted(path for path in self.root.glob("state/*") if _STATE_NAME.fullmatch(path.name))

    @property
    def trainer(self) -> Path:
        """Says which process trains the run, or did last; held by it meanwhile."""
        return self.root / "trainer.json"

    @property
    def scores(self) -> Path:
        return self.root / "scores.jsonl"

    @property
    def alarms(self) -> Path:
        return self.root / "alarms.jsonl"

    @property
    def extractor(self) -> Path:
        return self.root / "extractor.safetensors"

    def ema(self, kimg: float) -> Path:
        return self.root / "ema" / f"ema-{kimg_name(kimg)}.safetensors"

    def samples(self, kimg: float) -> Path:
        return self.root / "samples" / f"fakes-{kimg_name(kimg)}.png"

    def strips(self, kind: str, kimg: float, psi: float, seed: int) -> Path:
        return self.root / "samples" / f"{kind}-{kimg_name(kimg)}-psi{psi:g}-seed{seed}.png"

    @property
    def reals(self) -> Path:
        return self.root / "samples" / "reals.png"

    def snapshots(self) -> list[Path]:
        """The averaged generators, the newest last."""
        return sorted((path for path in self.root.glob("ema/*") if _EMA_NAME.fullmatch(path.name)), key=kimg_of)

    def newest_ema(self) -> Path | None:
        return next(reversed(self.snapshots()), None)


@dataclass(frozen=True)
class ClassifierRun:
    """The folder of one classifier: classifiers/<dataset>-<its name as a file name>-fold<k>-<digest of its options>."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.json"

    @property
    def weights(self) -> Path:
        return self.root / "classifier.safetensors"

    @property
    def state(self) -> Path:
        """What an interrupted training resumes from; removed when it is done."""
        return self.root / "state.safetensors"

    @property
    def history(self) -> Path:
        return self.root / "history.jsonl"

    @property
    def trainer(self) -> Path:
        """Says which process trains the classifier, or did last; held by it meanwhile."""
        return self.root / "trainer.json"

    @property
    def scores(self) -> Path:
        return self.root / "scores.json"

    @property
    def patients(self) -> Path:
        """The weights of a model that reads patients, not images."""
        return self.root / "patients.safetensors"

    @property
    def tested(self) -> Path:
        """The probabilities that such a model gave to the test patients of its fold."""
        return self.root / "tested.json"

    @property
    def explanations(self) -> Path:
        return self.root / "explanations"


@dataclass(frozen=True)
class Study:
    """The folder of one study: studies/<name>."""

    root: Path

    @property
    def design(self) -> Path:
        return self.root / "design.json"

    def cell(self, name: str) -> Path:
        return self.root / "cells" / f"{name}.json"

    def predictions(self, name: str) -> Path:
        return self.root / "cells" / f"{name}.npz"

    def maps(self, name: str) -> Path:
        return self.root / "cells" / f"{name}.maps.npy"

    @property
    def results(self) -> Path:
        return self.root / "results.jsonl"

    @property
    def verdict(self) -> Path:
        return self.root / "verdict.json"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def text(self) -> Path:
        return self.root / "report.md"

    @property
    def data_card(self) -> Path:
        return self.root / "data-card.md"

    def table(self, name: str) -> Path:
        return self.root / "tables" / f"{name}.csv"

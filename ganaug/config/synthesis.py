"""The images that are to be synthesized."""

from dataclasses import dataclass

from ganaug.config.checks import require
from ganaug.config.choices import MOST_IMAGES, TRUNCATIONS


@dataclass(frozen=True)
class SynthesisConfig:
    """Which images a generator writes: all that decides what they look like, and nothing of how they are computed."""

    per_class: int = 500  # images of every class that `counts` does not name
    counts: tuple[tuple[str, int], ...] = ()  # pairs (class, images)
    psi: float = 1.0  # truncation of every class that `psi_of` does not name; 1 is none, 0 shows the centre alone
    psi_of: tuple[tuple[str, float], ...] = ()  # pairs (class, psi)
    truncation: str = "global"  # towards the mean of all classes, or of each class: one of TRUNCATIONS
    reject: tuple[tuple[str, float], ...] = ()  # pairs (filter, value): see `ganaug.generate.filters`
    seed: int = 0

    def __post_init__(self) -> None:
        require(1 <= self.per_class <= MOST_IMAGES, f"{self.per_class} images per class", f"1 to {MOST_IMAGES}")
        for name, count in self.counts:
            require(0 <= count <= MOST_IMAGES, f"{count} images of {name}", f"0 to {MOST_IMAGES}")
        for where, psi in (("", self.psi), *((f" of {name}", psi) for name, psi in self.psi_of)):
            require(0 <= psi <= 1, f"psi {psi}{where}", "a number from 0 to 1")
        for name, value in self.reject:
            require(0 < value < 1, f"the filter {name}={value}", "a number between 0 and 1")
        for pairs in (self.counts, self.psi_of, self.reject):
            names = [name for name, _ in pairs]
            require(len(set(names)) == len(names), f"values for {', '.join(names)}", "each name once")
        require(self.truncation in TRUNCATIONS, f"truncation {self.truncation}", " or ".join(TRUNCATIONS))

"""The size of the procedural data set, and what a paired one says of its subtypes."""

from dataclasses import dataclass

from ganaug.config.checks import require


@dataclass(frozen=True)
class PhantomConfig:
    """How many procedural images `ganaug.data.sources.phantom.draw` draws, and how large."""

    resolution_px: int = 64  # side of the square images
    num_patients: int = 60  # spread evenly over the classes; a patient has one class
    images_per_patient: int = 20
    um_per_px: float = 2.0  # the field of view is resolution_px * um_per_px micrometres wide

    def __post_init__(self) -> None:
        require(self.resolution_px >= 16, f"resolution {self.resolution_px} px", "at least 16")
        require(self.num_patients >= 4, f"{self.num_patients} patients", "at least one for each of the four classes")
        require(self.images_per_patient >= 1, f"{self.images_per_patient} images a patient", "at least 1")
        require(self.um_per_px > 0, f"{self.um_per_px} micrometres per pixel", "a positive number")


@dataclass(frozen=True)
class PairedConfig:
    """How much tissue and expression of the paired phantom say, each of its own half of the subtype."""

    tissue_reliability: float = 0.95  # the probability that a patient's tissue is that of the subtype
    num_genes: int = 50
    num_informative: int = 16  # genes whose mean depends on the subtype
    effect: float = 1.0  # between the two means of an informative gene, in standard deviations
    batch_effect: float = 0.5  # of a laboratory on every other gene, in standard deviations

    def __post_init__(self) -> None:
        reliability = f"tissue reliability {self.tissue_reliability}"
        require(0.5 <= self.tissue_reliability <= 1, reliability, "a probability from 0.5 to 1")
        fits = 0 <= self.num_informative <= self.num_genes and self.num_genes >= 1
        require(fits, f"{self.num_informative} informative of {self.num_genes} genes", "at most all of at least 1")
        for name in ("effect", "batch_effect"):
            value = getattr(self, name)
            require(0 <= value < 1e3, f"{name.replace('_', ' ')} {value}", "zero or more standard deviations")

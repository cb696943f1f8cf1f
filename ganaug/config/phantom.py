"""The size of the procedural data set."""

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

"""The cut of a data set into folds."""

from dataclasses import dataclass

from ganaug.config.checks import require
from ganaug.config.choices import MOST_FOLDS, SCHEME_NAMES


@dataclass(frozen=True)
class FoldsConfig:
    """How the groups are cut into training, validation and test parts."""

    num_folds: int = 5  # parts; each fold tests one, validates on another and trains on the rest
    seed: int = 0
    scheme: str = "k-fold"  # one of SCHEME_NAMES
    num_repeats: int = 3  # repeated: how many times the groups are divided into folds
    by: str = "group"  # what is kept together: group (a patient), or site (all patients of a laboratory)
    fixed: str = ""  # fixed: a CSV of group and part, or the name of a split that the source offers
    folds_csv: str = ""  # a CSV of images and their part in every fold; it decides in place of all the rest but `by`

    def __post_init__(self) -> None:
        enough = "at least 3, as train, validation and test are disjoint"
        require(self.num_folds >= 3, f"{self.num_folds} folds", enough)
        most = f"at most {MOST_FOLDS} in all, as every fold has a generator of its own"
        require(self.num_folds <= MOST_FOLDS, f"{self.num_folds} folds", most)
        require(self.scheme in SCHEME_NAMES, f"scheme {self.scheme}", " or ".join(SCHEME_NAMES))
        require(self.num_repeats >= 2, f"{self.num_repeats} repeats", "at least 2")
        number = self.num_folds * self.num_repeats
        require(self.scheme != "repeated" or number <= MOST_FOLDS, f"{self.num_repeats} repeats of them", most)
        require(self.by in ("group", "site"), f"folds by {self.by}", "group or site")
        fits = bool(self.fixed) == (self.scheme == "fixed")
        require(not (self.fixed and self.folds_csv), "a --split with --folds-csv", "one of them")
        require(fits, f"scheme {self.scheme} with the split {self.fixed or '(none)'}", "a --split for fixed, only")

"""The source of a data set, and how its images are prepared."""

from dataclasses import dataclass, field

from ganaug.config.checks import require, require_name
from ganaug.config.choices import LAYOUT_LEVELS, STAINS
from ganaug.config.folds import FoldsConfig
from ganaug.config.phantom import PairedConfig, PhantomConfig

CHOICES = {
    "fit": ("crop", "tile", "resize"),
    "stain": STAINS,
    "magnification": ("40", "100", "200", "400", "all"),
    "task": ("binary", "subtype"),
    "group": ("accession", "folder"),
    "part": ("train", "test"),
    "near_names": ("merge", "keep"),
}


def _require_layout(layout: str | None) -> None:
    levels = layout.split("/") if layout is not None else ["class"]
    named = [level for level in levels if level != "other"]
    fits = set(levels) <= set(LAYOUT_LEVELS) and named.count("class") == 1 and len(set(named)) == len(named)
    require(
        fits,
        f"layout {layout!r}",
        f"the folder levels from the top with slashes between them: class once, and of {', '.join(LAYOUT_LEVELS[1:])} "
        "each at most once but for other, such as class/magnification/patient",
    )


@dataclass(frozen=True)
class PrepareConfig:
    """What `ganaug prepare` reads and how it writes it; an option that is None is the source's own default."""

    dataset: str  # one of SOURCE_NAMES
    source: str | None = None  # folder, archive or manifest; the phantom needs none
    name: str = ""  # of the data set in the workspace; that of the source where empty
    seed: int = 0
    exclude_classes: tuple[str, ...] = ()  # names of classes to leave out
    folds: FoldsConfig = field(default_factory=FoldsConfig)

    # how an image of any size becomes square ones
    resolution_px: int = 64  # side of the square images
    fit: str = "crop"  # crop: the central square; tile: a grid of squares; resize: all of it, whatever the aspect
    field_px: int | None = None  # side of the square that becomes one image, in the source's own pixels
    field_um: float | None = None  # the same in micrometres
    whole_copies_only: bool = False  # search no cropped, rotated, framed or inverted copies, and no overlaps
    stain: str = "none"  # normalisation of the stain, fitted on the training groups of each fold: one of STAINS

    # what only some sources know
    magnification: str | None = None  # breakhis: 40, 100, 200, 400 or all
    task: str | None = None  # breakhis, tcga-brca: binary or subtype
    group: str | None = None  # breakhis: what counts as one patient, accession or folder
    layout: str | None = None  # folder: what the folder levels are, from the top, such as class/magnification/patient
    near_names: str | None = None  # near-equal names of classes, patients and sites: merge, keep, or note and refuse
    same_patient: str | None = None  # a CSV of patient and same_as, which joins patients of several names
    part: str | None = None  # bach: train, or test, the organisers' images without labels
    patients_csv: str | None = None  # bach: a CSV of file and patient
    expression: str | None = None  # tcga-brca: table of genes × samples
    clinical: str | None = None  # tcga-brca: table with the PAM50 call of each sample
    um_per_px: float | None = None  # micrometres per pixel of the files; of bach and breakhis instead of the published
    phantom: PhantomConfig = field(default_factory=PhantomConfig)
    paired: PairedConfig = field(default_factory=PairedConfig)  # paired-phantom: what tissue and expression say

    def __post_init__(self) -> None:
        require(16 <= self.resolution_px <= 1024, f"resolution {self.resolution_px} px", "a number from 16 to 1024")
        require_name(self.workspace_name)
        for name, values in CHOICES.items():
            value = getattr(self, name)
            require(value is None or value in values, f"{name} {value}", " or ".join(values))
        for name in ("field_px", "field_um", "um_per_px"):
            value = getattr(self, name)
            require(value is None or 0 < value < 1e6, f"{name} {value}", "a positive number below a million")
        require(self.field_px is None or self.field_um is None, "a field in pixels and in micrometres", "one of them")
        _require_layout(self.layout)
        takes_field = self.fit != "resize" or (self.field_px or self.field_um) is None
        require(takes_field, "a field for the fit resize", "a field for crop or tile only")

    @property
    def workspace_name(self) -> str:
        return self.name or self.dataset

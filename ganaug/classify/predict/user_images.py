"""Images of a user to predict: a folder, an archive or one file, with what the folders say of class and patient."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ganaug.classify.predict.names import breakhis_class, parse_breakhis, patient_in
from ganaug.data.archives.files import Files, files_at, is_image_name, open_files, printable
from ganaug.data.sources.folder import MASK_NAME
from ganaug.data.sources.layout import CLASS, OTHER, PATIENT, Layout, infer_layout, layout_of_option
from ganaug.data.sources.scans.names import plain
from ganaug.data.sources.scans.scan import UNLABELLED, Item, Scan, reading
from ganaug.data.tables import read_bytes, read_cells
from ganaug.errors import DataError, private

_TABLE = ("path", "group")


@dataclass(frozen=True)
class UserImage:
    """One image before it is opened."""

    path: str  # within the source, with slashes
    class_name: str = ""  # one of the classifier's; empty where the folders name none
    patient: str = ""  # empty where unknown

    @property
    def name(self) -> str:
        return printable(self.path)


@dataclass(frozen=True)
class UserImages:
    """The images of a source, sorted by path."""

    files: Files
    images: tuple[UserImage, ...]
    skipped: tuple[tuple[str, str], ...]  # path and reason
    notes: tuple[str, ...]

    def scan(self, class_names: Sequence[str], um_per_px: float | None) -> Scan:
        """The images as `ganaug.data.prepare` reads them."""
        items = [
            Item(
                image.path,
                class_names.index(image.class_name) if image.class_name else UNLABELLED,
                image.patient or image.name,
                image.name,
                um_per_px=um_per_px,
            )
            for image in self.images
        ]
        return Scan(tuple(class_names), tuple(items), reading(self.files), "the user's", "the user's")


def list_images(
    source: Path, class_names: Sequence[str], *, layout: str | None = None, patients: Path | None = None
) -> UserImages:
    """List the images of a folder, an archive or a file.

    layout: the folder levels from the top, as for `ganaug prepare`; None takes class and patient from names of BreakHis
    images and patients from TCGA barcodes, else finds the level whose folders are all named as classes, and below it
    the patients. patients: a CSV with the columns path and group, for which paths are those
    within the source. Raises DataError where there is no image, ConfigError for a layout that cannot be meant.
    """
    is_image = source.is_file() and is_image_name(source)
    files = files_at(source.parent) if is_image else open_files(source)
    names = (source.name,) if is_image else tuple(name for name in files.names if is_image_name(PurePosixPath(name)))
    kept, masks = _without_masks(names)
    skipped = (*files.skipped, *((name, "the name is that of a mask of another image") for name in masks))
    if not kept:
        of = (
            f" ({len(skipped)} files are skipped, such as {private(skipped[0][0])}: {skipped[0][1]})" if skipped else ""
        )
        raise DataError(f"{source} holds no image that is read{of}", expected="PNG, JPEG or TIFF files")
    found = UserImages(files, tuple(map(UserImage, kept)), skipped, ())
    if layout is None:
        found = _with_names(found, class_names)
    else:
        found = _with_folders(found, class_names, layout)
    return found if patients is None else _with_table(found, patients)


def _without_masks(names: Sequence[str]) -> tuple[list[str], list[str]]:
    stems = {PurePosixPath(name).with_suffix("").as_posix() for name in names}
    kept: list[str] = []
    masks: list[str] = []
    for name in names:
        match = MASK_NAME.fullmatch(PurePosixPath(name).stem)
        owner = PurePosixPath(name).with_name(match["stem"]).as_posix() if match else ""
        (masks if owner in stems else kept).append(name)
    return kept, masks


# ---- what the folders say --------------------------------------------------------------------------------------------


def _with_names(found: UserImages, class_names: Sequence[str]) -> UserImages:
    """The images with what the names of files say, and of the others what the folders say."""
    named = {image.path: name for image in found.images if (name := parse_breakhis(image.path))}
    others = tuple(image for image in found.images if image.path not in named)
    rest = _with_folders(replace(found, images=others), class_names, None)
    read = {image.path: replace(image, patient=patient_in(image.path) or image.patient) for image in rest.images}
    for path, name in named.items():
        read[path] = UserImage(path, breakhis_class(name, class_names), name.accession)
    notes = [f"class and patient of {len(named)} images are read from their names, which are BreakHis'"] * bool(named)
    return replace(found, images=tuple(read[image.path] for image in found.images), notes=(*notes, *rest.notes))


def _with_folders(found: UserImages, class_names: Sequence[str], layout: str | None) -> UserImages:
    """The images with the classes and patients of a layout; None infers it."""
    folders = [tuple(map(plain, PurePosixPath(image.path).parts[:-1])) for image in found.images]
    levels = layout_of_option(layout) if layout else _infer(folders, class_names)
    if not set(levels.levels) & {CLASS, PATIENT}:
        return found
    own = {name.casefold(): name for name in class_names}
    named = [(levels.name(above, CLASS), levels.name(above, PATIENT)) for above in folders]
    others = sorted({label for label, _ in named if label and label.casefold() not in own})
    notes = [f"the folders are read as {levels.text}/image; --layout names the levels otherwise"]
    if others:
        notes.append(f"the folders {', '.join(map(private, others[:3]))} are named as no class of this classifier")
    images = [
        replace(image, class_name=own.get(label.casefold(), ""), patient=patient)
        for image, (label, patient) in zip(found.images, named)
    ]
    return replace(found, images=tuple(images), notes=tuple(notes))


def _infer(folders: Sequence[tuple[str, ...]], class_names: Sequence[str]) -> Layout:
    """The first level whose folders are all named as classes, and what `infer_layout` makes of the rest."""
    own = {name.casefold() for name in class_names}
    depth = min(map(len, folders), default=0)
    at = next((at for at in range(depth) if {above[at].casefold() for above in folders} <= own), None)
    if at is None:
        return Layout(())
    try:
        layout = infer_layout(folders, "the images")
    except DataError:  # it is not clear what is a class; here it is
        layout = Layout(())
    if layout.levels[at : at + 1] == (CLASS,):
        is_single = len({above[at] for above in folders}) == 1 and PATIENT not in layout.levels
        below = [level for level in range(at + 1, len(layout.levels)) if layout.levels[level] == OTHER]
        if is_single and below:  # the images of one class may be those of one patient
            return Layout(tuple(PATIENT if n == below[0] else level for n, level in enumerate(layout.levels)))
        return layout
    return Layout((*[OTHER] * at, CLASS, *([PATIENT] if max(map(len, folders)) > at + 1 else [])))


def _with_table(found: UserImages, path: Path) -> UserImages:
    """The images with the patients of a CSV in place of those of the folders."""
    table = read_cells(read_bytes(path), str(path), _TABLE)
    patient_of: dict[str, str] = {}
    for row in table.rows:
        name, patient = table.values(row, *_TABLE)
        if patient_of.setdefault(printable(name), patient) != patient:
            raise DataError(
                f"line {row.line} of {path} names another patient for {private(name)} than an earlier line",
                expected="one patient for each image",
                todo="correct the table",
            )
    images = tuple(replace(image, patient=patient_of.get(image.name, "")) for image in found.images)
    num_known, num_unused = (
        sum(bool(image.patient) for image in images),
        len(set(patient_of) - {i.name for i in images}),
    )
    if not num_known:
        example = private(found.images[0].name)
        raise DataError(
            f"{path} names none of the {len(images)} images", expected=f"paths such as {example} in the column path"
        )
    unused = f"; {num_unused} of its rows name no image" if num_unused else ""
    note = f"patients of {num_known} of {len(images)} images are known from the table{unused}"
    return replace(found, images=images, notes=(*found.notes, note))

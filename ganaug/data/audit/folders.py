"""Folders and archives of an audit: their images, and what each folder level is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ganaug.data.archives.files import Skipped, is_image_name, open_files
from ganaug.data.sources.folder import MASK_NAME
from ganaug.data.sources.layout import PATIENT, Folders, Layout, depth_of_root, infer_layout
from ganaug.data.sources.scans.names import plain
from ganaug.errors import DataError


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder or an archive, without masks."""

    source: str  # as the user gave it
    names: tuple[str, ...]  # with slashes, sorted
    above: tuple[Folders, ...]  # the folders above each
    skipped: Skipped


def list_folder(source: str, path: Path, layout: Layout | None) -> ImageFolder:
    """The images below a folder or in an archive; of an archive `layout`, where it is given, passes over the root."""
    files = open_files(path)
    stems = {PurePosixPath(name).with_suffix("").as_posix() for name in files.names}
    names = [name for name in files.names if is_image_name(PurePosixPath(name)) and not _is_mask(name, stems)]
    paths = [PurePosixPath(name) for name in names]
    depth = depth_of_root(paths, len(layout.levels)) if layout and not path.is_dir() else 0
    above = tuple(tuple(map(plain, name.parts[depth:-1])) for name in paths)
    return ImageFolder(source, tuple(names), above, files.skipped)


def read_layouts(folders: Sequence[ImageFolder]) -> tuple[list[Layout], list[str]]:
    """What the levels of each source are, and notes on how they were read.

    A source that names no patient by itself, as one with a single patient does, is read as all sources together are
    where these name patients.
    """
    read = [_infer(folder.above, folder.source) for folder in folders]
    layouts, faults = [layout for layout, _ in read], [fault for _, fault in read]
    if len(folders) > 1 and not all(map(_has_patients, layouts)):
        together, _ = _infer([above for folder in folders for above in folder.above], "all sources")
        if _has_patients(together):
            faults = ["" if not _has_patients(layout) else fault for layout, fault in read]
            layouts = [layout if _has_patients(layout) else together for layout in layouts]
    notes = [
        f"patients are known by the names of files alone ({fault})" for fault in dict.fromkeys(filter(None, faults))
    ]
    texts = list(dict.fromkeys(layout.text for layout in layouts if layout.levels))
    for text in texts:
        sources = dict.fromkeys(f.source for f, layout in zip(folders, layouts, strict=True) if layout.text == text)
        whose = f" of {', '.join(sources)}" if len(texts) > 1 else ""
        notes.append(f"the folders{whose} are read as {text}/image; --layout names the levels otherwise")
    return layouts, notes


def _has_patients(layout: Layout) -> bool:
    return PATIENT in layout.levels


def _infer(above: Sequence[Folders], where: str) -> tuple[Layout, str]:
    """The layout, or one without levels and why there is none."""
    try:
        return infer_layout(above, where), ""
    except DataError as error:
        return Layout(()), error.shared


def _is_mask(name: str, stems: set[str]) -> bool:
    match = MASK_NAME.fullmatch(PurePosixPath(name).stem)
    return match is not None and PurePosixPath(name).with_name(match["stem"]).as_posix() in stems

"""What a source tells of its images before any pixel is read, and how it hands out their bytes afterwards."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import numpy as np

from ganaug.config import PrepareConfig
from ganaug.errors import ConfigError, DataError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
MAX_FILE_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Drawn:
    """An image that was drawn, not decoded: u8 [H,W,3] at its final size, with its mask u8 [H,W]."""

    image: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Item:
    """One image of a source."""

    path: str  # relative to the source, with slashes
    label: int
    group_id: str
    image_id: str
    magnification: int = 0


Load = Callable[[], bytes | Drawn]  # may be called in another thread; OSError where the file cannot be read
Read = Callable[[Sequence[Item]], Iterator[tuple[int, Load]]]  # positions in the sequence given, in any order


@dataclass(frozen=True)
class Scan:
    """A source's images with all that is known of them from names and tables alone."""

    class_names: tuple[str, ...]
    items: tuple[Item, ...]
    read: Read
    licence: str
    citation: str
    um_per_px: float | None = None  # of the source's own pixels
    native_width_px: int | None = None  # the image width at which um_per_px holds; None: any
    drawn: bool = False  # the images are drawn at their final size and have masks
    left_out: tuple[tuple[str, str], ...] = ()  # path and reason
    notices: tuple[str, ...] = ()
    way_out: str = ""  # options to offer where the folds are not feasible

    @property
    def labels(self) -> np.ndarray:
        return np.array([item.label for item in self.items], dtype=np.int64)

    @property
    def groups(self) -> np.ndarray:
        return np.array([item.group_id for item in self.items])

    def without(self, excluded: Sequence[str]) -> "Scan":
        """The scan less some classes; raises ConfigError where one is unknown or fewer than two classes stay."""
        for name in excluded:
            if name not in self.class_names:
                raise ConfigError(f"there is no class {name} to exclude", expected=" or ".join(self.class_names))
        kept = tuple(name for name in self.class_names if name not in excluded)
        if len(kept) < 2:
            raise ConfigError(f"{len(kept)} class is left ({', '.join(kept)})", expected="at least two classes")
        items = (item for item in self.items if self.class_names[item.label] in kept)
        renumbered = tuple(replace(item, label=kept.index(self.class_names[item.label])) for item in items)
        return replace(self, class_names=kept, items=renumbered)


def source_path(config: PrepareConfig) -> Path:
    """The folder, archive or manifest that the user named; raises where none was named or none is there."""
    if config.source is None:
        raise ConfigError(f"no source for the data set {config.dataset}", todo="name its folder or file with --source")
    path = Path(config.source).expanduser()
    if not path.exists():
        raise DataError(f"there is no file or folder {path}", todo="name the data's folder or file with --source")
    return path


def is_image_name(path: PurePath) -> bool:
    """Whether a file's name is an image's; hidden files are not (macOS puts `._name.png` beside `name.png`)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def printable(name: str) -> str:
    """A file name as text that can be stored and shown: bytes that are no UTF-8 are written out."""
    return name.encode("utf-8", "backslashreplace").decode()


def read_file(path: Path) -> bytes:
    """The bytes of an image file; raises OSError where it cannot be read or is absurdly large."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise OSError(f"the file is larger than {MAX_FILE_BYTES // 2**20} MiB")
    return path.read_bytes()

"""A source's images with all that is known of them before any pixel is read, and the way to read their bytes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganaug.data.archives.files import Files
from ganaug.errors import ConfigError

UNLABELLED = -1


@dataclass(frozen=True)
class Drawn:
    """An image that was drawn, not decoded: u8 [H,W,3] at its final size, with its mask u8 [H,W]."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class Item:
    """One image of a source."""

    path: str  # relative to the source, with slashes
    label: int  # index into the class names, or UNLABELLED
    group_id: str  # the patient
    image_id: str
    magnification: int = 0  # 0: unknown
    site: str = ""  # the laboratory or hospital, where known
    um_per_px: float | None = None  # of the source's own pixels
    masks: tuple[str, ...] = ()  # paths of files that mark structures in this image

    @property
    def files(self) -> tuple[str, ...]:
        return (self.path, *self.masks)


Load = Callable[[], tuple[bytes, ...] | Drawn]  # the item's files; may run in another thread; OSError if unreadable
Read = Callable[[Sequence[Item]], Iterator[tuple[int, Load]]]  # positions in the sequence given, in any order


def no_class(path: str) -> str:
    """For sources whose paths say nothing of classes."""
    return ""


@dataclass(frozen=True)
class Scan:
    """A source's images with all that is known of them from names and tables alone."""

    class_names: tuple[str, ...]
    items: tuple[Item, ...]
    read: Read
    licence: str
    citation: str
    native_width_px: int | None = None  # the image width at which um_per_px holds; None: any
    drawn: bool = False  # the images are drawn at their final size
    skipped: tuple[tuple[str, str], ...] = ()  # path and reason
    notes: tuple[str, ...] = ()
    suggestion: str = ""  # options to offer where the folds are not feasible
    splits: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # by name: group to train, val or test
    tables: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # further arrays, stored under these names
    class_of: Callable[[str], str] = (
        no_class  # the class that the path of a skipped image says; empty where it says none
    )

    @property
    def labels(self) -> NDArray[np.int64]:
        return np.array([item.label for item in self.items], dtype=np.int64)

    @property
    def groups(self) -> NDArray[np.str_]:
        return np.array([item.group_id for item in self.items])

    @property
    def sites(self) -> NDArray[np.str_]:
        return np.array([item.site for item in self.items])

    @property
    def labelled(self) -> bool:
        return any(item.label != UNLABELLED for item in self.items)

    @property
    def has_masks(self) -> bool:
        return self.drawn or any(item.masks for item in self.items)

    def without(self, excluded: Sequence[str]) -> "Scan":
        """The scan less some classes; raises ConfigError where one is unknown or fewer than two classes stay."""
        for name in excluded:
            if name not in self.class_names:
                raise ConfigError(f"there is no class {name} to exclude", expected=" or ".join(self.class_names))
        if not excluded:
            return self
        kept = tuple(name for name in self.class_names if name not in excluded)
        if len(kept) < 2:
            raise ConfigError(f"{len(kept)} class is left ({', '.join(kept)})", expected="at least two classes")
        if not self.labelled:
            raise ConfigError("a class to exclude from images without labels", expected="images with labels")
        items = (item for item in self.items if self.class_names[item.label] in kept)
        renumbered = tuple(replace(item, label=kept.index(self.class_names[item.label])) for item in items)
        return replace(self, class_names=kept, items=renumbered)


def reading(files: Files) -> Read:
    """How the items of a source that is made of files are read."""
    return lambda items: files.read([item.files for item in items])

"""Every folder of a workspace; `ganaug.folders`, what lies in them, and `ganaug.files` are offered here as well."""

import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, unquote

from ganaug.errors import UserError, WorkspaceError
from ganaug.files import NUMBER as NUMBER
from ganaug.files import TEXT as TEXT
from ganaug.files import append_jsonl as append_jsonl
from ganaug.files import atomic_folder as atomic_folder
from ganaug.files import atomic_path as atomic_path
from ganaug.files import is_record as is_record
from ganaug.files import os_errors_as_workspace_errors as os_errors_as_workspace_errors
from ganaug.files import parse_json as parse_json
from ganaug.files import read_json as read_json
from ganaug.files import read_json_object as read_json_object
from ganaug.files import read_jsonl as read_jsonl
from ganaug.files import sweep_parts as sweep_parts
from ganaug.files import write_json as write_json
from ganaug.files import write_jsonl as write_jsonl
from ganaug.files import write_text as write_text
from ganaug.folders import ClassifierRun as ClassifierRun
from ganaug.folders import GanRun as GanRun
from ganaug.folders import Study as Study
from ganaug.folders import kimg_name as kimg_name
from ganaug.folders import kimg_of as kimg_of

MARKER = "workspace.json"  # the file that makes a folder a workspace
WORKSPACE_VERSION = 3
ENVIRONMENT_VARIABLE = "GANAUG_WORKSPACE"
PROVENANCE_BESIDE_IMAGES = "provenance.json"  # marks a folder of exported synthetic images
LONGEST_PATH = 4096  # characters; Linux takes as many bytes
_SAFE = " .+=,@~"  # with letters, digits, underscores and dashes
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))}
_RUN_NAME = re.compile(r"(?P<dataset>.+)-fold(?P<fold>\d+)-(?P<digest>[0-9a-f]{8})")


def file_name(text: str) -> str:
    """Any text, such as a class's name, as a file or folder name that leads nowhere else; `text_of` undoes it.

    Letters, digits and `_ - + = , @ ~` stay, also spaces and dots that neither begin nor end it; every other character
    becomes the %XX of its UTF-8 bytes. Names that Windows reserves get an escape too. Raises WorkspaceError where
    the result is longer than file systems take.
    """
    encoded = quote(text, safe=_SAFE, errors="surrogatepass")
    if encoded[:1] in (" ", ".") or encoded.partition(".")[0].upper() in _RESERVED:
        encoded = f"%{ord(encoded[0]):02X}{encoded[1:]}"
    if encoded[-1:] in (" ", "."):
        encoded = f"{encoded[:-1]}%{ord(encoded[-1]):02X}"
    if not encoded or len(encoded) > 200:
        raise WorkspaceError(f"a name of {len(encoded)} characters for a file", expected="1 to 200", todo="rename it")
    return encoded


def user_path(text: str | Path) -> Path:
    """The path that a user wrote, with `~` and `~name` as the home folder; raises WorkspaceError where it is none."""
    given = str(text)
    try:
        if not given.strip() or "\0" in given or len(given) > LONGEST_PATH:
            raise ValueError(f"it has {len(given)} characters, {given.count(chr(0))} of them NUL")
        return Path(text).expanduser()
    except (RuntimeError, ValueError) as error:  # no such user, or a home folder that neither HOME nor the system knows
        shown = given if len(given) <= 200 else f"{given[:100]}…"
        raise WorkspaceError(
            f"the path {shown!r} cannot be read ({str(error).rstrip('.')})",
            expected=f"a path of 1 to {LONGEST_PATH} characters",
            todo="write it in full, from / on",
        ) from error


def require_folder(path: Path, option: str) -> None:
    """Raise WorkspaceError where `option` names no file, or one in a folder that is not there."""
    if not path.name:
        raise WorkspaceError(f"{option} names no file", expected="a file to write", todo=f"name it with {option}")
    with os_errors_as_workspace_errors(path):
        is_there = path.absolute().parent.is_dir()
    if not is_there:
        raise WorkspaceError(
            f"there is no folder {path.parent}", expected=f"a folder for the file of {option}", todo="make it first"
        )


def require_place(path: Path) -> None:
    """Raise WorkspaceError where nothing can be written to `path`, not even in folders that would be made for it."""
    folder = path.absolute().parent
    with os_errors_as_workspace_errors(path):
        while not folder.exists():
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            pass


def text_of(file_name: str) -> str:
    """The text that `file_name` made a name of."""
    return unquote(file_name, errors="surrogatepass")


def moment(after: Iterable[str] = ()) -> str:
    """The time in UTC by which files of a kind are ordered: now, but later than every one of `after`."""
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    last = max(after, default="")
    if now > last:
        return now
    try:
        return (datetime.fromisoformat(last) + timedelta(microseconds=1)).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):  # no time at all
        return now


@dataclass(frozen=True)
class Workspace:
    """One folder of data sets, generators, images, classifiers and studies; open it with `open_workspace`."""

    root: Path

    def begin(self) -> "Workspace":
        """Make it unless it is there, and return it; for those that write the first of it.

        Raises WorkspaceError where the folder cannot be written.
        """
        marker = self.root / MARKER
        with os_errors_as_workspace_errors(marker):
            if not marker.exists():
                write_json(marker, {"version": WORKSPACE_VERSION})
        return self

    def dataset(self, name: str) -> Path:
        return self.root / "datasets" / f"{name}.h5"

    def folds(self, name: str) -> Path:
        return self.root / "datasets" / f"{name}.folds.json"

    def datasets(self) -> list[str]:
        """The names of the prepared data sets that have folds, sorted."""
        return sorted(path.stem for path in self.root.glob("datasets/*.h5") if self.folds(path.stem).exists())

    def gan(self, dataset: str, fold: int, digest: str) -> GanRun:
        return GanRun(self.root / "gans" / f"{dataset}-fold{fold}-{digest[:8]}", dataset, fold)

    def gans(self, dataset: str | None = None, fold: int | None = None) -> list[GanRun]:
        """The generators' folders, of one data set and fold if asked, the one configured last at the end.

        The order is that of the times in their config.json, which stay when files are copied.
        """
        found = []
        for config in sorted(self.root.glob("gans/*/config.json")):
            match = _RUN_NAME.fullmatch(config.parent.name)
            if match and dataset in (None, match["dataset"]) and fold in (None, int(match["fold"])):
                found.append((creation_time(config), GanRun(config.parent, match["dataset"], int(match["fold"]))))
        return [run for _, run in sorted(found, key=lambda pair: (pair[0], pair[1].root.name))]

    def synthetic(self, gan: str, kimg: float, psi: float, seed: int, variant: str = "") -> Path:
        """`variant`: digest of further options, empty where there are none."""
        name = f"{gan}-{kimg_name(kimg)}-psi{psi:g}-seed{seed}"
        return self.root / "synthetic" / f"{name}{variant and '-'}{variant[:8]}.h5"

    def part(self, synthetic: Path, index: int, count: int) -> Path:
        """What one of `count` shards makes of a synthetic file."""
        return synthetic.parent / "parts" / synthetic.stem / f"{index}-of-{count}.h5"

    def parts(self, synthetic: Path) -> list[Path]:
        """The parts of a synthetic file that are there, sorted by name."""
        return sorted(self.part(synthetic, 0, 1).parent.glob("*-of-*.h5"))

    def synthetics(self) -> list[Path]:
        """The synthetic files, sorted by name."""
        return sorted(self.root.glob("synthetic/*.h5"))

    def evaluation(self, synthetic: str, against: str) -> Path:
        """The page of what was found of a synthetic file of this name, next to real images of these patients."""
        return self.root / "evaluations" / f"{Path(synthetic).stem}-{against}.html"

    def classifier(self, dataset: str, name: str, fold: int, digest: str) -> ClassifierRun:
        safe = re.sub(r"[^\w.+-]", "_", name)
        return ClassifierRun(self.root / "classifiers" / f"{dataset}-{safe}-fold{fold}-{digest[:8]}")

    def classifiers(self) -> list[ClassifierRun]:
        """The classifiers' folders, the one configured last at the end; the order is that of the times inside."""
        configs = sorted(self.root.glob("classifiers/*/config.json"), key=lambda path: (creation_time(path), path))
        return [ClassifierRun(path.parent) for path in configs]

    def features(self, key: str) -> Path:
        return self.root / "cache" / "features" / f"{key[:32]}.npy"

    def checked(self, digest: str) -> Path:
        """Where it is noted that the content of a file was found to be what the file says."""
        return self.root / "cache" / "checked" / f"{digest[:32]}.json"

    def external(self, digest: str) -> Path:
        """Where images of another tool are kept, by what they were read from."""
        return self.root / "cache" / "external" / f"{digest[:32]}.h5"

    def study(self, name: str) -> Study:
        return Study(self.root / "studies" / name)


def workspace_root(path: str | Path | None = None) -> Path:
    """The folder at `path`, else at $GANAUG_WORKSPACE, else ./ganaug-workspace, whether it is there or not."""
    return user_path(path or os.environ.get(ENVIRONMENT_VARIABLE) or "ganaug-workspace")


def open_workspace(path: str | Path | None = None, *, tidy: bool = True) -> Workspace:
    """Open the workspace at `workspace_root(path)`, which may be missing: `Workspace.begin` makes it.

    tidy: make one of a folder of copied generators, whose images will lie there, and remove images that killed commands
    left half-written; without it nothing is written or removed. Raises WorkspaceError where the folder is no workspace
    or is one of another version.
    """
    root = workspace_root(path)
    marker = root / MARKER
    with os_errors_as_workspace_errors(marker):
        is_there = marker.exists()
        is_other = not is_there and root.is_dir() and any(root.glob("datasets/*.h5"))
    if is_other:
        raise WorkspaceError(
            f"{root} holds data sets but no workspace.json",
            expected=f"a workspace of version {WORKSPACE_VERSION}",
            todo="name another folder with --workspace",
        )
    if is_there:
        found = read_json_object(marker, {"version": NUMBER})["version"]
        if found != WORKSPACE_VERSION:
            raise WorkspaceError(
                f"{root} is a workspace of version {found}",
                expected=f"version {WORKSPACE_VERSION}",
                todo="use the ganaug that wrote it, or name another folder with --workspace",
            )
    workspace = Workspace(root)
    if tidy and (is_there or any(root.glob("gans/*"))):
        workspace.begin()
        # Cells and states hold no pixels: what is left of those goes when the next one is written there.
        for folder in (root / "datasets", root / "synthetic", *root.glob("gans/*/samples")):
            sweep_parts(folder)
    return workspace


def creation_time(config: Path) -> str:
    """When a generator or a study was laid down, as its JSON file says; empty where it does not."""
    try:
        return str(read_json_object(config, {"created": TEXT})["created"])
    except UserError:
        return ""

"""Every path and file name of a workspace, and the only ways in which files come to stand there."""

import errno
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from ganaug.errors import UserError, WorkspaceError

WORKSPACE_VERSION = 2
ENVIRONMENT_VARIABLE = "GANAUG_WORKSPACE"
PROVENANCE_BESIDE_IMAGES = "provenance.json"  # marks a folder of exported synthetic images
LONGEST_PATH = 4096  # characters; Linux takes as many bytes
_SAFE = " .+=,@~"  # beside letters, digits, underscores and dashes
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))}
_RUN_NAME = re.compile(r"(?P<dataset>.+)-fold(?P<fold>\d+)-(?P<digest>[0-9a-f]{8})")
_STATE_NAME = re.compile(r"state-\d{10}\.safetensors")
_EMA_NAME = re.compile(r"ema-(\d{6})kimg\.safetensors")


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
class GanRun:
    """The folder of one generator: gans/<dataset>-fold<k>-<digest of its configuration>."""

    root: Path
    dataset: str
    fold: int

    @property
    def config(self) -> Path:
        return self.root / "config.json"

    @property
    def environment(self) -> Path:
        return self.root / "env.json"

    @property
    def stats(self) -> Path:
        return self.root / "stats.jsonl"

    @property
    def metrics(self) -> Path:
        return self.root / "metrics.jsonl"

    def state(self, num_images: int) -> Path:
        return self.root / "state" / f"state-{num_images:010d}.safetensors"

    def states(self) -> list[Path]:
        """The states to resume from, the newest last."""
        return sorted(path for path in self.root.glob("state/*") if _STATE_NAME.fullmatch(path.name))

    @property
    def trainer(self) -> Path:
        """Says which process trains the run, or did last; held by it meanwhile."""
        return self.root / "trainer.json"

    @property
    def scores(self) -> Path:
        return self.root / "scores.jsonl"

    @property
    def extractor(self) -> Path:
        return self.root / "extractor.safetensors"

    def ema(self, kimg: float) -> Path:
        return self.root / "ema" / f"ema-{round(kimg):06d}kimg.safetensors"

    def samples(self, kimg: float) -> Path:
        return self.root / "samples" / f"fakes-{round(kimg):06d}kimg.png"

    def strips(self, kind: str, kimg: float, psi: float, seed: int) -> Path:
        return self.root / "samples" / f"{kind}-{round(kimg):06d}kimg-psi{psi:g}-seed{seed}.png"

    @property
    def reals(self) -> Path:
        return self.root / "samples" / "reals.png"

    def snapshots(self) -> list[Path]:
        """The averaged generators, the newest last."""
        return sorted(path for path in self.root.glob("ema/*") if _EMA_NAME.fullmatch(path.name))

    def newest_ema(self) -> Path | None:
        return max(self.snapshots(), default=None)


@dataclass(frozen=True)
class Study:
    """The folder of one study: studies/<name>."""

    root: Path

    @property
    def design(self) -> Path:
        return self.root / "design.json"

    def cell(self, name: str) -> Path:
        return self.root / "cells" / f"{name}.json"

    def predictions(self, name: str) -> Path:
        return self.root / "cells" / f"{name}.npz"

    @property
    def results(self) -> Path:
        return self.root / "results.jsonl"

    @property
    def verdict(self) -> Path:
        return self.root / "verdict.json"

    @property
    def report(self) -> Path:
        return self.root / "report.html"


@dataclass(frozen=True)
class Workspace:
    """One folder that holds the data sets, generators, synthetic images and studies; open it with `open_workspace`."""

    root: Path

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
                found.append((created_of(config), GanRun(config.parent, match["dataset"], int(match["fold"]))))
        return [run for _, run in sorted(found, key=lambda pair: (pair[0], pair[1].root.name))]

    def synthetic(self, gan: str, kimg: float, psi: float, seed: int, variant: str = "") -> Path:
        """`variant`: digest of further options, empty where there are none."""
        name = f"{gan}-{round(kimg):06d}kimg-psi{psi:g}-seed{seed}"
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

    def features(self, key: str) -> Path:
        return self.root / "cache" / "features" / f"{key[:32]}.npy"

    def checked(self, digest: str) -> Path:
        """Where it is noted that the content of a file was found to be what the file says."""
        return self.root / "cache" / "checked" / f"{digest[:32]}.json"

    def study(self, name: str) -> Study:
        return Study(self.root / "studies" / name)


def open_workspace(path: str | Path | None = None) -> Workspace:
    """Open the workspace at `path`, else at $GANAUG_WORKSPACE, else ./ganaug-workspace, making it where it is missing.

    Raises WorkspaceError where the folder cannot be written or belongs to another version.
    """
    root = user_path(path or os.environ.get(ENVIRONMENT_VARIABLE) or "ganaug-workspace")
    marker = root / "workspace.json"
    if marker.exists():
        found = read_json(marker).get("version")
        if found != WORKSPACE_VERSION:
            raise WorkspaceError(
                f"{root} is a workspace of version {found}",
                expected=f"version {WORKSPACE_VERSION}",
                todo="use the ganaug that wrote it, or name another folder with --workspace",
            )
    else:
        if root.is_dir() and any(root.glob("datasets/*.h5")):
            raise WorkspaceError(
                f"{root} holds data sets but no workspace.json",
                expected=f"a workspace of version {WORKSPACE_VERSION}",
                todo="name another folder with --workspace",
            )
        write_json(marker, {"version": WORKSPACE_VERSION})
    return Workspace(root)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary neighbour of `path` to write to; it takes the final name only when the block ends well.

    Any I/O fault, a full disk among them, becomes a WorkspaceError; the neighbour is removed and an older file stays.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        part = Path(name)
    try:
        with explained(path):
            yield part
            with part.open("rb") as written:
                os.fsync(written.fileno())
            part.chmod(0o666 & ~_umask())
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError around `path` into one line that says what to do."""
    try:
        yield
    except UserError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
            raise WorkspaceError(
                f"the disk is full: {path} was not written",
                todo="free some space and run the same command again; all that was finished is kept",
            ) from error
        raise WorkspaceError(f"{path} cannot be read or written ({error.strerror or error})") from error


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """The value of a JSON file; raises WorkspaceError where it is missing or torn."""
    with explained(path):
        text = path.read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except ValueError as error:
        raise WorkspaceError(
            f"{path} is not valid JSON ({error})", todo="remove it and run the command again"
        ) from error


def append_jsonl(path: Path, record: dict[str, Any]) -> None:
    """Add one line to a JSON-lines file; a line that was torn before it stays torn alone."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
            torn = file.read(1) not in (b"", b"\n")
            line = json.dumps(record, ensure_ascii=False) + "\n"
            file.write(("\n" * torn + line).encode())


def write_jsonl(path: Path, records: list[dict[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """The records of a JSON-lines file; a torn last line (the process was killed) is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def created_of(config: Path) -> str:
    """When a generator was configured, as its config.json says; empty where it does not."""
    try:
        values = read_json(config)
    except UserError:
        return ""
    created = values.get("created") if isinstance(values, dict) else None
    return created if isinstance(created, str) else ""


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

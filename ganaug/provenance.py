"""Fingerprints of data sets, folds and generators, and the refusal of whatever saw what it must not have seen.

A record is sealed: its digest covers every field and the content it belongs to (weights or images). A seal shows that a
file is not what was written, by accident or by hand. It is no signature: who rewrites the record and recomputes the
seal is not stopped by it.
"""

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ganaug.errors import LeakError, some_of


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form (sorted keys, no spaces), as 64 hexadecimal digits."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def digest_of_bytes(parts: Iterable[bytes]) -> str:
    """SHA-256 over several byte strings, each preceded by its length so that their borders count."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Provenance:
    """What a generator was trained on, carried by its weights and by every image it made."""

    dataset: str  # name of the data set
    dataset_fingerprint: str
    folds_digest: str
    fold: int
    groups_seen: tuple[str, ...]  # every patient of whom an image was shown, sorted
    config_digest: str  # of the generator's configuration
    kimg: float = 0.0  # thousands of real images shown so far
    generator: str = ""  # content digest of the weights; on synthetic images, which generator made them
    declared: tuple[str, ...] = ()  # what weights it began with had seen, by the user's word, which nothing can check
    content: str = ""  # digest of what the record is attached to
    seal: str = ""  # digest of all the other fields

    def sealed(self, content: str) -> "Provenance":
        """The record bound to `content` (a digest)."""
        bare = replace(self, content=content, seal="")
        return replace(bare, seal=digest_of(bare.to_dict()))

    def to_dict(self) -> dict[str, Any]:
        values = {**asdict(self), "groups_seen": list(self.groups_seen), "declared": list(self.declared)}
        return values if self.declared else {name: value for name, value in values.items() if name != "declared"}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False)


def read_provenance(stored: str | dict[str, Any] | None, source: Path | str) -> Provenance:
    """Parse and check a record, given as JSON or as its values; `require_content` checks what it is attached to.

    Raises LeakError where it is missing, malformed or edited.
    """
    if not stored:
        raise LeakError(f"{source} carries no provenance", expected="a file written by ganaug", todo="make it anew")
    try:
        values = json.loads(stored) if isinstance(stored, str) else stored
        lists = {"groups_seen": tuple(values["groups_seen"]), "declared": tuple(values.get("declared", ()))}
        record = Provenance(**{**values, **lists})
    except (ValueError, TypeError, KeyError) as error:
        names = ", ".join(field.name for field in fields(Provenance))
        raise LeakError(
            f"the provenance of {source} is malformed", expected=f"the fields {names}", todo="make it anew"
        ) from error
    if record.sealed(record.content).seal != record.seal:
        raise LeakError(
            f"the provenance of {source} was edited after it was written",
            expected=f"the seal {record.sealed(record.content).seal[:12]}, not {record.seal[:12]}",
            todo="make the file anew with ganaug",
        )
    return record


def require_content(record: Provenance, content: str, source: Path | str) -> None:
    """Raise LeakError where the content of a file is not what its provenance was sealed with."""
    if record.content != content:
        raise LeakError(
            f"the content of {source} was changed after its provenance was sealed",
            expected=f"the digest {record.content[:12]}, not {content[:12]}",
            todo="make the file anew with ganaug",
        )


def require_no_leak(
    record: Provenance,
    *,
    source: Path | str,
    dataset_fingerprint: str,
    folds_digest: str,
    fold: int,
    train_groups: Collection[str],
) -> None:
    """Refuse a generator, or its images, that may not serve a fold.

    Raises LeakError, which says which patients it saw, or which data set or folds it is for.
    """
    if record.dataset_fingerprint != dataset_fingerprint:
        raise LeakError(
            f"{source} comes from another data set ({record.dataset}, {record.dataset_fingerprint[:12]})",
            expected=f"the data set {dataset_fingerprint[:12]}",
            todo="train its generator on this data set",
        )
    leaked = sorted(set(record.groups_seen) - set(train_groups))
    if leaked:
        raise LeakError(
            f"{source} comes from a generator that saw {some_of(leaked)}, "
            f"of the validation or test part of fold {fold}",
            expected=f"only training patients of fold {fold}",
            todo=f"use the generator of fold {fold} (ganaug train-gan --fold {fold})",
        )
    if record.folds_digest != folds_digest:
        raise LeakError(
            f"{source} was made for other folds ({record.folds_digest[:12]})",
            expected=f"the folds {folds_digest[:12]}",
            todo="train its generator on these folds",
        )

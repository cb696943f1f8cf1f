"""Fingerprints of data sets, folds and generators, the seals of records, and what a generator has seen.

A record is sealed: its digest covers every field and the content it belongs to (weights or images). A seal shows that a
file is not what was written, by accident or by hand. Whoever rewrites the record can compute the seal again; where
$GANAUG_KEY names a key file, records are also signed with it (HMAC-SHA256), and nothing unsigned is accepted.

Records leave the workspace with weights and images, so they name nobody: patients and images stand as digests under a
key that only the data set's own file gives (`ganaug.data.schema.ImageTable.key`).
"""

import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ganaug.errors import ConfigError, LeakError
from ganaug.files import parse_json
from ganaug.remember import once_per_file

KEY_VARIABLE = "GANAUG_KEY"
MIN_KEY_BYTES = 16


def digest_of(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form (sorted keys, no spaces), as 64 hexadecimal digits."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()  # half a letter, of a file name


def digest_of_bytes(parts: Iterable[bytes]) -> str:
    """SHA-256 over several byte strings, each preceded by its length so that their borders count."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


@once_per_file(maxsize=256)
def digest_of_file(path: Path) -> str:
    """SHA-256 of a file, which is read once while it is the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def keyed_digest(key: bytes, kind: str, name: str) -> str:
    """What stands for a name (of a patient, or the digest of an image) in what is shared: 24 hexadecimal digits."""
    return hmac.new(key, f"{kind}\0{name}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:24]


# ---- seals -----------------------------------------------------------------------------------------------------------


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values with their `seal`, and their `signature` where $GANAUG_KEY is set; `require_seal` checks both."""
    bare = {name: value for name, value in values.items() if name not in ("seal", "signature")}
    seal = digest_of(bare)
    return {**bare, "seal": seal, **_signature_of(seal)}


def require_seal(values: Any, source: Path | str) -> dict[str, Any]:
    """The values less their seal, once it fits them; raises LeakError where they were edited or are not signed."""
    if not isinstance(values, dict) or not isinstance(values.get("seal"), str):
        raise LeakError(f"{source} carries no seal", expected="a file written by ganaug", todo="make it again")
    bare = {name: value for name, value in values.items() if name not in ("seal", "signature")}
    require_equal_seal(digest_of(bare), values["seal"], source)
    require_signature(values["seal"], values.get("signature"), source)
    return bare


def require_equal_seal(found: str, written: str, source: Path | str) -> None:
    """Raise LeakError where what a file holds now has another digest than it was sealed with."""
    if found != written:
        raise LeakError(
            f"{source} was edited after it was written",
            expected=f"the seal {found[:12]}, not {str(written)[:12]}",
            todo="make the file again with ganaug",
        )


def signature_of(seal: str) -> str:
    """The signature of a seal under $GANAUG_KEY; empty where that is not set."""
    key = signing_key()
    return "" if key is None else hmac.new(key, seal.encode(), hashlib.sha256).hexdigest()


def require_signature(seal: str, signature: Any, source: Path | str) -> None:
    """Raise LeakError where $GANAUG_KEY is set and the seal is not signed with it."""
    wanted = signature_of(seal)
    given = signature.encode("utf-8", "surrogatepass") if isinstance(signature, str) else b""
    if wanted and not hmac.compare_digest(wanted.encode(), given):
        raise LeakError(
            f"{source} is {'signed with another key' if signature else 'not signed'}",
            expected=f"a signature with the key of ${KEY_VARIABLE}",
            todo=f"make it again with this key, or unset {KEY_VARIABLE} to accept what is only sealed",
        )


def _signature_of(seal: str) -> dict[str, str]:
    signature = signature_of(seal)
    return {"signature": signature} if signature else {}


def signing_key() -> bytes | None:
    """The content of the file that $GANAUG_KEY names, None where it is not set; raises ConfigError."""
    name = os.environ.get(KEY_VARIABLE)
    return _read_key(name) if name else None


@lru_cache(maxsize=4)
def _read_key(name: str) -> bytes:
    try:
        key = Path(name).read_bytes().strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"the key file {name} of {KEY_VARIABLE} cannot be read ({reason})", expected="a file"
        ) from error
    if len(key) < MIN_KEY_BYTES:
        raise ConfigError(
            f"the key file {name} of {KEY_VARIABLE} holds {len(key)} bytes",
            expected=f"at least {MIN_KEY_BYTES} random ones",
            todo="make one with `head -c 32 /dev/urandom > ganaug.key` and keep it to yourself",
        )
    return key


# ---- what a generator has seen ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """Patients and images that something was shown, by digests that name nobody; each sorted."""

    groups: tuple[str, ...] = ()  # keyed digests of patients
    images: tuple[str, ...] = ()  # keyed digests of the images' source files
    hashes: tuple[str, ...] = ()  # perceptual hashes of the images, 16 hexadecimal digits

    def __or__(self, other: "Seen") -> "Seen":
        return Seen(
            groups=tuple(sorted({*self.groups, *other.groups})),
            images=tuple(sorted({*self.images, *other.images})),
            hashes=tuple(sorted({*self.hashes, *other.hashes})),
        )


@dataclass(frozen=True)
class Provenance:
    """What a generator was trained on, carried by its weights and by every image it made."""

    dataset: str  # name of the data set
    dataset_fingerprint: str
    folds_digest: str
    fold: int
    groups_seen: tuple[str, ...]  # every patient of whom an image was shown: keyed digests, sorted
    config_digest: str  # of the generator's configuration
    kimg: float = 0.0  # thousands of real images shown so far
    generator: str = ""  # content digest of the weights; on synthetic images, which generator made them
    declared: tuple[str, ...] = ()  # what weights it began with had seen, by the user's word, which nothing can check
    images_seen: tuple[str, ...] = ()  # keyed digests of the images shown, sorted
    hashes_seen: tuple[str, ...] = ()  # their perceptual hashes, by which other data sets know them too, sorted
    content: str = ""  # digest of what the record is attached to
    seal: str = ""  # digest of all the other fields but the signature
    signature: str = ""  # of the seal, under the key of $GANAUG_KEY; empty where none was set

    @property
    def seen(self) -> Seen:
        return Seen(self.groups_seen, self.images_seen, self.hashes_seen)

    def sealed(self, content: str) -> "Provenance":
        """The record bound to `content` (a digest), and signed where $GANAUG_KEY is set."""
        seal = self._seal_with(content)
        return replace(self, content=content, seal=seal, signature=signature_of(seal))

    def _seal_with(self, content: str) -> str:
        bare = replace(self, content=content, seal="", signature="")
        return digest_of(bare.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False)


def read_provenance(
    stored: str | dict[str, Any] | None, source: Path | str, *, must_be_signed: bool = True
) -> Provenance:
    """Parse and check a record, given as JSON or as its values; `require_content` checks what it is attached to.

    must_be_signed: where there is a key; no user's key has signed what comes with this package.
    Raises LeakError where it is missing, malformed or edited.
    """
    if not stored:
        raise LeakError(f"{source} carries no provenance", expected="a file written by ganaug", todo="make it again")
    names = ", ".join(field.name for field in fields(Provenance))
    seen = f"the provenance of {source} is malformed"
    malformed = LeakError(seen, expected=f"the fields {names}", todo="make it again")
    record = _parse(stored)
    if record is None:
        raise malformed
    require_equal_seal(record._seal_with(record.content), record.seal, f"the provenance of {source}")
    if must_be_signed:
        require_signature(record.seal, record.signature, f"the provenance of {source}")
    if not _is_plausible(record):
        raise malformed
    return record


def _parse(stored: str | dict[str, Any]) -> Provenance | None:
    """The record, once every field is there and of its kind."""
    try:
        values = parse_json(stored) if isinstance(stored, str) else stored
    except ValueError:
        return None
    if not isinstance(values, dict) or set(values) != {field.name for field in fields(Provenance)}:
        return None
    lists = {name: value for name, value in values.items() if name in _LISTS}
    texts = [value for name, value in values.items() if name not in (*_LISTS, "fold", "kimg")]
    texts += [entry for value in lists.values() if isinstance(value, list) for entry in value]
    numbers = type(values["fold"]) is int and type(values["kimg"]) in (int, float)
    if not (numbers and all(isinstance(value, list) for value in lists.values())):
        return None
    if not all(isinstance(text, str) for text in texts):
        return None
    return Provenance(**{**values, **{name: tuple(value) for name, value in lists.items()}})


def _is_plausible(record: Provenance) -> bool:
    """Whether the fields can be what they are taken for: a fold (-1 unknown), a folder's name, hashes, and so on."""
    numbers = -1 <= record.fold < 2**31 and 0 <= record.kimg < 1e9
    digests = _CONFIG_DIGEST.fullmatch(record.config_digest) and all(map(_HASH.fullmatch, record.hashes_seen))
    return numbers and bool(digests)


_CONFIG_DIGEST = re.compile(r"\w*")  # it becomes part of a folder's name
_HASH = re.compile(r"[0-9a-f]{16}")
_LISTS = ("groups_seen", "declared", "images_seen", "hashes_seen")


def require_content(record: Provenance, content: str, source: Path | str) -> None:
    """Raise LeakError where the content of a file is not what its provenance was sealed with."""
    if record.content != content:
        raise LeakError(
            f"the content of {source} was changed after its provenance was sealed",
            expected=f"the digest {record.content[:12]}, not {content[:12]}",
            todo="make the file again with ganaug",
        )

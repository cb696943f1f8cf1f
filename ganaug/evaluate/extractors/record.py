"""The record of an extractor that a stored probe needs and does not hold, and the place where its weights are found."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganaug.errors import ConfigError, DataError, private
from ganaug.fields import require_kinds
from ganaug.provenance import digest_of_file
from ganaug.weights import PROBE_PREFIX, WEIGHTS, find_weights, published_name, weights_folder


@dataclass(frozen=True)
class ExtractorRecord:
    """What a stored probe says of its extractor."""

    name: str
    sha256: str  # of the file of its weights
    preprocessing: str


@dataclass(frozen=True)
class ExtractorPlace:
    """Where the weights of an extractor are: in a file, else where published ones are found."""

    file: Path | None = None
    weights_dir: Path | None = None  # of published weights; None: $GANAUG_WEIGHTS, else the installed packages

    @property
    def is_named(self) -> bool:
        return (self.file, self.weights_dir) != (None, None)

    def find(self, classifier: str, record: ExtractorRecord) -> Path:
        """The file that a probe was trained with; raises ConfigError, DataError or WeightsError."""
        path = self._path(classifier, record)
        found = digest_of_file(path)
        if found != record.sha256:
            raise ConfigError(
                f"{private(path)} ({found[:12]}) is another file than the extractor of {classifier}",
                expected=f"the file that it was trained with ({record.sha256[:12]})",
                todo="name that one with --pretrained FILE",
            )
        return path

    def _path(self, classifier: str, record: ExtractorRecord) -> Path:
        if self.file is not None:
            if not self.file.is_file():
                raise DataError(
                    f"there is no file of weights {private(self.file)}",
                    todo="name one that exists with --pretrained FILE",
                )
            return self.file
        if published_name(classifier) in WEIGHTS:
            return find_weights(weights_folder(self.weights_dir), published_name(classifier))
        raise ConfigError(
            f"{classifier} needs the weights of its extractor, which are not stored with it",
            expected=f"the file that it was trained with ({record.sha256[:12]})",
            todo="name it with --pretrained FILE",
        )


def read_extractor_record(stored: Mapping[str, Any] | None, classifier: str) -> ExtractorRecord | None:
    """The record out of JSON values, None of a network's; ConfigError, TypeError or ValueError where it cannot be."""
    if (stored is not None) != classifier.startswith(PROBE_PREFIX):
        raise ValueError("an extractor of no probe, or a probe of no extractor")
    if stored is None:
        return None
    require_kinds(ExtractorRecord, stored)
    return ExtractorRecord(**stored)

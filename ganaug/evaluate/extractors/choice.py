"""The choice of an extractor, as a person writes it: `NAME` or `NAME=FILE`."""

import re
from dataclasses import dataclass
from pathlib import Path

from ganaug.config import EXTRACTOR_NAMES, FILE_EXTRACTORS, FITTED_EXTRACTORS
from ganaug.errors import ConfigError, private
from ganaug.workspace import user_path

_LABEL = re.compile(r"[\w.-]{1,40}")


def spelling_of(kind: str) -> str:
    """How an entry of EXTRACTORS is named: `timm:NAME`, as a network of timm is part of the name."""
    return {"timm": "timm:NAME"}.get(kind, kind)


SYNTAX = ", ".join(spelling_of(kind) + "=FILE" * (kind in FILE_EXTRACTORS) for kind in EXTRACTOR_NAMES)


@dataclass(frozen=True)
class ExtractorChoice:
    """An extractor by its name, and the file of its weights where one is named.

    Raises ConfigError for an unknown name, for a file that is missing, and for one that nothing would read.
    """

    name: str  # of EXTRACTORS; `timm:NAME` names a network, `torchscript:LABEL` a program within its figures
    file: Path | None = None  # None: published weights are found in the weights folder

    def __post_init__(self) -> None:
        if self.kind in FILE_EXTRACTORS and self.file is None:
            raise ConfigError(
                f"the extractor {self.name} without a file of weights",
                expected=f"{self.name}=FILE",
                todo="name the file",
            )
        if self.kind in FITTED_EXTRACTORS and self.file is not None:
            raise ConfigError(
                f"the extractor {self.name} with the file {private(self.file)}",
                expected=f"{self.name} alone, as it is made from the training images",
            )

    @property
    def kind(self) -> str:
        """The entry of EXTRACTORS."""
        return split_name(self.name)[0]


def split_name(name: str) -> tuple[str, str]:
    """The entry of EXTRACTORS that a name means, and what follows its colon; ConfigError for an unknown one.

    >>> split_name("timm:vit_large_patch16_224.mae")
    ('timm', 'vit_large_patch16_224.mae')
    """
    kind, colon, rest = name.partition(":")
    is_known = kind in EXTRACTOR_NAMES and bool(rest) == bool(colon)
    has_rest = {"timm": (True,), "torchscript": (True, False)}.get(kind, (False,))
    if not is_known or bool(rest) not in has_rest:
        raise ConfigError(f"unknown extractor {name}", expected=SYNTAX)
    if kind == "torchscript" and rest and not _LABEL.fullmatch(rest):
        raise ConfigError(
            f"the label {rest} of a program",
            expected="up to 40 letters, digits, hyphens, dots or underscores, as it stands in the names of figures",
        )
    return kind, rest


def parse_choice(text: str) -> ExtractorChoice:
    """The choice that a text such as `squeezenet` or `timm:vit_large_patch16_224=uni.safetensors` means.

    Raises ConfigError as `ExtractorChoice` does, WorkspaceError where the file cannot be a path.
    """
    name, equals, file = text.partition("=")
    if equals and not file.strip():
        raise ConfigError(f"the extractor {text} names no file", expected=SYNTAX)
    return ExtractorChoice(name, user_path(file) if equals else None)

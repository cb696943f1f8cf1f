"""Which extractors may judge a generator: none that took part in its training or picked its images."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ganaug.config import FITTED_EXTRACTORS
from ganaug.data.schema import ImageTable
from ganaug.errors import ConfigError, UserError, WeightsError
from ganaug.evaluate.extractors.choice import ExtractorChoice
from ganaug.evaluate.extractors.extractor import Extractor, ExtractorInputs
from ganaug.evaluate.extractors.registry import available_extractors, open_extractor
from ganaug.provenance import digest_of_file, require_seal
from ganaug.weights import find_weights
from ganaug.workspace import TEXT, GanRun, read_json_object, read_jsonl

PRETRAINED = "pretrained"  # the field of a generator's configuration that lists what taught it
SNAPSHOT = "the choice of its snapshot"
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Teacher:
    """An extractor that a generator, or the images of one, depend on; by name or by digest, one of them is empty."""

    role: str  # what it served as, in words: the discriminator, the filter confidence
    name: str = ""  # of EXTRACTORS, or that of its figures
    digest: str = ""  # SHA-256 of its weights
    forbids: bool = True  # whether it may not judge the generator; False where its figures only need a note


@dataclass(frozen=True)
class _Candidate:
    """An extractor that may become a judge, as teachers are known: by its names and its digest."""

    names: tuple[str, ...]
    digest: str

    def taught_as(self, teachers: Sequence[Teacher], *, forbids: bool = True) -> str:
        """What it served the generator as, in words; empty where it did not."""
        found = [
            teacher.role
            for teacher in teachers
            if teacher.forbids == forbids and (teacher.name in self.names or teacher.digest == self.digest)
        ]
        return " and ".join(dict.fromkeys(found))


def find_teachers(
    pretrained: Mapping[str, str], attrs: Mapping[str, Any], scored_by: Sequence[str] = ()
) -> tuple[Teacher, ...]:
    """The extractors that a generator and its images depend on.

    pretrained: by its role in the training, the name of an extractor or the SHA-256 of its weights. attrs: of the
    synthetic file. The record of each filter is sealed to the digest of what it was fitted to; a filter that looks
    through a network names it, or its digest, as `extractor`. scored_by: the extractors whose scores chose the
    snapshot, by the names of their figures.
    """
    found: list[tuple[str, Any]] = [(f"the {role}", what) for role, what in pretrained.items()]
    for name, entry in _mapping(attrs.get("filters")).items():
        record = _mapping(_mapping(entry).get("provenance"))
        found += [(f"the filter {name}", what) for what in (record.get("content"), _mapping(entry).get("extractor"))]
    teachers = [
        Teacher(role, digest=what) if _DIGEST.fullmatch(what) else Teacher(role, name=what)
        for role, what in found
        if isinstance(what, str) and what
    ]
    return (*teachers, *(Teacher(SNAPSHOT, name=name, forbids=False) for name in dict.fromkeys(scored_by)))


def teachers_of(run: GanRun | None, table: ImageTable) -> tuple[Teacher, ...]:
    """The same of a generator's folder and of the table of a synthetic file.

    A folder that is missing or whose config.json was edited says nothing. A snapshot was chosen where several were
    scored.
    """
    config: Mapping[str, Any] = {}
    scores: list[dict[str, Any]] = []
    if run is not None:
        with suppress(UserError):
            config = _mapping(require_seal(read_json_object(run.config), run.config).get("config"))
        with suppress(UserError):
            scores = read_jsonl(run.scores, {"snapshot": TEXT, "extractor": TEXT})
    is_chosen = len({row["snapshot"] for row in scores}) > 1
    return find_teachers(
        _pairs(config.get(PRETRAINED)), table.attrs, [row["extractor"] for row in scores] if is_chosen else ()
    )


def choose_judges(
    choices: Sequence[ExtractorChoice], teachers: Sequence[Teacher], inputs: ExtractorInputs
) -> list[Extractor]:
    """The extractors that judge a generator: those chosen, by default the first independent one that is available.

    One that taught the generator is refused where an independent network is at hand, published or chosen as well. Else
    it judges, and the note on its figures says that it is not independent. Made from the training images, classifier
    and pixels_pca are no such network. What is chosen twice judges once, and no two judges have one name.

    Raises ConfigError, and what `open_extractor` raises.
    """
    if not choices:
        return [_default_judge(teachers, inputs)]
    at_hand = _independent_networks(teachers, inputs)
    judges = []
    for choice, extractor in _open_each_once(choices, inputs):
        judge = _Candidate((choice.name, extractor.name), extractor.digest)
        if not judge.taught_as(teachers) and choice.kind not in FITTED_EXTRACTORS:
            at_hand.append(choice.name)
        judges.append((choice, judge, extractor))
    for choice, judge, _ in judges:
        role = judge.taught_as(teachers)
        if role and at_hand:
            raise ConfigError(
                f"the extractor {choice.name} served this generator as {role}",
                expected=f"a judge that did not, such as {', '.join(dict.fromkeys(at_hand))}",
                todo="choose it with --extractor",
            )
    return _with_names_apart([_add_notes(extractor, judge, teachers) for _, judge, extractor in judges])


def _open_each_once(
    choices: Sequence[ExtractorChoice], inputs: ExtractorInputs
) -> list[tuple[ExtractorChoice, Extractor]]:
    """The choices and their extractors; of those that are one network with one file, however named, the first."""
    opened: dict[tuple[str, ...], tuple[ExtractorChoice, Extractor]] = {}
    for choice in choices:
        extractor = open_extractor(choice.name, replace(inputs, file=choice.file))
        network = choice.kind if choice.kind == "torchscript" else choice.name  # whose label is no network
        opened.setdefault((network, extractor.digest, extractor.preprocessing), (choice, extractor))
    return list(opened.values())


def _with_names_apart(extractors: Sequence[Extractor]) -> list[Extractor]:
    """The extractors; a name that several have, as of two files for one network, gets digits of the digest."""
    times = Counter(extractor.name for extractor in extractors)
    return [
        replace(extractor, name=f"{extractor.name}-{extractor.digest[:8]}") if times[extractor.name] > 1 else extractor
        for extractor in extractors
    ]


def _default_judge(teachers: Sequence[Teacher], inputs: ExtractorInputs) -> Extractor:
    """The first extractor that is available and independent; pixels_pca is last, and always is."""
    published = {name: _published(name, inputs) for name in _available_networks(inputs)}
    names = [name for name, network in published.items() if not network.taught_as(teachers)]
    for name in (*names, *(name for name in FITTED_EXTRACTORS if name != "classifier" or inputs.run is not None)):
        extractor = open_extractor(name, inputs)
        judge = _Candidate((name, extractor.name), extractor.digest)
        if not judge.taught_as(teachers):
            break
    return _add_notes(extractor, judge, teachers)


def _independent_networks(teachers: Sequence[Teacher], inputs: ExtractorInputs) -> list[str]:
    """The extractors of published weights that are available and taught nothing."""
    found = []
    for name in _available_networks(inputs):
        with suppress(WeightsError):  # a file by the right name that is another one
            if not _published(name, inputs).taught_as(teachers):
                found.append(name)
    return found


def _available_networks(inputs: ExtractorInputs) -> list[str]:
    return [name for name in available_extractors(inputs.compute.weights_dir) if name not in FITTED_EXTRACTORS]


def _published(name: str, inputs: ExtractorInputs) -> _Candidate:
    path = find_weights(inputs.compute.weights_dir, name)
    return _Candidate((name, path.stem), digest_of_file(path))


def _add_notes(extractor: Extractor, judge: _Candidate, teachers: Sequence[Teacher]) -> Extractor:
    role, notes = judge.taught_as(teachers), [extractor.note]
    if role:
        notes.insert(0, f"not independent: this extractor served the generator as {role}")
    if judge.taught_as(teachers, forbids=False):
        notes.append("the snapshot was chosen by scores of this extractor, so its figures are somewhat too good")
    return replace(extractor, note="; ".join(filter(None, notes)))


def _pairs(value: Any) -> Mapping[str, Any]:
    """Pairs (role, digest), as a configuration lists them, by role."""
    pairs = value if isinstance(value, list) else []
    return {str(pair[0]): pair[1] for pair in pairs if isinstance(pair, list) and len(pair) == 2}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

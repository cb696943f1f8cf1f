"""Names of classifiers with their switches: `resvit_gannet[alignment=off,tama=off]`."""

import re
from collections.abc import Mapping

from classifiers.models.entry import Classifier

_NAME = re.compile(r"(?P<base>[^\[\]]+)(?:\[(?P<switches>[^\[\]]*)\])?")


def split_name(name: str) -> tuple[str, dict[str, str]]:
    """The base of a name and the switches in its brackets; raises ValueError where they are not written as such."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"the classifier {name!r}; expected name or name[switch=value,…]; write it so")
    pairs = [pair.strip().partition("=") for pair in (match["switches"] or "").split(",") if pair.strip()]
    switches = {key.strip(): value.strip() for key, _, value in pairs}
    if len(switches) < len(pairs) or not all(key and value for key, value in switches.items()):
        raise ValueError(f"the switches of {name!r}; expected switch=value,…, each switch once; write them so")
    return match["base"].strip(), switches


def join_name(base: str, switches: Mapping[str, str]) -> str:
    """The name of a classifier with switches; `split_name` undoes it."""
    return base + (f"[{','.join(f'{key}={value}' for key, value in switches.items())}]" if switches else "")


def find_entry(name: str, registry: Mapping[str, Classifier]) -> tuple[Classifier, dict[str, str]]:
    """The registry's entry of a name, and all its switches with the values chosen.

    Raises ValueError for an unknown name, switch or value.
    """
    base, given = split_name(name)
    if base not in registry:
        expected = f"{', '.join(registry)}, timm:<name> or probe:<extractor>"
        raise ValueError(f"unknown classifier {base!r}; expected one of {expected}")
    known = registry[base].switches
    for key, value in given.items():
        if key not in known:
            expected = ", ".join(known) or "none, as it has no switch"
            raise ValueError(f"unknown switch {key!r} of {base}; expected {expected}")
        if value not in known[key]:
            raise ValueError(f"{key}={value} of {base}; expected {' or '.join(known[key])}")
    return registry[base], {key: given.get(key, values[0]) for key, values in known.items()}


def canonical_name(name: str, registry: Mapping[str, Classifier]) -> str:
    """The one way to write a name: switches in the registry's order, those at their default left away.

    A name that is not of the registry stays as it is.
    """
    base, _ = split_name(name)
    if base not in registry:
        return name
    entry, chosen = find_entry(name, registry)
    return join_name(base, {key: chosen[key] for key, values in entry.switches.items() if chosen[key] != values[0]})

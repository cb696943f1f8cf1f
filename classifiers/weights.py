"""Loading a model's weights from a local file: all of them, or whole backbones; anything in between is refused."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from classifiers.files.pickles import describe_value
from classifiers.files.torch_files import read_state_dict

log = logging.getLogger(__name__)

WHOLE = ""  # the name of the model among its parts, as `get_submodule` has it
SHOWN = 3  # names of each kind in a message


def load_weights(model: nn.Module, path: Path) -> str:
    """Copy the file's weights into the model and return a sentence that says what was loaded, which is also logged.

    The file is a state dict (.safetensors, or what `torch.save` wrote), or a checkpoint that holds one. It may hold the
    whole model, or any part that `model.backbones` names: a backbone's own file with its own names (an ImageNet
    classifier's; its head is left out), or several backbones with their part's name in front (`cnn.conv1.weight`, …).
    Where it does not fit and all its names begin with the same component, as with Lightning's `model.`, it is tried
    without that. A load that leaves a backbone out is logged as a warning. A model with `translate` also takes the
    names of its publisher. `model.pretrained_parts` then names the backbones that the file has filled.

    Raises FileNotFoundError without the file; ValueError where it is no state dict or nothing in it fits whole.
    """
    translate: Callable[[dict[str, Tensor]], dict[str, Tensor]] = getattr(model, "translate", dict)
    parts: tuple[str, ...] = tuple(getattr(model, "backbones", ()))
    state = read_state_dict(Path(path))
    loadable, problem = _select(model, parts, translate(state))
    outer = _common_component(state)
    if problem and outer:
        inner = {name.removeprefix(f"{outer}."): value for name, value in state.items()}
        loadable, inner_problem = _select(model, parts, translate(inner))
        is_own = any(name.startswith(f"{outer}.") for name in model.state_dict())
        problem = problem if is_own and inner_problem else inner_problem
    if problem:
        raise ValueError(f"{path} {problem}")
    for part, weights in loadable.items():
        model.get_submodule(part).load_state_dict(weights, strict=False)  # batch counters and a head are left out
    is_whole = WHOLE in loadable
    model.pretrained_parts = parts if is_whole else tuple(loadable)  # type: ignore[assignment]
    filled = "all weights" if is_whole else f"only {' and '.join(loadable)}"
    summary = f"{filled} from {path}" + ("" if is_whole else "; all other weights keep their initial values")
    lacks_a_backbone = not is_whole and set(loadable) != set(parts)
    log.log(logging.WARNING if lacks_a_backbone else logging.INFO, summary)
    return summary


def _common_component(state: Mapping[str, Tensor]) -> str:
    """The first component of all names, as `model` of `model.conv.weight`; empty where there is no such."""
    firsts = {name.partition(".")[0] if "." in name else "" for name in state}
    return firsts.pop() if len(firsts) == 1 else ""


def _select(
    model: nn.Module, parts: tuple[str, ...], state: dict[str, Tensor]
) -> tuple[dict[str, dict[str, Tensor]], str]:
    """The weights of each part that the file fills, WHOLE for the model, or none of them and why."""
    own = model.state_dict()
    if any(key in state for key in own if key.split(".")[0] not in parts):
        problem = _misfit(own, state, is_head_left_out=False)
        advice = "; expected its names and shapes; give the file of this model and these classes"
        return ({}, f"does not fit this model: {problem}{advice}") if problem else ({WHOLE: state}, "")
    loadable: dict[str, dict[str, Tensor]] = {}
    problems: list[str] = []
    for part in parts:
        prefixed = {key.removeprefix(f"{part}."): value for key, value in state.items() if key.startswith(f"{part}.")}
        problem = _misfit(model.get_submodule(part).state_dict(), prefixed or state)
        if not problem:
            loadable[part] = prefixed or state
            continue
        problems.append(f"{part}: {problem}")
        if prefixed:  # the file names this part, so it is not just another part's file
            advice = "expected its names and shapes; give a file of this architecture"
            return {}, f"does not fit this model ({problems[-1]}); {advice}"
    if loadable:
        return loadable, ""
    seen = "; ".join(problems) or f"its names are {_listed(list(state))}"
    return (
        {},
        f"fits no part of this model ({seen}); expected a part's names and shapes; give a file that holds one whole",
    )


def _misfit(own: Mapping[str, Tensor], state: Mapping[str, Tensor], *, is_head_left_out: bool = True) -> str:
    """The names that the file lacks, has too many or has in another shape; empty where it fits.

    Batch counters may be missing, and names of an ImageNet head may be there where that is left out.
    """
    needed = [key for key in own if not key.endswith("num_batches_tracked")]
    missing = [key for key in needed if key not in state]
    unexpected = [key for key in state if key not in own]
    reshaped = [key for key, value in own.items() if key in state and state[key].shape != value.shape]
    if not (missing or reshaped or (unexpected and not is_head_left_out)):
        return ""
    shapes = [
        f"{key} is {tuple(state[key].shape)} in the file and {tuple(own[key].shape)} in the model"
        for key in reshaped[:SHOWN]
    ]
    problems = [
        f"{len(missing)} of {len(needed)} names are missing: {_listed(missing)}" if missing else "",
        f"{len(unexpected)} names are unexpected: {_listed(unexpected)}" if unexpected else "",
        f"{len(reshaped)} shapes differ: {'; '.join(shapes)}" if reshaped else "",
    ]
    return ", ".join(filter(None, problems))


def _listed(names: Sequence[str]) -> str:
    """The first SHOWN of the names, on one line whatever a file holds."""
    return ", ".join(describe_value(name) for name in names[:SHOWN]) + (", …" if len(names) > SHOWN else "")

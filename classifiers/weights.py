"""Loading a model's weights from a local file: all of them, or whole backbones; anything in between is refused."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from classifiers.torch_files import read_state_dict

log = logging.getLogger(__name__)


def load_weights(model: nn.Module, path: Path) -> str:
    """Copy the file's weights into the model and return a sentence that says what was loaded, which is also logged.

    The file is a state dict (.safetensors, or what `torch.save` wrote). It may hold the whole model, or any part that
    `model.backbones` names: a backbone's own file with its own names (an ImageNet classifier's; its head is left
    out), or several backbones with their part's name in front (`cnn.conv1.weight`, …). A partial load is
    logged as a warning. A model with `translate` also takes the names of its publisher. `model.pretrained_parts`
    then names the backbones that the file has filled.

    Raises FileNotFoundError without the file; ValueError where it is no state dict or nothing in it fits whole.
    """
    translate: Callable[[dict[str, Tensor]], dict[str, Tensor]] = getattr(model, "translate", dict)
    state = translate(read_state_dict(Path(path)))
    own = model.state_dict()
    parts: tuple[str, ...] = getattr(model, "backbones", ())
    beyond_backbones = [key for key in own if key.split(".")[0] not in parts]
    if any(key in state for key in beyond_backbones):
        surplus = [key for key in state if key not in own]
        problem = _misfit(own, state) or (f"it has no {surplus[0]}" if surplus else "")
        if problem:
            raise ValueError(
                f"{path} does not fit this model: {problem}; give the file of this model and these classes"
            )
        model.load_state_dict(state, strict=False)  # batch counters may be missing
        model.pretrained_parts = tuple(parts)  # type: ignore[assignment]
        summary = f"all weights from {path}"
        log.info(summary)
        return summary
    return _load_backbones(model, parts, state, path)


def _load_backbones(model: nn.Module, parts: tuple[str, ...], state: dict[str, Tensor], path: Path) -> str:
    loadable: dict[str, dict[str, Tensor]] = {}
    problems: list[str] = []
    for part in parts:
        prefixed = {key.removeprefix(f"{part}."): value for key, value in state.items() if key.startswith(f"{part}.")}
        problem = _misfit(model.get_submodule(part).state_dict(), prefixed or state)
        if not problem:
            loadable[part] = prefixed or state
        else:
            problems.append(f"{part}: {problem}")
            if prefixed:  # the file names this part, so it is not just another part's file
                raise ValueError(f"{path} does not fit this model ({problems[-1]}); give a file of this architecture")
    if not loadable:
        seen = "; ".join(problems) or "the names are not this model's"
        raise ValueError(f"{path} fits no part of this model ({seen}); give a file that holds one whole")
    for part, weights in loadable.items():
        model.get_submodule(part).load_state_dict(weights, strict=False)  # a head in the file is left out
    model.pretrained_parts = tuple(loadable)  # type: ignore[assignment]
    summary = f"only {' and '.join(loadable)} from {path}; all other weights keep their initial values"
    log.warning(summary)
    return summary


def _misfit(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """The first name of `own` that the file lacks or has in another shape; empty where it fits.

    Batch counters may be missing.
    """
    needed = [key for key in own if not key.endswith("num_batches_tracked")]
    missing = [key for key in needed if key not in state]
    if missing:
        return f"{len(missing)} of {len(needed)} names are missing, the first is {missing[0]}"
    for key, value in own.items():
        if key in state and state[key].shape != value.shape:
            return f"{key} is {tuple(state[key].shape)} in the file and {tuple(value.shape)} in the model"
    return ""

"""Imported networks compared with the originals that they come from, run as they are.

The environment variable GANAUG_PEER names a checkout of stylegan2-ada-pytorch or of stylegan3; it is not needed for
anything else.
"""

import copy
import importlib
import os
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from ganaug.checkpoint.stylegan_pickles import load_external
from ganaug.model.discriminator import Discriminator
from ganaug.model.generator import Generator

CASES = {  # classes, resolution, mapping layers, channel base, half resolutions, clamp, group
    "the automatic preset's layers": (4, 64, 2, 2048, 4, 256, 4),
    "unconditional": (0, 32, 8, 1024, 0, None, 4),
    "a clamp that is felt": (3, 32, 2, 1024, 4, 0.5, 2),
}


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the peer's StyleGAN2 networks."""
    folder = os.environ.get("GANAUG_PEER")
    if not folder:
        pytest.skip("GANAUG_PEER names no checkout of stylegan2-ada-pytorch or stylegan3")
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    stubs = {"requests": {}, "pkg_resources": {"parse_version": lambda text: tuple(map(int, text.split(".")[:2]))}}
    for name, members in stubs.items():  # what the peers import and these tests do not use
        stub = types.ModuleType(name)
        vars(stub).update(members)
        monkeypatch.setitem(sys.modules, name, stub)
    name = "networks_stylegan2" if (Path(folder) / "training/networks_stylegan2.py").exists() else "networks"
    yield importlib.import_module(f"training.{name}")
    for module in set(sys.modules) - before:
        if module.partition(".")[0] in ("training", "torch_utils", "dnnlib"):
            del sys.modules[module]


def randomised(network: torch.nn.Module, random: torch.Generator) -> torch.nn.Module:
    """With every parameter and buffer away from what it starts from."""
    with torch.no_grad():
        for name, value in [*network.named_parameters(), *network.named_buffers()]:
            if "resample_filter" not in name:
                value += 0.2 * torch.randn(value.shape, generator=random)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("case", CASES)
def test_images_and_logits_are_those_of_the_original(peer: Any, case: str, tmp_path: Path) -> None:
    num_classes, size, layers, base, num_half, clamp, group = CASES[case]
    shape = {"c_dim": num_classes, "img_resolution": size, "img_channels": 3}
    synthesis = {"channel_base": base, "channel_max": 128, "num_fp16_res": num_half, "conv_clamp": clamp}
    nested = synthesis if peer.__name__.endswith("stylegan2") else {"synthesis_kwargs": synthesis}
    random = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        G = peer.Generator(z_dim=64, w_dim=32, mapping_kwargs={"num_layers": layers}, **shape, **nested)
        D = peer.Discriminator(epilogue_kwargs={"mbstd_group_size": group}, **shape, **synthesis)
    G, ema, D = randomised(G, random), randomised(copy.deepcopy(G), random), randomised(D, random)
    path = tmp_path / "network.pkl"
    path.write_bytes(pickle.dumps({"G": G, "D": D, "G_ema": ema, "augment_pipe": None, "training_set_kwargs": {}}))

    external = load_external(path)
    assert external.skipped == ()
    assert (external.config.num_half, external.config.conv_clamp) == (num_half, clamp)
    z = torch.randn(8, 64, generator=random)
    c = torch.eye(num_classes)[torch.arange(8) % max(num_classes, 1)] if num_classes else torch.zeros(8, 0)
    for theirs, state in ((G, external.G), (ema, external.ema)):
        ours = Generator(external.config, generator=torch.Generator())
        assert state is not None
        ours.load_state_dict(state)
        for psi in (1, 0.7):
            expected = theirs(z, c, truncation_psi=psi, noise_mode="const", force_fp32=True)
            img = ours(z, c, psi=psi, noise_mode="const", force_float32=True)
            assert expected.std() > 0.1
            torch.testing.assert_close(img, expected, atol=1e-4, rtol=0)
    judge = Discriminator(external.config, generator=torch.Generator())
    assert external.D is not None
    judge.load_state_dict(external.D)
    torch.testing.assert_close(judge(img, c, force_float32=True), D(img, c, force_fp32=True), atol=1e-4, rtol=0)

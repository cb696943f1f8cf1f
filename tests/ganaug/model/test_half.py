"""Half precision in the highest resolutions, and the clamp: close to float32, trainable, and absent where not asked."""

from dataclasses import replace

import pytest
import torch

from ganaug.config import NetworkConfig
from ganaug.model import layers
from ganaug.model.discriminator import Discriminator
from ganaug.model.generator import Generator
from ganaug.model.layers import block_dtype

PLAIN = NetworkConfig(32, 3, z_dim=16, w_dim=16, channel_base=512, channel_max=32)
HALF = replace(PLAIN, num_half=2, conv_clamp=256.0)
ROUNDING = {torch.bfloat16: 2**-8, torch.float16: 2**-11}


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(8, 16, generator=random(1)), torch.eye(3)[torch.arange(8) % 3]


def noisy(config: NetworkConfig) -> Generator:
    G = Generator(config, generator=random())
    with torch.no_grad():
        for name, parameter in G.named_parameters():
            if name.endswith("noise_strength"):
                parameter.add_(0.5)
    return G


@pytest.fixture(params=[torch.bfloat16, torch.float16], ids=str)
def half(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.dtype:
    """A machine that convolves in this type."""
    dtype: torch.dtype = request.param
    monkeypatch.setattr(layers, "half_dtype", lambda device: dtype)
    return dtype


@pytest.fixture
def without_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "half_dtype", lambda device: None)


def relative_error(seen: torch.Tensor, expected: torch.Tensor) -> float:
    return float((seen - expected).norm() / expected.norm())


def test_only_the_highest_resolutions_are_half_and_never_4_px(half: torch.dtype) -> None:
    sizes = (4, 8, 16, 32)
    for num_half, expected in ((0, []), (1, [32]), (2, [16, 32]), (4, [8, 16, 32]), (9, [8, 16, 32])):
        config = replace(PLAIN, num_half=num_half)
        types = {size: block_dtype(config, size, torch.zeros(1), False) for size in sizes}
        assert [size for size in sizes if types[size] == half] == expected
        assert all(block_dtype(config, size, torch.zeros(1), True) == torch.float32 for size in sizes)


def test_images_and_logits_are_float32_and_close_to_it(half: torch.dtype) -> None:
    G, D = noisy(HALF), Discriminator(HALF, generator=random(2))
    z, c = inputs()
    with torch.no_grad():
        img, exact_img = (G(z, c, noise_mode="const", force_float32=force) for force in (False, True))
        logits, exact_logits = (D(exact_img, c, force_float32=force) for force in (False, True))
    assert img.dtype == logits.dtype == torch.float32
    for seen, exact in ((img, exact_img), (logits, exact_logits)):
        assert not torch.equal(seen, exact)
        assert relative_error(seen, exact) < 8 * ROUNDING[half]


def test_gradients_reach_every_parameter_and_point_as_in_float32(half: torch.dtype) -> None:
    z, c = inputs()
    gradients = []
    for force in (False, True):
        G, D = noisy(HALF), Discriminator(HALF, generator=random(2))
        D(G(z, c, noise_mode="const", force_float32=force), c, force_float32=force).mean().backward()
        parameters = {**dict(G.named_parameters(prefix="G")), **dict(D.named_parameters(prefix="D"))}
        assert len(parameters) > 20
        of_each = {name: p.grad.flatten() for name, p in parameters.items() if p.grad is not None}
        assert of_each.keys() == parameters.keys()
        assert {gradient.dtype for gradient in of_each.values()} == {torch.float32}
        gradients.append(of_each)
    assert min(gradient.abs().max() for gradient in gradients[0].values()) > 0
    seen, exact = (torch.cat(list(each.values())) for each in gradients)
    assert relative_error(seen, exact) < 40 * ROUNDING[half]


def test_the_r1_penalty_is_finite_and_trains(half: torch.dtype) -> None:
    D, (_, c) = Discriminator(HALF, generator=random(2)), inputs()
    penalties = []
    for force in (False, True):
        img = torch.randn(8, 3, 32, 32, generator=random(3)).requires_grad_()
        (gradient,) = torch.autograd.grad(D(img, c, force_float32=force).sum(), img, create_graph=True)
        penalties.append(gradient.square().sum(dim=[1, 2, 3]).mean())
    torch.autograd.backward(penalties[0])
    second = [p.grad for p in D.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in second)
    assert sum(gradient.abs().max() > 0 for gradient in second) > 10
    assert penalties[0].item() == pytest.approx(penalties[1].item(), rel=20 * ROUNDING[half])


def test_large_styles_do_not_overflow(half: torch.dtype) -> None:
    """Demodulation takes the scale out, but float16 ends at 65504 before it can."""
    G = Generator(HALF, generator=random())
    z, c = inputs()
    with torch.no_grad():
        for size in (16, 32):
            for name in ("conv0", "conv1"):
                layer = getattr(getattr(G.synthesis, f"b{size}"), name)
                layer.affine.weight *= 1e4
                layer.affine.bias *= 1e4
                layer.weight *= 1e3
        img, exact = (G(z, c, noise_mode="const", force_float32=force) for force in (False, True))
    assert relative_error(img, exact) < 8 * ROUNDING[half]


def test_without_the_hardware_nothing_differs_from_float32(without_half: None) -> None:
    z, c = inputs()
    for config in (HALF, PLAIN):
        G, D = noisy(config), Discriminator(config, generator=random(2))
        img = G(z, c, noise_mode="const")
        D(img, c).sum().backward()
        seen = [img, *(p.grad for p in [*G.parameters(), *D.parameters()])]
        if config == HALF:
            first = seen
    assert all(torch.equal(a, b) for a, b in zip(first, seen, strict=True))


@pytest.mark.parametrize("clamp", [0.5, 2.0])
def test_every_layer_and_share_of_the_image_keeps_within_the_clamp(clamp: float) -> None:
    G, D = (kind(replace(PLAIN, conv_clamp=clamp), generator=random()) for kind in (Generator, Discriminator))
    peaks: dict[str, float] = {}
    for prefix, network in (("G", G), ("D", D)):
        for name, module in network.named_modules():
            module.register_forward_hook(
                lambda _, __, out, name=f"{prefix}.{name}": (
                    peaks.update({name: out.abs().max().item()}) if isinstance(out, torch.Tensor) else None
                )
            )
    z, c = inputs()
    D(G(z, c, noise_mode="const") * 10, c)
    clamped = [peaks[f"G.synthesis.b{size}.{name}"] for size in (4, 8, 16, 32) for name in ("conv1", "torgb")]
    assert max(clamped) <= clamp
    assert min(peaks["G.synthesis.b32.conv0"], peaks["G.synthesis.b32.conv1"]) == clamp
    assert peaks["D.fromrgb"] == peaks["D.b32.conv0"] == peaks["D.b4.conv"] == clamp
    assert peaks["D.b32.conv1"] == pytest.approx(clamp * 0.5**0.5)  # the limit goes with the gain
    assert peaks["D.b32.skip"] > clamp  # what bypasses the layers is not limited

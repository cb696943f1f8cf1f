"""The native operators as PyTorch sees them: opcheck, torch.compile, vmap, function transforms, deterministic mode."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from custom_ops import bias_act, setup_filter, upfirdn2d, upsample2d

F4 = setup_filter([1, 3, 3, 1])


def samples(rng: torch.Generator) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Arguments for each operator: both layouts, with and without bias, gradients wanted and not."""
    for layout in (torch.contiguous_format, torch.channels_last):
        for wanted in (False, True):
            x = torch.randn(2, 3, 4, 6, generator=rng).contiguous(memory_format=layout).requires_grad_(wanted)
            y, b = x.detach().clone(), torch.randn(3, generator=rng, requires_grad=wanted)
            for bias in (b, None):
                for act in (2, 8):
                    yield "bias_act", (x, bias, 1, act, 0.2, 1.5, 2.0)
                yield "bias_act_slope", (x, bias, y, 1, 2, 0.2, 1.5, 2.0)
                yield "bias_act_adjoint", (x, y, 1, 2, 0.2, 1.5, 2.0, bias is not None)
            yield "upfirdn2d", (x, F4, [2, 1], [1, 2], [2, 1, -1, 3], 4.0)
            w = torch.randn(5, 3, 3, 3, generator=rng, requires_grad=wanted)
            yield "conv3x3", (x, w, 1, False)
            yield "conv3x3", (x[..., :3, :5], w, 2, False)
            yield "conv3x3", (x, w.transpose(0, 1), 2, True)
            yield "conv3x3_weight", (x, torch.randn(2, 5, 4, 6, generator=rng, requires_grad=wanted), 1)
            yield "conv3x3_weight", (x[..., :3, :5], torch.randn(2, 5, 1, 2, generator=rng), 2)
    for x in (torch.randn(4, 3, generator=rng), torch.randn(2, 3, 4, generator=rng).transpose(1, 2)):
        yield "bias_act", (x, x[0].flatten()[: x.shape[1]].clone(), 1, 1, 0.0, 1.0, -1.0)
    yield "upfirdn2d", (torch.randn(2, 3, 6, 4, generator=rng).transpose(2, 3), F4, [1, 1], [2, 2], [1, 1, 1, 1], 1.0)


def test_opcheck(native: str, rng: torch.Generator) -> None:
    for name, arguments in samples(rng):
        torch.library.opcheck(getattr(torch.ops.ganaug, name).default, arguments)


def network(x: Tensor, b: Tensor, impl: str) -> Tensor:
    """The operators as a block of the generator calls them."""
    x = bias_act(x, b, act="lrelu", clamp=256.0, impl=impl)
    x = bias_act(upsample2d(x, F4, impl=impl), b, act="swish", impl=impl)
    return upfirdn2d(x, F4, down=2, padding=1, impl=impl)


def operands(rng: torch.Generator) -> tuple[Tensor, Tensor]:
    x, b = (torch.randn(shape, generator=rng, dtype=torch.float64) for shape in ([2, 3, 8, 8], [3]))
    return x.requires_grad_(), b.requires_grad_()


def r1(x: Tensor, b: Tensor, impl: str) -> Tensor:
    """The squared norm of a gradient, from inside of a function."""
    penalty: Tensor = torch.func.grad(lambda x: network(x, b, impl).square().sum())(x).square().sum()
    return penalty


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_compiles_in_one_piece_with_gradients(layout: torch.memory_format, impl: str, rng: torch.Generator) -> None:
    x, b = operands(rng)
    x = x.detach().contiguous(memory_format=layout).requires_grad_()
    results = []
    for function in (network, torch.compile(network, fullgraph=True, backend="aot_eager")):
        y = function(x, b, impl)
        results.append((y, *torch.autograd.grad(y.square().sum(), (x, b))))
        assert y.is_contiguous(memory_format=layout)
    torch.testing.assert_close(*results)


def test_compiles_a_penalty_on_the_gradient(impl: str, rng: torch.Generator) -> None:
    x, b = operands(rng)
    results = []
    for function in (r1, torch.compile(r1, fullgraph=True, backend="aot_eager")):
        value = function(x, b, impl)
        results.append((value, *torch.autograd.grad(value, (x, b))))
    torch.testing.assert_close(*results)


def test_vmap_equals_a_loop_over_the_samples(impl: str, rng: torch.Generator) -> None:
    x, b = operands(rng)
    xs = torch.stack([x.detach() * scale for scale in (1, 2, 3)], dim=2)  # the batch dimension is not the first
    bs = torch.stack([b.detach() + scale for scale in (1, 2, 3)])
    for b_dim, biases in ((0, bs), (None, b.detach())):

        def loss(x: Tensor, b: Tensor) -> Tensor:
            return network(x, b, impl).square().sum()

        def gradients(x: Tensor, b: Tensor) -> tuple[Tensor, ...]:
            both: tuple[Tensor, ...] = torch.func.grad(loss, argnums=(0, 1))(x, b)
            return both

        functions: list[Callable[..., Any]] = [
            partial(network, impl=impl),
            gradients,
            torch.func.grad(partial(r1, impl=impl)),
        ]
        for function in functions:
            together = torch.vmap(function, in_dims=(2, b_dim))(xs, biases)
            single = [function(xs[:, :, i], bs[i] if b_dim == 0 else biases) for i in range(3)]
            looped = (
                torch.stack(single)
                if isinstance(together, Tensor)
                else tuple(map(torch.stack, zip(*single, strict=True)))
            )
            torch.testing.assert_close(together, looped)


def test_vmap_without_a_bias_and_over_the_bias_alone(impl: str, rng: torch.Generator) -> None:
    x, _ = operands(rng)
    bs = torch.randn(4, 3, generator=rng, dtype=torch.float64)

    def without_bias(x: Tensor) -> Tensor:
        return bias_act(x, act="lrelu", dim=0, impl=impl)

    def of_bias(b: Tensor) -> Tensor:
        return bias_act(x, b, act="lrelu", impl=impl)

    for function, batch in ((without_bias, x), (of_bias, bs)):
        torch.testing.assert_close(torch.vmap(function)(batch), torch.stack([function(sample) for sample in batch]))


def test_deterministic_mode_gives_the_same_bytes(impl: str, rng: torch.Generator) -> None:
    x, b = operands(rng)
    torch.use_deterministic_algorithms(True)
    try:
        twice = [torch.autograd.grad(r1(x, b, impl), (x, b)) for _ in range(2)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert [len(each) for each in twice] == [2, 2]
    assert all(torch.equal(*pair) for pair in zip(*twice, strict=True))


def test_the_biass_gradient_does_not_depend_on_the_number_of_threads(native: str, rng: torch.Generator) -> None:
    x, b = torch.randn(8, 64, 32, 32, generator=rng), torch.zeros(64, requires_grad=True)
    before = torch.get_num_threads()
    gradients: list[Tensor] = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            gradients += torch.autograd.grad(bias_act(x, b, act="lrelu", impl=native).square().sum(), b)
    finally:
        torch.set_num_threads(before)
    # The cotangent is 2·y in both: only the reduction over images and pixels could differ.
    assert torch.equal(*gradients)


def test_nothing_compiles_or_loads_at_import() -> None:
    program = "import sys, custom_ops; sys.exit('custom_ops.native.autograd' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

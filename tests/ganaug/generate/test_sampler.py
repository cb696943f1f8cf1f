"""Chunks are functions of seed, class and position, whatever is computed in parallel or runs out of memory."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, islice

import numpy as np
import pytest
import torch

from ganaug.checkpoint.snapshot import Snapshot
from ganaug.config import GanConfig, NetworkConfig, SynthesisConfig
from ganaug.errors import ConfigError, UserError
from ganaug.generate import sampler as sampling
from ganaug.generate.sampler import (
    CHUNK,
    Sampler,
    chunk_bytes,
    chunks_at_a_time,
    map_in_threads,
    one_thread,
    values_per_class,
)
from ganaug.model.generator import Generator
from ganaug.model.pixels import one_hot, to_pixels
from ganaug.provenance import Provenance

NETWORK = NetworkConfig(16, 3, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
RECORD = Provenance("bach", "a" * 64, "b" * 64, 0, ("p1", "p2"), "c" * 64)


@pytest.fixture
def snapshot() -> Snapshot:
    random = torch.Generator().manual_seed(0)
    generator = Generator(NETWORK, generator=random).eval().requires_grad_(False)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.3)
    generator.mapping.w_avg.copy_(torch.randn(16, generator=random))
    return Snapshot(generator, GanConfig(NETWORK, total_kimg=1.0), ("a", "b", "c"), RECORD)


def test_a_chunk_is_what_the_generator_makes_of_latents_and_noise_of_one_stream(snapshot: Snapshot) -> None:
    config = SynthesisConfig(psi=0.7, seed=5)
    random = sampling._random(5, 1, CHUNK)
    z, c = torch.randn(CHUNK, 16, generator=random), one_hot(np.full(CHUNK, 1), 3)
    expected = to_pixels(snapshot.generator(z, c, psi=0.7, noise_mode="random", generator=random))
    assert np.array_equal(Sampler(snapshot, config, "cpu").chunk(1, CHUNK), expected)


def test_truncation_of_a_class_changes_that_class_alone(snapshot: Snapshot) -> None:
    mixed = Sampler(snapshot, SynthesisConfig(psi=0.9, psi_of=(("b", 0.4),)), "cpu")
    for label, psi in enumerate((0.9, 0.4, 0.9)):
        uniform = Sampler(snapshot, SynthesisConfig(psi=psi), "cpu")
        assert np.array_equal(mixed.chunk(label, 0), uniform.chunk(label, 0))


def test_the_centre_of_a_class_is_the_mean_of_its_w(snapshot: Snapshot) -> None:
    sampler = Sampler(snapshot, SynthesisConfig(psi=0.5, truncation="class"), "cpu")
    z = torch.randn(20_000, 16, generator=torch.Generator().manual_seed(9))
    for label, centre in enumerate(sampler.centres):
        w = snapshot.generator.mapping(z, one_hot(np.full(len(z), label), 3))[:, 0]
        error = (centre - w.mean(0)) / (w.std(0) * (1 / 4096 + 1 / 20_000) ** 0.5)
        assert error.abs().max() < 4
    assert not torch.allclose(sampler.centres[0], sampler.centres[1], atol=0.01)


def test_the_centre_does_not_depend_on_the_seed(snapshot: Snapshot) -> None:
    centres = [Sampler(snapshot, SynthesisConfig(psi=0.5, truncation="class", seed=s), "cpu").centres for s in (0, 1)]
    assert all(torch.equal(first, second) for first, second in zip(*centres, strict=True))


def test_without_truncation_the_centre_does_not_matter(snapshot: Snapshot) -> None:
    plain, by_centre = (Sampler(snapshot, SynthesisConfig(truncation=t), "cpu") for t in ("global", "class"))
    assert np.array_equal(plain.chunk(2, 0), by_centre.chunk(2, 0))


def test_chunks_drawn_in_parallel_are_those_drawn_alone(snapshot: Snapshot) -> None:
    sampler = Sampler(snapshot, SynthesisConfig(), "cpu")
    starts = range(0, 8 * CHUNK, CHUNK)
    together = list(map_in_threads(lambda start: sampler.chunk(0, start), starts, 4))
    with one_thread():
        alone = [sampler.chunk(0, start) for start in starts]
    assert np.array_equal(np.stack(together), np.stack(alone))


def test_the_number_of_threads_is_restored() -> None:
    torch.set_num_threads(2)
    assert list(map_in_threads(lambda n: torch.get_num_threads(), range(4), 2)) == [1] * 4
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("at_a_time", [1, 3, 8])
def test_results_come_in_the_order_of_the_tasks(at_a_time: int) -> None:
    def late_if_even(number: int) -> int:
        time.sleep(0.01 * (number % 2 == 0))
        return number

    assert list(map_in_threads(late_if_even, range(12), at_a_time)) == list(range(12))
    assert list(islice(map_in_threads(late_if_even, count(), at_a_time), 5)) == [0, 1, 2, 3, 4]


def fits(limit: int, error: Exception) -> Callable[[int], int]:
    """A function that raises where more than `limit` calls run at a time."""
    running, lock = [0], threading.Lock()

    def work(number: int) -> int:
        with lock:
            running[0] += 1
            crowded = running[0] > limit
        time.sleep(0.02)
        with lock:
            running[0] -= 1
        if crowded:
            raise error
        return number

    return work


OUT_OF_MEMORY = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:114] err == 0. DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "cpu", "python"])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_where_memory_runs_out_fewer_are_computed_at_a_time_and_none_is_lost(limit: int, error: Exception) -> None:
    assert list(map_in_threads(fits(limit, error), range(20), 8)) == list(range(20))


def test_too_little_memory_for_one_chunk_is_one_line() -> None:
    with pytest.raises(UserError, match="out of memory for 16 images"):
        list(map_in_threads(fits(0, OUT_OF_MEMORY[0]), range(3), 4))


def test_other_errors_do_not_pass_for_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        list(map_in_threads(fits(0, RuntimeError("shapes do not match")), range(3), 4))


def test_the_batch_is_bounded_by_memory_and_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(4)
    for available, expected in ((0, 1), (7, 3), (1000, 4)):
        monkeypatch.setattr(sampling, "available_bytes", lambda device, n=available: n * chunk_bytes(NETWORK))
        assert chunks_at_a_time(NETWORK, "cpu", None) == expected
    assert chunks_at_a_time(NETWORK, "cpu", 3 * CHUNK + 1) == 3
    assert chunks_at_a_time(NETWORK, "cpu", 1) == 1
    assert chunk_bytes(replace(NETWORK, resolution_px=32)) > chunk_bytes(NETWORK)


def test_an_unknown_class_is_named_with_those_there_are() -> None:
    assert values_per_class(1, [("b", 7)], ["a", "b"]) == [1, 7]
    with pytest.raises(ConfigError, match=r"class z.*a, b"):
        values_per_class(1, [("z", 7)], ["a", "b"])


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)

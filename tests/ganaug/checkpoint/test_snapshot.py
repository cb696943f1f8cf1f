"""Snapshots: what is written is read back, and what was edited, corrupt or of another network is refused."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ganaug.checkpoint.snapshot import (
    Snapshot,
    best_ema,
    content_of,
    load_generator,
    load_snapshot,
    load_tensors,
    save_snapshot,
    save_tensors,
)
from ganaug.config import GanConfig, NetworkConfig
from ganaug.errors import CorruptFile, LeakError, WorkspaceError
from ganaug.model.generator import Generator
from ganaug.provenance import Provenance, sealed
from ganaug.workspace import GanRun

NETWORK = NetworkConfig(16, 3, z_dim=16, w_dim=16, channel_base=128, channel_max=16)
RECORD = Provenance("bach", "a" * 64, "b" * 64, 0, ("p1", "p2"), "c" * 64, kimg=2.0)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    generator = Generator(NETWORK, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "ema.safetensors"
    save_snapshot(path, Snapshot(generator, GanConfig(NETWORK, total_kimg=2.0), ("a", "b", "c"), RECORD))
    return path


def rewrite(path: Path, tensors: dict[str, torch.Tensor] | None = None, **metadata: str) -> None:
    old, known = load_tensors(path)
    save_file(tensors or old, path, metadata={**known, **metadata})


def test_a_snapshot_gives_the_same_images_and_configuration_back(saved: Path) -> None:
    snapshot = load_snapshot(saved)
    original = Generator(NETWORK, generator=torch.Generator().manual_seed(0)).eval()
    z, c = torch.randn(2, 16, generator=torch.Generator().manual_seed(1)), torch.eye(3)[:2]
    assert torch.equal(snapshot.generator(z, c, noise_mode="const"), original(z, c, noise_mode="const"))
    assert torch.equal(load_generator(str(saved))(z, c, noise_mode="none"), original(z, c, noise_mode="none"))
    assert snapshot.config == GanConfig(NETWORK, total_kimg=2.0)
    assert snapshot.class_names == ("a", "b", "c")
    assert snapshot.provenance.groups_seen == ("p1", "p2")


def test_a_loaded_generator_draws_random_noise_from_the_users_state_or_from_a_generator(saved: Path) -> None:
    tensors = {n: v + 1 if n.endswith("noise_strength") else v for n, v in load_file(saved).items()}
    network = Generator(NETWORK, generator=torch.Generator())
    network.load_state_dict(tensors)
    save_snapshot(saved, Snapshot(network, GanConfig(NETWORK, total_kimg=2.0), ("a", "b", "c"), RECORD))
    G, z, c = load_generator(saved), torch.ones(2, 16), torch.eye(3)[:2]
    with torch.random.fork_rng(devices=[]):
        images = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            images.append(G(z, c, psi=0.7))
        state = torch.get_rng_state()
        explicit = G(z, c, psi=0.7, generator=torch.Generator().manual_seed(1))
        G(z, c, noise_mode="const")
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[0], explicit)
    assert not torch.allclose(images[0], images[2])


def test_changed_weights_are_refused(saved: Path) -> None:
    tensors = load_file(saved)
    name = next(iter(tensors))
    tensors[name] = tensors[name] + 1
    rewrite(saved, tensors)
    with pytest.raises(LeakError, match="changed after"):
        load_snapshot(saved)


def test_an_edited_list_of_patients_is_refused(saved: Path) -> None:
    record = json.loads(load_tensors(saved)[1]["provenance"])
    record["groups_seen"].remove("p2")
    rewrite(saved, provenance=json.dumps(record))
    with pytest.raises(LeakError, match="edited"):
        load_snapshot(saved)


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}"])
def test_a_file_of_another_kind_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises((WorkspaceError, LeakError)) as refusal:
        load_snapshot(path)
    assert "\n" not in str(refusal.value)


def test_a_truncated_file_is_one_line(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(CorruptFile, match="truncated"):
        load_snapshot(saved)


def test_tensors_that_share_memory_and_strides_are_saved_as_they_read(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    save_tensors(tmp_path / "t.safetensors", {"a": base, "b": base, "t": base.t()}, {})
    tensors, _ = load_tensors(tmp_path / "t.safetensors")
    assert torch.equal(tensors["t"], base.t())
    assert torch.equal(tensors["a"], tensors["b"])


KINDS = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
         torch.uint8, torch.bool]  # fmt: skip


@given(
    shapes=st.lists(st.lists(st.integers(0, 3), max_size=3), max_size=5),
    kinds=st.lists(st.sampled_from(KINDS), min_size=5, max_size=5),
    metadata=st.dictionaries(st.text(min_size=1), st.text(), max_size=6),
)
@settings(max_examples=50, deadline=None)
def test_equal_content_gives_equal_bytes_which_safetensors_reads(
    tmp_path_factory: pytest.TempPathFactory,
    shapes: list[list[int]],
    kinds: list[torch.dtype],
    metadata: dict[str, str],
) -> None:
    folder = tmp_path_factory.mktemp("tensors")
    tensors = {f"t{i} ü": (3 * torch.rand(shape)).to(kind) for i, (shape, kind) in enumerate(zip(shapes, kinds))}
    save_tensors(folder / "a", tensors, metadata)
    save_tensors(folder / "b", dict(reversed(tensors.items())), dict(reversed(metadata.items())))
    content = (folder / "a").read_bytes()
    assert content == (folder / "b").read_bytes()
    assert int.from_bytes(content[:8], "little") % 8 == 0
    back = load_file(folder / "a")
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[name], tensors[name]) and back[name].dtype == tensors[name].dtype for name in tensors)
    assert load_tensors(folder / "a")[1] == metadata


def test_two_equal_snapshots_are_equal_files(tmp_path: Path) -> None:
    generator = Generator(NETWORK, generator=torch.Generator().manual_seed(0))
    for name in ("a", "b"):
        snapshot = Snapshot(generator, GanConfig(NETWORK, total_kimg=2.0), ("a", "b\udc80", "c"), RECORD)
        save_snapshot(tmp_path / name, snapshot)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert load_snapshot(tmp_path / "a").class_names == ("a", "b\udc80", "c")


@pytest.mark.parametrize(
    "change",
    [
        {"z_dim": 10**9}, {"w_dim": 2**62}, {"mapping_layers": 10**9}, {"channel_max": 1}, {"channel_base": 2**40},
        {"resolution_px": 1024}, {"num_classes": 2}, {"num_classes": 10**9}, {"z_dim": "16"}, {"mapping_layers": [1]},
        {"num_half": None}, {"conv_clamp": "a"}, {"std_group": True},
    ],
)  # fmt: skip
def test_a_network_that_the_weights_are_not_of_is_refused_before_memory_is_taken(
    saved: Path, change: dict[str, object]
) -> None:
    tensors, metadata = load_tensors(saved)
    config = json.loads(metadata["config"])
    metadata["config"] = json.dumps({**config, "network": {**config["network"], **change}})
    content = content_of(tensors, metadata)
    metadata["provenance"] = replace(RECORD, generator=content).sealed(content).to_json()
    save_tensors(saved, tensors, metadata)
    started = time.perf_counter()
    with pytest.raises(WorkspaceError, match=re.escape(str(saved))):
        load_snapshot(saved)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c", "d"], ["a", "a", "b"], "abc", [1, 2, 3], None])
def test_class_names_that_are_not_one_for_each_class_are_refused(saved: Path, names: object) -> None:
    tensors, metadata = load_tensors(saved)
    metadata["class_names"] = json.dumps(names)
    content = content_of(tensors, metadata)
    metadata["provenance"] = replace(RECORD, generator=content).sealed(content).to_json()
    save_tensors(saved, tensors, metadata)
    with pytest.raises(WorkspaceError, match=re.escape(str(saved))):
        load_snapshot(saved)


@pytest.mark.parametrize(
    "row",
    [{"snapshot": "x" * 300, "score": 0.1}, {"snapshot": "", "score": 0.1}, {"snapshot": "\ud800", "score": 0.1},
     {"snapshot": "a", "score": 10**400}, {"snapshot": "../../a", "score": 0.1}],
)  # fmt: skip
def test_a_sealed_score_that_means_no_snapshot_does_not_count(row: dict[str, object], tmp_path: Path) -> None:
    run = GanRun(tmp_path, "bach", 0)
    run.ema(1.0).parent.mkdir()
    run.ema(1.0).touch()
    run.scores.write_text(json.dumps(sealed(row)) + "\n")
    assert best_ema(run) == run.ema(1.0)

"""Imported networks: complete, ready to sample and to train on from, and never admitted to a fold."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from ganaug.checkpoint.initial_weights import import_pickle, load_pretrained
from ganaug.checkpoint.snapshot import Import, Snapshot, load_generator, load_snapshot, save_snapshot
from ganaug.config import GanConfig
from ganaug.data.dataset import DataSet
from ganaug.data.synthetic import require_serves
from ganaug.errors import DataError, LeakError
from ganaug.provenance import Provenance, digest_of_file

if TYPE_CHECKING:
    from tests.ganaug.conftest import Peer


def same(state: dict[str, torch.Tensor] | None, network: torch.nn.Module) -> bool:
    expected = network.state_dict()
    return (
        state is not None
        and state.keys() == expected.keys()
        and all(torch.equal(state[name], expected[name]) for name in state)
    )


@pytest.fixture
def imported(peer: "Peer", tmp_path: Path) -> Path:
    snapshot, skipped = import_pickle(peer.path)
    assert skipped == ()
    save_snapshot(tmp_path / "imported.safetensors", snapshot)
    return tmp_path / "imported.safetensors"


def test_an_import_is_a_snapshot_that_says_where_it_came_from(peer: "Peer", imported: Path) -> None:
    snapshot = load_snapshot(imported)
    assert same(snapshot.generator.state_dict(), peer.ema)
    assert snapshot.config.network == peer.G.config
    assert isinstance(snapshot.config, Import)
    assert snapshot.config.sha256 == digest_of_file(peer.path)
    assert peer.path.name.encode() not in imported.read_bytes()  # its name may be anybody's
    assert snapshot.class_names == ("0", "1", "2")


def test_an_imported_generator_makes_the_images_of_its_origin(peer: "Peer", imported: Path) -> None:
    z, c = torch.randn(3, 16, generator=torch.Generator().manual_seed(0)), torch.eye(3)
    for psi in (1.0, 0.7):
        ours = load_generator(imported)(z, c, psi=psi, noise_mode="const")
        assert torch.equal(ours, peer.ema.eval()(z, c, psi=psi, noise_mode="const"))


@pytest.mark.parametrize("as_snapshot", [True, False])
def test_training_goes_on_from_all_three_networks(peer: "Peer", imported: Path, as_snapshot: bool) -> None:
    found = load_pretrained(imported if as_snapshot else peer.path)
    assert found.network == peer.G.config
    assert same(found.G, peer.G)
    assert same(found.D, peer.D)
    assert same(found.ema, peer.ema)
    assert found.seen == load_snapshot(imported).provenance.seen


def test_our_own_snapshot_begins_with_its_average_and_the_patients_that_it_saw(peer: "Peer", tmp_path: Path) -> None:
    record = Provenance("bach", "a" * 64, "b" * 64, 0, ("p1", "p2"), "c" * 64)
    path = tmp_path / "ema.safetensors"
    save_snapshot(path, Snapshot(peer.ema, GanConfig(peer.ema.config, total_kimg=1), ("a", "b", "c"), record))
    found = load_pretrained(path)
    assert found.G is found.ema
    assert found.D is None
    assert found.seen.groups == ("p1", "p2")


def test_an_import_serves_no_fold(tiny: DataSet, imported: Path) -> None:
    record = load_snapshot(imported).provenance
    for fold in range(tiny.folds.num_folds):
        with pytest.raises(LeakError, match=r"another data set \(unknown"):
            require_serves(tiny, fold, record, imported)


def test_what_is_trained_on_from_an_import_serves_no_fold_either(tiny: DataSet, imported: Path) -> None:
    trained_on = tiny.folds.train_groups(0)
    record = replace(
        load_snapshot(imported).provenance,
        dataset_fingerprint=tiny.table.fingerprint,
        folds_digest=tiny.folds.digest,
        groups_seen=(*map(tiny.table.patient_digest, trained_on), *load_pretrained(imported).seen.groups),
    )
    with pytest.raises(LeakError, match="saw 1 patients whom phantom does not know"):
        require_serves(tiny, 0, record, imported)


def test_changed_networks_to_train_on_from_are_refused(imported: Path) -> None:
    snapshot = load_snapshot(imported)
    snapshot.companions["D.b4.out.bias"] += 1
    own = imported.with_name("own.safetensors")
    save_snapshot(own, snapshot)  # sealed again, hence another generator
    assert load_snapshot(own).provenance.generator != load_snapshot(imported).provenance.generator
    data = bytearray(imported.read_bytes())
    data[-3] ^= 1
    imported.write_bytes(data)
    with pytest.raises(LeakError, match="changed after"):
        load_pretrained(imported)


def test_a_pickle_without_a_discriminator_leaves_it_to_be_drawn(peer: "Peer") -> None:
    del peer.content["D"]
    path = peer.path
    assert load_pretrained(path).D is None
    assert import_pickle(path)[1] == ("D is not in the file",)


def test_what_is_no_pickle_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"x")
    with pytest.raises(DataError, match="cannot be read as a pickle"):
        load_pretrained(tmp_path / "x.pkl")

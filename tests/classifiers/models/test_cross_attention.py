"""The cross-attention model: its published form cannot see the image, its default can, and bags are sets."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from classifiers.config import FitConfig
from classifiers.fit import fit
from classifiers.models.cross_attention import (
    Attention,
    CrossAttention,
    PatientBatch,
    PatientSamples,
    masked_mean,
)
from classifiers.predict import predict
from classifiers.registry import build, build_seeded
from classifiers.samples import read_samples

DIM, GENES = 6, 5
NAMES = [f"cross_attention[variant={variant},arm={arm}]" for variant in ("default", "published") for arm in
         ("both", "genes", "image")]  # fmt: skip


def make(name: str, num_classes: int = 3) -> CrossAttention:
    model = build_seeded(name, num_classes, 0, num_features=DIM, num_genes=GENES).eval()
    assert isinstance(model, CrossAttention)
    return model


def patients(num: int = 4, tiles: int = 3, seed: int = 0) -> PatientBatch:
    generator = torch.Generator().manual_seed(seed)
    is_tile = torch.ones(num, tiles, dtype=torch.bool)
    is_tile[0, 1:] = False
    return PatientBatch(
        torch.randn(num, tiles, DIM, generator=generator), is_tile, torch.randn(num, GENES, generator=generator)
    )


def gradient_of_tiles(name: str, batch: PatientBatch, *, training: bool = False) -> Tensor:
    tiles = batch.tiles.clone().requires_grad_()
    model = make(name).train(training)
    torch.autograd.backward(model(replace(batch, tiles=tiles)).square().sum())
    assert tiles.grad is not None
    return tiles.grad


@pytest.mark.parametrize("training", [False, True])
def test_the_image_gradient_of_the_published_model_is_exactly_zero(training: bool) -> None:
    gradient = gradient_of_tiles("cross_attention[variant=published]", patients(), training=training)
    assert gradient.shape == (4, 3, DIM)
    assert torch.count_nonzero(gradient) == 0


def test_the_published_model_gives_the_same_answer_for_any_image() -> None:
    model, batch = make("cross_attention[variant=published]"), patients()
    others = replace(batch, tiles=100 * patients(seed=1).tiles)
    torch.testing.assert_close(model(batch), model(others), rtol=0, atol=1e-6)
    assert not torch.allclose(model(batch), model(replace(batch, expression=batch.expression + 1)), atol=1e-4)


@pytest.mark.parametrize("name", ["cross_attention", "cross_attention[arm=image]"])
def test_the_image_gradient_of_the_default_model_is_zero_for_masked_tiles_alone(name: str) -> None:
    batch = patients()
    reached = gradient_of_tiles(name, batch).abs().sum(2) > 0
    assert torch.equal(reached, batch.is_tile)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_tiles_does_not_matter(name: str) -> None:
    model, batch = make(name), patients(tiles=7)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    shuffled = replace(batch, tiles=batch.tiles[:, order], is_tile=batch.is_tile[:, order])
    torch.testing.assert_close(model(shuffled), model(batch), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_masked_tiles_do_not_matter_whatever_they_hold_and_however_many(name: str) -> None:
    model, batch = make(name), patients()
    padded = PatientBatch(
        torch.cat([batch.tiles.masked_fill(~batch.is_tile[:, :, None], 7.0), torch.full((4, 5, DIM), -9.0)], 1),
        torch.cat([batch.is_tile, torch.zeros(4, 5, dtype=torch.bool)], 1),
        batch.expression,
    )
    torch.testing.assert_close(model(padded), model(batch), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("arm", "unseen"), [("genes", "tiles"), ("image", "expression")])
@pytest.mark.parametrize("variant", ["default", "published"])
def test_an_arm_sees_its_own_input_alone(variant: str, arm: str, unseen: str) -> None:
    model, batch = make(f"cross_attention[variant={variant},arm={arm}]"), patients()
    other: dict[str, Any] = {unseen: getattr(batch, unseen) + 1}
    seen: dict[str, Any] = {name: getattr(batch, name) + 1 for name in ("tiles", "expression") if name != unseen}
    assert torch.equal(model(replace(batch, **other)), model(batch))
    assert not torch.allclose(model(replace(batch, **seen)), model(batch), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_reached_but_for_what_the_single_key_cuts_off(name: str) -> None:
    model = make(name)
    torch.autograd.backward(model(patients()).square().sum())
    unreached = {
        key.rsplit(".", 1)[0]
        for key, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    }
    cut = {"fusion.tiles.0", "fusion.attention.query", "fusion.attention.key"}
    is_blind = "published" in name and "arm=both" in name
    assert unreached - {"fusion.genes_look.attention.key", "fusion.tiles_look.attention.key"} == (
        cut if is_blind else set()
    )


def test_attention_is_pytorchs() -> None:
    ours = Attention(16, num_heads=4)
    theirs = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        parts = (ours.query, ours.key, ours.value)
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    tokens, context = torch.randn(2, 3, 16), torch.randn(2, 5, 16)
    counts = torch.tensor([[True, True, False, True, False], [True] * 5])
    expected, _ = theirs(tokens, context, context, key_padding_mask=~counts)
    torch.testing.assert_close(ours(tokens, context, counts), expected)


def test_the_masked_mean_is_that_of_the_tokens_that_count() -> None:
    tokens = torch.arange(12.0).view(2, 3, 2)
    mean = masked_mean(tokens, torch.tensor([[True, False, True], [False, True, False]]))
    assert mean.tolist() == [[2.0, 3.0], [8.0, 9.0]]


def test_the_published_widths() -> None:
    model = build("cross_attention[variant=published]", 2, num_features=2048, num_genes=20318)
    attention = 4 * (512 * 512 + 512)
    head = 512 * 512 + 512 + 512 * 256 + 256 + 256 * 2 + 2
    expected = 20318 * 512 + 512 + 2048 * 512 + 512 + attention + head
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


# ---- samples and scales


def samples(num: int = 6, seed: int = 0) -> PatientSamples:
    rng = np.random.default_rng(seed)
    tiles = [rng.normal(3, 2, (1 + index % 3, DIM)).astype(np.float32) for index in range(num)]
    return PatientSamples(tiles, rng.normal(8, 3, (num, GENES)).astype(np.float32))


def test_a_batch_holds_the_bags_of_its_patients_in_their_order() -> None:
    all_of_them = samples()
    batch = read_samples(all_of_them, np.array([5, 0, 5]), "cpu")
    assert isinstance(batch, PatientBatch)
    assert batch.tiles.shape == (3, 3, DIM)
    assert batch.is_tile.sum(1).tolist() == [3, 1, 3]
    assert np.array_equal(batch.tiles[1][batch.is_tile[1]].numpy(), all_of_them.tiles[0])
    assert np.array_equal(batch.expression.numpy(), all_of_them.expression[[5, 0, 5]])
    assert np.array_equal(all_of_them.take(np.array([5, 0])).tiles[1], all_of_them.tiles[0])
    with pytest.raises(ValueError, match="tiles of 5 patients with expression of 6"):
        PatientSamples(all_of_them.tiles[:5], all_of_them.expression)


def test_scales_are_those_of_the_patients_given_and_travel_with_the_weights() -> None:
    train = samples()
    model = make("cross_attention")
    model.set_scales(train)
    np.testing.assert_allclose(model.scale_genes.mean, train.expression.mean(0), rtol=1e-6)
    np.testing.assert_allclose(model.scale_tiles.std, np.concatenate(list(train.tiles)).std(0), rtol=1e-5)
    again = make("cross_attention")
    again.load_state_dict(model.state_dict())
    batch = read_samples(train, np.arange(6), "cpu")
    assert isinstance(batch, PatientBatch)
    assert torch.equal(again(batch), model(batch))


def test_units_of_expression_do_not_matter_once_scales_are_set() -> None:
    train = samples()
    other = PatientSamples(train.tiles, train.expression * 10 + 100)
    answers = []
    for given in (train, other):
        model = make("cross_attention[arm=genes]")
        model.set_scales(given)
        answers.append(predict(model, given))
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)


def test_a_gene_that_does_not_vary_stays_finite() -> None:
    train = samples()
    train.expression[:, 2] = 4.0
    model = make("cross_attention")
    model.set_scales(train)
    assert model.scale_genes.std[2] == 1
    assert np.isfinite(predict(model, train)).all()


def test_what_does_not_fit_the_model_is_refused() -> None:
    model, batch = make("cross_attention"), patients()
    with pytest.raises(ValueError, match="expression of 4 genes; expected the 5"):
        model(replace(batch, expression=batch.expression[:, :4]))
    with pytest.raises(ValueError, match="tiles of 5 features; expected the 6"):
        model(replace(batch, tiles=batch.tiles[:, :, :5]))
    with pytest.raises(ValueError, match="a patient without tiles"):
        model(replace(batch, is_tile=torch.zeros(4, 3, dtype=torch.bool)))
    with pytest.raises(ValueError, match="num_genes for dalaresnet50_small"):
        build("dalaresnet50_small", 3, num_genes=5)
    with pytest.raises(ValueError, match="0 genes"):
        build("cross_attention", 3, num_features=5, num_genes=0)


@pytest.mark.parametrize("name", ["cross_attention", "cross_attention[arm=genes]", "cross_attention[arm=image]"])
def test_a_few_patients_can_be_learnt_by_heart(name: str) -> None:
    train, labels = samples(8), np.arange(8) % 4
    model = make(name, 4)
    model.set_scales(train)
    fit(model, train, labels, config=FitConfig(num_steps=150, batch=8, label_smoothing=0.0))
    assert (predict(model, train).argmax(1) == labels).all()

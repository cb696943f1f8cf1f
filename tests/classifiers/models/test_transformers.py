"""The published transformers: as many parameters, and state dicts of their publishers load and mean the same."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from classifiers.models import swin
from classifiers.models.backbones import TINY_VIT
from classifiers.models.ctranspath import CTransPath
from classifiers.models.swin import TIMM_SWIN_TINY, SwinClassifier, SwinConfig
from classifiers.models.swin_cnn import SwinCnn
from classifiers.models.swin_cnn import small as swin_cnn_small
from classifiers.models.vit import VitClassifier, VitClassifierConfig
from classifiers.registry import build_seeded
from classifiers.weights import load_weights

HEAD = 768 * 1000 + 1000  # of ImageNet's classes on 768 features
VIT_B16, SWIN_T, DINOV2_B14_BODY, RESNET50 = 86_567_656, 28_288_354, 86_580_480, 25_557_032  # as published
PATCHES, STEM = 3 * 4**2 * 96 + 96, 3 * 9 * 12 + 2 * 12 + 12 * 9 * 24 + 2 * 24 + 24 * 96 + 96
LAYER_4 = 14_964_736
ATTENTION = 512 * 3 * 512 + (512 * 512 + 512) + 8 * 33 + 2 * 512  # Nyström attention and the LayerNorm before it
PPEG = 512 * (7**2 + 5**2 + 3**2 + 3)
COUNTS = {  # with 1000 classes
    "vit": VIT_B16,
    "swin": SWIN_T,
    "dinov2": DINOV2_B14_BODY - 768 - (37**2 - 16**2) * 768 + HEAD,  # no mask token; 224 px in place of 518
    "ctranspath": SWIN_T - PATCHES + STEM,
    "swin_cnn": (SWIN_T - HEAD) + (RESNET50 - 2048 * 1000 - 1000) + (768 + 2048) * 1000 + 1000,
    "transmil": (RESNET50 - 2048 * 1000 - 1000 - LAYER_4)
    + (1024 * 512 + 512)
    + 512
    + 2 * ATTENTION
    + PPEG
    + 2 * 512
    + 513 * 1000,
}


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=COUNTS)
def published(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param, build_seeded(request.param, 1000, 0, image_size_px=224)


def test_parameters_are_as_many_as_published(published: tuple[str, Any]) -> None:
    name, model = published
    assert sum(parameter.numel() for parameter in model.parameters()) == COUNTS[name]


def test_the_published_size_runs_forward_and_backward_at_224_px(published: tuple[str, Any]) -> None:
    _, model = published
    logits: Any = model.train()(noise(1, 3, 224, 224))
    logits.log_softmax(1)[0, 3].backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert sum(parameter.grad.square().sum() for parameter in model.parameters()).isfinite()


# What their publishers saved


@pytest.fixture(scope="module")
def tiny_swin() -> SwinConfig:
    return SwinConfig(64, 4, dim=16, depths=(2, 2, 2), num_heads=(1, 2, 4), window=4)


def test_a_swin_of_timm_gives_the_same_features(tmp_path: Path, tiny_swin: SwinConfig) -> None:
    import timm

    theirs: Any = timm.create_model(TIMM_SWIN_TINY, pretrained=False, **tiny_swin.options()).eval()
    torch.save(theirs.state_dict(), tmp_path / "swin.pth")
    ours = SwinClassifier(3, tiny_swin).eval()
    assert load_weights(ours, tmp_path / "swin.pth").startswith("only body from")
    x = noise(2, 3, 64, 64)
    expected = theirs.forward_head(theirs.forward_features(ours.normalise(x)), pre_logits=True)
    torch.testing.assert_close(ours.features(x), expected)


def test_a_vit_of_timm_gives_the_same_features(tmp_path: Path) -> None:
    import timm

    options: dict[str, Any] = {"img_size": 64, "patch_size": 8, "embed_dim": 64, "depth": 4, "num_heads": 4}
    theirs: Any = timm.create_model("vit_base_patch16_224", pretrained=False, **options).eval()
    torch.save(theirs.state_dict(), tmp_path / "vit.pth")
    ours = VitClassifier(3, VitClassifierConfig(64, TINY_VIT)).eval()
    assert load_weights(ours, tmp_path / "vit.pth").startswith("only body from")
    x = noise(2, 3, 64, 64)
    expected = theirs.forward_head(theirs.forward_features((x - 0.5) / 0.5), pre_logits=True)
    torch.testing.assert_close(ours.features(x), expected)


def in_old_layout(state: dict[str, Tensor], window: int) -> dict[str, Tensor]:
    """A Swin state dict as timm 0.5.4 and Swin's authors wrote it.

    The merging of 2×2 patches is the last layer of a stage, not the first of the next one, and the tables of the
    windows are in the file.
    """
    old = {}
    for key, value in state.items():
        layers, stage, *rest = key.split(".")
        if layers == "layers" and rest[0] == "downsample":
            key = ".".join([layers, str(int(stage) - 1), *rest])
        old[key] = value
        if key.endswith("relative_position_bias_table"):
            block = key.removesuffix(".attn.relative_position_bias_table")
            old[f"{block}.attn.relative_position_index"] = torch.zeros(window**2, window**2, dtype=torch.long)
            old[f"{block}.attn_mask"] = torch.zeros(4, window**2, window**2)
    return old


@pytest.mark.parametrize("kind", [SwinClassifier, CTransPath])
def test_the_authors_layout_loads_and_means_the_same(
    tmp_path: Path, tiny_swin: SwinConfig, kind: type[SwinClassifier]
) -> None:
    donor, model = kind(3, tiny_swin).eval(), kind(3, tiny_swin).eval()
    body = donor.body.state_dict()
    old = in_old_layout(body, tiny_swin.window)
    assert {"layers.0.downsample.norm.weight", "layers.1.downsample.reduction.weight"} <= set(old)
    assert "layers.2.downsample.norm.weight" not in old
    torch.save(old | {"head.weight": torch.zeros(1000, 64)}, tmp_path / "old.pth")
    assert load_weights(model, tmp_path / "old.pth").startswith("only body from")
    x = noise(2, 3, 64, 64)
    assert torch.equal(model.features(x), donor.features(x))
    assert kind(3, tiny_swin).translate(body).keys() == body.keys()


def test_the_stem_has_the_names_of_the_authors_file() -> None:
    stem = CTransPath(2).body.patch_embed.state_dict()
    weights = {key: tuple(value.shape) for key, value in stem.items() if key.endswith("weight")}
    assert weights == {
        "proj.0.weight": (12, 3, 3, 3),
        "proj.1.weight": (12,),
        "proj.3.weight": (24, 12, 3, 3),
        "proj.4.weight": (24,),
        "proj.6.weight": (96, 24, 1, 1),
        "norm.weight": (96,),
    }
    assert {"proj.6.bias", "norm.bias"} < set(stem)
    assert not {"proj.0.bias", "proj.3.bias"} & set(stem)


def test_a_file_of_plain_swin_is_not_ctranspath_and_says_which_names(tmp_path: Path, tiny_swin: SwinConfig) -> None:
    torch.save(in_old_layout(SwinClassifier(2, tiny_swin).body.state_dict(), 4), tmp_path / "swin.pth")
    with pytest.raises(ValueError, match=r"missing: patch_embed\.proj\.0\.weight, .*unexpected: patch_embed"):
        load_weights(CTransPath(2, tiny_swin), tmp_path / "swin.pth")


def test_the_authors_layout_fills_the_transformer_of_swin_cnn(tmp_path: Path) -> None:
    donor, model = SwinCnn(2, swin_cnn_small(32)), SwinCnn(2, swin_cnn_small(32))
    torch.save(in_old_layout(donor.swin.state_dict(), 4), tmp_path / "old.pth")
    assert load_weights(model, tmp_path / "old.pth").startswith("only swin from")
    assert all(torch.equal(value, model.swin.state_dict()[key]) for key, value in donor.swin.state_dict().items())


def test_the_features_of_swin_cnn_are_those_of_both_branches() -> None:
    model = SwinCnn(2, swin_cnn_small(32)).eval()
    alone = SwinClassifier(2, swin.small(32)).eval()
    alone.body.load_state_dict(model.swin.state_dict())
    x = noise(2, 3, 32, 32)
    features = model.features(x)
    torch.testing.assert_close(features[:, 128:], alone.features(x))
    with torch.no_grad():
        next(model.cnn.parameters()).zero_()
    changed = (model.features(x) - features).abs().amax(dim=0) > 0
    assert changed[:128].any()
    assert not changed[128:].any()


# Position embeddings of another size


def resampled(embedding: Tensor, size_px: int = 32) -> Tensor:
    return VitClassifier(2, VitClassifierConfig(size_px, TINY_VIT)).translate({"pos_embed": embedding})["pos_embed"]


def test_a_position_embedding_keeps_its_class_token_and_its_directions() -> None:
    across = torch.arange(9.0).expand(9, 9).reshape(1, 81, 1).expand(1, 81, 64)
    class_token = torch.full((1, 1, 64), -7.0)
    embedding = resampled(torch.cat([class_token, across], dim=1))
    assert embedding.shape == (1, 17, 64)
    assert torch.equal(embedding[:, :1], class_token)
    grid = embedding[0, 1:, 0].view(4, 4)
    torch.testing.assert_close(grid, grid[:1].expand(4, 4))  # rows stay alike
    torch.testing.assert_close(grid[0, 1:-1], torch.tensor([1.5, 2.5]) * 9 / 4 - 0.5, atol=0.05, rtol=0)
    assert (grid[0].diff() > 1).all()


def test_a_position_embedding_of_this_size_stays_as_it_is() -> None:
    embedding = noise(1, 17, 64)
    assert torch.equal(resampled(embedding), embedding)


def test_dinov2_loads_at_another_size_than_it_was_published_at(tmp_path: Path) -> None:
    import timm

    options: dict[str, Any] = {"patch_size": 8, "embed_dim": 64, "depth": 4, "num_heads": 4}
    theirs: Any = timm.create_model("vit_base_patch14_dinov2", pretrained=False, num_classes=0, img_size=72, **options)
    state = theirs.state_dict() | {"mask_token": torch.zeros(1, 64)}  # which the authors' own file has as well
    assert state["pos_embed"].shape == (1, 82, 64)
    torch.save(state, tmp_path / "dinov2.pth")
    model: Any = VitClassifier(2, VitClassifierConfig(32, TINY_VIT), "vit_base_patch14_dinov2")
    assert load_weights(model, tmp_path / "dinov2.pth").startswith("only body from")
    assert torch.equal(model.body.blocks[3].ls2.gamma, theirs.blocks[3].ls2.gamma)
    assert model(noise(1, 3, 32, 32)).isfinite().all()


@pytest.mark.parametrize("shape", [(1, 83, 64), (1, 82, 32), (82, 64)])
def test_a_position_embedding_of_no_square_grid_is_refused_by_its_name(tmp_path: Path, shape: tuple[int, ...]) -> None:
    model = VitClassifier(2, VitClassifierConfig(32, TINY_VIT))
    torch.save(model.body.state_dict() | {"pos_embed": torch.zeros(shape)}, tmp_path / "wrong.pth")
    with pytest.raises(ValueError, match=r"pos_embed is .* in the file and \(1, 17, 64\) in the model"):
        load_weights(model, tmp_path / "wrong.pth")


@pytest.mark.parametrize(
    "config", [VitClassifierConfig(64, TINY_VIT), SwinConfig(64, 2, depths=(2, 2, 2), num_heads=(2, 4, 8))]
)
def test_sizes_that_do_not_divide_are_refused(config: VitClassifierConfig | SwinConfig) -> None:
    for size_px in (0, 30):
        with pytest.raises(ValueError, match=f"image size {size_px} px; expected a multiple of 8 px"):
            replace(config, image_size_px=size_px)

"""The vision encoder is BEiT's (transformers), its index a four-fold loop's, its drop path as documented."""

import re

import pytest
import torch
from reference import batches, naive
from torch import Tensor, nn

from xfm.model import VisionEncoder
from xfm.model.blocks import DropPath
from xfm.model.vision import patchify, relative_index, sine_cosine

BEIT_NAMES = [  # transformers' names, early and late 5.x, -> ours
    (r"^(encoder\.)?layers?\.(\d+)\.", r"blocks.\2."),
    (r"^embeddings\.patch_embeddings\.projection", "patch_embed"),
    (r"^embeddings\.", ""),
    (r"blocks\.(\d+)\..*relative_position_bias_table", r"relative_bias.\1"),
    ("lambda_", "gamma"),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    (r"attention\.(attention\.)?([qkv])(_proj|uery|ey|alue)\.", r"attention.\2."),
    (r"attention\.(o_proj|output\.dense)", "attention.out"),
    (r"intermediate\.dense", "mlp.fc1"),
    (r"\d\.output\.dense", "mlp.fc2"),
]


@pytest.mark.parametrize("grid", [1, 2, 3, 5])
def test_relative_index_is_a_loop_over_both_patches(grid):
    assert torch.equal(relative_index(grid), naive.relative_index(grid))


def beit(ours: VisionEncoder) -> nn.Module:
    from transformers import BeitConfig, BeitModel

    v = ours.config
    sizes = {"hidden_size": v.width, "num_hidden_layers": v.depth, "num_attention_heads": v.heads,
             "intermediate_size": 4 * v.width, "image_size": v.image_size, "patch_size": v.patch_size}  # fmt: skip
    form = {"layer_norm_eps": 1e-6, "layer_scale_init_value": 0.1, "drop_path_rate": 0.0, "use_mask_token": True,
            "use_relative_position_bias": True, "use_absolute_position_embeddings": False, "use_mean_pooling": True,
            "attn_implementation": "eager"}  # fmt: skip
    theirs = BeitModel(BeitConfig(**sizes, **form), add_pooling_layer=False)
    weights = dict(ours.named_parameters())
    for short, whole in (("q", "query"), ("k", "key"), ("v", "value")):
        weights = {n.replace(f"attention.{whole}.", f"attention.{short}."): w for n, w in weights.items()}
    del weights["norm.weight"], weights["norm.bias"]
    state = theirs.state_dict()
    for name, tensor in state.items():
        if name.endswith("relative_position_index"):
            continue
        for pattern, replacement in BEIT_NAMES:
            name = re.sub(pattern, replacement, name)
        tensor.copy_(weights.pop(name).detach().view(tensor.shape))
    assert not weights
    return theirs.double().eval()


@pytest.mark.parametrize(("size", "patch", "depth"), [(16, 4, 2), (24, 8, 3), (16, 8, 1)])
@torch.no_grad()
def test_patch_tokens_are_those_of_transformers_beit(size, patch, depth):
    """Before the last norm, which BEiT applies to the mean and X-FM to the patches."""
    sizes = {"image_size": size, "patch_size": patch, "depth": depth}
    changes = {f"model__vision__{name}": value for name, value in sizes.items()}
    config = batches.config(data__mask__image_patches=3, **changes)
    ours = batches.model(config).vision
    theirs = beit(ours.float())
    ours.double().norm = nn.Identity()
    image, hidden = batches.pictures(config, 3).double(), batches.hidden_patches(config, 3)
    for mask in (None, hidden):
        expected = theirs(image, bool_masked_pos=mask).last_hidden_state[:, 1:]
        torch.testing.assert_close(ours(image, mask), expected, rtol=1e-5, atol=1e-6)  # BEiT's softmax is in float32


@pytest.mark.parametrize("positions", [False, True])
@torch.no_grad()
def test_a_batch_is_its_pictures_one_by_one(positions):
    config = batches.config(model__vision__absolute_positions=positions)
    model, image, hidden = batches.model(config), batches.pictures(config, 3), batches.hidden_patches(config, 3)
    for mask in (None, hidden):
        ours = model.vision(image.double(), mask)
        assert ours.shape == (3, 16, 32)
        for b in range(3):
            expected = naive.picture(model, image[b], None if mask is None else mask[b])
            torch.testing.assert_close(ours[b], expected, rtol=1e-9, atol=1e-11)


@torch.no_grad()
def test_hidden_patches_are_not_seen():
    config = batches.config()
    model, hidden = batches.model(config), batches.hidden_patches(config, 2)
    image = batches.pictures(config, 2).double()
    out = model.vision(image, hidden)
    noise = torch.randn_like(image) * 9
    pixels = hidden.view(2, 1, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.equal(model.vision(torch.where(pixels, noise, image), hidden), out)
    assert not torch.allclose(model.vision(torch.where(pixels, image, noise), hidden), out)
    assert not torch.allclose(model.vision(image), out)


def test_the_class_token_is_left_out_and_patches_go_row_by_row():
    config = batches.config()
    vision = batches.model(config).vision
    vision(batches.pictures(config, 1).double())[0, 3, 0].backward()
    assert vision.cls_token.grad is not None and vision.cls_token.grad.any()
    for table in vision.relative_bias:  # all three rows of the class token are used, but the last block's two queries
        used = table.grad.abs().sum(1) > 0
        assert used[-2] and bool(used[-3]) == bool(used[-1]) == (table is vision.relative_bias[0])
    image = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    patches = patchify(image, 2)
    assert patches.shape == (2, 6, 12) and torch.equal(patches[1, 4], image[1, :, 2:4, 2:4].flatten())
    assert not hasattr(batches.model(batches.config()).vision, "positions"), "off at base"
    table = sine_cosine(4, 32)
    assert table.shape == (16, 32) and (torch.cdist(table, table) + torch.eye(16) * 9 > 0.5).all()
    torch.testing.assert_close(table[:4, :16], table[:1, :16].expand(4, -1))  # y: the same in a row
    torch.testing.assert_close(table[::4, 16:], table[:1, 16:].expand(4, -1))  # x: the same in a column


def test_drop_path_drops_whole_samples_scales_the_kept_and_rises_linearly():
    def branch(rate: float, samples: int = 4000, training: bool = True) -> Tensor:
        return DropPath(rate).train(training)(torch.ones(samples, 3, 2))

    out = branch(0.3).flatten(1)
    assert torch.equal(out, out[:, :1].expand_as(out))
    kept = out[:, 0] > 0
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 1 / 0.7))
    assert 0.67 < kept.float().mean() < 0.73  # four deviations
    assert branch(0.0, 50).eq(1).all() and branch(0.3, 50, training=False).eq(1).all()
    config = batches.config(model__vision__depth=5, model__vision__drop_path=0.2)
    blocks = batches.model(config).vision.blocks
    assert [block.drop_path.rate for block in blocks] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert batches.model(batches.config(model__vision__depth=1)).vision.blocks[0].drop_path.rate == 0
    block, x, bias = blocks[4].train(), torch.randn(400, 2, 32).double(), torch.zeros(4, 2, 2).double()
    block.drop_path.rate = 0.5
    with torch.no_grad():
        change = (block(x, bias) - x).abs().sum((1, 2))
    untouched = (change == 0).double().mean()  # both branches dropped: a quarter, if each is drawn on its own
    assert 0.16 < untouched < 0.34

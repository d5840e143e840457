"""Encoders and fusion are loops, the fusion encoder transformers' too; padding and sharing change nothing. (BEiT's and
RoBERTa's states: `tests/train/test_encoders.py`, `tests/test_parity.py`.)"""

import pytest
import torch
from reference import batches, naive

from xfm.interop.published import published_name
from xfm.model import ImageTokens
from xfm.model.attention import FUNCTIONS, additive
from xfm.model.batch import PAD
from xfm.model.blocks import DropPath
from xfm.model.text import position_ids
from xfm.model.vision import relative_index


@pytest.mark.parametrize("grid", [1, 2, 5])
def test_relative_index_is_a_loop_over_both_patches(grid):
    assert torch.equal(relative_index(grid), naive.relative_index(grid))


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


def test_drop_path_drops_whole_samples_scales_the_kept_and_rises_linearly():
    out = DropPath(0.3).train()(torch.ones(4000, 3, 2)).flatten(1)
    assert torch.equal(out, out[:, :1].expand_as(out))
    kept = out[:, 0] > 0
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 1 / 0.7))
    assert 0.67 < kept.float().mean() < 0.73  # four deviations
    assert DropPath(0.3).eval()(torch.ones(50, 3)).eq(1).all()
    blocks = batches.model(batches.config(model__vision__depth=5, model__vision__drop_path=0.2)).vision.blocks
    assert [block.drop_path.rate for block in blocks] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])


@torch.no_grad()
def test_padding_changes_nothing():
    model, words = batches.model(batches.config()), batches.words(5, 12, 2)
    out = model.text(words.ids, words.mask)
    for b, mask in enumerate(words.mask):
        torch.testing.assert_close(out[b][mask], naive.text(model, naive.unpadded(words, b)), rtol=1e-9, atol=1e-11)


def test_positions_are_counted_over_ids_that_are_not_pads_which_have_no_gradient():
    ids = torch.tensor([[0, 7, 8, 2, PAD, PAD], [0, PAD, 9, 2, PAD, PAD]])
    assert position_ids(ids).tolist() == [[2, 3, 4, 5, 1, 1], [2, 1, 3, 4, 1, 1]]
    text, seen = batches.model(batches.config()).text, []
    text.position.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    ids = batches.words(2, 6, 1).ids
    text(ids, torch.arange(6) > torch.tensor([[-1], [2]]))  # the second text's first tokens are not to be seen
    assert torch.equal(seen[0], position_ids(ids)) and seen[0][1, 0] == 2
    model, words = batches.model(batches.config()), batches.words(3, 9, 2)
    assert PAD in words.ids
    hidden = model.text(words.ids, words.mask)
    hidden.sin().sum().backward(retain_graph=True)  # every row, those of pads too
    word, position = model.text.word.weight, model.text.position.weight
    assert not word.grad[PAD].any() and not position.grad[PAD].any()
    assert word.grad[words.ids[0]].any(1).all() and position.grad[2:5].any(1).all()
    model.objectives["mlm"].head(hidden, word).logsumexp(-1).sum().backward()
    assert word.grad[PAD].any() and not position.grad[PAD].any()


@torch.no_grad()
def test_it_is_transformers_roberta_with_cross_attention_seeing_both_ways():
    from transformers import RobertaConfig
    from transformers.models.roberta.modeling_roberta import RobertaEncoder

    ours = batches.model(batches.config(model__vision__width=24))  # transformers wants equal widths here
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40}
    sizes |= {"layer_norm_eps": 1e-5, "attn_implementation": "eager", "is_decoder": True, "add_cross_attention": True}
    theirs = RobertaEncoder(RobertaConfig(**sizes)).double().eval()
    names = {n: published_name(f"fusion.{n}") for n, _ in ours.fusion.named_parameters()}
    start = "fusion_encoder.roberta.encoder."
    theirs.load_state_dict({names[n].removeprefix(start): p for n, p in ours.fusion.named_parameters()})
    text, mask = torch.randn(3, 7, 24).double(), torch.arange(7) < torch.tensor([[7], [4], [2]])
    patches, seen = torch.randn(3, 16, 24).double(), torch.rand(3, 16) < 0.5
    image = ImageTokens.of_regions(patches, torch.arange(3), seen)
    tokens, keys = torch.cat([image.pooled[:3, None], patches], 1), torch.cat([torch.ones(3, 1).bool(), seen], 1)
    expected = theirs(text, additive(mask).double(), tokens, additive(keys).double()).last_hidden_state
    torch.testing.assert_close(ours.fusion(text, mask, image, torch.arange(3)), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("pictures", "patches", "pairings", "tokens", "of", "function"), [
    *((*sizes, of, "scaled_dot") for sizes in ((1, 4, 1, 3), (3, 16, 7, 9), (4, 9, 12, 5))
      for of in ("pictures", "regions")),
    *((3, 16, 4, 5, "regions", function) for function in FUNCTIONS),
])  # fmt: skip
@torch.no_grad()
def test_pairings_are_what_each_text_makes_of_its_own_item(pictures, patches, pairings, tokens, of, function):
    """Items in any order and more than once; a region is its pooled token and the patches that it overlaps."""
    model = batches.model(batches.config(model__cross_attention=function))
    grids, words = torch.randn(pictures, patches, 32).double(), batches.words(pairings, tokens, 1)
    text = torch.randn(pairings, tokens, 24).double()
    owner, inside = torch.randint(pictures, (5,)), torch.rand(5, patches) < 0.4
    inside[:, 1] = True
    if of == "pictures":
        image, items = ImageTokens.of_pictures(grids), [naive.tokens(g) for g in grids]
    else:
        image = ImageTokens.of_regions(grids, owner, inside)
        items = [naive.tokens(grids[o], s) for o, s in zip(owner, inside, strict=True)] + [*map(naive.tokens, grids)]
    torch.testing.assert_close(image.pooled, torch.stack([i[0] for i in items]))
    item = torch.randint(len(items), (pairings,))
    out = model.fusion(text, words.mask, image, item)
    for n, mask in enumerate(words.mask):
        expected = naive.fuse(model, text[n][mask], items[item[n]])
        torch.testing.assert_close(out[n][mask], expected, rtol=1e-9, atol=1e-11)

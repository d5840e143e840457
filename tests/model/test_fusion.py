"""The fusion encoder is RoBERTa with cross-attention (transformers); sharing keys and values changes no pairing."""

import pytest
import torch
from reference import batches, naive

from xfm.interop.published import published_name
from xfm.model import ImageTokens
from xfm.model.attention import additive


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


@pytest.mark.parametrize(("pictures", "patches", "pairings", "tokens"), [(1, 4, 1, 3), (3, 16, 7, 9), (4, 9, 12, 5)])
@pytest.mark.parametrize("of", ["pictures", "regions"])
@torch.no_grad()
def test_pairings_are_what_each_text_makes_of_its_own_item(pictures, patches, pairings, tokens, of):
    """Items in any order and more than once; a region is its pooled token and the patches that it overlaps."""
    model = batches.model(batches.config())
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


def test_a_pictures_keys_and_values_are_projected_once_however_many_texts_look():
    model, seen = batches.model(batches.config()), []
    cross = model.fusion.layers[0].cross
    project = cross.project
    cross.project = lambda memory: seen.append(memory.shape) or project(memory)
    image = ImageTokens.of_pictures(torch.randn(2, 16, 32).double())
    model.fusion(torch.randn(9, 4, 24).double(), torch.ones(9, 4).bool(), image, torch.arange(9) % 2)
    assert seen == [(2, 32), (2, 16, 32)]

"""The language and the fusion encoder are RoBERTa's (transformers); padding and sharing change nothing."""

import pytest
import torch
from reference import batches, naive

from xfm.interop.published import published_name
from xfm.model import ImageTokens
from xfm.model.attention import FUNCTIONS, additive
from xfm.model.batch import PAD
from xfm.model.text import position_ids


@pytest.mark.parametrize(("texts", "tokens"), [(1, 3), (4, 9), (3, 18)])
@torch.no_grad()
def test_it_is_transformers_roberta(texts, tokens):
    from transformers import RobertaConfig, RobertaModel

    ours = batches.model(batches.config())
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40}
    sizes |= {"layer_norm_eps": 1e-5, "attn_implementation": "eager", "vocab_size": 50, "type_vocab_size": 1}
    made = RobertaModel(RobertaConfig(**sizes, max_position_embeddings=20), add_pooling_layer=False)
    theirs = made.double().eval()
    weights = {f"text.{n}": p for n, p in ours.text.named_parameters()}
    state = {published_name(n).removeprefix("text_encoder.roberta."): p for n, p in weights.items()}
    state["embeddings.token_type_embeddings.weight"] = ours.text.token_type[None]
    missing = theirs.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys and not [n for n in missing.missing_keys if not n.endswith("_ids")]
    words = batches.words(texts, tokens, 2)
    ids = words.ids.clone()
    if tokens > 5:
        ids[0, 4] = PAD  # a pad amid the text: it is seen, and the positions after it shift
    expected = theirs(ids, words.mask.long()).last_hidden_state
    torch.testing.assert_close(ours.text(ids, words.mask), expected, rtol=1e-9, atol=1e-9)


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
    assert word.grad[PAD].any()
    assert not position.grad[PAD].any()


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


def test_a_pictures_keys_and_values_are_projected_once_however_many_texts_look():
    model, seen = batches.model(batches.config()), []
    cross = model.fusion.layers[0].cross
    project = cross.project
    cross.project = lambda memory: seen.append(memory.shape) or project(memory)
    image = ImageTokens.of_pictures(torch.randn(2, 16, 32).double())
    model.fusion(torch.randn(9, 4, 24).double(), torch.ones(9, 4).bool(), image, torch.arange(9) % 2)
    assert seen == [(2, 32), (2, 16, 32)]

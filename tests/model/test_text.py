"""The language encoder is RoBERTa (transformers), also where texts are padded; positions come from the ids."""

import pytest
import torch
from reference import batches, naive

from xfm.interop.published import published_name
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


def test_positions_are_counted_over_ids_that_are_not_pads():
    """Whatever the mask."""
    ids = torch.tensor([[0, 7, 8, 2, PAD, PAD], [0, PAD, 9, 2, PAD, PAD]])
    assert position_ids(ids).tolist() == [[2, 3, 4, 5, 1, 1], [2, 1, 3, 4, 1, 1]]
    text, seen = batches.model(batches.config()).text, []
    text.position.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    ids = batches.words(2, 6, 1).ids
    text(ids, torch.arange(6) > torch.tensor([[-1], [2]]))  # the second text's first tokens are not to be seen
    assert torch.equal(seen[0], position_ids(ids)) and seen[0][1, 0] == 2


def test_the_look_up_sends_no_gradient_to_the_pads_but_the_tied_decoder_does():
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

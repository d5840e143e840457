"""A word of several pieces is explained by all of them, as it is scored; and a target that does not read one side."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from xfm import recipes
from xfm.data import dataset
from xfm.explain.inputs import AttributionInputs
from xfm.explain.method_table import METHODS, attribute
from xfm.explain.prepare_inputs import encode_text, make_inputs
from xfm.explain.targets import Target, word_target
from xfm.explain.tracing import capture_attention
from xfm.model.modes import eval_mode

CONFIG = recipes.smoke()
DATA = dataset(CONFIG)
TOKENIZER = DATA.tokenizer()
TEXT, WORD = "an unbelievably big lion", "unbelievably"
UNAWARE = ("raw attention", "rollout", "random", "centre", "edges")  # of what the target reads


@pytest.fixture(scope="module")
def word(sharpened) -> AttributionInputs:
    return make_inputs(sharpened, TOKENIZER, DATA.world.scene("test", 1).image, TEXT, f"word {WORD}")


def of_piece(inputs: AttributionInputs, k: int) -> AttributionInputs:
    """The same question of the k-th piece alone, all being hidden."""
    ids, places = encode_text(inputs.model, TOKENIZER, TEXT, WORD)
    return replace(inputs, target=word_target(WORD, places[k : k + 1], [ids[places[k]]]))


def test_a_words_target_is_read_from_all_of_its_pieces(word) -> None:
    _, places = encode_text(word.model, TOKENIZER, TEXT, WORD)
    assert len(places) > 1 and word.target.places == tuple(places)
    parts = [of_piece(word, k).score() for k in range(len(places))]
    assert word.score() == pytest.approx(sum(parts), abs=1e-4)


@pytest.mark.parametrize("method", ["raw attention", "rollout"])
def test_plain_attention_of_a_word_is_the_mean_over_its_pieces(word, method) -> None:
    found = attribute(word, method)
    parts = [attribute(of_piece(word, k), method) for k in range(len(word.target.places))]
    torch.testing.assert_close(found.text, torch.stack([a.text for a in parts]).mean(0))
    torch.testing.assert_close(found.patches, torch.stack([a.patches for a in parts]).mean(0))
    assert not torch.allclose(found.patches, parts[0].patches), "the first piece is not the word"


def test_weight_times_gradient_of_a_word_is_the_sum_over_its_pieces(word) -> None:
    """Of the whole word's gradients, in the last layer: sum over pieces of E_h((w g)+)."""
    found = attribute(word, "attention x gradient")
    with eval_mode(word.model):
        maps, _ = capture_attention(word)
    rows = {n: (maps[n].weights[-1] * maps[n].gradients[-1]).clamp_min(0).mean(0) for n in ("fusion", "cross")}
    text, image = (sum(rows[name][place] for place in word.target.places) for name in ("fusion", "cross"))
    torch.testing.assert_close(found.text, text)
    torch.testing.assert_close(found.patches, image[1:] + image[0] / (len(image) - 1))


def test_generic_attention_adds_the_relevance_of_each_piece(word) -> None:
    found = attribute(word, "generic attention")
    targets = [replace(word.target, places=(place,)) for place in word.target.places]
    read = [attribute(replace(word, target=target), "generic attention") for target in targets]
    torch.testing.assert_close(found.text, sum(a.text for a in read))
    torch.testing.assert_close(found.patches, sum(a.patches for a in read))


@pytest.mark.parametrize("side", ["text", "patches"])
@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"object ablation", *UNAWARE}))
def test_of_a_side_that_a_target_does_not_read_the_gradient_is_zero(sharpened, method, side) -> None:
    alone = Target("a few features", lambda out: getattr(out, side)[:, 0, :4].square().sum(1), "", None)
    inputs = make_inputs(sharpened, TOKENIZER, DATA.world.scene("test", 1).image, "a lion", alone)
    found = attribute(inputs, method)
    read, unread = (found.text, found.patches)[:: 1 if side == "text" else -1]
    assert unread.abs().max() < 1e-5 < read.abs().max()

"""What is explained: words, patches and objects, targets, and what is refused."""

from dataclasses import replace
from itertools import product

import hostile
import numpy as np
import pytest
import torch
from explain.conftest import DATA, SCENE, TOKENIZER
from hypothesis import given
from hypothesis import strategies as st

from xfm.base.fields import ConfigError
from xfm.data.world.grammar import plural
from xfm.explain.box_prediction import box_predictor
from xfm.explain.inputs import AttributionInputs
from xfm.explain.mask_predictions import masked_predictor
from xfm.explain.method_table import METHODS, attribute
from xfm.explain.prepare_inputs import encode_text, make_inputs, said_once, scene_inputs
from xfm.explain.targets import Target, word_target
from xfm.explain.token_axes import token_axis
from xfm.explain.tracing import trace
from xfm.model import XFM
from xfm.model.modes import eval_mode


def test_a_masked_word_is_asked_for_and_hidden(model):
    inputs = make_inputs(model, TOKENIZER, SCENE.image, "a cat and two turtles", "word turtles")
    places = [i for i, piece in enumerate(inputs.words.pieces) if piece == "<mask>"]
    ids = TOKENIZER.encode("a cat and two turtles", 99)
    assert [ids[i] for i in places] == TOKENIZER.encode(" turtles", 99)[1:-1] and len(places) > 1
    attribution = attribute(inputs, "ablation")
    assert (attribution.text[places] == 0).all() and inputs.fixed[places].all()
    masked = torch.tensor([[TOKENIZER.mask_id if i in places else token for i, token in enumerate(ids)]])
    with eval_mode(model):
        out = inputs.outputs(inputs.patches[None], model.text.embed(masked))
        logits = model.objectives["imlm"].logits(out.fused[0, places]).log_softmax(-1)
    expected = sum(logits[i, ids[place]].item() for i, place in enumerate(places))
    assert attribution.score == pytest.approx(expected, abs=1e-3)


def test_a_phrase_is_about_its_object(model):
    inputs = scene_inputs(model, TOKENIZER, SCENE, about=1)
    assert (inputs.truth == SCENE.objects[1].mask).all()
    named = [piece for piece, naming in zip(inputs.words.pieces, inputs.name_pieces.tolist(), strict=True) if naming]
    assert "".join(named).replace(" ", "") == SCENE.objects[1].name.replace(" ", "")
    whole = scene_inputs(model, TOKENIZER, SCENE)
    assert (whole.truth == np.logical_or.reduce([o.mask for o in SCENE.objects])).all()


def test_a_masked_name_is_asked_of_the_caption_and_is_about_all_that_have_it(model):
    groups = 0
    for scene in (DATA.world.scene("test", i, (2, 4)) for i in range(12)):
        for about, said in said_once(scene).items():
            name = scene.objects[about].name
            assert said in (name, plural(name)) and said in scene.caption.text
            inputs = scene_inputs(model, TOKENIZER, scene, "name", about)
            meant = [o.mask for o in scene.objects if o.name == name]
            groups += len(meant) > 1
            assert inputs.text == scene.caption.text and (inputs.truth == np.logical_or.reduce(meant)).all()
            assert not inputs.name_pieces.any(), "what is masked already cannot be scored"
            by_word = make_inputs(model, TOKENIZER, scene.image, scene.caption.text, f"word {said}")
            assert inputs.score() == pytest.approx(by_word.score()) and inputs.words.pieces == by_word.words.pieces
    assert groups


def test_a_name_that_the_caption_says_twice_is_not_masked(model):
    scenes = (DATA.world.scene("test", i, (2, 4)) for i in range(200))
    scene, about = next((s, i) for s in scenes for i in range(len(s.objects)) if i not in said_once(s))
    two = DATA.world.scene("test", 0, 2)
    for other, which, said in ((scene, about, "whose name the caption says once"), (two, None, "one of 0, 1")):
        with pytest.raises(ConfigError, match=rf"about = {which}: must be .*{said}"):
            scene_inputs(model, TOKENIZER, other, "name", which)


@pytest.mark.parametrize(("change", "said"), [
    ({"target": "itn"}, "target = 'itn'.*did you mean 'itm'"), ({"text": "very " * 100}, "of at most"),
    ({"target": "word cot"}, "target = 'word cot': the text has no such word; did you mean 'cat'"),
    ({"objects": {"a cat": np.zeros((3, 3))}}, r"objects\['a cat'\].shape = \(3, 3\)"),
    ({"image": SCENE.image[0, 0]}, "image: an array of shape"),
])  # fmt: skip
def test_what_cannot_be_asked_is_refused_by_name(model, change, said):
    with pytest.raises(ConfigError, match=said):
        make_inputs(model, TOKENIZER, **{"image": SCENE.image, "text": "a cat"} | change)


def test_any_text_is_explained_or_refused_by_name(model):
    explained = (
        lambda text: make_inputs(model, TOKENIZER, SCENE.image, text).score(),
        lambda text: make_inputs(model, TOKENIZER, SCENE.image, "a cat", target=text),
        box_predictor(model, TOKENIZER, SCENE.image),
    )
    for explain, text in product(explained, hostile.STRINGS.values()):
        try:
            explain(text)
        except ConfigError as error:
            assert str(error).startswith(("text = ", "target = ", "phrase = ")) and len(str(error)) < 1000
            assert str(error).isprintable()


@pytest.mark.parametrize("wrong", [None, b"a cat", ("a", "cat")])
def test_what_is_no_text_is_refused_by_name(model, wrong):
    image = SCENE.image
    for explained, said in (
        (lambda: make_inputs(model, TOKENIZER, image, wrong), "text = "),
        (lambda: make_inputs(model, TOKENIZER, image, "a cat", target=wrong), "target = "),
        (lambda: make_inputs(model, TOKENIZER, image, "a cat", objects={wrong: image[..., 0] > 0}), "objects = "),
        (lambda: trace(model, TOKENIZER, image, wrong), "text = "),
        (lambda: trace(model, TOKENIZER, image, "a cat", target=wrong or 0), "target = "),
        (lambda: trace(model, TOKENIZER, image, "a cat", boxes={"a cat": wrong}), r"boxes\['a cat'\] = "),
        (lambda: masked_predictor(model, TOKENIZER, image, wrong), "text = "),
        (lambda: box_predictor(model, TOKENIZER, image)(wrong), "phrase = "),
        (lambda: attribute(make_inputs(model, TOKENIZER, image, "a cat"), wrong), "method = "),
    ):
        with pytest.raises(ConfigError, match=f"^{said}"):
            explained()


@given(st.text(max_size=40))
def test_pieces_belong_to_words_of_the_text(text):
    ids = TOKENIZER.encode(text, 1 << 30)
    words = token_axis(TOKENIZER, text, ids)
    assert len(words.pieces) == len(words.owner) == len(ids)
    assert all(-1 <= owner < len(words.words) for owner in words.owner)
    assert all(word in text for word in words.words)
    ordered = [owner for owner in words.owner if owner >= 0]
    assert ordered == sorted(ordered)


@pytest.mark.parametrize(("side", "column"), [("x", 0), ("y", 1), ("width", 2), ("height", 3)])
def test_a_side_of_a_box_is_that_of_the_heads_box(model: XFM, side: str, column: int) -> None:
    inputs = make_inputs(model, TOKENIZER, SCENE.image, "a lion above a cat", f"box {side}")
    with eval_mode(model), torch.no_grad():
        outputs = inputs.outputs(inputs.patches[None], inputs.pieces[None])
        box = outputs.head("bbp").boxes(outputs.fused)[0]
    assert inputs.score() == pytest.approx(box[column].item(), abs=1e-6)
    assert len({round(value, 4) for value in box.tolist()}) == 4, "four different sides"


TEXT, WORD = "an unbelievably big lion", "unbelievably"


@pytest.fixture(scope="module")
def word(model) -> AttributionInputs:
    return make_inputs(model, TOKENIZER, SCENE.image, TEXT, f"word {WORD}")


def of_piece(inputs: AttributionInputs, k: int) -> AttributionInputs:
    ids, places = encode_text(inputs.model, TOKENIZER, TEXT, WORD)
    return replace(inputs, target=word_target(WORD, places[k : k + 1], [ids[places[k]]]))


def test_a_words_target_is_read_from_all_of_its_pieces(word) -> None:
    _, places = encode_text(word.model, TOKENIZER, TEXT, WORD)
    assert len(places) > 1 and word.target.places == tuple(places)
    parts = [of_piece(word, k).score() for k in range(len(places))]
    assert word.score() == pytest.approx(sum(parts), abs=1e-4)


UNAWARE = ("raw attention", "rollout", "random", "centre", "edges")  # of what the target reads


@pytest.mark.parametrize("method", UNAWARE[:2])
def test_plain_attention_of_a_word_is_the_mean_over_its_pieces(word, method) -> None:
    found = attribute(word, method)
    parts = [attribute(of_piece(word, k), method) for k in range(len(word.target.places))]
    torch.testing.assert_close(found.text, torch.stack([a.text for a in parts]).mean(0))
    torch.testing.assert_close(found.patches, torch.stack([a.patches for a in parts]).mean(0))
    assert not torch.allclose(found.patches, parts[0].patches), "the first piece is not the word"


@pytest.mark.parametrize("side", ["text", "patches"])
@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"object ablation", *UNAWARE}))
def test_of_a_side_that_a_target_does_not_read_the_gradient_is_zero(model, method, side) -> None:
    alone = Target("a few features", lambda out: getattr(out, side)[:, 0, :4].square().sum(1), "", None)
    inputs = make_inputs(model, TOKENIZER, SCENE.image, "a lion", alone)
    found = attribute(inputs, method)
    read, unread = (found.text, found.patches)[:: 1 if side == "text" else -1]
    assert unread.abs().max() < 1e-5 < read.abs().max()

"""What is explained: masked words and patches, the objects of a scene, and what is refused."""

from __future__ import annotations

import hostile
import numpy as np
import pytest
import torch

from xfm import recipes
from xfm.base.fields import ConfigError
from xfm.data import dataset
from xfm.data.world.grammar import plural
from xfm.explain.box_prediction import box_predictor
from xfm.explain.ground_truth_inputs import said_once, scene_inputs
from xfm.explain.mask_predictions import masked_predictor
from xfm.explain.method_table import attribute
from xfm.explain.prepare_inputs import encode_text, make_inputs
from xfm.explain.tracing import trace
from xfm.model.modes import eval_mode

CONFIG = recipes.smoke()
DATA = dataset(CONFIG)
TOKENIZER = DATA.tokenizer()
SCENE = next(s for s in (DATA.world.scene("test", i) for i in range(99)) if len(s.objects) == 3)


@pytest.fixture(scope="module")
def model(sharpened):
    return sharpened


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
            assert said in (name, plural(name)) and scene.caption.text.count(said) >= 1
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
    with pytest.raises(ConfigError, match=rf"about = {about}: must be .* whose name the caption says once"):
        scene_inputs(model, TOKENIZER, scene, "name", about)
    with pytest.raises(ConfigError, match=r"about = None: must be one of 0, 1"):
        scene_inputs(model, TOKENIZER, DATA.world.scene("test", 0, 2), "name")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": "itn"}, "target = 'itn'.*did you mean 'itm'"),
        ({"target": "word cot"}, "target = 'word cot': the text has no such word; did you mean 'cat'"),
        ({"objects": {"a cat": np.zeros((3, 3))}}, r"objects\['a cat'\].shape = \(3, 3\)"),
        ({"text": "very " * 100}, "of at most"),
        ({"image": SCENE.image[0, 0]}, "image: an array of shape"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(model, change, said):
    with pytest.raises(ConfigError, match=said):
        make_inputs(model, TOKENIZER, **{"image": SCENE.image, "text": "a cat"} | change)


@pytest.mark.parametrize("text", hostile.params())
def test_any_text_is_explained_or_refused_by_name(model, text):
    for explained in (
        lambda: make_inputs(model, TOKENIZER, SCENE.image, text).score(),
        lambda: make_inputs(model, TOKENIZER, SCENE.image, "a cat", target=text),
        lambda: box_predictor(model, TOKENIZER, SCENE.image)(text),
    ):
        try:
            explained()
        except ConfigError as error:
            assert str(error).startswith(("text = ", "target = ", "phrase = ")) and len(str(error)) < 1000
            assert str(error).isprintable()


@pytest.mark.parametrize("wrong", [None, 5, 1.5, b"a cat", ["a cat"], ("a", "cat"), {"a": 1}, object()])
def test_what_is_no_text_is_refused_by_name(model, wrong):
    image = SCENE.image
    for explained, said in (
        (lambda: make_inputs(model, TOKENIZER, image, wrong), "text = "),
        (lambda: make_inputs(model, TOKENIZER, None, wrong), "text = "),
        (lambda: make_inputs(model, TOKENIZER, image, "a cat", target=wrong), "target = "),
        (lambda: trace(model, TOKENIZER, image, wrong), "text = "),
        (lambda: trace(model, TOKENIZER, image, "a cat", target=wrong or 0), "target = "),
        (lambda: trace(model, TOKENIZER, image, "a cat", boxes={"a cat": wrong}), r"boxes\['a cat'\] = "),
        (lambda: masked_predictor(model, TOKENIZER, image, wrong), "text = "),
        (lambda: box_predictor(model, TOKENIZER, image)(wrong), "phrase = "),
        (lambda: encode_text(model, TOKENIZER, wrong), "text = "),
        (lambda: attribute(make_inputs(model, TOKENIZER, image, "a cat"), wrong), "method = "),
    ):
        with pytest.raises(ConfigError, match=f"^{said}"):
            explained()
    if wrong is None or isinstance(wrong, int | float | bytes | tuple):
        with pytest.raises(ConfigError, match=r"^objects = "):
            make_inputs(model, TOKENIZER, image, "a cat", objects={wrong: np.zeros(image.shape[:2], bool)})

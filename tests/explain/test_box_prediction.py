"""Predicted boxes are those of the evaluation; words that no training picture came with."""

import numpy as np
import pytest
import torch
from explain.conftest import CONFIG, DATA, SCENE, TOKENIZER

import xfm
from xfm.base.fields import ConfigError
from xfm.explain.box_prediction import SeenWords, box_predictor, phrase_boxes, seen_words
from xfm.explain.tracing import trace
from xfm.model.modes import eval_mode
from xfm.objectives import build
from xfm.tasks import EvalContext
from xfm.tasks.world import grounding

SIDE = CONFIG.model.vision.image_size


def test_boxes_are_the_evaluations(model):
    model.train()
    ground = box_predictor(model, TOKENIZER, SCENE.image)
    found = [ground(phrase.text)["box"] for phrase in SCENE.phrases]
    assert model.training and all(p.grad is None for p in model.parameters())
    with eval_mode(model), torch.inference_mode():
        _, _, wanted, predicted = grounding.predict(EvalContext(model, CONFIG, TOKENIZER), [SCENE])
    for own, (cx, cy, w, h) in zip(found, (SIDE * predicted).tolist(), strict=True):
        assert own == pytest.approx([cx - w / 2, cy - h / 2, w, h], abs=1e-3)
    true = np.array(list(phrase_boxes(SCENE).values()))
    assert list(phrase_boxes(SCENE)) == [p.text for p in SCENE.phrases]
    assert np.allclose(true[:, :2] + true[:, 2:] / 2, SIDE * wanted[:, :2], atol=1e-3)
    assert np.allclose(true[:, 2:], SIDE * wanted[:, 2:], atol=1e-3)


def test_any_image_is_prepared_and_models_that_diverged_are_refused(model, broken):
    large = SCENE.image.repeat(2, 0).repeat(2, 1)
    assert box_predictor(model, TOKENIZER, large)("a lion")["box"] != pytest.approx((0, 0, 0, 0))
    with pytest.raises(ConfigError, match="image: "):
        box_predictor(model, TOKENIZER, SCENE.image[0, 0])
    with pytest.raises(ConfigError, match=r"box = .*nan.*: must be finite"):
        box_predictor(broken, TOKENIZER, SCENE.image)("a lion")


def test_candidates_are_where_masked_pictures_point(model):
    found = box_predictor(model, TOKENIZER, SCENE.image)("the lion")
    shares = [c["share"] for c in found["candidates"]]
    assert 1 <= len(shares) <= 3 and shares == sorted(shares, reverse=True) and sum(shares) <= 1 + 1e-6
    assert found == {**box_predictor(model, TOKENIZER, SCENE.image)("the lion"), "attention": found["attention"]}
    assert found["never_seen"] is None
    traced = trace(model, TOKENIZER, SCENE.image, "the lion")
    assert found["pieces"] == traced.words.pieces
    torch.testing.assert_close(torch.from_numpy(found["attention"]), traced.maps["cross"].weights)
    del (alone := build(CONFIG)).objectives["itm"]
    found = box_predictor(alone, TOKENIZER, SCENE.image)("the lion")
    assert found["presence"] is None and {c["presence"] for c in found["candidates"]} == {None}


def test_words_that_were_never_seen_or_are_no_token_are_named(model):
    seen = SeenWords(frozenset({"the", "lion"}))
    found = box_predictor(model, TOKENIZER, SCENE.image, seen)("the lion zqxj")
    assert found["never_seen"] == ["zqxj"]
    word, pieces = found["split"][-1]
    assert word == "zqxj" and len(pieces) > 1 and "".join(pieces) == "zqxj"


def test_the_checkpoint_tells_what_is_there_from_what_is_not():
    lab = xfm.load("demo")
    there, absent = [], []
    for i in range(10):
        scene = lab.data.world.scene("validation", i, seed=5)
        ground, names = box_predictor(lab.model, lab.tokenizer, scene.image), {o.name for o in scene.objects}
        other = next(n for n in lab.data.world.names[7 * i % 90 :] if n not in names)
        for phrases, name in ((there, min(names)), (absent, other)):
            phrases.append(ground(f"the {name}")["presence"])
    assert (np.array(there)[:, None] > absent).mean() > 0.95
    assert np.median(there) > 0.25 > 0.05 > np.median(absent)


SEEN = SeenWords(frozenset({"the", "lion", "bear", "polar", "left", "of", "car", "t-shirt"}), ("polar bear", "taco"))


NEVER = {
    "The LION left of the car.": [],
    "the zebra, the zebra and a gnu": ["zebra", "and", "a", "gnu"],
    "the polar bear": ["polar bear"],  # held out, though each word was seen
    "the bear": [],
    "polar bears": ["bears"],
    "taco-taco": ["taco"],
    "a t-shirt": ["a"],
    "!?. \x00 ": [],
    "<b>löwe</b> 豹": ["b", "löwe", "豹"],
}


def test_words_and_held_out_names_are_named_once() -> None:
    assert {phrase: SEEN.never(phrase) for phrase in NEVER} == NEVER


def test_of_a_world_all_its_phrases_are_known_and_its_held_out_concepts_are_not() -> None:
    seen = seen_words(DATA)
    for i in range(20):
        scene = DATA.world.scene("test", i)
        assert not any(seen.never(text) for text in (scene.text, *(p.text for p in scene.phrases)))
    for name in DATA.world.unseen_names:
        assert seen.never(f"the {name}") == [name]
    assert seen.first == ("the",) and not seen.begins("The drum")
    assert [seen.begins(phrase) for phrase in ("a drum", "drum", "!")] == [("the",)] * 3


def test_user_data_have_first_words_of_their_own(model) -> None:
    seen = SeenWords(frozenset(), first=("left", "man", "the", "red"))
    assert [seen.begins(phrase) for phrase in ("man on a bike", "RED car")] == [(), ()]
    assert seen.begins("a man") == ("left", "man", "the") and SeenWords(frozenset()).begins("a man") == ()
    found = box_predictor(model, TOKENIZER, SCENE.image, seen)
    assert found("a lion")["begins"] == ("left", "man", "the") and found("the lion")["begins"] == ()

"""Predicted words, patches and boxes: those of training and of the evaluation; words that no picture came with."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from explain.conftest import CONFIG, DATA, SCENE, TOKENIZER

import xfm
from xfm import recipes
from xfm.base.fields import ConfigError
from xfm.config import RunConfig
from xfm.data import dataset
from xfm.explain.box_prediction import SeenWords, box_predictor, phrase_boxes, seen_words
from xfm.explain.mask_predictions import masked_predictor
from xfm.explain.tracing import trace
from xfm.flow import Flow
from xfm.model import XFM
from xfm.model.batch import Images, Pairs, Texts, TokenBatch
from xfm.model.modes import eval_mode
from xfm.objectives import build
from xfm.tasks import EvalContext
from xfm.tasks.world import grounding

PATCHES = CONFIG.model.vision.patches
IDS = TOKENIZER.encode(SCENE.caption.text, 999)
HIDDEN = np.arange(PATCHES) % 3 == 0
PLACES = [2, len(IDS) - 2]
PIECES = np.isin(np.arange(len(IDS)), PLACES)
NOTHING = np.zeros(PATCHES, bool), np.zeros(len(IDS), bool)


def made(config: RunConfig = CONFIG) -> XFM:
    model = build(config).train()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim == 2 and "positions" not in name:
                p.mul_(2)
    return model


def flow(model: XFM, config: RunConfig, kind: type) -> Flow:
    ids, at = torch.tensor([IDS]), torch.tensor([PLACES])
    masked = ids.index_fill(1, at[0], TOKENIZER.mask_id)
    words = TokenBatch(ids, torch.ones_like(ids, dtype=torch.bool), masked, at, ids[:, at[0]])
    image = torch.from_numpy(SCENE.image.copy()).permute(2, 0, 1)[None]
    mask = torch.from_numpy(HIDDEN)[None]
    batch = {Pairs: Pairs(image, words, mask), Texts: Texts(words), Images: Images(image, mask)}[kind]
    objective = {Pairs: "imlm", Texts: "mlm", Images: "mim"}[kind]
    return Flow(model.eval(), batch, config.flow, (objective,), (0,))


def test_guesses_have_the_losses_of_imlm_and_mlm_of_the_picture_as_it_is_shown():
    model = made()
    predict = masked_predictor(model, TOKENIZER, SCENE.image, SCENE.caption.text)
    answer = predict(NOTHING[0], PIECES)
    assert model.training and model.text.dropout.training  # modes are left as they were
    assert [(w["place"], w["piece"]) for w in answer["words"]] == [(p, TOKENIZER.decode([IDS[p]])) for p in PLACES]
    for side, objective, kind in (("with", "imlm", Pairs), ("without", "mlm", Texts)):
        loss = model.objectives[objective](flow(model, CONFIG, kind)).loss.item()
        assert -np.log([w[side]["truth"] for w in answer["words"]]).mean() == pytest.approx(loss, rel=1e-4)
    hidden = flow(model, CONFIG, Texts).masked_text[0, PLACES[0]]
    likely = model.objectives["mlm"].head(hidden, model.text.word.weight).softmax(-1).topk(5)
    found = answer["words"][0]["without"]["guesses"]
    assert [p for _, p in found] == pytest.approx(likely.values.tolist(), rel=1e-4)
    best = likely.indices.tolist()[0]
    assert found[0][0] == (TOKENIZER.decode([best]) or TOKENIZER.backend.id_to_token(best))
    seen, unseen = answer["words"][0], predict(~NOTHING[0], PIECES)["words"][0]
    assert seen["without"] == unseen["without"] and seen["with"]["truth"] != unseen["with"]["truth"]
    every = predict(NOTHING[0], ~NOTHING[1])["words"]
    assert [w["place"] for w in every] == [*range(1, len(IDS) - 1)], "<s> and </s> stay"
    assert predict(*NOTHING)["words"] == []


@pytest.mark.parametrize("target", ["self", "pixels"])
def test_agreement_is_with_what_mim_must_predict(target):
    config = CONFIG.replace({"flow.mim_target": target})
    model = made(config)
    answer = masked_predictor(model, TOKENIZER, SCENE.image, SCENE.caption.text)(HIDDEN, NOTHING[1])
    own = flow(model, config, Images)
    predicted = model.objectives["mim"].head(own.masked_patches)[0]
    expected = F.cosine_similarity(predicted, own.mim_target.patches[0], dim=-1).detach().numpy()
    np.testing.assert_allclose(answer["agreement"][HIDDEN], expected[HIDDEN], rtol=1e-4, atol=1e-5)
    assert np.isnan(answer["agreement"][~HIDDEN]).all()
    assert answer["target"] == {"self": "outputs", "pixels": "pixels"}[target]
    pixels = replace(own, config=CONFIG.replace({"flow.mim_target": "pixels"}).flow).mim_target.patches[0]
    np.testing.assert_allclose(answer["pixels"], pixels.numpy(), rtol=1e-4, atol=1e-5)


def test_a_model_without_a_head_or_with_anothers_target_says_so():
    model = made()
    del model.objectives["imlm"]
    model.objectives["mim"].head = torch.nn.Linear(CONFIG.model.vision.width, 7)
    answer = masked_predictor(model, TOKENIZER, SCENE.image, SCENE.caption.text)(HIDDEN, PIECES)
    assert answer["agreement"] is None and answer["target"] is None
    assert answer["words"][0]["with"] is None and answer["words"][0]["without"]["truth"] > 0


def test_boxes_are_the_evaluations_of_any_image_and_models_that_diverged_are_refused(model, broken):
    model.train()
    ground = box_predictor(model, TOKENIZER, SCENE.image)
    found = [ground(phrase.text)["box"] for phrase in SCENE.phrases]
    assert model.training and all(p.grad is None for p in model.parameters())
    with eval_mode(model), torch.inference_mode():
        _, _, wanted, predicted = grounding.predict(EvalContext(model, CONFIG, TOKENIZER), [SCENE])
    for own, boxes in ((found, predicted), ([*phrase_boxes(SCENE).values()], wanted)):
        middle, size = (CONFIG.model.vision.image_size * np.asarray(boxes)).reshape(-1, 2, 2).swapaxes(0, 1)
        np.testing.assert_allclose(own, np.hstack([middle - size / 2, size]), atol=1e-3)
    large = SCENE.image.repeat(2, 0).repeat(2, 1)
    assert box_predictor(model, TOKENIZER, large)("a lion")["box"] != pytest.approx((0, 0, 0, 0))
    for said, refused in (
        ("image: ", lambda: box_predictor(model, TOKENIZER, SCENE.image[0, 0])),
        (r"box = .*nan.*: must be finite", lambda: box_predictor(broken, TOKENIZER, SCENE.image)("a lion")),
        (r"scores = .*nan.*: must be finite", lambda: trace(broken, TOKENIZER, SCENE.image, "a lion")),
        (r"image = 'cat.png': no such file", lambda: masked_predictor(model, TOKENIZER, "cat.png", "a lion")),
    ):
        with pytest.raises(ConfigError, match=said):
            refused()


def test_candidates_are_where_masked_pictures_point(model):
    found, again = (box_predictor(model, TOKENIZER, SCENE.image)("the lion") for _ in range(2))
    shares = [c["share"] for c in found["candidates"]]
    assert 1 <= len(shares) <= 3 and shares == sorted(shares, reverse=True) and sum(shares) <= 1 + 1e-6
    assert found == {**again, "attention": found["attention"]} and found["never_seen"] is None
    traced = trace(model, TOKENIZER, SCENE.image, "the lion").maps["cross"].weights
    torch.testing.assert_close(torch.from_numpy(found["attention"]), traced)
    del (alone := build(CONFIG)).objectives["itm"]
    found = box_predictor(alone, TOKENIZER, SCENE.image)("the lion")
    assert found["presence"] is None and {c["presence"] for c in found["candidates"]} == {None}


@pytest.mark.full
def test_the_checkpoint_tells_what_is_there_from_what_is_not():
    lab = xfm.load("demo")
    there, absent = [], []
    for i in range(10):
        scene = lab.data.world.scene("validation", i, seed=5)
        ground, names = box_predictor(lab.model, lab.tokenizer, scene.image), {o.name for o in scene.objects}
        other = next(n for n in lab.data.world.names[7 * i % 90 :] if n not in names)
        for phrases, name in ((there, min(names)), (absent, other)):
            phrases.append([ground(phrase)["presence"] for phrase in (f"the {name}", f"a {name}", name)])
    assert (np.array(there)[:, None] > np.array(absent)).mean((0, 1)).min() > 0.95
    assert np.median(there, 0).min() > 0.25 > 0.05 > np.median(absent, 0).max()


def test_words_and_held_out_names_are_named_once() -> None:
    words = frozenset({"the", "lion", "bear", "polar", "left", "of", "car", "t-shirt"})
    seen, never = SeenWords(words, ("polar bear", "taco")), {
        "The LION left of the car.": [], "the zebra, the zebra and a gnu": ["zebra", "and", "a", "gnu"],
        "the polar bear": ["polar bear"], "the bear": [],  # held out, though each word was seen
        "polar bears": ["bears"], "taco-taco": ["taco"], "a t-shirt": ["a"], "!?. \x00 ": [],
        "<b>löwe</b> 豹": ["b", "löwe", "豹"],
    }  # fmt: skip
    assert {phrase: seen.never(phrase) for phrase in never} == never


@pytest.mark.full
def test_of_a_world_its_phrases_are_known_and_where_some_have_no_article_every_name_begins_one() -> None:
    seen = seen_words(DATA)
    scenes = [DATA.world.scene("test", i) for i in range(20)]
    assert not any(seen.never(text) for scene in scenes for text in (scene.text, *(p.text for p in scene.phrases)))
    assert all(seen.never(f"the {name}") == [name] for name in DATA.world.unseen_names)
    assert seen.first == ("the",) and not seen.begins("The drum")
    assert [seen.begins(phrase) for phrase in ("a drum", "drum", "!")] == [("the",)] * 3
    data = dataset(recipes.pretrained())
    seen, names = seen_words(data), {word for name in data.world.names for word in name.split()[:1]}
    forms = ("the {}", "a {}", "an {}", "{}", "big {}")
    assert not [form for form in forms for name in names if seen.begins(form.format(name))]
    assert seen.begins("two lions") and seen.begins("there is a lion")


def test_what_training_never_saw_is_told_of_a_phrase_and_user_data_have_first_words_of_their_own(model) -> None:
    seen = SeenWords(frozenset({"the", "lion"}), first=("left", "man", "the", "red"))
    assert [seen.begins(phrase) for phrase in ("man on a bike", "RED car")] == [(), ()]
    assert SeenWords(frozenset()).begins("a man") == ()
    ground = box_predictor(model, TOKENIZER, SCENE.image, seen)
    assert ground("a lion")["begins"] == ("left", "man", "the")
    found = ground("the lion zqxj")
    assert found["never_seen"] == ["zqxj"] and found["begins"] == ()
    word, pieces = found["split"][-1]
    assert word == "zqxj" and len(pieces) > 1 and "".join(pieces) == "zqxj"

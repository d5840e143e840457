"""What is explained: words, patches and objects, targets, and what is refused."""

from dataclasses import replace
from functools import partial
from itertools import product

import hostile
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from explain.conftest import CONFIG, DATA, SCENE, TOKENIZER
from hypothesis import given
from hypothesis import strategies as st

import xfm
from xfm.base.fields import ConfigError
from xfm.config import RunConfig
from xfm.data.world.grammar import plural
from xfm.explain.box_prediction import SeenWords, box_predictor
from xfm.explain.mask_predictions import masked_predictor
from xfm.explain.method_table import METHODS, attribute
from xfm.explain.prepare_inputs import encode_text, make_inputs, said_once, scene_inputs
from xfm.explain.targets import Target, word_target
from xfm.explain.token_axes import token_axis
from xfm.explain.tracing import trace
from xfm.flow import Flow
from xfm.model import XFM
from xfm.model.batch import Images, Pairs, Texts, TokenBatch
from xfm.model.modes import eval_mode
from xfm.objectives import build


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


def test_a_phrase_that_the_scene_lacks_is_refused_with_how_many_there_are(model):
    for about in (-1, len(SCENE.phrases)):
        with pytest.raises(ConfigError, match=rf"about = {about}: must be 0 to {len(SCENE.phrases) - 1}"):
            scene_inputs(model, TOKENIZER, SCENE, about=about)


def test_a_phrase_is_about_its_object_and_a_masked_name_about_all_that_have_it(model):
    inputs, groups = scene_inputs(model, TOKENIZER, SCENE, about=1), 0
    named = [piece for piece, naming in zip(inputs.words.pieces, inputs.name_pieces.tolist(), strict=True) if naming]
    assert "".join(named).replace(" ", "") == SCENE.objects[1].name.replace(" ", "")
    assert (inputs.truth == SCENE.objects[1].mask).all()
    assert (scene_inputs(model, TOKENIZER, SCENE).truth == np.logical_or.reduce([o.mask for o in SCENE.objects])).all()
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
    scenes = (DATA.world.scene("test", i, (2, 4)) for i in range(200))
    scene, about = next((s, i) for s in scenes for i in range(len(s.objects)) if i not in said_once(s))
    two = DATA.world.scene("test", 0, 2)
    for other, which, said in ((scene, about, "whose name the caption says once"), (two, None, "one of 0, 1")):
        with pytest.raises(ConfigError, match=rf"about = {which}: must be .*{said}"):
            scene_inputs(model, TOKENIZER, other, "name", which)
    assert groups


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
def test_what_cannot_be_asked_is_refused_by_name(model, wrong):
    ask, image = partial(make_inputs, model, TOKENIZER), SCENE.image
    for explained, said in (
        (lambda: ask(image, wrong), "text = "),
        (lambda: ask(image, "very " * 100), "text = .*of at most"),
        (lambda: ask(image, "a cat", target=wrong), "target = "),
        (lambda: ask(image, "a cat", target="itn"), "target = 'itn'.*did you mean 'itm'"),
        (lambda: ask(image, "a cat", target="word cot"), "target = 'word cot': .* no such word; did you mean 'cat'"),
        (lambda: ask(image, "a cat", objects={wrong: image[..., 0] > 0}), "objects = "),
        (lambda: ask(image, "a cat", objects={"a cat": np.zeros((3, 3))}), r"objects\['a cat'\].shape = \(3, 3\)"),
        (lambda: ask(image[0, 0], "a cat"), "image: an array of shape"),
        (lambda: trace(model, TOKENIZER, image, wrong), "text = "),
        (lambda: trace(model, TOKENIZER, image, "a cat", target=wrong or 0), "target = "),
        (lambda: trace(model, TOKENIZER, image, "a cat", boxes={"a cat": wrong}), r"boxes\['a cat'\] = "),
        (lambda: masked_predictor(model, TOKENIZER, image, wrong), "text = "),
        (lambda: box_predictor(model, TOKENIZER, image)(wrong), "phrase = "),
        (lambda: attribute(ask(image, "a cat"), wrong), "method = "),
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


def test_a_side_of_a_box_is_that_of_the_heads_box(model) -> None:
    ask = partial(make_inputs, model, TOKENIZER, SCENE.image, "a lion above a cat")
    sides = [ask(f"box {side}") for side in ("x", "y", "width", "height")]
    with eval_mode(model), torch.no_grad():
        outputs = sides[0].outputs(sides[0].patches[None], sides[0].pieces[None])
        box = outputs.head("bbp").boxes(outputs.fused)[0].tolist()
    assert [side.score() for side in sides] == pytest.approx(box, abs=1e-6)
    assert len({round(value, 4) for value in box}) == 4, "four different sides"


TEXT, WORD = "an unbelievably big lion", "unbelievably"
UNAWARE = ("raw attention", "rollout", "random", "centre", "edges")  # of what the target reads


def test_a_words_target_is_read_from_all_of_its_pieces(model) -> None:
    word = make_inputs(model, TOKENIZER, SCENE.image, TEXT, f"word {WORD}")
    ids, places = encode_text(model, TOKENIZER, TEXT, WORD)
    assert len(places) > 1 and word.target.places == tuple(places)
    pieces = [replace(word, target=word_target(WORD, [place], [ids[place]])) for place in places]
    assert word.score() == pytest.approx(sum(piece.score() for piece in pieces), abs=1e-4)
    for method in UNAWARE[:2]:  # plain attention of a word is the mean over its pieces
        found, parts = attribute(word, method), [attribute(piece, method) for piece in pieces]
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


IDS = TOKENIZER.encode(SCENE.caption.text, 999)
HIDDEN = np.arange(CONFIG.model.vision.patches) % 3 == 0
PLACES = [2, len(IDS) - 2]
PIECES = np.isin(np.arange(len(IDS)), PLACES)
NOTHING = np.zeros(len(HIDDEN), bool), np.zeros(len(IDS), bool)


def made(config: RunConfig = CONFIG) -> XFM:
    model = build(config).train()
    for name, p in model.named_parameters():
        if p.ndim == 2 and "positions" not in name:
            p.data.mul_(2)
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


def test_guesses_have_the_losses_of_imlm_and_mlm_and_a_model_without_a_head_has_none():
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
    del model.objectives["imlm"]
    model.objectives["mim"].head = torch.nn.Linear(CONFIG.model.vision.width, 7)  # another's target
    answer = masked_predictor(model, TOKENIZER, SCENE.image, SCENE.caption.text)(HIDDEN, PIECES)
    assert answer["agreement"] is None and answer["target"] is None
    assert answer["words"][0]["with"] is None and answer["words"][0]["without"]["truth"] > 0


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


def test_any_image_is_prepared_and_models_that_diverged_are_refused(model):
    broken = build(CONFIG)
    for layers in (broken.text.layers, broken.fusion.layers):
        layers[0].mlp.fc1.weight.data.fill_(float("nan"))
    model.train()
    assert any(box_predictor(model, TOKENIZER, SCENE.image.repeat(2, 0).repeat(2, 1))("a lion")["box"])
    assert model.training and all(p.grad is None for p in model.parameters())
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


def test_what_training_never_saw_is_told_of_a_phrase_and_user_data_have_first_words_of_their_own(model) -> None:
    words = frozenset({"the", "lion", "bear", "polar", "left", "of", "car", "t-shirt"})
    seen, never = SeenWords(words, ("polar bear", "taco")), {
        "The LION left of the car.": [], "the zebra, the zebra and a gnu": ["zebra", "and", "a", "gnu"],
        "the polar bear": ["polar bear"], "the bear": [],  # held out, though each word was seen
        "polar bears": ["bears"], "taco-taco": ["taco"], "a t-shirt": ["a"], "!?. \x00 ": [],
        "<b>löwe</b> 豹": ["b", "löwe", "豹"],
    }  # fmt: skip
    assert {phrase: seen.never(phrase) for phrase in never} == never
    seen = SeenWords(frozenset({"the", "lion"}), first=("left", "man", "the", "red"))
    assert [seen.begins(phrase) for phrase in ("man on a bike", "RED car")] == [(), ()]
    assert SeenWords(frozenset()).begins("a man") == ()
    ground = box_predictor(model, TOKENIZER, SCENE.image, seen)
    assert ground("a lion")["begins"] == ("left", "man", "the")
    found = ground("the lion zqxj")
    assert found["never_seen"] == ["zqxj"] and found["begins"] == ()
    word, pieces = found["split"][-1]
    assert word == "zqxj" and len(pieces) > 1 and "".join(pieces) == "zqxj"

"""X-FM in the page computes what it computes in PyTorch: tokens, pixels, outputs and every attention."""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import javascript
import numpy as np
import PIL
import pytest
import torch
from page import DECODE, TOLERANCE, alive, coded, few_pairs, near, sent, small
from PIL import Image

import xfm
import xfm_widgets as xw
from xfm import explain
from xfm.base.images import prepare
from xfm.config import ConfigError
from xfm.data import dataset
from xfm.data.tokenizer import Tokenizer
from xfm.data.wordnet import sentences
from xfm.explain.box_prediction import SeenWords
from xfm.explain.token_axes import TokenAxis, token_axis
from xfm.model import XFM
from xfm.model.batch import normalise, standardise
from xfm.model.modes import eval_mode
from xfm.model.vision import patchify
from xfm.study import Study
from xfm_widgets import attributions
from xfm_widgets.page_model import as_in_page, page_model, with_heads
from xfm_widgets.pages import MARIMO_MOST, Embedded, dense
from xfm_widgets.traces import packed

AXIS = TokenAxis(("<s>", "a", "</s>"), (-1, 0, -1), ("a",))
# ---- tokens

TOKENIZE = """
import { createTokenizer } from "./page_model/page_tokenizer.js";
const tokenizer = createTokenizer(data.tokenizer);
answer(data.texts.map((text) => { const { ids, pieces, owner, words } = tokenizer.tokens(text, 1e9);
  return [ids, pieces, owner, words, tokenizer.encode(text, 30)]; }));
"""
HOSTILE = [
    "a", " a", "a ", "  a  b\t\nc\r\n", "\x00", "a\x00b\x01", "\x85a\x85 b", "\ufeffa \ufeff", "\x1c a \x1f b",
    "don't we'll I'M they'VE it''s 's", "x" * 3000, "ab " * 800, "\u200d\u200b", "\U0001f600",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 family \U0001f3f3\ufe0f\u200d\U0001f308",
    "\xe9 e\u0301 \u0301", "ÀÉÎÕÜ", "İstanbul ΣΑΣ ẞ ŉ ǅ", "שלום עולם", "مرحبا بالعالم", "\u202eabc\u202c",
    "\u4e2d\u6587 \u5b57 \u6f22\u5b57kana \u30ab\u30ca", "\uff11\uff12\uff13 \xbd \xb2 \u2167 \u0663", "<s>", "</s>",
    "<pad> a <pad>", "a <mask> b", "a  <mask>  b<mask>c", "<MASK> <S>", "<unk><unk>", "<mas", "a<s>b </s>", "!?.,;:",
    "a_b __ -_-", "\u3000a\u3000b\u2003", "\xa0a\xa0\xa0b", "\u1680 \u180e", "\U00010400 \U0001d400", "\uffff\ufdd0",
    "\ufb01 \ufb00", "a\u0300\u0301\u0302" * 50, "0" * 500, "Zalgo t\u0335\u0310e\u0336x\u0337t",
    "ok\u2028line\u2029para", "\U0010ffff",
]  # fmt: skip


def texts_of_all_kinds() -> list[str]:
    data = dataset(xfm.load("demo").config)
    scenes = [data.world.scene("test", i) for i in range(60)]
    captions = [text for s in scenes for text in (s.caption.text, *(phrase.text for phrase in s.phrases))]
    glosses = [s.text for s in sentences("train")[:: len(sentences("train")) // 9500]]
    rng = np.random.default_rng(0)
    known = [c for c in map(chr, range(0x20000)) if unicodedata.category(c) not in ("Cn", "Cs")]
    drawn = ["".join(rng.choice(known, 20)) for _ in range(300)]  # of what this Python's Unicode has
    return [*captions, *glosses, *HOSTILE, *(t for t in drawn if t.strip())]


def test_texts_have_the_same_tokens_pieces_and_words() -> None:
    lab = xfm.load("demo")
    texts = [t for t in texts_of_all_kinds() if t.strip()]
    assert len(texts) > 10_000
    found = javascript.run(TOKENIZE, {"tokenizer": page_model(lab.model, lab.tokenizer)["tokenizer"], "texts": texts})
    for text, (ids, pieces, owner, words, cut) in zip(texts, found, strict=True):
        expected = lab.tokenizer.encode(text, 1 << 30)
        axis = token_axis(lab.tokenizer, text, expected)
        assert ids == expected and cut == lab.tokenizer.encode(text, 30), repr(text)
        assert (tuple(pieces), tuple(owner), tuple(words)) == (axis.pieces, axis.owner, axis.words), repr(text)


@pytest.mark.parametrize("text", ["", " \t\u2003\x1f", "a \ud800 b", "\udfff", "a " * 300])
def test_what_is_no_text_is_refused_on_both_sides(text: str) -> None:
    lab = xfm.load("demo")
    with pytest.raises(ConfigError):
        lab.inputs(np.zeros((48, 48, 3), np.uint8), text)
    script = """
import { createTokenizer } from "./page_model/page_tokenizer.js";
try { createTokenizer(data.tokenizer).tokens(data.text, 62); answer("taken"); }
catch (error) { answer(error instanceof RangeError); }
"""
    assert javascript.run(script, {"tokenizer": page_model(lab.model, lab.tokenizer)["tokenizer"], "text": text})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"normalizer": {"type": "NFC"}}, "NFC"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "Whitespace"),
        ({"model": {"type": "WordPiece"}}, "WordPiece"),
        ({"model": {"byte_fallback": True}}, "byte_fallback"),
        ({"model": {"end_of_word_suffix": "</w>"}}, "end_of_word_suffix"),
        ({"added_tokens": [{"rstrip": True}]}, "<s>"),
    ],
)
def test_a_tokenizer_that_the_page_does_not_know_is_refused(changes: dict[str, Any], named: str) -> None:
    lab = xfm.load("demo")
    tree = json.loads(lab.tokenizer.backend.to_str())
    for key, change in changes.items():
        if isinstance(change, list):
            tree[key][0] |= change[0]
        else:
            tree[key] = (tree[key] or {}) | change
    backend = SimpleNamespace(to_str=lambda: json.dumps(tree))
    with pytest.raises(ConfigError, match=f"tokenizer.*{re.escape(named)}"):
        page_model(lab.model, SimpleNamespace(backend=backend))  # type: ignore[arg-type]


@pytest.mark.parametrize("function", ["dot", "general", "additive", "cosine"])
def test_an_encoder_or_an_attention_that_the_page_does_not_know_is_refused(function: str) -> None:
    lab = xfm.load("demo")
    config = lab.model.config
    other = replace(config, vision=replace(config.vision, encoder="open_clip"))
    for own, named in (
        (other, "encoder = 'open_clip'"),
        (
            replace(config, cross_attention=function),
            f"model.cross_attention = '{function}': must be one of 'scaled_dot'",
        ),
    ):
        with pytest.raises(ConfigError, match=re.escape(named)):
            page_model(SimpleNamespace(config=own), lab.tokenizer)  # type: ignore[arg-type]


# ---- pictures

RESIZE = """
answer(data.map(({ rgba, width, height, side }) =>
  Buffer.from(prepared(new Uint8Array(Buffer.from(rgba, "base64")), width, height, side)).toString("base64")));
"""


def rgba_pictures() -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = [(1, 1), (1, 7), (48, 48), (48, 96), (49, 48), (47, 48), (5, 3), (200, 64), (333, 517), (96, 96), (31, 100)]
    for height, width in [*sizes, *rng.integers(1, 160, (40, 2)).tolist()]:
        picture = rng.integers(0, 256, (height, width, 4)).astype(np.uint8)
        if rng.random() < 0.5:  # edges, opaque
            picture[..., :3] = 255 * (picture[..., :3] > 128)
            picture[..., 3] = 255
        yield picture


def test_pictures_of_any_size_become_the_same_pixels() -> None:
    sides = [48, 32, 1, 224]
    given = [(picture, sides[i % 4]) for i, picture in enumerate(rgba_pictures())]
    if int(PIL.__version__.partition(".")[0]) < 13:  # which resize what is high in the other order
        given = [(picture, side) for picture, side in given if len(picture) <= picture.shape[1]]
    pictures = [{"rgba": coded(p.tobytes()), "width": p.shape[1], "height": p.shape[0], "side": s} for p, s in given]
    script = "import { prepared } from './page_model/page_picture.js';\n" + RESIZE
    for (picture, side), found in zip(given, javascript.run(script, pictures), strict=True):
        expected = prepare(Image.fromarray(picture, "RGBA"), side)
        np.testing.assert_array_equal(np.frombuffer(base64.b64decode(found), np.uint8), expected.ravel())


# ---- outputs

PARITY = (
    DECODE
    + """
answer(data.cases.map(({ rgb, text, patches, pieces }) => {
  const given = model.inputs(bytes(rgb), text);
  const maps = { language: [], vision: [], fusion: [], cross: [] };
  const out = model.outputs(given, { patches, pieces }, maps);
  const places = given.tokens.ids.keys().filter((place) => place % 9 === 1).toArray();
  const all = (values) => (values.some((v) => v === null) ? null : Float32Array.from(values.flatMap((v) => [...v])));
  const found = {
    text: out.text, image: out.patches, fused: out.fused,
    text_embedding: model.textEmbedding(out.text), image_embedding: model.imageEmbedding(out.patches),
    itc: Float32Array.of(model.itc(out)), itm: Float32Array.of(model.itm(out)), box: Float32Array.from(model.box(out)),
    imlm: all(places.map((place) => model.imlm(out, place))), mlm: all(places.map((place) => model.mlm(out, place))),
    mim: model.mim(out.patches), pixels: model.pixels(given.rgb),
    ...Object.fromEntries(Object.entries(maps).map(([name, layers]) => [`map ${name}`, all(layers)])),
  };
  return Object.fromEntries(Object.entries(found).map(([name, values]) => [name, coded(values)]));
}));
"""
)

KINDS: dict[str, dict[str, Any]] = {
    "absolute and relative positions": {},
    "relative positions, layer scale": {"model.vision.absolute_positions": False, "model.vision.layer_scale": 0.3},
    "pixels are predicted": {"flow.mim_target": "pixels", "model.vision.image_size": 36, "model.vision.patch_size": 12},
    "other sizes": {"model.vision.width": 24, "model.vision.heads": 3, "model.text.depth": 1, "model.fusion_depth": 3,
                    "model.vision.depth": 1, "model.embed_dim": 10, "model.text.intermediate": 50},
    "bert": {"model.text.encoder": "bert", "model.fusion_depth": 2},
}  # fmt: skip


def cases(model: XFM, tokenizer: Tokenizer, count: int) -> list[dict[str, Any]]:
    """Random pictures, texts of every length, and what is hidden of both; in every third case nothing."""
    rng, longest = np.random.default_rng(1), model.config.text.positions - 2
    side, found = model.config.vision.image_size, []
    for i in range(count):
        length = 3 + i % (longest - 2)
        text = " ".join(rng.choice("a the of in on two big and".split(), length - 2))  # a token each
        assert len(tokenizer.encode(text, 1 << 30)) == length
        hide = i % 3 > 0
        patches, pieces = rng.random(model.config.vision.patches) < 0.4 * hide, rng.random(length) < 0.4 * hide
        picture = rng.integers(0, 256, (side, side, 3)).astype(np.uint8)
        found.append({"rgb": picture, "text": text, "patches": patches, "pieces": pieces})
    return found


def computed(model: XFM, tokenizer: Tokenizer, case: dict[str, Any]) -> dict[str, torch.Tensor]:
    inputs, heads = explain.make_inputs(model, tokenizer, case["rgb"], case["text"]), cast(Any, model.objectives)
    keep = (~torch.from_numpy(case[name])[None] for name in ("patches", "pieces"))
    with torch.no_grad(), eval_mode(model), explain.capture(model) as captured:
        out: Any = inputs.outputs(*inputs.mask(*keep))
        found = {
            "text": out.text, "image": out.patches, "fused": out.fused, "itc": out.itc, "itm": out.itm,
            "text_embedding": heads["itc"].embed_text(out.text[:, 0]),
            "image_embedding": heads["itc"].embed_image(out.patches.mean(1)),
            "box": heads["bbp"].boxes(out.fused), "imlm": heads["imlm"].logits(out.fused[:, 1::9]),
            "mlm": heads["mlm"].head(out.text[:, 1::9], model.text.word.weight), "mim": heads["mim"].head(out.patches),
            "pixels": standardise(patchify(normalise(torch.from_numpy(case["rgb"]).permute(2, 0, 1)[None]),
                                           model.config.vision.patch_size)),
        }  # fmt: skip
    for name, site in inputs.sites().items():
        found[f"map {name}"] = torch.stack([captured.weights[module][0] for module in site.modules])
    return found


def differences(model: XFM, tokenizer: Tokenizer, count: int) -> dict[str, float]:
    """The largest difference of each output, between the page and PyTorch with the page's weights."""
    given, rounded = cases(model, tokenizer, count), as_in_page(model)
    as_json = {
        "rgb": lambda v: coded(v.tobytes()),
        "text": str,
        "patches": np.ndarray.tolist,
        "pieces": np.ndarray.tolist,
    }
    plain = [{name: as_json[name](value) for name, value in case.items()} for case in given]
    found = javascript.run(PARITY, {"payload": sent(page_model(model, tokenizer)), "cases": plain})
    largest: dict[str, float] = {}
    for case, outputs in zip(given, found, strict=True):
        expected = computed(rounded, tokenizer, case)
        assert expected.keys() == outputs.keys()
        for name, values in outputs.items():
            numbers = np.frombuffer(base64.b64decode(values), "<f4")
            difference = np.abs(numbers - expected[name].numpy().ravel()).max()
            largest[name] = max(largest.get(name, 0.0), float(difference))
    return largest


@pytest.mark.parametrize("kind", KINDS)
def test_every_output_and_attention_is_pytorchs(kind: str) -> None:
    largest = differences(small(KINDS[kind]), xfm.load("demo").tokenizer, 62)
    assert max(largest.values()) < TOLERANCE, largest


@pytest.mark.full
def test_the_shipped_checkpoint_says_what_it_says_in_pytorch() -> None:
    lab = xfm.load("demo")
    largest = differences(lab.model, lab.tokenizer, 62)
    assert max(largest.values()) < TOLERANCE, largest


MATCH = DECODE + "answer(data.pairs.map(([rgb, text]) => model.itm(model.outputs(model.inputs(bytes(rgb), text)))));"


def test_pictures_of_the_world_match_texts_as_in_python_with_all_bits() -> None:
    lab = xfm.load("demo")
    scenes = [lab.scene(i) for i in range(8)]
    pairs = [(s.image, text) for i, s in enumerate(scenes) for text in (s.caption.text, scenes[i - 1].caption.text)]
    plain = [(coded(image.tobytes()), text) for image, text in pairs]
    found = javascript.run(MATCH, {"payload": sent(page_model(lab.model, lab.tokenizer)), "pairs": plain})
    expected = [explain.make_inputs(lab.model, lab.tokenizer, *pair).score() for pair in pairs]
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)


# ---- attribution

ATTRIBUTE = (
    DECODE
    + """
import { attributors } from "./page_model/page_methods.js";
import { question } from "./page_model/page_targets.js";
const ended = (work) => {
  while ("next" in work) {
    const { done, value } = work.next();
    if (done) return value;
  }
  return work;
};
answer(data.cases.map(({ rgb, text, objects, random, targets }) => targets.map((target) => {
  const of = attributors(model, objects, { ...payload.seeds, random });
  const asked = question(model, bytes(rgb), text, target);
  return Object.fromEntries(Object.entries(of).map(([name, method]) => {
    const { pieces, patches } = ended(method(asked));
    return [name, [[...pieces], [...patches]]];
  }));
})));
"""
)
GRADIENTS = 1e-3  # of the largest number of an attribution


@pytest.mark.full
def test_every_attribution_in_the_page_is_pythons() -> None:
    model, lab = small({"model.vision.image_size": 24, "model.fusion_depth": 2}), xfm.load("demo")
    rounded, rng = as_in_page(model), np.random.default_rng(0)
    masks = {"one": np.zeros((24, 24), bool), "two": np.zeros((24, 24), bool)}
    masks["one"][:16, :8], masks["two"][8:, 4:] = True, True
    cases, asked = [], []
    for text, word in (
        ("a big crocodile on the left", "crocodile"),
        ("two lions , unbelievably many !", "unbelievably"),
    ):
        image = rng.integers(0, 256, (24, 24, 3)).astype(np.uint8)
        inputs = [explain.make_inputs(rounded, lab.tokenizer, image, text, target, masks)
                  for target in ("itm", "itc", "box x", f"word {word}")]  # fmt: skip
        targets = [attributions.page_target(one) for one in inputs]
        patches = [np.flatnonzero(mask).tolist() for mask in inputs[0].object_patches().values()]
        seed = xw.AttributionLab.of(inputs, [])._given()["random"]
        asked.append(inputs)
        cases.append({"rgb": coded(image.tobytes()), "text": text, "objects": patches, "random": seed,
                      "targets": targets})  # fmt: skip
    assert [len(case["targets"][-1]["places"]) for case in cases] == [1, 6], "pieces of a word"
    found = javascript.run(ATTRIBUTE, {"payload": sent(page_model(model, lab.tokenizer)), "cases": cases})
    for inputs, by_target in zip(asked, found, strict=True):
        for one, by_method in zip(inputs, by_target, strict=True):
            assert by_method.keys() == explain.METHODS.keys() == attributions.IN_PAGE.keys()
            for method, rows in by_method.items():
                expected = explain.attribute(one, method)
                said = attributions.IN_PAGE[method]
                assert said == {name: getattr(expected, name) for name in said}, method
                for numbers, wanted in zip(rows, (expected.text, expected.patches), strict=True):
                    most = GRADIENTS * max(expected.text.abs().max().item(), expected.patches.abs().max().item())
                    where = f"{one.target.name}, {method}"
                    np.testing.assert_allclose(numbers, wanted, atol=max(most, 1e-6), rtol=0, err_msg=where)


FAITHFUL = (
    DECODE
    + """
import { faithfulness, stepsTo } from "./page_model/page_faithfulness.js";
import { question } from "./page_model/page_targets.js";
const floats = (base64) => new Float32Array(bytes(base64).buffer);
const ended = (steps) => {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
};
answer({
  steps: Array.from({ length: 300 }, (_, count) => stepsTo(count)),
  reports: data.cases.map(({ rgb, text, target, pieces, patches }) => {
    const rows = { pieces: floats(pieces), patches: floats(patches) };
    return ended(faithfulness(model, question(model, bytes(rgb), text, target), rows, payload.seeds, target.truth));
  }),
});
"""
)


@pytest.mark.full
def test_trust_in_the_page_is_pythons() -> None:
    """Numbers of any kind: with ties, without a positive one, none but zeros; with ground truth and without."""
    model, lab = small({"model.vision.image_size": 24, "model.fusion_depth": 2}), xfm.load("demo")
    text, truth = "a big crocodile left of two lions", np.zeros((24, 24), bool)
    image = np.random.default_rng(2).integers(0, 256, (24, 24, 3)).astype(np.uint8)
    truth[3:20, 6:13] = True
    rounded, cases, expected = as_in_page(model), [], []
    for target in ("itm", "itc", "box x", "word lions"):
        plain = explain.make_inputs(rounded, lab.tokenizer, image, text, target)
        names = torch.tensor([word == 2 for word in plain.words.owner])
        for inputs in (plain, replace(plain, truth=truth, name_pieces=names)):
            base = explain.attribute(inputs, "occlusion")
            for numbers in (lambda x: x, torch.round, lambda x: -x.abs(), torch.zeros_like):
                a = replace(base, patches=numbers(10 * base.patches), text=numbers(10 * base.text))
                report = explain.faithfulness_report(inputs, a, sensitive=False)
                drawn = attributions.packed(a, report)
                expected.append({"trust": drawn["trust"], "beyond": drawn["beyond"]})
                pieces, patches = (coded(v.numpy().astype("<f4").tobytes()) for v in (a.text, a.patches))
                cases.append({"rgb": coded(image.tobytes()), "text": text, "pieces": pieces, "patches": patches,
                              "target": attributions.page_target(inputs, report)})  # fmt: skip
    found = javascript.run(FAITHFUL, {"payload": sent(page_model(model, lab.tokenizer)), "cases": cases})
    assert found["steps"] == [torch.linspace(0, n, min(12, n) + 1).round().int().tolist() for n in range(300)]
    near(found["reports"], expected, "trust")
    assert len({np.sign(one["beyond"]).sum() for one in expected}) > 1


# ---- what the views ask

PHRASES = [
    "the Ice  Cream, an ice cream", "blue-ish bluebird blue", "zyzzogeton", "the yellow thing",
    "Ok's c++ ΣΑΣ naïve_x 2² ½ 字",
    "something behind the two unbelievably large crocodiles of the left", "!", "don't do-it o’clock '-",
]  # fmt: skip
QUESTIONS = (
    DECODE
    + """
import { grounder } from "./page_model/page_grounding.js";
import { guess, similarities, trace } from "./page_model/page_questions.js";
import { question, removals } from "./page_model/page_targets.js";
const plain = (value) => {
  if (value instanceof DataView) return coded(value);
  if (Array.isArray(value)) return value.map(plain);
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
};
const { text, hidden, removed } = data;
const rgb = bytes(data.rgb), given = model.inputs(rgb, text);
const { answer: guesses, pixels } = guess(model, given, hidden);
const { find, ready } = grounder(model, rgb, payload.seeds.candidates, data.seen);
const hasty = find(data.phrases[0]);
await ready;
answer(plain({
  hasty, ground: data.phrases.map((phrase) => find(phrase)),
  guess: guesses, pixels: new DataView(pixels.buffer),
  trace: trace(model, rgb, text),
  removal: removals(model, ["itm", "itc", "box x", "box y", "box width", "box height"].map((name) =>
    question(model, rgb, text, { name, places: [], ids: [] })), { all: data.patches })(removed),
  similarities: [...similarities(model, text, [model.imageEmbedding(model.encodeImage(model.embedImage(rgb)))])],
}));
"""
)


def test_views_are_told_what_python_tells_them() -> None:
    lab = xfm.load("demo")
    scene, model = lab.scene(7, objects=2), as_in_page(lab.model)
    text, phrases = scene.caption.text, [*(phrase.text for phrase in scene.phrases), *PHRASES]
    seen = SeenWords(frozenset({"the", "red", "lion", "of", "ok's"}), ("ice cream", "blue", "c++"), ("the", "don't"))
    inputs = explain.make_inputs(model, lab.tokenizer, scene.image, text)
    hidden, removed = {"patches": [0, 7, 8, 9], "pieces": [0, 2, 3]}, {"words": [1], "objects": ["all"], "patches": [3]}
    patches = list(range(10, 20))
    found = javascript.run(
        QUESTIONS,
        {"payload": sent(page_model(lab.model, lab.tokenizer)), "rgb": coded(inputs.image.tobytes()), "text": text,
         "phrases": phrases, "seen": {"words": sorted(seen.words), "held_out": seen.held_out, "first": seen.first},
         "hidden": hidden, "removed": removed, "patches": patches},
    )  # fmt: skip
    predict = explain.box_predictor(model, lab.tokenizer, scene.image, seen)
    pad = xw.GroundingPad(scene.image, dict.fromkeys(phrases, (0, 0, 9, 9)), predict)
    assert found["hasty"] == {**found["ground"][0], "candidates": []}, "the box is there before the candidates"
    near(found["ground"], [{**pad.found[phrase], "iou": None} for phrase in phrases], "ground")
    view = xw.MaskPlayground.of(model, lab.tokenizer, scene.image, text, hidden_patches=hidden["patches"])
    view.hidden_pieces = hidden["pieces"]
    near(found["guess"], view.answer, "guess")
    near(found["pixels"], view.pixels, "pixels")
    traced = explain.trace(model, lab.tokenizer, scene.image, text)
    near(found["trace"], {"trace": packed(traced), "scores": traced.scores}, "trace")
    gone = torch.isin(torch.arange(len(inputs.patches)), torch.tensor([*patches, 3]))
    effects = explain.removal_effects(inputs, gone, [inputs.words.words[1]])
    change = {name: found["removal"]["after"][name] - found["removal"]["before"][name] for name in effects}
    near(change, effects, "removal")
    near(found["similarities"], [traced.scores["itc"]], "similarities")


# ---- files that hold the model


def test_bytes_are_read_from_the_text_that_stands_in_a_page() -> None:
    contents = [np.random.default_rng(n).bytes(n) for n in (0, 1, 2, 12, 13, 26, 1000)] + [bytes(range(256)) * 3]
    script = """import { fromDense } from "./byte_text.js";
    answer(data.map((texts) => Buffer.from(fromDense(...texts)).toString("base64")));"""
    texts = [dense(content) for content in contents]
    found = javascript.run(script, [[text[:32], text[32:]] for text in texts])
    assert [base64.b64decode(read)[: len(c)] for read, c in zip(found, contents, strict=True)] == contents
    assert not {*"".join(texts)} & {*'<&"'} and texts[6].startswith(dense(contents[6][: 13 * 40]))


def test_a_page_has_the_heads_that_its_view_asks() -> None:
    lab = xfm.load("demo")
    whole = page_model(lab.model, lab.tokenizer)
    part = with_heads(whole, ("itc", "itm"))
    heads = {name.split(".")[1] for name in part["tensors"] if name.startswith("objectives.")}
    assert heads == {*part["config"]["heads"]} == {"itc", "itm"}
    assert whole["weights"].startswith(part["weights"]) and len(part["weights"]) < 0.85 * len(whole["weights"])
    scene, match = lab.scene(0), []
    for payload in (whole, part):
        pairs = [(coded(scene.image.tobytes()), scene.caption.text)]
        match.append(javascript.run(MATCH, {"payload": sent(payload), "pairs": pairs}))
    assert match[0] == match[1]


@pytest.mark.full
def test_a_file_has_the_model_only_where_it_is_asked_for(tmp_path: Path) -> None:
    for view in alive(xfm.load("demo")).values():
        path = tmp_path / "view.html"
        without, living = (view.to_html(path, model=model).read_text("utf-8") for model in (False, True))
        assert "createModel" not in without and len(without) < 1_300_000
        assert 6_000_000 < len(living.encode()) < MARIMO_MOST and "$page_kernel." in living
        assert len(str(Embedded(living, "a view", 600))) < MARIMO_MOST


def test_a_view_without_a_model_says_who_has_one(tmp_path: Path) -> None:
    lab = xfm.load("demo")
    scene = lab.scene(0)
    predict = explain.box_predictor(lab.model, lab.tokenizer, scene.image)
    trace = explain.trace(lab.model, lab.tokenizer, scene.image, "a lion")
    views = (xw.GroundingPad(scene.image, {}, predict), xw.MaskPlayground(np.zeros((8, 8, 3), np.uint8), AXIS, 2, None),
             xw.TraceExplorer(trace), xw.RetrievalExplorer(few_pairs(lab)),
             xw.AttributionLab(np.zeros((8, 8, 3), np.uint8), AXIS, []))  # fmt: skip
    for view in views:
        name = type(view).__name__
        reason = rf"^model=True: this {name} has no model to embed. Leave model out. {name}.of\(...\) has one."
        with pytest.raises(ConfigError, match=reason):
            view.to_html(tmp_path / "view.html", model=True)
        assert not (tmp_path / "view.html").exists()


@pytest.mark.full
def test_views_of_runs_replay_what_they_have(tmp_path: Path) -> None:
    study = Study.load(Path(__file__).resolve().parents[2] / "studies" / "insulation")
    for view in (xw.GradientFlow([]), xw.TrainingMonitor(tmp_path), xw.AblationExplorer(study)):
        reason = f"^model=True: {type(view).__name__} has no model to embed. Leave model out.$"
        for write in (view.to_html, view.to_js):
            with pytest.raises(ConfigError, match=reason):
                write(tmp_path / "view.html", model=True)
        with pytest.raises(ConfigError, match=reason):
            view.embed(model=True)

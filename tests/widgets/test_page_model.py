"""X-FM in the page computes what it computes in PyTorch: tokens, outputs and every attention."""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import hostile
import javascript
import numpy as np
import pytest
import torch
from page import DECODE, TOLERANCE, coded, sent, small
from torch import Tensor
from torch.nn import functional as F

import xfm
from xfm import explain
from xfm.config import ConfigError
from xfm.data import dataset
from xfm.data.tokenizer import Tokenizer
from xfm.data.wordnet import sentences
from xfm.explain.token_axes import token_axis
from xfm.model import XFM
from xfm.model.batch import normalise, standardise
from xfm.model.modes import eval_mode
from xfm.model.vision import patchify
from xfm_widgets.page_model import as_in_page, page_model, with_heads

TOKENIZE = """
import { createTokenizer } from "./page_model/page_tokenizer.js";
const tokenizer = createTokenizer(data.tokenizer);
answer(data.texts.map((text) => { const { ids, pieces, owner, words } = tokenizer.tokens(text, 1e9);
  return [ids, pieces, owner, words, tokenizer.encode(text, 30)]; }));
"""
TOKENS = [
    " a", "  a  b\t\nc\r\n", "\x85a\x85 b", "\ufeffa \ufeff", "\x1c a \x1f b", "don't we'll I'M they'VE it''s 's",
    "ΣΑΣ ẞ ŉ ǅ", "\u4e2d\u6587kana \u30ab", "\uff11\uff12 \xbd \xb2 \u2167 \u0663", "<s>", "0" * 500,
    "a  <mask>  b<mask>c<unk><unk>", "<MASK> <S> <mas", "!?.,;:a_b __ -_-", "\xa0a\xa0\xa0b\u1680 \u180e", "ab " * 800,
]  # fmt: skip


def texts_of_all_kinds() -> list[str]:
    data = dataset(xfm.load("demo").config)
    scenes = [data.world.scene("test", i) for i in range(60)]
    captions = [text for s in scenes for text in (s.caption.text, *(phrase.text for phrase in s.phrases))]
    glosses = [s.text for s in sentences("train")[:: len(sentences("train")) // 9500]]
    rng = np.random.default_rng(0)
    known = [c for c in map(chr, range(0x20000)) if unicodedata.category(c) not in ("Cn", "Cs")]
    drawn = ["".join(rng.choice(known, 20)) for _ in range(300)]  # of what this Python's Unicode has
    strange = [text[:3000] for text in hostile.STRINGS.values() if not re.search("[\ud800-\udfff]", text)]
    return [text for text in (*captions, *glosses, *TOKENS, *strange, *drawn) if text.strip()]


def test_texts_have_the_same_tokens_pieces_and_words(lab: xfm.Lab) -> None:
    texts = texts_of_all_kinds()
    assert len(texts) > 10_000
    found = javascript.run(TOKENIZE, {"tokenizer": page_model(lab.model, lab.tokenizer)["tokenizer"], "texts": texts})
    for text, (ids, pieces, owner, words, cut) in zip(texts, found, strict=True):
        expected = lab.tokenizer.encode(text, 1 << 30)
        axis = token_axis(lab.tokenizer, text, expected)
        assert ids == expected and cut == lab.tokenizer.encode(text, 30), repr(text)
        assert (tuple(pieces), tuple(owner), tuple(words)) == (axis.pieces, axis.owner, axis.words), repr(text)


def test_what_is_no_text_is_refused_on_both_sides(lab: xfm.Lab) -> None:
    texts = ["", " \t\u2003\x1f", "a \ud800 b", "\udfff", "a " * 300]
    for text in texts:
        with pytest.raises(ConfigError):
            lab.inputs(np.zeros((48, 48, 3), np.uint8), text)
    script = """
import { createTokenizer } from "./page_model/page_tokenizer.js";
answer(data.texts.map((text) => {
  try { createTokenizer(data.tokenizer).tokens(text, 62); } catch (error) { return error instanceof RangeError; }
}));
"""
    given = {"tokenizer": page_model(lab.model, lab.tokenizer)["tokenizer"], "texts": texts}
    assert javascript.run(script, given) == [True] * 5


@pytest.mark.parametrize(("changes", "named"), [
    ({"normalizer": {"type": "NFC"}}, "NFC"), ({"pre_tokenizer": {"type": "Whitespace"}}, "Whitespace"),
    ({"model": {"type": "WordPiece"}}, "WordPiece"), ({"added_tokens": [{"rstrip": True}]}, "<s>"),
])  # fmt: skip
def test_what_the_page_does_not_know_is_refused(changes: dict[str, Any], named: str, lab: xfm.Lab) -> None:
    tree, config = json.loads(lab.tokenizer.backend.to_str()), lab.model.config
    for key, change in changes.items():
        if isinstance(change, list):
            tree[key][0] |= change[0]
        else:
            tree[key] = (tree[key] or {}) | change
    tokenizer = SimpleNamespace(backend=SimpleNamespace(to_str=lambda: json.dumps(tree)))
    for model, tokens, said in (
        (lab.model, tokenizer, f"tokenizer.*{re.escape(named)}"),
        (SimpleNamespace(config=replace(config, cross_attention="cosine")), lab.tokenizer, "model.cross_attention = "),
    ):
        with pytest.raises(ConfigError, match=said):
            page_model(model, tokens)  # type: ignore[arg-type]


PARITY = DECODE + Path(__file__).with_name("page_parity.js").read_text("utf-8")

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
    plain = [
        {name: coded(v.tobytes()) if name == "rgb" else v if name == "text" else v.tolist() for name, v in case.items()}
        for case in given
    ]
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


SHIPPED = pytest.param("the shipped checkpoint", marks=pytest.mark.full)


@pytest.mark.parametrize("kind", [*KINDS, SHIPPED])
def test_every_output_and_attention_is_pytorchs(kind: str, lab: xfm.Lab) -> None:
    largest = differences(small(KINDS[kind]) if kind in KINDS else lab.model, lab.tokenizer, 62)
    assert max(largest.values()) < TOLERANCE, largest


ALGEBRA = Path(__file__).with_name("page_algebra.js").read_text("utf-8")


@pytest.mark.parametrize(
    "sizes", [(1, 4, 3, 2, 1), (5, 8, 13, 1, 5), (6, 24, 10, 3, 2), (36, 128, 512, 4, 4), (7, 30, 8, 5, 1)]
)
def test_the_kernels_compute_what_torch_does_whatever_the_sizes(sizes: tuple[int, ...]) -> None:
    rng, tensors, weights, matrices = np.random.default_rng(0), {}, b"", []
    rows, width, hidden, heads, groups = sizes
    for name, shape in {"up": (hidden, width), "down": (width, hidden), "word.weight": (hidden, width)}.items():
        codes, of = rng.integers(-32767, 32768, shape, np.int16), (1, -1) if name == "word.weight" else (-1, 1)
        scales = (rng.integers(1, 8, shape[of.index(-1)]) / 2**18).astype(np.float32)
        tensors[name] = {"shape": shape, "scales": len(weights), "at": len(weights) + scales.nbytes}
        weights += scales.tobytes() + codes.tobytes() + bytes(-codes.nbytes % 4)
        matrices.append(torch.from_numpy(codes * scales.reshape(of)).double())
    keys = rows // groups + 1
    shapes = {"x": (2, rows, width), "memory": (3, keys * groups, width), "d": (0.7, rows, width),
              "narrow": (0.1, rows, hidden), "steep": (6, rows, width), "gain": (0.3, width), "shift": (0.3, width),
              "wide": (0.3, hidden), "added": (1, heads, rows // groups, keys)}  # fmt: skip
    numbers = {
        name: torch.from_numpy(most * rng.uniform(-1, 1, shape)).float() for name, (most, *shape) in shapes.items()
    }
    sent = {name: values.flatten().tolist() for name, values in numbers.items()}
    found = javascript.run(ALGEBRA, {"tensors": tensors, "weights": [*weights], "numbers": sent, "sizes": sizes})
    expected = in_torch(*matrices, *(values.double() for values in numbers.values()), heads=heads, groups=groups)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        most = 1e-5 * max(1, values.abs().max().item())
        np.testing.assert_allclose(found[name], values.detach().ravel(), atol=most, rtol=0, err_msg=name)


def in_torch(up, down, word, x, memory, d, narrow, steep, gain, shift, wide, added, heads, groups) -> dict[str, Tensor]:
    """What page_algebra.js computes, by its names."""

    def attend(q: Tensor, k: Tensor, v: Tensor, groups: int, bias: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        q, k, v = (t.unflatten(0, (groups, -1)).unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
        weights = (q @ k.mT / q.shape[-1] ** 0.5 + bias).softmax(-1)
        return (weights @ v).transpose(1, 2).reshape(x.shape), weights

    q, k, v, normed, bent = (t.clone().requires_grad_() for t in (x, memory, memory, x, steep))
    (gathered, weights), (own, map_) = attend(x, memory, memory, groups, added), attend(q, k, v, 1)
    back = dict(zip(("q", "k", "v", "changes"), torch.autograd.grad(own, (q, k, v, map_), d), strict=True))
    norm, gelu, hidden = F.layer_norm(normed, gain.shape, gain, shift, 1e-5), F.gelu(bent), F.linear(x, up, wide)
    return back | {
        "gathered": gathered, "weights": weights, "norm": norm, "gelu": gelu, "up": hidden, "word": F.linear(x, word),
        "mlp": F.linear(F.gelu(hidden), down, shift), "upBack": narrow @ up, "wordBack": narrow @ word,
        "normBack": torch.autograd.grad(norm, normed, d)[0], "geluBack": torch.autograd.grad(gelu, bent, d)[0],
    }  # fmt: skip


MATCH = DECODE + "answer(data.pairs.map(([rgb, text]) => model.itm(model.outputs(model.inputs(bytes(rgb), text)))));"


def test_pictures_of_the_world_match_texts_as_in_python_with_all_bits(lab: xfm.Lab) -> None:
    scenes = [lab.scene(i) for i in range(8)]
    pairs = [(s.image, text) for i, s in enumerate(scenes) for text in (s.caption.text, scenes[i - 1].caption.text)]
    plain = [(coded(image.tobytes()), text) for image, text in pairs]
    found = javascript.run(MATCH, {"payload": sent(page_model(lab.model, lab.tokenizer)), "pairs": plain})
    expected = [explain.make_inputs(lab.model, lab.tokenizer, *pair).score() for pair in pairs]
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=0)


def test_a_page_has_the_heads_that_its_view_asks(lab: xfm.Lab) -> None:
    whole = page_model(lab.model, lab.tokenizer)
    part = with_heads(whole, ("itc", "itm"))
    heads = {name.split(".")[1] for name in part["tensors"] if name.startswith("objectives.")}
    assert heads == {*part["config"]["heads"]} == {"itc", "itm"}
    assert whole["weights"].startswith(part["weights"]) and len(part["weights"]) < 0.85 * len(whole["weights"])
    pairs = [(coded(lab.scene(0).image.tobytes()), lab.scene(0).caption.text)]
    first, second = (javascript.run(MATCH, {"payload": sent(payload), "pairs": pairs}) for payload in (whole, part))
    assert first == second

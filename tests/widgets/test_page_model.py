"""X-FM in the page computes what it computes in PyTorch: tokens, pixels, outputs and every attention."""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import javascript
import numpy as np
import pytest
import torch
from PIL import Image

import xfm
from xfm import explain, recipes
from xfm.batch import standardise
from xfm.config import ConfigError, RunConfig
from xfm.data import dataset
from xfm.data.tokenizer import Tokenizer
from xfm.data.wordnet import sentences
from xfm.explain.token_axes import token_axis
from xfm.images import prepare
from xfm.model import XFM
from xfm.model.modes import eval_mode
from xfm.model.vision import patchify
from xfm.objectives import build
from xfm_widgets.page_model import as_in_page, page_model

TOLERANCE = 1e-4
DECODE = """
const bytes = (base64) => { const b = Buffer.from(base64, "base64"); return new Uint8Array(b); };
const view = (base64) => new DataView(bytes(base64).buffer);
const floats = (base64) => new Float32Array(bytes(base64).buffer);
"""


def sent(payload: dict[str, Any]) -> dict[str, Any]:
    return payload | {"weights": coded(payload["weights"])}


def coded(content: bytes | np.ndarray | torch.Tensor) -> str:
    """Bytes, or numbers as float32."""
    if isinstance(content, torch.Tensor):
        content = content.detach().float().contiguous().numpy()
    return base64.b64encode(content if isinstance(content, bytes) else content.astype("<f4").tobytes()).decode()


# ---- tokens

TOKENIZE = (
    """
import { createTokenizer } from "./tokenizer.js";
const tokenizer = createTokenizer(data.tokenizer);
answer(data.texts.map((text) => { const { ids, pieces, owner, words } = tokenizer.tokens(text, 1e9);
  return [ids, pieces, owner, words, tokenizer.encode(text, 30)]; }));
"""
)
HOSTILE = [
    "a", " a", "a ", "  a  b\t\nc\r\n", "\x00", "a\x00b\x01", "\x85a\x85 b", "\ufeffa \ufeff", "\x1c a \x1f b",
    "don't we'll I'M they'VE it''s 's", "x" * 3000, "ab " * 800, "\u200d\u200b", "😀", "👩‍👩‍👧‍👦 family 🏳️‍🌈", "é e\u0301 \u0301",
    "ÀÉÎÕÜ", "İstanbul ΣΑΣ ẞ ŉ ǅ", "שלום עולם", "مرحبا بالعالم", "\u202eabc\u202c", "中文 字 漢字kana カナ", "１２３ ½ ² Ⅷ ٣",
    "<s>", "</s>", "<pad> a <pad>", "a <mask> b", "a  <mask>  b<mask>c", "<MASK> <S>", "<unk><unk>", "<mas", "a<s>b </s>",
    "!?.,;:", "a_b __ -_-", "\u3000a\u3000b\u2003", "\xa0a\xa0\xa0b", "\u1680 \u180e", "\U00010400 \U0001d400", "\uffff\ufdd0",
    "ﬁ ﬀ", "a\u0300\u0301\u0302" * 50, "0" * 500, "Zalgo t\u0335\u0310e\u0336x\u0337t", "ok\u2028line\u2029para", "\U0010ffff",
]  # fmt: skip


def texts_of_all_kinds() -> list[str]:
    data = dataset(xfm.load("demo").config)
    captions = [data.world.scene("test", i).caption.text for i in range(2000)]
    glosses = [s.text for s in sentences("train")[:: len(sentences("train")) // 8000]][:8000]
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

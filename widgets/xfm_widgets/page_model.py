"""Config, tokenizer and weights of an X-FM, as `static/page_model/page_xfm.js` reads them. docs/page-model.md has the
browser's side, and why weights have sixteen bits."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from xfm.base import seeding
from xfm.base.fields import one_of, require
from xfm.base.strings import parse_json
from xfm.data.tokenizer import Tokenizer
from xfm.model import XFM

HEADS = ("itc", "itm", "bbp", "mim", "mlm", "imlm")  # that the page knows; tables of the vocabulary come last
SPLITS = {"type": "ByteLevel", "use_regex": True}  # how a tokenizer that the page knows splits texts
SEEDS: dict[str, tuple[object, ...]] = {
    name: (name, 0) for name in ("shapley", "ties", "infidelity", "smoothgrad", "gradient shap")
}
SEEDS["candidates"] = ("candidates",)
TABLES = ("word.weight", "position.weight", "vision.positions")
MOST = 2**15 - 1  # of a code, either way


def page_model(model: XFM, tokenizer: Tokenizer) -> dict[str, Any]:
    """A `PageModelPayload`: about two bytes a weight. ConfigError for another encoder or another cross-attention
    than X-FM's own, and for a tokenizer that is no byte-level BPE."""
    vision, text = model.config.vision, model.config.text
    one_of("model.vision.encoder", vision.encoder, ("beit",))
    one_of("model.text.encoder", text.encoder, ("roberta", "bert"))
    one_of("model.cross_attention", model.config.cross_attention, ("scaled_dot",))
    tensors, parts, size = {}, [], 0
    state = model.state_dict()
    for name in sorted((name for name in state if _head(name) in (None, *HEADS)), key=_place):
        weight = state[name]
        shape, at = list(weight.shape), size
        values = _quantised(name, weight) if _is_matrix(name, weight) else (weight.float().cpu(),)
        packed = [v.contiguous().numpy().astype("<i2" if v.dtype == torch.int16 else "<f4").tobytes() for v in values]
        packed[-1] += bytes(-len(packed[-1]) % 4)  # the next one is aligned
        tensors[name] = {"shape": shape, "at": at + (len(packed[0]) if len(packed) == 2 else 0)}
        if len(packed) == 2:
            tensors[name]["scales"] = at
        parts += packed
        size += sum(map(len, packed))
    config = {
        "side": vision.image_size, "patch": vision.patch_size,
        "vision_depth": vision.depth, "vision_heads": vision.heads,
        "text_depth": text.depth, "text_heads": text.heads, "text_epsilon": model.text.norm.eps,
        "fusion_depth": model.config.fusion_depth, "longest": text.positions - 2,
        "heads": [name for name in HEADS if name in model.objectives],
    }  # fmt: skip
    return {"config": config, "tensors": tensors, "weights": b"".join(parts),
            "tokenizer": _tokenizer(tokenizer),
            "seeds": {name: seeding.seed(*key) % 2**32 for name, key in SEEDS.items()}}  # fmt: skip


def with_heads(payload: dict[str, Any], heads: Iterable[str]) -> dict[str, Any]:
    """The same without the other heads, and with the weights up to the last that is left."""
    tensors = {name: one for name, one in payload["tensors"].items() if _head(name) in (None, *heads)}
    end = max(one["at"] + math.prod(one["shape"]) * (2 if "scales" in one else 4) for one in tensors.values())
    config = payload["config"] | {"heads": [name for name in payload["config"]["heads"] if name in heads]}
    # 13 bytes are whole letters of a page's text, which is then the beginning of that of all heads
    return payload | {"config": config, "tensors": tensors, "weights": payload["weights"][: end + -end % 13]}


def _head(name: str) -> str | None:
    return name.split(".")[1] if name.startswith("objectives.") else None


def _place(name: str) -> int:
    head = _head(name)
    return HEADS.index(head) if head else -1


def _restored(name: str, weight: Tensor) -> Tensor:
    scale, codes = _quantised(name, weight)
    return codes * (scale if name.endswith(TABLES) else scale[:, None])


def as_in_page(model: XFM, rounding: Callable[[str, Tensor], Tensor] = _restored) -> XFM:
    """A copy with the weights that the page has: matrices rounded to sixteen bits a number, or as a function of a
    matrix's name and numbers says."""
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for name, weight in rounded.state_dict().items():
            if _is_matrix(name, weight):
                weight.copy_(rounding(name, weight))
    return rounded


def _is_matrix(name: str, weight: Tensor) -> bool:
    """Of a Linear, an Embedding or the places of patches; vectors and position biases stay as they are."""
    return weight.ndim == 2 and name.endswith((".weight", "vision.positions"))


def _quantised(name: str, weight: Tensor) -> tuple[Tensor, Tensor]:
    """(rows, columns) -> float32 scales, codes (int16): the weight is about codes times scale, which is each row's, or
    each column's of a table whose rows are looked up: a feature is as coarse in every row."""
    weight, dim = weight.float().cpu(), 0 if name.endswith(TABLES) else 1
    scale = (weight.abs().amax(dim, keepdim=True) / MOST).clamp_min(1e-30)
    return scale.flatten(), (weight / scale).round().to(torch.int16)


def _tokenizer(tokenizer: Tokenizer) -> dict[str, Any]:
    tree = parse_json(tokenizer.backend.to_str())
    model, splits, lower = tree["model"], tree["pre_tokenizer"] or {}, tree["normalizer"]
    kind = f"{model['type']}, {splits.get('type')}, {(lower or {}).get('type')}"
    plain = lower is None or lower["type"] == "Lowercase"
    known = model["type"] == "BPE" and SPLITS.items() <= splits.items() and plain
    require(known, "tokenizer", kind, "a byte-level BPE, lower-cased or not: others have no code in the page")
    unusual = [key for key in ("dropout", "byte_fallback", "ignore_merges") if model.get(key)]
    unusual += [k for k in ("continuing_subword_prefix", "end_of_word_suffix") if model.get(k)]
    require(not unusual, "tokenizer", ", ".join(unusual), "a BPE without these")
    special = tree["added_tokens"]
    odd = [t["content"] for t in special if t["rstrip"] or t["single_word"] or (t["normalized"] and lower)]
    require(not odd, "tokenizer.added_tokens", odd, "stripped on the left alone, found in any text as it is")
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    tokens = [str(tokenizer.backend.id_to_token(i)) for i in range(tokenizer.vocabulary)]  # quotes are long in HTML
    return {"vocabulary": "\n".join(tokens), "merges": "\n".join(merges),
            "special": [[token["content"], token["lstrip"]] for token in special],
            "lower": lower is not None, "space": bool(splits["add_prefix_space"])}  # fmt: skip

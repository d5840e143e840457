"""Config, tokenizer and weights of an X-FM, as `static/page_model/page_xfm.js` reads them. docs/page-model.md has the
browser's side, and why weights have sixteen bits."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xfm.base import seeding
from xfm.base.fields import one_of, require
from xfm.base.strings import parse_json
from xfm.data.tokenizer import Tokenizer
from xfm.model import XFM

HEADS = ("mlm", "mim", "itc", "itm", "imlm", "bbp")  # that the page knows
SPLITS = {"type": "ByteLevel", "use_regex": True}  # how a tokenizer that the page knows splits texts
SEEDS = {name: (name, 0) for name in ("shapley", "ties", "infidelity", "smoothgrad", "gradient shap")}
SEEDS["candidates"] = ("candidates",)
MOST = 2**15 - 1  # of a code, either way


def page_model(model: XFM, tokenizer: Tokenizer) -> dict[str, Any]:
    """A `PageModelPayload`: about two bytes a weight. ConfigError for another encoder or another cross-attention
    than X-FM's own, and for a tokenizer that is no byte-level BPE."""
    vision, text = model.config.vision, model.config.text
    one_of("model.vision.encoder", vision.encoder, ("beit",))
    one_of("model.text.encoder", text.encoder, ("roberta", "bert"))
    one_of("model.cross_attention", model.config.cross_attention, ("scaled_dot",))
    tensors, parts, size = {}, [], 0
    for name, weight in model.state_dict().items():
        if name.startswith("objectives.") and name.split(".")[1] not in HEADS:
            continue
        shape, at = list(weight.shape), size
        values = _quantised(weight) if _is_matrix(name, weight) else (weight.float().cpu(),)
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


def _restored(weight: Tensor) -> Tensor:
    scale, codes = _quantised(weight)
    return codes * scale[:, None]


def as_in_page(model: XFM, rounding: Callable[[Tensor], Tensor] = _restored) -> XFM:
    """A copy with the weights that the page has: matrices rounded to sixteen bits a number, or as a function says."""
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for name, weight in rounded.state_dict().items():
            if _is_matrix(name, weight):
                weight.copy_(rounding(weight))
    return rounded


def _is_matrix(name: str, weight: Tensor) -> bool:
    """Of a Linear or an Embedding; vectors and position biases stay as they are."""
    return weight.ndim == 2 and name.endswith(".weight")


def _quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(rows, columns) -> scale of each row (float32), codes (int16): the weight is about codes times scale."""
    weight = weight.float().cpu()
    scale = (weight.abs().amax(1) / MOST).clamp_min(1e-30)
    return scale, (weight / scale[:, None]).round().to(torch.int16)


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
    return {"vocabulary": [tokenizer.backend.id_to_token(i) for i in range(tokenizer.vocabulary)],
            "merges": merges, "special": [[token["content"], token["lstrip"]] for token in special],
            "lower": lower is not None, "space": bool(splits["add_prefix_space"])}  # fmt: skip

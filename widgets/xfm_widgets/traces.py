"""A trace as bytes for a browser, and what its heads can be sorted by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from xfm.base.images import ImageLike
from xfm.explain import head_stats
from xfm.explain.methods.attention_methods import bimodal_rollout
from xfm.explain.tracing import AttentionMap, Trace

from .json_values import float_bytes, sharp

MAPS = ("language", "vision", "fusion", "cross")  # of X-FM, as the view orders them
CONTENT = {
    "words": "the share on words, not on <s> and </s>",
    "patches": "the share on patches, not on the whole picture's token",
}
# what another thing may be named after, lest its name be taken for the phrase's own
_BESIDE = re.compile(
    r"\b(?:to the|left of|right of|above|over|higher|below|under|beneath|lower|next to|beside|near|close to|in|behind|"
    r"partly|on|at|furthest|with|of|by|between|from|that|which|who)\b"
)
NAMED = "the share of a name's attention on its object's box, mean over objects"


def packed(trace: Trace, picture: ImageLike | None = None) -> dict[str, Any]:
    """A trace, of a `picture` of any size, as the browser reads it: little-endian bytes, JSON."""
    maps, rolled = {}, rollouts(trace.maps)
    for name, attention in trace.maps.items():
        entropy, mass, counted = measured(trace, name)
        maps[name] = {"size": list(attention.weights.shape), "queries": attention.queries, "keys": attention.keys,
                      **_coded(attention.weights),
                      "entropy": float_bytes(entropy), "mass": float_bytes(mass), "counted": counted}  # fmt: skip
        if name in rolled:
            maps[name]["rollout"] = _coded(rolled[name][:, None])
    boxes = [{"box": list(box), "pieces": pieces_of(trace, phrase)} for phrase, box in trace.boxes.items()]
    return {"maps": maps, "pieces": list(trace.words.pieces), "owner": list(trace.words.owner),
            "grid": trace.patches.grid, "side": int(trace.image.shape[0]), "image": trace.image.tobytes(),
            "crisp": sharp(trace.image, picture), "boxes": boxes}  # fmt: skip


def _coded(weights: Tensor) -> dict[str, bytes]:
    codes, scale = AttentionMap(weights.nan_to_num(0, 0, 0), "", "").compact()
    return {"codes": codes.numpy().tobytes(), "scale": float_bytes(scale)}


def size(trace: Any) -> int:
    """Bytes, the numbers of JSON left out."""
    if isinstance(trace, dict):
        return sum(map(size, trace.values()))
    return len(trace) if isinstance(trace, bytes) else 0


def finite(trace: Trace) -> bool:
    """Whether all attention weights are finite."""
    return all(bool(attention.weights.isfinite().all()) for attention in trace.maps.values())


def rollouts(maps: Mapping[str, AttentionMap]) -> dict[str, Tensor]:
    """(layer, query, key) by map: within an encoder, and on through the fusion encoder where all maps are there."""
    rolled = {
        name: head_stats.rollout(maps[name].weights.nan_to_num()) for name in ("language", "vision") if name in maps
    }
    if set(MAPS) <= set(maps):
        after = bimodal_rollout(maps)[1:]
        rolled |= {
            "fusion": torch.stack([words for words, _ in after]),
            "cross": torch.stack([patches for _, patches in after]),
        }
    return rolled


def made_of(row: Tensor, keys: str) -> str:
    """Of a rollout's row: what it adds up to, and where the rest comes from."""
    whole = float(row.sum())
    rest = f"; {1 - whole:.0%} from {'the picture' if keys == 'words' else 'the words'}" if 1 - whole > 0.005 else ""
    return f"is made of {keys} ({whole:.0%}{rest})"


def measured(trace: Trace, name: str) -> tuple[Tensor, Tensor, str]:
    """Entropy (layer, head); mass (layer, head): the share of attention on something; and on what."""
    keys, weights = trace.maps[name].keys, trace.maps[name].weights.nan_to_num()
    named = [(box, pieces) for p, box in trace.boxes.items() if (pieces := pieces_of(trace, p))]
    if name == "cross" and named:
        places = torch.arange(weights.shape[2])
        masses = [head_stats.mass(weights, _inside(trace, box), torch.isin(places, torch.tensor(own)))
                  for box, own in named]  # fmt: skip
        return head_stats.entropy(weights), torch.stack(masses).mean(0), NAMED
    content = torch.ones(weights.shape[-1], dtype=torch.bool)
    content[0] = False
    if keys == "words":
        content[-1] = False
    return head_stats.entropy(weights), head_stats.mass(weights, content), CONTENT[keys]


def _inside(trace: Trace, box: tuple[float, float, float, float]) -> Tensor:
    """(1 + patches,) bool: a tenth of the patch at least is in the box (x, y, width, height in pixels)."""
    x, y, w, h = (round(v) for v in box)
    mask = torch.zeros(trace.image.shape[:2], dtype=torch.bool)
    mask[max(y, 0) : y + h, max(x, 0) : x + w] = True
    return torch.cat([torch.tensor([False]), trace.patches.shares(mask) >= 0.1])


def pieces_of(trace: Trace, phrase: str) -> list[int]:
    """The pieces of what a phrase is of, where the text first has it, with another article or without, and whatever it
    stands next to: "the crab" of "a crab", "the small crab below the car" of "a small crab"."""
    phrased, words = re.findall(r"\w+|[^\w\s]", phrase), trace.words.words
    named = len(re.findall(r"\w+|[^\w\s]", _BESIDE.split(phrase, maxsplit=1)[0])) or len(phrased)
    for rest in (tuple(phrased[i:end]) for end in (len(phrased), named) for i in range(named)):
        for start in range(len(words) - len(rest) + 1):
            if words[start : start + len(rest)] == rest:
                phrase_words = range(start, start + len(rest))
                return [piece for piece, owner in enumerate(trace.words.owner) if owner in phrase_words]
    return []


def patch_names(trace: Trace) -> list[str]:
    """Of the image tokens."""
    return ["whole picture", *(f"patch {i}" for i in range(trace.patches.grid**2))]

"""Specialist baselines, trained by the same loop as X-FM: functions from X-FM's config to the specialist's.

recipes.get("demo+clip_like")
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from ..base.fields import Table
from ..config import RunConfig


def bert_like(config: RunConfig) -> RunConfig:
    """BERT: the language encoder trained by MLM on texts and captions alone, grown to X-FM's number of trained
    parameters."""
    return _grown(_only(config, ("mlm",), ("texts",)), "text", parameters(config))


def beit_like(config: RunConfig) -> RunConfig:
    """BEiT: the vision encoder trained by MIM on pictures alone, grown to X-FM's number of trained parameters. Its
    target is pixels: outputs of an untrained encoder are no useful target, and BEiT's tokenizer was trained before.
    """
    alone = _only(config, ("mim",), ("images",))
    alone = alone.replace({"flow.mim_target": "pixels", "objectives.mim.start": 0.0})
    return _grown(alone, "vision", parameters(config))


def fused(config: RunConfig) -> RunConfig:
    """Joint training by all losses without X-FM's two techniques: no stop-gradient, and MIM predicts pixels."""
    from ..objectives.registry import OBJECTIVES  # brings torch

    lifted = {f"flow.text_gradient.{o}": 1.0 for o in config.objectives if OBJECTIVES[o].crosses()}
    return config.replace({**lifted, "flow.mim_target": "pixels"})


def clip_like(config: RunConfig) -> RunConfig:
    """CLIP: open_clip's dual encoder trained by ITC on pairs and regions, with X-FM's number of parameters:
    those of the fusion encoder and the other heads make the towers deeper, the remainder the text layers wider."""
    towers = {"model.vision.encoder": "open_clip", "model.text.encoder": "open_clip"}
    plain = {"model.vision.drop_path": 0.0, "model.text.dropout": 0.0}  # open_clip's towers have none
    dual = _only(config, ("itc",), ("pairs", "regions")).replace(towers | plain)
    wanted, (vision, text) = parameters(config), (config.model.vision.depth, config.model.text.depth)

    def sized(more: tuple[int, int], intermediate: int = config.model.text.intermediate) -> RunConfig:
        depths = {"model.vision.depth": vision + more[0], "model.text.depth": text + more[1]}
        return dual.replace({**depths, "model.text.intermediate": intermediate})

    empty = parameters(sized((0, 0)))
    costs = [parameters(sized(more)) - empty for more in ((1, 0), (0, 1))]
    steps = [(i, j) for i in range(4 * config.model.fusion_depth + 3) for j in (i - 1, i, i + 1) if j >= 0]
    fits = [more for more in steps if empty + more[0] * costs[0] + more[1] * costs[1] <= wanted]
    most = max(fits or [(0, 0)], key=lambda more: more[0] * costs[0] + more[1] * costs[1])
    unit = (2 * config.model.text.width + 1) * (text + most[1])  # one more row and column of every text layer
    missing = wanted - parameters(sized(most))
    return sized(most, config.model.text.intermediate + max(0, round(missing / unit)))


SPECIALISTS: dict[str, Callable[[RunConfig], RunConfig]] = {
    f.__name__: f for f in (bert_like, beit_like, fused, clip_like)
}


@functools.cache  # a study's spec asks for many, and is read often
def parameters(config: RunConfig) -> int:
    """Number of trained parameters of a config: all but those of an encoder that no loss reads. Allocates no memory."""
    import torch

    from ..model import XFM
    from ..objectives.registry import OBJECTIVES

    kinds = {OBJECTIVES[name].kind() for name in config.objectives if config.weight(name) > 0}
    with torch.device("meta"):
        losses: dict[str, torch.nn.Module] = {n: OBJECTIVES[n](config) for n in config.objectives}
        model = XFM(config.model, losses)
    unread = "text." if kinds == {"image"} else "vision." if kinds == {"text"} else "\n"
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith(unread))


def _grown(config: RunConfig, encoder: str, wanted: int) -> RunConfig:
    """Config with one encoder wider, by heads of the same size, and deeper, at most twice each, so that the number of
    trained parameters comes nearest to `wanted`; the initial weights' deviation follows the width."""
    old: Any = getattr(config.model, encoder)
    size = old.width // old.heads

    def sized(heads: int, depth: int) -> RunConfig:
        more = {"heads": heads, "width": heads * size, "depth": depth}
        more |= {"intermediate": round(old.intermediate * heads / old.heads)} if encoder == "text" else {}
        std = config.model.init_std * (old.heads / heads) ** 0.5
        return config.replace({"model.init_std": std, **{f"model.{encoder}.{n}": v for n, v in more.items()}})

    def deepest(heads: int) -> tuple[int, int, int]:
        """How far from `wanted`, and the heads and the depth."""
        empty, layer = (parameters(sized(heads, depth)) for depth in (1, 2))
        layer -= empty
        depth = min(max(1 + round((wanted - empty) / layer), old.depth), 2 * old.depth)
        return abs(empty + (depth - 1) * layer - wanted), heads, depth

    _, heads, depth = min(map(deepest, range(old.heads, 2 * old.heads + 1)))
    return sized(heads, depth)


def _only(config: RunConfig, losses: tuple[str, ...], streams: tuple[str, ...]) -> RunConfig:
    """Config with these losses from the first step, on these streams alone, without a fusion encoder, and without a
    warm start that would train none of the losses."""
    from ..objectives.registry import OBJECTIVES

    remaining = {n: dataclasses.replace(o, start=0.0) for n, o in config.objectives.items() if n in losses}
    crossing = {n: scale for n, scale in config.flow.text_gradient.items() if n in losses}
    off = {f"data.{stream}": 0 for stream in ("pairs", "regions", "images", "texts") if stream not in streams}
    alone = dataclasses.replace(
        config, objectives=Table(remaining), flow=dataclasses.replace(config.flow, text_gradient=Table(crossing))
    )
    warmed = {"stage1": {n for n in losses if OBJECTIVES[n].stage1}, "stage1:text": {"mlm"} & {*losses}}
    cold = {} if warmed.get(config.init_from, True) else {"init_from": ""}
    return alone.replace({**off, **cold, "model.fusion_depth": 0})

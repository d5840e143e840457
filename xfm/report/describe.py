"""A config in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..config import RunConfig
from ..objectives import OBJECTIVES, losses_by_stream

ASKS = {
    "mlm": "the hidden words of a sentence, from its other words",
    "mim": "the hidden patches of a picture, from its other patches",
    "itc": "which picture and which text of a batch belong together, by their cosine",
    "itm": "whether one picture and one text belong together, with negatives that are hard to tell",
    "imlm": "the hidden words of a caption, from its other words and the picture",
    "bbp": "the box of what a phrase names",
}
STREAM_NAMES = {"pairs": "image–text pairs", "regions": "boxes with phrases", "images": "pictures alone",
                "texts": "sentences alone"}  # fmt: skip
MIM_TARGETS = {
    "self": "the vision encoder’s own outputs for the whole picture, which all other losses shape as well (the paper’s "
    "guidance)",
    "frozen": "the outputs of a frozen copy of the vision encoder as it was at the start (no guidance)",
    "pixels": "the standardised pixels (no guidance)",
    "teacher": "the outputs of a frozen teacher, open_clip’s {teacher} (no guidance)",
}
PRECISIONS = {
    "auto": "bf16 autocast on a GPU that has it, fp32 elsewhere",
    "native": "bf16 autocast on a GPU or CPU that multiplies it natively, fp32 elsewhere",
    "fp32": "fp32",
    "bf16": "bf16 autocast",
}


def describe(config: RunConfig) -> dict[str, list[str]]:
    """Sentences by topic: all that the config says of the model, the data, the flow and the optimization."""
    return {
        "Model": model(config),
        "Data": [*streams(config), *difficulty(config), *masks(config)],
        "Flow of gradients": flow(config),
        "Optimization": optimization(config),
    }


def model(config: RunConfig) -> list[str]:
    v, t, m = config.model.vision, config.model.text, config.model
    places = "learnt absolute and relative" if v.absolute_positions else "relative"
    return [
        f"The vision encoder (as BEiT-v2’s) reads {v.image_size} × {v.image_size} pixels as {v.patches} patches of "
        f"{v.patch_size} × {v.patch_size}; {layers(v.depth)} of width {v.width} with {v.heads} heads, {places} "
        f"positions, layer scale {v.layer_scale:g}, drop path {v.drop_path:g}.",
        f"The language encoder (as RoBERTa’s) has {layers(t.depth)} of width {t.width} with {t.heads} heads, a "
        f"feed-forward width of {t.intermediate:,}, {t.vocabulary:,} tokens in its vocabulary, and dropout "
        f"{t.dropout:g}.",
        f"The fusion encoder has {layers(m.fusion_depth)} of the same sizes, in which words attend to patches. "
        f"Pictures and texts are compared in {m.embed_dim} dimensions at a learnt temperature that starts at "
        f"{m.temperature:g}. Weights start with a standard deviation of {m.init_std:g}.",
    ]


def layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"


def streams(config: RunConfig) -> list[str]:
    d = config.data
    sizes = {s: f"{getattr(d, s):,} {name}" for s, name in STREAM_NAMES.items() if getattr(d, s)}
    off = [name for s, name in STREAM_NAMES.items() if s not in sizes]
    if "pairs" in sizes and d.fusion_batch:
        sizes["pairs"] += f" ({d.fusion_batch:,} of them go through the fusion encoder)"
    if "regions" in sizes:
        sizes["regions"] += f" in {d.region_images:,} pictures"
    said = [f"A step sees {listed(list(sizes.values()))}."]
    said += [f"The streams of {listed(off)} are off."] if off else []
    world = "scenes of OpenMoji drawings with captions from a grammar, and sentences of WordNet"
    said.append(
        f"Dataset: {d.dataset}"
        + (f" ({world})" if d.dataset == "openmoji" else "")
        + f"; {d.concepts:,} concepts are pictured. Captions have at most {d.caption_tokens} tokens, sentences "
        f"{d.text_tokens}."
    )
    return said


def difficulty(config: RunConfig) -> list[str]:
    s, c, d = config.data.scenes, config.data.captions, config.data
    turned = f"turned by up to {s.rotation:g}° either way" if s.rotation else "upright"
    apart = f"hidden by each other up to a share of {s.overlap:g}" if s.overlap else "apart from each other"
    ground = f"a ground with up to {s.clutter} shapes" if s.clutter else "a calm ground"
    alike = f"; with probability {s.alike:g} further objects are of the first one’s category" if s.alike else ""
    rich = {"a colour where there is one": c.colours, "what is not there": c.negation, "other words": c.paraphrase}
    said = [f"{what} with probability {p:g}" for what, p in rich.items() if p]
    sentences = [
        f"Objects are {turned} and {apart}, on {ground}{alike}.",
        "Captions say names, sizes, counts and places" + (f"; {listed(said)}" if said else "") + ".",
    ]
    if d.full_from:
        sentences.append(
            f"Curriculum: pairs show one object for the first {whole(d.single_until)} of the steps; until "
            f"{whole(d.full_from)} the largest number grows to that of all scenes."
        )
    return sentences


def masks(config: RunConfig) -> list[str]:
    m, patches = config.data.mask, config.model.vision.patches
    return [
        f"Hidden from the model: {m.image_patches} of {patches} patches of every picture, in blocks of at least "
        f"{m.smallest_block}; {whole(m.caption_share)} of a caption’s tokens (at most {m.caption_most}) and "
        f"{whole(m.text_share)} of a sentence’s (at most {m.text_most}), {whole(m.span_share)} of them as spans of two "
        "or three."
    ]


def flow(config: RunConfig) -> list[str]:
    shares = config.flow.text_gradient
    kinds = {"none": [o for o, s in shares.items() if s == 0], "whole": [o for o, s in shares.items() if s == 1]}
    doses = [f"{s:g} of that of {o.upper()}" for o, s in shares.items() if 0 < s < 1]
    said = []
    if kinds["none"]:
        said.append(
            f"Stop-gradient: {upper(kinds['none'])} send no gradient into the language encoder"
            + (" (as in the paper)." if kinds["none"] == ["itm", "imlm", "bbp"] else ".")
        )
    else:
        said.append("There is no stop-gradient.")
    said += [f"A dose of the gradient reaches the language encoder: {listed(doses)}."] if doses else []
    said += [f"The gradient of {upper(kinds['whole'])} reaches it whole."] if kinds["whole"] else []
    target = MIM_TARGETS[config.flow.mim_target].format(teacher=config.flow.teacher)
    said.append(f"Masked image modelling predicts {target}.")
    return said


def optimization(config: RunConfig) -> list[str]:
    t = config.train
    warm = f"from a warm start: language by MLM and vision by MIM of pixels, {config.stage1_steps:,} steps"
    starts = {"": "from scratch", "stage1": warm}.get(config.init_from, f"from the weights of {config.init_from}")
    return [
        f"{t.steps:,} steps of AdamW (β {t.beta1:g} and {t.beta2:g}, ε {t.eps:g}, weight decay {t.weight_decay:g}), "
        f"{starts}.",
        f"The learning rate rises to {t.lr:g} in {t.warmup:,} steps and falls to 0 in a {t.schedule} way; new heads "
        f"have {t.head_lr_scale:g} times as much. Gradients are clipped at a norm of {t.clip:g}.",
        f"Precision “{t.precision}”: {PRECISIONS[t.precision]}. Seed {config.seed}.",
    ]


def objective_rows(config: RunConfig) -> list[dict[str, Any]]:
    """What each objective asks, of which streams, with what weight, from which step on, and the share of its gradient
    that reaches the language encoder (None: it has no words)."""
    rows = []
    by_stream = losses_by_stream(config)
    for name, loss in OBJECTIVES.items():
        if name not in config.objectives:
            continue
        o = config.objectives[name]
        of = [stream for stream, losses in by_stream.items() if name in losses]
        share = config.flow.text_gradient.get(name, None if loss.family == "vision" else loss.text_gradient)
        on = o.weight > 0 and bool(of)
        rows.append(
            {
                "name": name.upper(),
                "asks": ASKS.get(name, ""),
                "streams": ", ".join(of),
                "weight": o.weight,
                "on": on,
                "start": int(o.start * config.train.steps),
                "share": share,
            }
        )
    return rows


def upper(names: Sequence[str]) -> str:
    return listed([name.upper() for name in names])


def listed(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c" """
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def percent(share: float) -> str:
    return f"{100 * share:.1f}\u00a0%".replace("-", "−")


def whole(share: float) -> str:
    return f"{100 * share:.0f}\u00a0%"


def spoken(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

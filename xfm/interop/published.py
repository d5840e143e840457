"""The published code's parameter names and ours (github.com/zhangxinsong-nlp/XFM), both ways from one table.

Left out of ours, because pre-training never uses them: the two captioning heads, the fusion encoder's embeddings but
for the word table (its decoder), tied aliases and index buffers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor

from ..model.vision import relative_index
from .resolution import grid_of

_PLACES = {"i": r"\d+", "p": "weight|bias", "a": "query|key|value", "n": "[12]", "t": "cls|mask", "w": "word|position"}
_VISION = [
    ("vision.{t}_token", "vision_encoder.{t}_token"),
    ("vision.patch_embed.{p}", "vision_encoder.patch_embed.proj.{p}"),
    ("vision.norm.{p}", "vision_encoder.fc_norm.{p}"),
    ("vision.relative_bias.{i}", "vision_encoder.blocks.{i}.attn.relative_position_bias_table"),
    ("vision.blocks.{i}.gamma{n}", "vision_encoder.blocks.{i}.gamma_{n}"),
    ("vision.blocks.{i}.norm{n}.{p}", "vision_encoder.blocks.{i}.norm{n}.{p}"),
    ("vision.blocks.{i}.mlp.fc{n}.{p}", "vision_encoder.blocks.{i}.mlp.fc{n}.{p}"),
    ("vision.blocks.{i}.attention.qkv.weight", "vision_encoder.blocks.{i}.attn.qkv.weight"),  # three of ours, stacked
    ("vision.blocks.{i}.attention.query.bias", "vision_encoder.blocks.{i}.attn.q_bias"),
    ("vision.blocks.{i}.attention.value.bias", "vision_encoder.blocks.{i}.attn.v_bias"),
    ("vision.blocks.{i}.attention.out.{p}", "vision_encoder.blocks.{i}.attn.proj.{p}"),
]
_TEXT = [
    ("text.{w}.weight", "text_encoder.roberta.embeddings.{w}_embeddings.weight"),
    ("text.token_type", "text_encoder.roberta.embeddings.token_type_embeddings.weight"),
    ("text.norm.{p}", "text_encoder.roberta.embeddings.LayerNorm.{p}"),
    ("objectives.imlm.word.weight", "fusion_encoder.roberta.embeddings.word_embeddings.weight"),
]
_LAYERS = [
    (f"{ours}.layers.{{i}}.{a}", f"{ours}_encoder.roberta.encoder.layer.{{i}}.{b}")
    for ours in ("text", "fusion")
    for a, b in [
        ("attention.{a}.{p}", "attention.self.{a}.{p}"),
        ("attention.out.{p}", "attention.output.dense.{p}"),
        ("norm1.{p}", "attention.output.LayerNorm.{p}"),
        ("cross.{a}.{p}", "crossattention.self.{a}.{p}"),
        ("cross.out.{p}", "crossattention.output.dense.{p}"),
        ("cross_norm.{p}", "crossattention.output.LayerNorm.{p}"),
        ("mlp.fc1.{p}", "intermediate.dense.{p}"),
        ("mlp.fc2.{p}", "output.dense.{p}"),
        ("norm2.{p}", "output.LayerNorm.{p}"),
    ]
]
_HEADS = [
    ("objectives.itc.temperature", "temp"),
    ("objectives.itc.image.{p}", "vision_proj.{p}"),
    ("objectives.itc.text.{p}", "text_proj.{p}"),
    ("objectives.itm.head.{i}.{p}", "itm_head.{i}.{p}"),
    ("objectives.bbp.head.{i}.{p}", "bbox_head.{i}.{p}"),
    *(
        (f"objectives.{ours}.head.{a}", f"{theirs}_encoder.lm_head.{b}")
        for ours, theirs in (("mlm", "text"), ("imlm", "fusion"))
        for a, b in (("bias", "bias"), ("dense.{p}", "dense.{p}"), ("norm.{p}", "layer_norm.{p}"))
    ),
]
_NAMES = _VISION + _TEXT + _LAYERS + _HEADS
_STACKED = ("query", "key", "value")  # in this order in qkv.weight
_WORDS, _POSITIONS = (f"text_encoder.roberta.embeddings.{kind}_embeddings.weight" for kind in ("word", "position"))
_UNUSED = re.compile(
    r".*lm_cap_head.*|.*lm_head\.decoder\..*|.*position_ids|.*relative_position_index"
    r"|fusion_encoder\.roberta\.embeddings\.(?!word_embeddings).*"
)
TABLE = ".relative_position_bias_table"  # how the names of relative position tables end
CAPTIONING = re.compile(r"(text|fusion)_encoder\.lm_cap_head\..*")  # the captioning heads


def canonical(name: str) -> str:
    """A name as the pre-training model has it: fine-tuned files leave `roberta.` out of the text encoder's names, older
    ones write `visual_encoder`, and those of several processes begin with `module.`."""
    name = re.sub(r"^visual_encoder\.", "vision_encoder.", name.removeprefix("module."))
    return re.sub(r"^text_encoder\.(embeddings|encoder)\.", r"text_encoder.roberta.\1.", name)


def alias_of(published: str) -> str | None:
    """Of a tied parameter the name of the tensor that it is; None for a tensor of its own."""
    encoder, _, head = published.partition(".")
    if head == "lm_head.decoder.weight":
        return f"{encoder}.roberta.embeddings.word_embeddings.weight"
    return published.replace("decoder.bias", "bias") if re.fullmatch(r"lm(_cap)?_head\.decoder\.bias", head) else None


def buffer(published: str, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> Tensor | None:
    """An integer buffer of the published model, made of the tensors that it belongs to; None for what is none, or where
    those are not there."""
    positions = tensors.get(re.sub(r"\.position_ids$", ".position_embeddings.weight", published))
    if published.endswith(".position_ids") and positions is not None:
        return torch.arange(len(positions), dtype=dtype)[None]
    table = tensors.get(re.sub(r"\.relative_position_index$", TABLE, published))
    if published.endswith(".relative_position_index") and table is not None and grid_of(len(table)):
        return relative_index(grid_of(len(table))).to(dtype)
    return None


def is_known(published: str) -> bool:
    """Whether the published model has a parameter or buffer of this name."""
    return bool(_UNUSED.fullmatch(published)) or _translate(published, 1) is not None


def sizes(shapes: Mapping[str, torch.Size]) -> dict[str, int]:
    """The sizes that a published file's shapes tell, as dotted fields of a config: all but the text encoder's heads.
    KeyError, with its name, for a parameter that is not there."""
    conv, word, position = (shapes[n] for n in ("vision_encoder.patch_embed.proj.weight", _WORDS, _POSITIONS))
    table = shapes["vision_encoder.blocks.0.attn.relative_position_bias_table"]

    def depth(pattern: str) -> int:
        return sum(bool(re.fullmatch(pattern, name)) for name in shapes)

    layers = r"{}_encoder\.roberta\.encoder\.layer\.\d+\.output\.dense\.bias".format
    vision = {"image_size": grid_of(table[0]) * conv[2], "patch_size": conv[2], "width": conv[0]}
    vision |= {"depth": depth(r"vision_encoder\.blocks\.\d+\.norm1\.weight"), "heads": table[1]}
    text = {"vocabulary": word[0], "positions": position[0], "width": word[1], "depth": depth(layers("text"))}
    text["intermediate"] = shapes["text_encoder.roberta.encoder.layer.0.intermediate.dense.bias"][0]
    fields = {f"model.vision.{n}": v for n, v in vision.items()} | {f"model.text.{n}": v for n, v in text.items()}
    fields["model.fusion_depth"] = depth(layers("fusion"))
    projection = shapes.get("vision_proj.weight")
    return fields | ({"model.embed_dim": projection[0]} if projection else {})


def _translate(name: str, source: int) -> str | None:
    for pair in _NAMES:
        pattern = re.sub(r"\\{(\w)\\}", lambda m: f"(?P<{m[1]}>{_PLACES[m[1]]})", re.escape(pair[source]))
        if match := re.fullmatch(pattern, name):
            return pair[1 - source].format(**match.groupdict())
    return None


def our_name(published: str) -> str | None:
    """Our name of a published parameter; None for one without use in pre-training. KeyError for an unknown name."""
    name = _translate(published, 1)
    if name is None and not _UNUSED.fullmatch(published):
        raise KeyError(f"{published}: no parameter of the published model")
    return name


def published_name(ours: str) -> str:
    """The published name of one of our parameters (for a vision query, key or value weight, of the three stacked)."""
    stacked = re.sub(r"^(vision\.blocks\.\d+\.attention\.)(query|key|value)\.weight$", r"\1qkv.weight", ours)
    if (name := _translate(stacked, 0)) is None:
        raise KeyError(f"{ours}: the published model has no such parameter")
    return name


def from_published(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published names and shapes -> ours, without the unused; for weights and for their gradients."""
    ours: dict[str, Tensor] = {}
    for published, tensor in tensors.items():
        name = our_name(published) or ""
        if name.endswith("qkv.weight"):
            ours |= {name.replace("qkv", part): rows for part, rows in zip(_STACKED, tensor.chunk(3), strict=True)}
        elif name == "vision.patch_embed.weight":
            ours[name] = rearrange(tensor, "d c y x -> d (c y x)")
        elif name:
            single = published.endswith(("_token", "token_type_embeddings.weight"))
            ours[name] = tensor.flatten() if single else tensor
    return ours


def to_published(ours: Mapping[str, Tensor], patch_size: int) -> dict[str, Tensor]:
    """Our names and shapes -> the published ones: the inverse of `from_published`. KeyError for a parameter that the
    published model does not have."""
    shapes, stacks = published_shapes(ours, patch_size), dict[str, dict[str, Tensor]]()
    for name, tensor in ours.items():
        stacks.setdefault(published_name(name), {})[name.split(".")[-2]] = tensor
    tensors = {}
    for name, rows in stacks.items():
        ordered = [rows[part] for part in _STACKED] if len(rows) > 1 else [*rows.values()]
        tensors[name] = (torch.cat(ordered) if len(ordered) > 1 else ordered[0]).reshape(shapes[name])
    return tensors


def published_shapes(ours: Mapping[str, Tensor], patch_size: int) -> dict[str, torch.Size]:
    """Names and shapes of the published parameters that our parameters stand for."""
    shapes: dict[str, torch.Size] = {}
    for name, tensor in ours.items():
        published, shape = published_name(name), tensor.shape
        if published.endswith("qkv.weight"):
            shape = (3 * shape[0], shape[1])
        elif published.endswith("patch_embed.proj.weight"):
            shape = (shape[0], 3, patch_size, patch_size)
        elif published.endswith("_token"):
            shape = (1, 1, *shape)
        elif published.endswith("token_type_embeddings.weight"):
            shape = (1, *shape)
        shapes[published] = torch.Size(shape)
    return shapes

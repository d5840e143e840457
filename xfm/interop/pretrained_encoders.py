"""Encoders of others as warm starts: RoBERTa's and BERT's folders, BEiT's files, under our names and shapes.

`init_from = "roberta:DIR"`, `"bert:DIR"`, `"beit:FILE"`, or one for each encoder: `"roberta:DIR,beit:FILE"`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..base.fields import leaves, require
from ..base.strings import brief, parse_json, shown
from ..config import ConfigError, RunConfig
from .checkpoint_file import CheckpointError, identify, read_file, tensors_of
from .published import from_published, is_known
from .resolution import grid_of, resize_table

KINDS = {"roberta": "text", "bert": "text", "beit": "vision"}  # the encoder that each starts
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # of a folder, the first that is there
EPS = {"roberta": 1e-5, "bert": 1e-12}
FIRST = {"roberta": 0, "bert": 2}  # rows of our position table before theirs: we count from 2
_EMBEDDINGS = "text_encoder.roberta.embeddings."
_HEADS = {  # of masked language modelling: how its names begin, and of its parts theirs and ours
    "bert": ("cls.predictions.", {"bias": "bias", "transform.dense.": "dense.", "transform.LayerNorm.": "layer_norm."}),
    "roberta": ("lm_head.", {"bias": "bias", "dense.": "dense.", "layer_norm.": "layer_norm."}),
}
_BEIT = [  # Hugging Face's names and the original ones, which are the published model's
    (r"embeddings\.(cls|mask)_token", r"\1_token"),
    (r"embeddings\.patch_embeddings\.projection\.", r"patch_embed.proj."),
    (r"encoder\.relative_position_bias\.", "rel_pos_bias."),
    (r"encoder\.layer\.(\d+)\.attention\.attention\.relative_position_bias\.", r"blocks.\1.attn."),
    (r"encoder\.layer\.(\d+)\.attention\.attention\.query\.bias", r"blocks.\1.attn.q_bias"),
    (r"encoder\.layer\.(\d+)\.attention\.attention\.value\.bias", r"blocks.\1.attn.v_bias"),
    (r"encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.weight", r"blocks.\1.attn.\2.weight"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"blocks.\1.attn.proj."),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.", r"blocks.\1.mlp.fc1."),
    (r"encoder\.layer\.(\d+)\.output\.dense\.", r"blocks.\1.mlp.fc2."),
    (r"encoder\.layer\.(\d+)\.lambda_([12])", r"blocks.\1.gamma_\2"),
    (r"encoder\.layer\.(\d+)\.layernorm_before\.", r"blocks.\1.norm1."),
    (r"encoder\.layer\.(\d+)\.layernorm_after\.", r"blocks.\1.norm2."),
    (r"pooler\.layernorm\.", "fc_norm."),
    (r"layernorm\.", "norm."),
]


@dataclass(frozen=True)
class Source:
    """One part of `init_from`."""

    kind: str  # of KINDS
    path: Path

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}"


def sources(init_from: str) -> list[Source]:
    """The specs of an `init_from` that names files; none of another one. ConfigError for two that start one encoder."""
    if not re.match(rf"({'|'.join(KINDS)}):", init_from):
        return []
    specs = re.split(rf",(?=(?:{'|'.join(KINDS)}):)", init_from)
    found = [Source(kind, Path(path)) for kind, _, path in (spec.partition(":") for spec in specs)]
    once = len({KINDS[source.kind] for source in found}) == len(found)
    require(once, "init_from", init_from, "one source for an encoder, as roberta:DIR,beit:FILE")
    return found


def fitting(source: Source) -> dict[str, Any]:
    """The dotted fields of a config that the encoder needs: `config.replace(fitting(Source("bert", folder)))`.
    CheckpointError for files that are no such encoder's."""
    if KINDS[source.kind] == "text":
        return _text_sizes(source)
    state = _beit_state(source)
    (width, *_, patch), tables = state["patch_embed.proj.weight"].shape, _tables(source, state)
    sizes = {"patch_size": patch, "width": width, "depth": len(tables), "heads": tables[0].shape[1]}
    sizes |= {"encoder": "beit", "absolute_positions": False}
    return {f"model.vision.{name}": value for name, value in sizes.items()}


def require_fitting(source: Source, config: RunConfig) -> None:
    """Errors as `fitting`; ConfigError, with every field, where the config is of other sizes."""
    have = leaves(config.to_dict())
    wrong = {name: value for name, value in fitting(source).items() if have[name] != value}
    if wrong:
        fields = ", ".join(f"{name} = {have[name]!r}: must be {value!r}" for name, value in wrong.items())
        raise ConfigError(f"init_from = {source}: is of other sizes than the run: {fields}")


def read_encoder(source: Source, config: RunConfig, order: Sequence[int] = ()) -> tuple[dict[str, Tensor], list[str]]:
    """An encoder's weights under our names, for a model of that config; and the file's names that have no use.

    `order`: of a language encoder, the file's id of each of our tokens. BEiT's tables are interpolated to the config's
    resolution. Errors as `require_fitting`, and CheckpointError for files that are not whole."""
    require_fitting(source, config)
    return _read_text(source, config, order) if KINDS[source.kind] == "text" else _read_beit(source, config)


# ---- RoBERTa and BERT


def _text_sizes(source: Source) -> dict[str, Any]:
    path = source.path / "config.json"
    try:
        options = parse_json(path.read_text("utf-8"))
        model = str(options.get("model_type"))
        if model != source.kind:
            raise CheckpointError(f"{path}: is of a model of type {brief(model)}, not {source.kind}")
        required = {"hidden_act": "gelu", "position_embedding_type": "absolute", "layer_norm_eps": EPS[source.kind]}
        if source.kind == "roberta":
            required["pad_token_id"] = 1  # positions are counted from the next
        for name, value in required.items():
            if options.get(name, value) != value:
                raise CheckpointError(f"{path}: {name} = {shown(options[name])}: must be {value!r}")
        sizes = {"vocabulary": "vocab_size", "positions": "max_position_embeddings", "width": "hidden_size"}
        sizes |= {"depth": "num_hidden_layers", "heads": "num_attention_heads", "intermediate": "intermediate_size"}
        fields = {f"model.text.{ours}": options[theirs] for ours, theirs in sizes.items()}
        fields["model.text.positions"] += FIRST[source.kind]
        return {"model.text.encoder": source.kind} | fields
    except OSError as error:
        wrong = f"cannot be read ({error.strerror or error}); a folder with config.json, a tokenizer and"
        raise CheckpointError(f"{path}: {wrong} {' or '.join(WEIGHTS)} is needed") from error
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise CheckpointError(f"{path}: no config of transformers ({error!r})") from error


def _read_text(source: Source, config: RunConfig, order: Sequence[int]) -> tuple[dict[str, Tensor], list[str]]:
    path = next((source.path / name for name in WEIGHTS if (source.path / name).is_file()), source.path / WEIGHTS[0])
    state, _, _ = tensors_of(path, read_file(path))
    names = {name: _text_name(source.kind, name) for name in state}
    if not any(name and name.startswith(_EMBEDDINGS) for name in names.values()):
        raise CheckpointError(f"{path}: is {identify(state) or 'no model that is known here'}, not {source.kind}")
    tensors = {ours: state[name].float() for name, ours in names.items() if ours}
    tables = [f"{_EMBEDDINGS}{kind}_embeddings.weight" for kind in ("word", "position", "token_type")]
    if lacking := [name for name in tables if name not in tensors]:
        raise CheckpointError(f"{path}: lacks {lacking[0].removeprefix(_EMBEDDINGS)}")
    word, position, kind_of_token = tables
    if len(order) != (words := len(tensors[word])):
        wrong = f"has {len(order)} tokens, and {path.name} a word table of {words}"
        raise ConfigError(f"tokenizer = {source.path}: {wrong}")
    for name in tensors.keys() & {word, "text_encoder.lm_head.bias"}:
        tensors[name] = tensors[name][torch.tensor(order)]
    tensors[position] = torch.nn.functional.pad(tensors[position], (0, 0, FIRST[source.kind], 0))
    tensors[kind_of_token] = tensors[kind_of_token][:1]
    used = {n: t for n, t in tensors.items() if is_known(n) and "crossattention" not in n}
    if "mlm" not in config.objectives:
        used = {name: tensor for name, tensor in used.items() if not name.startswith("text_encoder.lm_head.")}
    return from_published(used), [name for name, ours in names.items() if ours not in used]


def _text_name(kind: str, name: str) -> str | None:
    """The published name of a tensor of RoBERTa's or BERT's; None for one without use."""
    start, layers = _HEADS[kind]
    for theirs, ours in layers.items():
        if name.startswith(start + theirs):
            return f"text_encoder.lm_head.{ours}{name.removeprefix(start + theirs)}"
    bare = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", name.removeprefix(f"{kind}.")))  # old files
    used = re.fullmatch(r"embeddings\.(?!position_ids|token_type_ids).*|encoder\.layer\..*", bare)
    return f"text_encoder.roberta.{bare}" if used else None


# ---- BEiT and BEiT-v2


def _beit_state(source: Source) -> dict[str, Tensor]:
    """Its tensors under the original names. CheckpointError for another model's, or for one with absolute positions."""
    state, _, _ = tensors_of(source.path, read_file(source.path))
    if (model := identify(state)) != "BEiT":
        raise CheckpointError(f"{source.path}: is {model or 'no model that is known here'}, not BEiT")
    original = {_beit_name(name): tensor for name, tensor in state.items()}
    if absolute := [name for name in ("pos_embed", "embeddings.position_embeddings") if name in original]:
        raise CheckpointError(f"{source.path}: has {absolute[0]}; a BEiT with relative positions alone is needed")
    if "patch_embed.proj.weight" not in original:
        raise CheckpointError(f"{source.path}: lacks patch_embed.proj.weight")
    return original


def _beit_name(name: str) -> str:
    bare = re.sub(r"^(module\.|beit\.)+", "", name)
    renamed = (re.sub(f"^{theirs}", ours, bare) for theirs, ours in _BEIT if re.match(theirs, bare))
    return next(renamed, bare)


def _tables(source: Source, state: Mapping[str, Tensor]) -> list[Tensor]:
    """The relative position table of each block; a shared one is every block's."""
    depth = sum(bool(re.fullmatch(r"blocks\.\d+\.norm1\.weight", name)) for name in state)
    shared = state.get("rel_pos_bias.relative_position_bias_table")
    tables = [state.get(f"blocks.{i}.attn.relative_position_bias_table", shared) for i in range(depth)]
    if not tables or any(table is None or table.ndim != 2 or not grid_of(len(table)) for table in tables):
        raise CheckpointError(f"{source.path}: has no relative position table of a square grid for each block")
    return tables  # type: ignore[return-value]


def _read_beit(source: Source, config: RunConfig) -> tuple[dict[str, Tensor], list[str]]:
    state, vision = _beit_state(source), config.model.vision
    tensors = {name: tensor.float() for name, tensor in state.items() if not name.startswith("rel_pos_bias.")}
    for i, table in enumerate(_tables(source, state)):
        at = f"blocks.{i}.attn."
        tensors[f"{at}relative_position_bias_table"] = resize_table(table.float(), vision.grid)
        rows = [tensors.pop(f"{at}{name}.weight", None) for name in ("query", "key", "value")]
        present = [row for row in rows if row is not None]  # Hugging Face's are not stacked
        if 0 < len(present) < len(rows):
            raise CheckpointError(f"{source.path}: block {i} lacks a query, key or value")
        tensors |= {f"{at}qkv.weight": torch.cat(present)} if present else {}
    used = {n: t for n, t in tensors.items() if is_known(f"vision_encoder.{n}")}
    return from_published({f"vision_encoder.{n}": t for n, t in used.items()}), [n for n in tensors if n not in used]

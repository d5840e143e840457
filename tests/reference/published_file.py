"""The authors' file: every name and shape of it, and one filled by the rule of README.md."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from reference.naive import relative_index
from reference.tiny import fill
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Sizes:
    """The defaults are `base`."""

    grid: int = 14
    patch: int = 16
    vision: int = 768
    vision_heads: int = 12
    width: int = 768
    intermediate: int = 3072
    depth: int = 12
    vocabulary: int = 50265
    positions: int = 514
    embed: int = 256


TINY = Sizes(4, 16, 64, 4, 64, 128, 2, 200, 40, 32)  # the fixtures'; 4 text heads


def linear(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def lm_head(name: str, s: Sizes) -> Shapes:
    own = linear(f"{name}.dense", s.width, s.width) | linear(f"{name}.layer_norm", s.width)
    return own | linear(f"{name}.decoder", s.vocabulary, s.width) | {f"{name}.bias": (s.vocabulary,)}


def roberta(name: str, cross: bool, s: Sizes) -> Shapes:
    at, d = f"{name}.roberta.embeddings", s.width
    keys: Shapes = {f"{at}.position_ids": (1, s.positions), f"{at}.word_embeddings.weight": (s.vocabulary, d)}
    keys |= {f"{at}.position_embeddings.weight": (s.positions, d), f"{at}.token_type_embeddings.weight": (1, d)}
    keys |= linear(f"{at}.LayerNorm", d) | lm_head(f"{name}.lm_head", s) | lm_head(f"{name}.lm_cap_head", s)
    for i in range(s.depth):
        layer = f"{name}.roberta.encoder.layer.{i}"
        for attention in ("attention", "crossattention") if cross else ("attention",):
            memory = s.vision if attention == "crossattention" else d
            keys |= linear(f"{layer}.{attention}.self.query", d, d)
            for part in ("key", "value"):
                keys |= linear(f"{layer}.{attention}.self.{part}", d, memory)
            keys |= linear(f"{layer}.{attention}.output.dense", d, d)
            keys |= linear(f"{layer}.{attention}.output.LayerNorm", d)
        keys |= linear(f"{layer}.intermediate.dense", s.intermediate, d)
        keys |= linear(f"{layer}.output.dense", d, s.intermediate) | linear(f"{layer}.output.LayerNorm", d)
    return keys


def vision(s: Sizes, at: str = "vision_encoder.") -> Shapes:
    d = s.vision
    keys: Shapes = {f"{at}{t}_token": (1, 1, d) for t in ("cls", "mask")}
    keys |= linear(f"{at}patch_embed.proj", d, 3, s.patch, s.patch)
    for i in range(s.depth):
        block = f"{at}blocks.{i}"
        keys |= {f"{block}.gamma_{n}": (d,) for n in (1, 2)} | linear(f"{block}.norm1", d) | linear(f"{block}.norm2", d)
        keys |= {f"{block}.attn.{b}_bias": (d,) for b in "qv"} | {f"{block}.attn.qkv.weight": (3 * d, d)}
        at_relative = f"{block}.attn.relative_position"
        keys |= {f"{at_relative}_bias_table": ((2 * s.grid - 1) ** 2 + 3, s.vision_heads)}
        keys |= {f"{at_relative}_index": (s.grid**2 + 1,) * 2}
        keys |= linear(f"{block}.attn.proj", d, d)
        keys |= linear(f"{block}.mlp.fc1", 4 * d, d) | linear(f"{block}.mlp.fc2", d, 4 * d)
    return keys | linear(f"{at}fc_norm", d)


def shapes(s: Sizes = Sizes()) -> Shapes:
    """The 771 keys of the published base checkpoint and their shapes; or those at other sizes."""
    keys: Shapes = {"temp": (), **vision(s)}
    keys |= roberta("text_encoder", False, s) | roberta("fusion_encoder", True, s)
    keys |= linear("vision_proj", s.embed, s.vision) | linear("text_proj", s.embed, s.width)
    for head, outputs in (("itm_head", 2), ("bbox_head", 4)):
        d = s.width
        keys |= linear(f"{head}.0", 2 * d, d) | linear(f"{head}.1", 2 * d) | linear(f"{head}.3", outputs, 2 * d)
    return keys


def alias(name: str) -> str | None:
    """The tensor that a tied one is."""
    if name.endswith("lm_head.decoder.weight"):
        return name.replace("lm_head.decoder.weight", "roberta.embeddings.word_embeddings.weight")
    return name.replace("decoder.bias", "bias") if name.endswith("decoder.bias") else None


def state(s: Sizes = TINY, filled: Any = fill) -> dict[str, Tensor]:
    """The state dict, with its aliases and buffers."""
    made: dict[str, Tensor] = {}
    keys = shapes(s)
    buffers = {"relative_position_index": relative_index(s.grid), "position_ids": torch.arange(s.positions)[None]}
    for name, shape in keys.items():
        buffer = buffers.get(name.rsplit(".", 1)[-1])
        if alias(name) is None:
            made[name] = buffer.clone() if buffer is not None else filled(name, torch.Size(shape))
    return {name: made[alias(name) or name] for name in keys}


def tokenizer(folder: Path, vocabulary: int = TINY.vocabulary, form: str = "tokenizer.json") -> Path:
    """A folder with a byte-level BPE in RoBERTa's order, as tokenizer.json or as vocab.json and merges.txt."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(vocab_size=vocabulary - 1, special_tokens=special, show_progress=False)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    corpus = [f"A small black cat. and {a}{b}{a} or a dog" for a in letters for b in letters]
    backend.train_from_iterator(corpus, trainer)
    backend.add_special_tokens(["<mask>"])
    assert backend.get_vocab_size() == vocabulary
    folder.mkdir(parents=True, exist_ok=True)
    if form == "tokenizer.json":
        backend.save(str(folder / form))
    else:
        backend.model.save(str(folder))
        words = backend.get_vocab()
        (folder / "vocab.json").write_text(json.dumps(words), "utf-8")
    return folder

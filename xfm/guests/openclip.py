"""open_clip's models as guests: CLIP, SigLIP and their like, by transformers of its own or timm's, or CLIP's ResNets.

Nothing is fetched unless the call names one of open_clip's tags.
"""

from __future__ import annotations

import difflib
import os
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor, nn

from ..base.fields import ConfigError, require
from ..base.strings import brief, printable, shown
from ..interop.clip import preprocessing, tagged
from .guest import Guest, Tokens, Tower

FILES = "tokenizer.json tokenizer_config.json"  # of a tokenizer of the hub's
CONVOLVED = 32  # pixels a side of a convolutional tower's last places


def open_model(name: str, pretrained: str | os.PathLike[str] = "", tokenizer: str | os.PathLike[str] = "") -> OpenClip:
    """`name`: one of `open_clip.list_models()`; `pretrained`: a local file of weights, or one of open_clip's tags for
    that model, which open_clip fetches, or "TAG=FILE": what a tag says of pictures holds for its file as well, and has
    to be named where the model's tags differ in it; `tokenizer`: a folder of Hugging Face's tokenizer, for a model that
    has one of the hub's (SigLIP). ConfigError, which says what to fetch and how to give it, for anything else."""
    import open_clip

    names, given = open_clip.list_models(), os.fspath(pretrained)
    if name not in names:
        near = difflib.get_close_matches(name[:100], names, cutoff=0)
        raise ConfigError(
            f"load({shown('open_clip:' + name)}): open_clip has no such model; near are {', '.join(near)}"
        )
    tags = open_clip.list_pretrained_tags_by_model(name)
    given, of = tagged(name, given)
    local = os.path.isfile(given)
    if not local and given not in tags:
        raise ConfigError(
            f"pretrained = {shown(given)}: give the path of a file of weights for {name} (or TAG=FILE), or a tag, "
            f"which is then fetched: {', '.join(tags) or 'it has none'}"
        )
    config: Any = open_clip.get_model_config(name)
    text = config["text_cfg"]
    supported = not text.get("hf_model_name") and "multimodal_cfg" not in config and not text.get("embed_cls")
    require(supported, "model", name, "a dual encoder with a text tower of open_clip's own, no CoCa")
    words = _tokenizer(name, text, os.fspath(tokenizer), local)
    source = os.path.abspath(given) if local else given
    pictures = preprocessing(name, of if local else [given], "pretrained")
    try:
        net: Any = open_clip.create_model(
            name, pretrained=source, require_pretrained=True, force_preprocess_cfg=pictures
        )
    except Exception as error:  # a foreign or truncated file, or no connection: open_clip raises as many kinds
        way = "give weights that were saved of this model" if local else _how_to_fetch(name, given)
        raise ConfigError(f"pretrained = {shown(given)}: open_clip cannot load it ({brief(error)}); {way}") from error
    return OpenClip(name, net, words)


def _tokenizer(name: str, text: dict[str, Any], folder: str, local: bool) -> Any:
    """open_clip's, or of a `folder`, or of the hub, which is asked unless `local`. `text`: the model's text_cfg."""
    import open_clip

    hub = printable(text.get("hf_tokenizer_name") or "")
    if not hub:
        fetched = local and "siglip" in name.lower()
        require(not fetched, "model", name, "one with a tokenizer in its config: it would be fetched")
        require(not folder, "tokenizer", folder, f"left out: {name} has one of open_clip's own")
        return open_clip.get_tokenizer(name)
    fetch = (
        f"fetch {FILES} of https://huggingface.co/{hub} into a folder (hf download {hub} {FILES} --local-dir DIR), and "
        f"give it: load('open_clip:{name}', pretrained=FILE, tokenizer=DIR)"
    )
    if folder and not os.path.isdir(folder):
        raise ConfigError(f"tokenizer = {shown(folder)}: no such folder; {fetch}")
    options: Any = {"local_files_only": True} if local or folder else {}
    try:
        loaded = open_clip.tokenizer.HFTokenizer(
            os.path.abspath(folder) if folder else hub,
            context_length=text.get("context_length", 77),
            tokenizer_mode=text.get("tokenizer_mode"),
            **text.get("tokenizer_kwargs") or {},
            **options,
        )
        largest = max([*loaded.tokenizer.get_vocab().values(), *loaded(["a lion"])[0].tolist()])
    except Exception as error:  # not there, or a foreign folder: transformers raises as many kinds
        lacking = f"tokenizer = {shown(folder)}: holds none that can be read" if folder else f"model = {shown(name)}: "
        lacking += "" if folder else f"its tokenizer, {hub}, is not on this machine"
        raise ConfigError(f"{lacking} ({brief(error)}); {fetch}") from error
    rows = text.get("vocab_size", 49408)
    require(largest < rows, "tokenizer", folder or hub, f"this model's: it has ids to {largest}, the table {rows} rows")
    return loaded


def _how_to_fetch(name: str, tag: str) -> str:
    import open_clip

    config = open_clip.get_pretrained_cfg(name, tag)
    where = f"https://huggingface.co/{config['hf_hub'].rstrip('/')}" if config.get("hf_hub") else config.get("url", "")
    return f"offline: fetch its file of weights from {where}, and give its path as pretrained"


class OpenClip(Guest):
    """A model that `open_clip.create_model` returned, with its tokenizer."""

    def __init__(self, name: str, net: Any, tokenizer: Any):
        import open_clip

        super().__init__(net)
        self.label, self.tokenizer = name, tokenizer
        visual: Any = net.visual
        config = open_clip.transform.PreprocessCfg(**visual.preprocess_cfg)
        height, width = config.input_size[1:]
        require(height == width, f"{name}'s pictures", (height, width), "square")
        self.side, self.mean, self.std = height, tuple(config.mean), tuple(config.std)
        self._transform: Any = open_clip.transform.image_transform_v2(config, is_train=False)
        self.image_tower, self.patch = _image_tower(visual, self.side)
        at, text = ("", net) if hasattr(net, "transformer") else ("text.", net.text)
        self.text_tower = Tower(
            tuple(f"{at}transformer.resblocks.{i}.attn" for i in range(len(text.transformer.resblocks))),
            features=f"{at}transformer.resblocks.{len(text.transformer.resblocks) - 1}.ln_1",
        )
        self.embedding, self._causal = f"{at}token_embedding", text.attn_mask is not None
        self._pooled: str = getattr(net, "text_pool_type", None) or text.pool_type
        self._end: int = getattr(net, "text_eos_id", None) or getattr(text, "eos_id", 0)
        self._longest: int = net.context_length

    def prepare(self, picture: np.ndarray) -> Tensor:
        return self._transform(Image.fromarray(picture))

    def image_features(self, pictures: Tensor) -> Tensor:
        return self.net.encode_image(pictures)

    def text_features(self, ids: Tensor) -> Tensor:
        return self.net.encode_text(ids)

    def tokenise(self, text: str) -> Tokens:
        ids: list[int] = self.tokenizer([text])[0].tolist()
        inner = getattr(self.tokenizer, "tokenizer", None)  # Hugging Face's
        if inner is None:
            middle: list[int] = self.tokenizer.encode(text)
            special = {self.tokenizer.sot_token_id: "<start>", self.tokenizer.eot_token_id: "<end>"}
            named, count = [self.tokenizer.decode([i]) for i in middle], len(middle) + 2
            start = 1
        else:
            cleaned = self.tokenizer.clean_fn(text)  # SigLIP's has no capitals and no punctuation
            middle = inner(cleaned, add_special_tokens=False).input_ids
            named, count, start = [inner.decode([i]) for i in middle], len(inner(cleaned).input_ids), 0
            while start < len(ids) and middle and ids[start] != middle[0]:
                start += 1
            special = {}
        longest = self._longest
        require(count <= longest, "text", f"{text[:40]}... ({count} tokens)", f"of at most {longest} tokens")
        places = {"first": 0, "last": len(ids) - 1, "argmax": int(np.argmax(ids))}
        read = ids.index(self._end) if self._pooled == "eos" and self._end in ids else places.get(self._pooled, 0)
        length = read + 1 if self._causal else len(ids)
        pieces = [special.get(i, "<pad>") for i in ids]
        pieces[start : start + len(named)] = named
        spans = [(0, 0)] * len(ids)
        spans[start : start + len(named)] = _spans(text, named)
        return Tokens(ids, pieces[:length], spans[:length], read)


def _image_tower(visual: Any, side: int) -> tuple[Tower, int]:
    """Places of the image encoder, and the pixels of a patch's side."""
    blocks: Any = getattr(getattr(visual, "transformer", None), "resblocks", None)
    if blocks is not None and getattr(visual, "attn_pool", None) is None:
        names = tuple(f"visual.transformer.resblocks.{i}.attn" for i in range(len(blocks)))
        read, last = {"tok": 0}.get(visual.pool_type), f"visual.transformer.resblocks.{len(blocks) - 1}"
        return Tower(names, read, features=f"{last}.ln_1"), visual.patch_size[0]
    if hasattr(visual, "attnpool"):  # CLIP's ResNets
        return Tower(("visual.attnpool",), 0, features="visual.layer4"), CONVOLVED
    trunk: Any = getattr(visual, "trunk", None)
    blocks, embed = getattr(trunk, "blocks", None), getattr(trunk, "patch_embed", None)
    stacked = isinstance(blocks, nn.Sequential | nn.ModuleList)
    if stacked and all(hasattr(block, "attn") and hasattr(block, "norm1") for block in blocks):
        names = tuple(f"visual.trunk.blocks.{i}.attn" for i in range(len(blocks)))
        pool = "visual.trunk.attn_pool" if getattr(trunk, "attn_pool", None) is not None else ""
        read = 0 if getattr(trunk, "global_pool", "") == "token" else None
        size: Any = getattr(embed, "patch_size", (CONVOLVED,))
        return Tower(names, read, pool, f"visual.trunk.blocks.{len(blocks) - 1}.norm1"), size[0]
    patch: Any = getattr(visual, "patch_size", (CONVOLVED,))
    return Tower(features="visual.trunk.stages" if hasattr(trunk, "stages") else ""), min(patch[0], side)


def _spans(text: str, pieces: list[str]) -> list[tuple[int, int]]:
    """The characters of a text that each piece is, from left to right, whatever case the pieces have. A piece that is
    part of a character, as of an emoji, is of the next one."""
    lowered, at, spans = text.lower() if len(text.lower()) == len(text) else text, 0, []
    for piece in pieces:
        wanted = piece.strip().lower()
        while at < len(text) and text[at].isspace():
            at += 1
        begin = lowered.find(wanted, at) if wanted and "�" not in wanted else -1
        if begin < 0:
            spans.append((at, min(at + 1, len(text))))
        else:
            spans.append((begin, begin + len(wanted)))
            at = begin + len(wanted)
    return spans

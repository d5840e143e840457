"""Hugging Face's CLIP as a guest: the optional package `transformers`, and a local folder."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from ..base.fields import ConfigError, require
from ..base.strings import brief, shown
from .guest import Guest, Tokens, Tower

FILES = {  # that the folder must have beside the weights, either of two forms
    "image processor": (("preprocessor_config.json",), ("processor_config.json",)),
    "tokenizer": (("tokenizer.json",), ("vocab.json", "merges.txt")),
}


def open_model(
    folder: str, pretrained: str | os.PathLike[str] = "", tokenizer: str | os.PathLike[str] = ""
) -> HuggingFaceClip:
    """`folder`: of a `CLIPModel` and its `CLIPProcessor`, as `save_pretrained` wrote both. ConfigError for another."""
    require(not pretrained, "pretrained", pretrained, "left out: the folder has the weights")
    require(not tokenizer, "tokenizer", tokenizer, "left out: the folder has it")
    fetch = "`hf download openai/clip-vit-base-patch32 --local-dir FOLDER` fetches one; then load('hf_clip:FOLDER')"
    if not os.path.isdir(folder):
        raise ConfigError(f"load({shown('hf_clip:' + folder)}): no such folder, and nothing is downloaded; {fetch}")
    if not os.path.isfile(os.path.join(folder, "config.json")):
        raise ConfigError(f"{shown(folder)}: holds no CLIP: it has no config.json; {fetch}")
    for part, forms in FILES.items():  # without a tokenizer's transformers makes one that knows no word
        if not any(all(os.path.isfile(os.path.join(folder, name)) for name in form) for form in forms):
            files = ", or ".join(" and ".join(form) for form in forms)
            raise ConfigError(f"{shown(folder)}: lacks the {part}'s {files}; CLIPProcessor.save_pretrained writes them")
    try:
        from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel
    except ImportError as error:
        raise ConfigError("hf_clip: needs the package transformers; pip install 'xfm-lab[hf]'") from error
    try:
        loaded: Any = CLIPModel.from_pretrained(folder, local_files_only=True, output_loading_info=True)
        net, report = loaded
        kinds = (AutoImageProcessor, AutoTokenizer)
        processors = [kind.from_pretrained(folder, local_files_only=True) for kind in kinds]
    except Exception as error:  # a foreign folder: transformers raises as many kinds
        raise ConfigError(f"{shown(folder)}: holds no CLIP that can be read ({brief(error)}); {fetch}") from error
    if lacking := sorted(report["missing_keys"]):  # which would be drawn at random
        names = f"{brief(', '.join(lacking[:3]))}{f' and {len(lacking) - 3} more' if len(lacking) > 3 else ''}"
        raise ConfigError(f"{shown(folder)}: its weights lack {names}; {fetch}")
    return HuggingFaceClip(os.path.basename(os.path.abspath(folder)), net, *processors)


class HuggingFaceClip(Guest):
    """A `transformers.CLIPModel`, its image processor and its fast tokenizer."""

    embedding = "text_model.embeddings.token_embedding"

    def __init__(self, label: str, net: Any, processor: Any, tokenizer: Any):
        super().__init__(net)
        config: Any = net.config
        self.label, self.tokenizer, self._processor = label, tokenizer, processor
        self.side, self.patch = config.vision_config.image_size, config.vision_config.patch_size
        self.mean, self.std = tuple(processor.image_mean), tuple(processor.image_std)
        self.image_tower = _tower("vision_model", config.vision_config.num_hidden_layers)
        self.text_tower = _tower("text_model", config.text_config.num_hidden_layers)

    def prepare(self, picture: np.ndarray) -> Tensor:
        return self._processor(Image.fromarray(picture), return_tensors="pt").pixel_values[0]

    def image_features(self, pictures: Tensor) -> Tensor:
        return self.net.visual_projection(self.net.vision_model(pictures).pooler_output)

    def text_features(self, ids: Tensor) -> Tensor:
        return self.net.text_projection(self.net.text_model(ids).pooler_output)

    def tokenise(self, text: str) -> Tokens:
        encoded = self.tokenizer(text, return_offsets_mapping=True)
        ids, longest = encoded.input_ids, self.net.config.text_config.max_position_embeddings
        require(len(ids) <= longest, "text", f"{text[:40]}... ({len(ids)} tokens)", f"of at most {longest} tokens")
        pieces = ["<start>", *(self.tokenizer.decode([i]) for i in ids[1:-1]), "<end>"]
        return Tokens(ids, pieces, [tuple(span) for span in encoded.offset_mapping], len(ids) - 1)


def _tower(name: str, layers: int) -> Tower:
    blocks = [f"{name}.encoder.layers.{i}" for i in range(layers)]
    return Tower(tuple(f"{block}.self_attn" for block in blocks), features=f"{blocks[-1]}.layer_norm1")

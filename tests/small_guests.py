"""Small models of other libraries with random weights, saved as files: nothing is fetched."""

import json
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
from timm.models import register_model
from torch import nn

TEXT: Any = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
ATTENDING: Any = {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16}
SIGLIP: Any = {"image_size": 32, "timm_model_name": "vit_smallest_siglip", "timm_pool": "map", "timm_proj": "none"}
RESNET: Any = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32}
ALL_SEEN: Any = {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}
CONVOLVING: Any = {"image_size": 64, "timm_model_name": "test_convnext", "timm_pool": "avg", "timm_proj": "linear"}
CONFIGS = {
    "small-clip": {"embed_dim": 32, "vision_cfg": ATTENDING, "text_cfg": TEXT},
    "small-odd": {"embed_dim": 32, "vision_cfg": ATTENDING | {"image_size": 36}, "text_cfg": TEXT},
    "small-mean": {"embed_dim": 32, "vision_cfg": ATTENDING | {"pool_type": "avg"}, "text_cfg": TEXT},
    "small-resnet": {"embed_dim": 32, "vision_cfg": RESNET, "text_cfg": TEXT},
    "small-convnext": {"embed_dim": 32, "vision_cfg": CONVOLVING, "text_cfg": TEXT},
    "small-sigmoid": {
        "embed_dim": 32, "custom_text": True, "init_logit_bias": -10, "vision_cfg": SIGLIP, "text_cfg": TEXT | ALL_SEEN,
    },
}  # fmt: skip


@register_model
def vit_smallest_siglip(pretrained: bool = False, **kwargs) -> nn.Module:
    shape: Any = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
    kwargs = {k: v for k, v in kwargs.items() if not k.startswith(("pretrained", "cache"))}
    return timm.models.VisionTransformer(**shape, class_token=False, **kwargs)


def saved(folder: Path) -> dict[str, Path]:
    """Configs that open_clip knows from now on -> a file of weights each."""
    files = {}
    for name, config in CONFIGS.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    for name in CONFIGS:
        torch.manual_seed(0)
        model: Any = open_clip.create_model(name)
        for module in model.modules():  # far from even attention
            if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
                module.in_proj_weight.data.mul_(4)
        files[name] = folder / f"{name}.pt"
        torch.save(model.state_dict(), files[name])
    return files


def save_hugging_face(folder: Path) -> Path:
    """A CLIP of transformers with its processor, by open_clip's vocabulary."""
    import transformers

    words = open_clip.tokenizer.SimpleTokenizer()
    special = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {special.get(piece, piece): number for piece, number in words.encoder.items()}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(m) for m in words.bpe_ranks)]))
    layers: Any = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    end = words.eot_token_id
    config = transformers.CLIPConfig(
        text_config=layers | {"vocab_size": 49408, "eos_token_id": end, "max_position_embeddings": 16},
        vision_config=layers | {"image_size": 32, "patch_size": 8},
    )
    torch.manual_seed(0)
    transformers.CLIPModel(config).save_pretrained(folder)
    transformers.CLIPTokenizer.from_pretrained(folder).save_pretrained(folder)
    size: Any = {"shortest_edge": 32}
    transformers.CLIPImageProcessor(size=size, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


HUB = "xfm-lab/no-such-tokenizer"


def save_siglip(folder: Path) -> tuple[Path, Path]:
    """The config "small-siglip", whose tokenizer is a hub's, as SigLIP's are -> weights, and that tokenizer's folder:
    of sentencepiece's kind (Unigram), where `</s>` pads, too."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    pieces = ["<unk>", "</s>", "▁", *"abcdefghijklmnopqrstuvwxyzABCL!'", "▁a", "▁photo", "▁of", "▁red", "▁li", "on"]
    backend = Tokenizer(models.Unigram([(piece, -float(len(piece) < 2)) for piece in pieces], unk_id=0))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    special: Any = {"unk_token": "<unk>", "eos_token": "</s>", "pad_token": "</s>"}
    words = folder / "tokenizer"
    transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **special).save_pretrained(words)
    text = TEXT | ALL_SEEN | {"vocab_size": len(pieces), "hf_tokenizer_name": HUB}
    text["tokenizer_kwargs"] = {"clean": "canonicalize"}
    config: Any = CONFIGS["small-sigmoid"] | {"text_cfg": text}
    (folder / "small-siglip.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    torch.manual_seed(0)
    torch.save(open_clip.create_model("small-siglip").state_dict(), folder / "small-siglip.pt")
    return folder / "small-siglip.pt", words

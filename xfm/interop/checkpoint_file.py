"""Weight files of any library: tensors by name, never code; and the model that the names identify."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..base.files import FileError
from ..base.strings import brief, shown

# What a name tells, first match first: a model that holds another comes before it.
MODELS = {
    "a run of this toolkit (open its folder)": r"objectives\.itc\.temperature|vision\.patch_embed\.weight",
    "X-FM": r"fusion_encoder\.roberta\.encoder\.layer\.0\.crossattention\..*",
    "X-VLM or ALBEF": r"text_encoder\.bert\..*crossattention.*|visual_encoder\.blocks\.0\..*",
    "BLIP": r"text_decoder\.bert\..*|vision_model\.encoder\.layers\.0\.self_attn\.qkv\.weight",
    "CLIP": r"visual\.transformer\.resblocks\..*|visual\.trunk\..*|visual\.conv1\.weight|visual_projection\.weight"
    r"|vision_model\.encoder\.layers\.0\.self_attn\.q_proj\.weight",
    "RoBERTa": r"roberta\.(embeddings|encoder)\..*|lm_head\.layer_norm\.weight",
    "BERT": r"(bert\.)?embeddings\.word_embeddings\.weight|cls\.predictions\.bias",
    "DistilBERT": r"distilbert\..*|transformer\.layer\.0\.attention\.q_lin\.weight",
    "BEiT": r"beit\..*|blocks\.0\.attn\.q_bias|(encoder\.)?layer\.0\.lambda_1|rel_pos_bias\..*",
    "Swin": r"(swin\..*|layers\.0\.blocks\.0\.(attn|attention)\..*)",
    "ViT, DeiT, MAE or DINO": r"(vit|deit|dinov2)\..*|(encoder\.)?blocks\.0\.attn\.qkv\.weight|cls_token",
    "ResNet": r"(module\.)?(encoder\.)?layer1\.0\.conv1\.weight|resnet\..*",
    "ConvNeXt": r"stages\.0\.(blocks\.)?0\..*|downsample_layers\..*",
    "GPT-2": r"(transformer\.)?h\.0\.attn\.c_attn\.weight",
    "Llama or its kin": r"model\.layers\.0\.self_attn\.q_proj\.weight",
    "T5": r"encoder\.block\.0\.layer\.0\.SelfAttention\..*",
}
HOLDERS = ("model", "module", "state_dict")  # under which a file may keep its tensors, beside other things
STORED = (torch.float32, torch.float16, torch.bfloat16)
CODE = re.compile(r"Unsupported global: GLOBAL (\S+)|Unsupported class (\S+)|Unsupported operand|persistent_load")


class CheckpointError(FileError):
    """A weight file of another kind than needed. The message names it, what is wrong, and a recovery hint."""


def read_file(path: str | Path) -> Any:
    """What a file of PyTorch's or of safetensors holds: tensors and plain values. Its code, if any, is not run, and its
    tensors are mapped from the disk where it can be.

    CheckpointError for a file that is not there, is cut off or no such file, or would run code."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error}); name a file of weights") from error
    try:
        if len(head) == 9 and head[8:] == b"{":
            with safe_open(path, "pt") as tensors:
                return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118 (no mapping)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, of old formats
            return torch.load(path, map_location="cpu", weights_only=True, mmap=head[:2] == b"PK")
    except MemoryError:
        raise
    except Exception as error:  # torch raises many kinds
        said = str(error)
        if found := CODE.search(said):
            what = next(filter(None, found.groups()), "more than tensors and plain values")
            raise CheckpointError(
                f"{path}: refused, and nothing of it was run: it asks for {brief(what)}. Only tensors and plain values "
                "are read; have it saved as a state dict, or as safetensors"
            ) from None
        kind = "safetensors file" if isinstance(error, SafetensorError) else "file of PyTorch or safetensors"
        why = brief(said.splitlines()[0] if said else error)
        raise CheckpointError(f"{path}: no whole {kind} ({why}); it may be cut off: fetch it again") from error


def tensors_of(path: str | Path, content: Any) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
    """The named tensors in what `read_file` gave; under which of HOLDERS they were, or ""; what lies beside them.

    CheckpointError where there are none, and for what is no dense tensor, or not finite, or of a dtype that float32
    cannot hold."""
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not tensors by name")
    holder = next((name for name in HOLDERS if isinstance(content.get(name), Mapping)), "")
    state: Mapping[str, Any] = content[holder] if holder else content
    beside = {str(name): value for name, value in content.items() if name != holder} if holder else {}
    if not state:
        raise CheckpointError(f"{path}: holds no tensors")
    for name, value in state.items():
        where = f"{path}: {shown(name)}"
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{where} is a {type(value).__name__}, not a tensor; a state dict is needed")
        if value.layout != torch.strided or value.is_quantized:
            raise CheckpointError(f"{where} is sparse or quantised; save it dense")
        if value.is_floating_point() and value.dtype not in STORED:
            raise CheckpointError(f"{where} is {value.dtype}; save it as float32, float16 or bfloat16")
        if not is_finite(value):
            raise CheckpointError(f"{where} is not finite: the file is damaged, or its model has diverged")
    return dict(state), holder, beside


def is_finite(tensor: Tensor) -> bool:
    """Whether no value is infinite or undefined. One pass, and no mask as large as the tensor."""
    if not (tensor.is_floating_point() and tensor.numel()):
        return True
    return all(bool(value.isfinite()) for value in tensor.aminmax())


def identify(names: Iterable[str]) -> str:
    """Whose model it is, by the names of its parameters: "CLIP", "BERT", ...; "" for one that is not known."""
    names = [name.removeprefix("module.") for name in names]
    return next((model for model, pattern in MODELS.items() if any(re.fullmatch(pattern, n) for n in names)), "")

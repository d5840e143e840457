"""Small random encoders of transformers, saved as others have theirs: folders of BERT and RoBERTa, files of BEiT."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from reference import published_file

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
BEIT = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128, "patch_size": 8,
        "image_size": 48, "use_mask_token": True, "layer_norm_eps": 1e-6, "vocab_size": 20}  # fmt: skip


def scattered(model: torch.nn.Module) -> Any:
    """No parameter at its start: zeros and ones would hide mistakes."""
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


def wordpieces(folder: Path) -> int:
    """BERT's vocab.txt, its special tokens amid the others; returns their number."""
    letters = "abcdefghijklmnopqrstuvwxyz."
    special = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = ["[PAD]", "[unused0]", *special, *letters, *(f"##{c}" for c in letters), "cat", "dog", "black", "and"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    return len(words)


def bert(folder: Path, head: bool = True, **changes: Any) -> Path:
    size = wordpieces(folder)
    config = transformers.BertConfig(vocab_size=size, **(SIZES | {"max_position_embeddings": 30} | changes))
    scattered((transformers.BertForMaskedLM if head else transformers.BertModel)(config)).save_pretrained(folder)
    return folder


def roberta(folder: Path, head: bool = True, **changes: Any) -> Path:
    published_file.tokenizer(folder, 200)
    own = {"max_position_embeddings": 30, "layer_norm_eps": 1e-5, "type_vocab_size": 1}
    config = transformers.RobertaConfig(vocab_size=200, **(SIZES | own | changes))
    scattered((transformers.RobertaForMaskedLM if head else transformers.RobertaModel)(config)).save_pretrained(folder)
    return folder


def beit(folder: Path, kind: Callable = transformers.BeitForMaskedImageModeling, **changes: Any) -> Path:
    shared = {"use_shared_relative_position_bias": True}
    scattered(kind(transformers.BeitConfig(**(BEIT | (changes or shared))))).save_pretrained(folder)
    return folder / "model.safetensors"

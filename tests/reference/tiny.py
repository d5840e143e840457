"""The published model at a tiny size: its weights by the filling function, its inputs, and what it made of them."""

import json
import math
import zlib
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import load_file
from torch import Tensor

from xfm.config import RunConfig, TextConfig, VisionConfig
from xfm.interop.published import from_published, published_shapes
from xfm.model.batch import Batch, Pairs, Regions, Texts, TokenBatch
from xfm.objectives import Pretraining, build

HERE = Path(__file__).parent
CONFIG = RunConfig().replace({
    "name": "tiny", "model.vision": VisionConfig(64, 16, width=64, depth=2, heads=4),
    "model.text": TextConfig(200, positions=40, width=64, depth=2, heads=4, intermediate=128),
    "model.fusion_depth": 2, "model.embed_dim": 32, "data.caption_tokens": 12, "data.text_tokens": 12,
    "data.mask.image_patches": 6, "data.mask.smallest_block": 2,
})  # fmt: skip


def fill(name: str, shape: torch.Size) -> Tensor:
    """The weight of a published name (README.md)."""
    g = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    z = torch.randn(shape, generator=g, dtype=torch.float64)
    last = name.rsplit(".", 1)[-1]
    if name == "temp":
        z = torch.tensor(0.07, dtype=torch.float64)
    elif z.ndim == 1 and last == "weight":
        z = 1 + 0.1 * z
    elif last in ("gamma_1", "gamma_2"):
        z = 0.5 + 0.1 * z
    elif last in ("relative_position_bias_table", "cls_token", "mask_token"):
        z = 0.5 * z
    elif name.endswith("_embeddings.weight"):
        z = 0.05 * z
    else:
        z = 0.1 * z if z.ndim == 1 else z / math.sqrt(z[0].numel())
    return z.float()


def batch(x: dict[str, Tensor]) -> Batch:
    words = TokenBatch(x["text_ids"], x["text_atts"].bool(), x["text_ids_masked"], x["masked_pos"], x["masked_ids"])
    owner, inside = x["idx_to_group_img"], x["region_image_atts"][:, 1:].bool()
    box, is_image = x["target_bbox"].double(), x["is_image"].bool()
    regions = Regions(x["region_image"].double(), owner, inside, words, box, is_image)
    return {"texts": Texts(words), "pairs": Pairs(x["image"].double(), words, x["image_mask"]), "regions": regions}


def pretraining(config: RunConfig = CONFIG) -> Pretraining:
    """The filled model in float64 and eval mode; ITM's negatives are the recorded ones."""
    model = build(config)
    named = dict(model.named_parameters())
    shapes = published_shapes(named, config.model.vision.patch_size)
    model.load_state_dict(from_published({name: fill(name, shape) for name, shape in shapes.items()}))
    drawn = record()
    negatives = torch.tensor(drawn.image_neg_idx), torch.tensor(drawn.text_neg_idx)
    model.objectives["itm"].negatives = lambda flow: negatives
    return Pretraining(model.double().eval(), config)


def record() -> SimpleNamespace:
    return SimpleNamespace(**json.loads((HERE / "tiny_fp64.json").read_text()))


def tensors(name: str) -> dict[str, Tensor]:
    return load_file(HERE / f"tiny_{name}.safetensors")

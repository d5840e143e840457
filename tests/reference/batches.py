"""Tiny configs, models with all weights away from their start, and random batches of any shape."""

from typing import Any

import torch
from torch import Tensor

from xfm.config import RunConfig
from xfm.model import XFM
from xfm.model.batch import END, IGNORE, PAD, START, Batch, Images, Pairs, Regions, Texts, TokenBatch
from xfm.objectives import Pretraining, build

TINY = {  # the text encoder's width is not the vision encoder's: a mix-up is an error of shapes
    "name": "tiny", "model.vision.image_size": 16, "model.vision.patch_size": 4, "model.vision.width": 32,
    "model.vision.depth": 2, "model.vision.heads": 4, "model.text.vocabulary": 50, "model.text.positions": 20,
    "model.text.width": 24, "model.text.depth": 2, "model.text.heads": 2, "model.text.intermediate": 40,
    "model.fusion_depth": 2, "model.embed_dim": 12, "model.init_std": 0.2, "data.caption_tokens": 10,
    "data.text_tokens": 12, "data.mask.image_patches": 6, "data.mask.smallest_block": 2,
}  # fmt: skip
STILL = {"model.vision.drop_path": 0.0, "model.text.dropout": 0.0}  # nothing is dropped, in train mode either
NO_STOP = {f"flow.text_gradient.{o}": 1.0 for o in ("itm", "imlm", "bbp")}
ALL = ("mlm", "itc", "itm", "imlm", "mim", "bbp")


def config(**changes: Any) -> RunConfig:
    """TINY with `group__field=value` changed."""
    return RunConfig().replace(TINY | {name.replace("__", "."): value for name, value in changes.items()})


def model(config: RunConfig, seed: int = 0) -> XFM:
    """In float64 and eval mode, no parameter at its start: zeros and ones would hide mistakes."""
    made, g = build(config).double().eval(), torch.Generator().manual_seed(seed)
    for p in made.parameters():
        p.data += 0.1 * torch.randn(p.shape, generator=g, dtype=p.dtype)
    made.objectives["itc"].temperature.data.fill_(0.2)
    return made


def pretraining(**changes: Any) -> Pretraining:
    c = config(**changes)
    return Pretraining(model(c), c)


def words(texts: int, tokens: int, hidden: int, vocabulary: int = 50, seed: int = 0) -> TokenBatch:
    """Texts of different lengths, the first of all `tokens`; the last has as many tokens hidden as it can."""
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, vocabulary - 1, (texts, tokens), generator=g)
    lengths = torch.randint(min(3, tokens), tokens + 1, (texts,), generator=g)
    lengths[0] = tokens
    place = torch.arange(tokens)
    mask = place < lengths[:, None]
    ids = ids.masked_fill(~mask, PAD)
    ids[:, 0] = START
    ids.scatter_(1, lengths[:, None] - 1, END)
    masked_ids, at, labels = ids.clone(), torch.zeros(texts, hidden).long(), torch.full((texts, hidden), IGNORE)
    for b, length in enumerate(lengths.tolist()):
        count = min(hidden, length - 2, b % hidden + 1 if b + 1 < texts else hidden)
        chosen = torch.randperm(length - 2, generator=g)[:count] + 1
        at[b, :count], labels[b, :count] = chosen, ids[b, chosen]
        masked_ids[b, chosen] = vocabulary - 1
    return TokenBatch(ids, mask, masked_ids, at, labels)


def pictures(config: RunConfig, count: int, seed: int = 0) -> Tensor:
    size = config.model.vision.image_size
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed + 100))


def hidden_patches(config: RunConfig, count: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed + 200)
    order = torch.rand(count, config.model.vision.patches, generator=g).argsort(1)
    return order < config.data.mask.image_patches


def pairs(config: RunConfig, count: int = 4, tokens: int = 8, hidden: int = 3, seed: int = 0) -> Pairs:
    text = words(count, tokens, hidden, config.model.text.vocabulary, seed)
    return Pairs(pictures(config, count, seed), text, hidden_patches(config, count, seed))


def regions(
    config: RunConfig, count: int = 5, images: int = 3, tokens: int = 7, hidden: int = 2, seed: int = 1
) -> Regions:
    g, patches = torch.Generator().manual_seed(seed + 300), config.model.vision.patches
    inside = torch.rand(count, patches, generator=g) < 0.4
    inside[:, 0] |= ~inside.any(1)
    box = torch.cat([0.3 + 0.4 * torch.rand(count, 2, generator=g), 0.1 + 0.5 * torch.rand(count, 2, generator=g)], 1)
    is_image = torch.arange(count) % 3 == 1
    owner = torch.arange(count) * images // count
    text = words(count, tokens, hidden, config.model.text.vocabulary, seed)
    return Regions(pictures(config, images, seed), owner, inside | is_image[:, None], text, box, is_image)


def images(config: RunConfig, count: int = 3, seed: int = 2) -> Images:
    return Images(pictures(config, count, seed), hidden_patches(config, count, seed))


def texts(config: RunConfig, count: int = 4, tokens: int = 9, hidden: int = 3, seed: int = 3) -> Texts:
    return Texts(words(count, tokens, hidden, config.model.text.vocabulary, seed))


def batch(config: RunConfig) -> Batch:
    return {"pairs": pairs(config), "regions": regions(config), "images": images(config), "texts": texts(config)}

"""The model one text, one picture, one pairing at a time, from a layer's weights: no batches, no padding, no masks."""

import math
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from xfm.model import XFM
from xfm.model.attention import Additive, Attention, Cosine, Dot, General
from xfm.model.batch import TokenBatch
from xfm.model.blocks import TextLayer


def attend(a: Attention, x: Tensor, memory: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (Q, D), memory (K, D'), bias (H, Q, K) -> (Q, D): one query of one head at a time."""
    q, k, v = a.query(x), a.key(memory), a.value(memory)
    size = q.shape[-1] // a.heads
    mixed = torch.zeros_like(q)
    for h in range(a.heads):
        cut = slice(h * size, (h + 1) * size)
        for i in range(len(q)):
            logits = torch.stack([logit(a, h, q[i, cut], k[j, cut]) for j in range(len(k))])
            if bias is not None:
                logits = logits + bias[h, i]
            weights = logits.exp() / logits.exp().sum()
            mixed[i, cut] = sum(w * v[j, cut] for j, w in enumerate(weights))
    return a.out(mixed)


def logit(a: Attention, head: int, q: Tensor, k: Tensor) -> Tensor:
    """Of one query and one key of a head (d,)"""
    match a.score:
        case None:
            return q @ k / math.sqrt(len(q))
        case Dot():
            return (q * k).sum()
        case General(weight=weight):
            return sum(q[i] * weight[head, i, j] * k[j] for i in range(len(q)) for j in range(len(k)))
        case Additive(weight=weight):
            return sum(weight[head, i] * (q[i] + k[i]).tanh() for i in range(len(q)))
        case Cosine(log_temperature=log):
            temperature = min(max(math.exp(log[head].item()), 0.01), 1.0)
            return (q * k).sum() / (math.hypot(*q.tolist()) * math.hypot(*k.tolist())) / temperature
    raise NotImplementedError(type(a.score))


def text_layer(layer: TextLayer, x: Tensor, memory: Tensor | None = None) -> Tensor:
    x = layer.norm1(x + attend(layer.attention, x, x))
    if memory is not None:
        x = layer.cross_norm(x + attend(layer.cross, x, memory))
    return layer.norm2(x + layer.mlp.fc2(F.gelu(layer.mlp.fc1(x))))


def unpadded(words: TokenBatch, b: int, masked: bool = False) -> Tensor:
    return (words.masked_ids if masked else words.ids)[b][words.mask[b]]


def text(model: XFM, ids: Tensor) -> Tensor:
    """(L,) without padding -> (L, D)"""
    t = model.text
    x = t.norm(t.word.weight[ids] + t.token_type + t.position.weight[2 : 2 + len(ids)])
    for layer in t.layers:
        x = text_layer(layer, x)
    return x


def picture(model: XFM, image: Tensor, hidden: Tensor | None = None) -> Tensor:
    """(3, H, W) -> (P, D)"""
    v, size, grid = model.vision, model.vision.config.patch_size, model.vision.config.grid
    corners = [(y * size, x * size) for y in range(grid) for x in range(grid)]
    patches = [image[:, y : y + size, x : x + size].flatten() for y, x in corners]
    x = v.patch_embed(torch.stack(patches).to(v.mask_token.dtype))
    if hidden is not None:
        x = torch.stack([v.mask_token if h else row for row, h in zip(x, hidden.tolist(), strict=True)])
    if v.config.absolute_positions:
        x = x + v.positions
    x = torch.cat([v.cls_token[None], x])
    index = relative_index(grid)
    for block, table in zip(v.blocks, v.relative_bias, strict=True):
        bias = torch.stack([table[:, h][index] for h in range(v.config.heads)])
        n = block.norm1(x)
        x = x + block.gamma1 * attend(block.attention, n, n, bias)
        x = x + block.gamma2 * block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm2(x))))
    return v.norm(x[1:])


def relative_index(grid: int) -> Tensor:
    rows = (2 * grid - 1) ** 2 + 3
    index = torch.empty(grid**2 + 1, grid**2 + 1, dtype=torch.long)
    index[0, :], index[:, 0], index[0, 0] = rows - 3, rows - 2, rows - 1
    for ya, xa, yb, xb in product(range(grid), repeat=4):
        row = (ya - yb + grid - 1) * (2 * grid - 1) + (xa - xb + grid - 1)
        index[1 + ya * grid + xa, 1 + yb * grid + xb] = row
    return index


def tokens(patches: Tensor, inside: Tensor | None = None) -> Tensor:
    """Patches (P, D) and those of a region (P,) -> what texts look at: the pooled token and the patches seen."""
    seen = patches if inside is None else patches[inside]
    return torch.cat([seen.mean(0, keepdim=True), seen])


def fuse(model: XFM, text: Tensor, image: Tensor) -> Tensor:
    """(L, D) without padding, (S, D) without hidden patches -> (L, D)"""
    for layer in model.fusion.layers:
        text = text_layer(layer, text, image)
    return text


def cross_entropy(logits: Tensor, label: int) -> Tensor:
    return logits.exp().sum().log() - logits[label]

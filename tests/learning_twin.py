"""The page that learns, written a second time in torch: the same whole-number draws, model, losses and optimizer."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xfm.objectives.bbp import overlap

SIDE, BATCH, LENGTH, WIDTH, FIRST = 32, 16, 6, 48, 9  # pixels, pairs, tokens, width, id of the first concept
WEIGHTS, PAIRS, TEXTS, WORDS, PATCHES, NEGATIVES = range(1, 7)
FUSED = ("itm", "imlm", "bbp")


def mixed(h: int) -> int:
    h = (h ^ h >> 16) * 0x21F0AAAD & 0xFFFFFFFF
    h = (h ^ h >> 15) * 0x735A2D97 & 0xFFFFFFFF
    return h ^ h >> 15


def generator(*key: int) -> Callable[[int], int]:
    state = 0x9E3779B9
    for part in key:
        state = mixed(state ^ part)

    def below(bound: int) -> int:
        nonlocal state
        state = state + 0x9E3779B9 & 0xFFFFFFFF
        return mixed(state) * bound >> 32

    return below


def several(below: Callable[[int], int], count: int, bound: int) -> list[int]:
    rest = [*range(bound)]
    return sorted(rest.pop(below(len(rest))) for _ in range(count))


def scene(below: Callable[[int], int], sprites: list[Any]) -> dict[str, Any]:
    first = below(20)
    near = first // 5 * 5 + (first % 5 + 1 + below(4)) % 5
    far = (first // 5 * 5 + 5 + below(15)) % 20
    concepts = first, near if below(4) < 3 else far
    sizes, relation, alone, things = (below(2), below(2)), below(4), below(2) == 0, []
    for i, (concept, size) in enumerate(zip(concepts[: 1 if alone else 2], sizes, strict=False)):
        w, h = (sprites[concept][size][side] for side in ("width", "height"))
        along, across = ((w, h), (h, w))[not alone and relation // 2]
        start = 0 if alone or (i == 0) == (relation % 2 == 0) else SIDE // 2
        room = SIDE if alone else SIDE // 2
        place = start + 8 * below((room - along) // 8 + 1), 8 * below((SIDE - across) // 8 + 1)
        things.append((concept, size, *(place if alone or relation < 2 else place[::-1]), w, h))
    return {"things": things, "relation": relation, "ground": [255 - below(60) for _ in range(3)]}


def noun_phrase(thing: tuple[int, ...]) -> list[int]:
    return [3 + thing[1], FIRST + thing[0]]


def caption(of: dict[str, Any]) -> list[int]:
    first, *second = of["things"]
    ids = [1, *noun_phrase(first), *([5 + of["relation"], *noun_phrase(*second)] if second else [])]
    return ids + [0] * (LENGTH - len(ids))


def paint(of: dict[str, Any], sprites: list[Any]) -> np.ndarray:
    canvas = np.empty((SIDE, SIDE, 3), np.int64)
    canvas[:] = of["ground"]
    for concept, size, x, y, w, h in of["things"]:
        rgba = np.frombuffer(base64.b64decode(sprites[concept][size]["rgba"]), np.uint8).reshape(h, w, 4).astype(int)
        under = canvas[y : y + h, x : x + w]
        under[:] = rgba[..., :3] + under * (255 - rgba[..., 3:]) // 255
    return ((canvas - 192) / 64).reshape(4, 8, 4, 8, 3).swapaxes(1, 2).reshape(16, 192)


def hide(ids: np.ndarray, below: Callable[[int], int]) -> tuple[np.ndarray, np.ndarray]:
    """Texts (n, 6), one of two words hidden or two of five, and where."""
    counts = [int((text > 1).sum()) for text in ids]
    at = np.array([LENGTH * i + 1 + j for i, n in enumerate(counts) for j in several(below, 1 + (n > 2), n)])
    masked = ids.copy()
    masked.reshape(-1)[at] = 2
    return masked, at


class Twin:
    """Weights, draws and steps of one seed."""

    def __init__(self, specs: list[Any], drawings: dict[str, Any], seed: int):
        """`specs`: name, rows, columns and deviation of every parameter, in order."""
        self.sprites, self.seed, self.done, self.p = drawings["sprites"], seed, 0, dict[str, Tensor]()
        for i, (name, rows, cols, start) in enumerate(specs):
            below, bound = generator(seed, i, WEIGHTS), 3**0.5 * start
            constant = start in (0, 1) or name == "itc.temperature"
            values = [start if constant else bound * (below(2**24) / 2**23 - 1) for _ in range(rows * cols)]
            weights = torch.tensor(values, dtype=torch.float32).double().reshape(rows, cols)
            self.p[name] = weights.requires_grad_()
        self.frozen = {n: p.detach().clone() for n, p in self.p.items() if n.startswith("vision.")}
        self.adam = torch.optim.Adam([*self.p.values()] or [torch.zeros(1)], betas=(0.9, 0.98), eps=1e-6)

    def batch(self) -> dict[str, Any]:
        key, sprites = (self.seed, self.done), self.sprites
        below, scenes = generator(*key, PAIRS), dict[Any, Any]()
        while len(scenes) < BATCH:
            new = scene(below, sprites)
            scenes.setdefault(tuple(sorted(t[0] for t in new["things"])), new)
        shown, patches = [*scenes.values()], generator(*key, PATCHES)
        meant = [thing for s in shown for thing in s["things"]]
        hidden = np.zeros((BATCH, 16), bool)
        for row in hidden:
            row[several(patches, 6, 16)] = True
        captions, texts = np.array([caption(s) for s in shown]), generator(*key, TEXTS)
        spoken = np.array([caption(scene(texts, sprites)) for _ in range(BATCH)])
        boxes = [[x + w / 2, y + h / 2, w, h] for _, _, x, y, w, h in meant]
        return {
            "pixels": torch.tensor(np.array([paint(s, sprites) for s in shown])), "captions": captions,
            "masked": hide(captions, generator(*key, WORDS)), "hidden": torch.tensor(hidden), "spoken": spoken,
            "phrases": np.array([[1, *noun_phrase(t)] for t in meant]), "texts": hide(spoken, texts),
            "boxes": torch.tensor(boxes, dtype=torch.float64) / SIDE,
            "items": [i for i, s in enumerate(shown) for _ in s["things"]],
        }  # fmt: skip

    def linear(self, x: Tensor, name: str, p: Any = None) -> Tensor:
        p = p or self.p
        return x @ p[name] + p[f"{name}.bias"]

    def norm(self, x: Tensor, name: str, p: Any = None) -> Tensor:
        p = p or self.p
        return F.layer_norm(x, x.shape[-1:], p[f"{name}.gain"][0], p[f"{name}.shift"][0], 1e-5)

    def mlp(self, x: Tensor, name: str, p: Any = None) -> Tensor:
        return self.linear(F.gelu(self.linear(x, f"{name}.fc1", p)), f"{name}.fc2", p)

    @staticmethod
    def attend(*qkv: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (WIDTH // 16, 16)).transpose(1, 2) for t in qkv)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)

    def attention(self, x: Tensor, name: str, p: Any = None) -> Tensor:
        w = p or self.p
        seen = self.attend(x @ w[f"{name}.query"], *(x @ w[f"{name}.memory"]).chunk(2, -1))
        return self.linear(seen, f"{name}.out", p)

    def image(self, pixels: Tensor, hidden: Tensor | None = None, p: Any = None) -> Tensor:
        w = p or self.p
        x = self.linear(pixels, "vision.embed", p)
        x = x if hidden is None else torch.where(hidden[..., None], w["vision.mask"], x)
        x = x + w["vision.positions"]
        for name in ("vision.0", "vision.1"):
            x = x + self.attention(self.norm(x, f"{name}.norm1", p), name, p)
            x = x + self.mlp(self.norm(x, f"{name}.norm2", p), name, p)
        return self.norm(x, "vision.norm", p)

    def text(self, ids: np.ndarray) -> Tensor:
        x = self.p["language.word"][torch.tensor(ids)] + self.p["language.positions"][: ids.shape[1]]
        x = self.norm(x, "language.norm")
        for name in ("language.0", "language.1"):
            x = self.norm(x + self.attention(x, name), f"{name}.norm1")
            x = self.norm(x + self.mlp(x, name), f"{name}.norm2")
        return x

    def fuse(self, text: Tensor, patches: Tensor, items: Any) -> Tensor:
        x = self.norm(text + self.attention(text, "fusion.0"), "fusion.0.norm1")
        keys, placed = patches[items] @ self.p["fusion.key"], patches[items] + self.p["fusion.positions"]
        cross = self.attend(x @ self.p["fusion.query"], keys, placed @ self.p["fusion.value"])
        x = self.norm(x + self.linear(cross, "fusion.cross"), "fusion.cross_norm")
        return self.norm(x + self.mlp(x, "fusion.0"), "fusion.0.norm2")

    def head(self, x: Tensor, name: str) -> Tensor:
        return self.linear(F.gelu(self.norm(self.linear(x, f"{name}.fc1"), f"{name}.norm")), f"{name}.fc2")

    def words(self, states: Tensor, ids: np.ndarray, at: np.ndarray, name: str, table: str) -> Tensor:
        hidden = states.flatten(0, 1)[torch.tensor(at)]
        hidden = self.norm(F.gelu(self.linear(hidden, f"{name}.dense")), f"{name}.norm")
        return F.cross_entropy(hidden @ self.p[table].T + self.p[f"{name}.bias"][0], torch.tensor(ids.reshape(-1)[at]))

    def losses(self, stopped: bool, guidance: str) -> dict[str, Tensor]:
        b, own = self.batch(), [*range(BATCH)]
        patches, text = self.image(b["pixels"]), self.text(b["captions"])
        crossing = (lambda states: states.detach()) if stopped else (lambda states: states)
        image = F.normalize(self.linear(patches.mean(1), "itc.image"), dim=-1)
        similarity = image @ F.normalize(self.linear(text[:, 0], "itc.text"), dim=-1).T / self.p["itc.temperature"]
        truth = torch.arange(BATCH)
        other_image, other_text = self.negatives(similarity.detach())
        pairs = crossing(text)[own + own + other_text]
        matched = self.head(self.fuse(pairs, patches, own + other_image + own)[:, 0], "itm")
        masked, at = b["masked"]
        seen = self.fuse(crossing(self.text(masked)), patches, own)
        box = self.head(self.fuse(crossing(self.text(b["phrases"])), patches, b["items"])[:, 0], "bbp").sigmoid()
        spoken, hidden = b["texts"]
        return {
            "mlm": self.words(self.text(spoken), b["spoken"], hidden, "mlm", "language.word"),
            "mim": self.mim(b, patches.detach(), guidance),
            "itc": (F.cross_entropy(similarity, truth) + F.cross_entropy(similarity.T, truth)) / 2,
            "itm": F.cross_entropy(matched, (torch.arange(3 * BATCH) < BATCH).long()),
            "imlm": self.words(seen, b["captions"], at, "imlm", "imlm.word"),
            "bbp": ((box - b["boxes"]).abs().sum(-1) + 1 - overlap(box, b["boxes"])[1]).mean(),
        }

    def mim(self, b: dict[str, Any], patches: Tensor, guidance: str) -> Tensor:
        found, hidden = self.image(b["pixels"], b["hidden"]), b["hidden"]
        if guidance == "pixels":
            coarse = b["pixels"].unflatten(-1, (4, 2, 4, 2, 3)).mean((3, 5)).flatten(2)
            variance, mean = torch.var_mean(coarse, -1, correction=0, keepdim=True)
            target = (coarse - mean) / (variance + 1e-6).sqrt()
            return (self.linear(found, "mim") - target)[hidden].square().mean()
        target = patches if guidance == "self" else self.image(b["pixels"], p=self.frozen)
        return (found - target)[hidden].square().mean() + (found.mean(1) - target.mean(1)).square().mean()

    def negatives(self, similarity: Tensor) -> tuple[list[int], list[int]]:
        below = generator(self.seed, self.done, NEGATIVES)

        def draw(scores: Tensor) -> list[int]:
            total = (scores.softmax(1) + 1e-5).fill_diagonal_(0).cumsum(1)
            return [int((total[i] <= below(2**24) / 2**24 * total[i, -1]).sum()) for i in range(BATCH)]

        return draw(similarity.T), draw(similarity)

    def gradients(self, loss: Tensor) -> dict[str, np.ndarray | None]:
        found = torch.autograd.grad(loss, [*self.p.values()], retain_graph=True, allow_unused=True)
        return {name: None if g is None else g.numpy() for name, g in zip(self.p, found, strict=True)}

    def step(self, stopped: bool, guidance: str, losses: tuple[str, ...]) -> dict[str, float]:
        values = {n: loss for n, loss in self.losses(stopped, guidance).items() if n in losses}
        self.adam.zero_grad(set_to_none=True)
        sum(values.values(), torch.zeros(())).backward()
        self.adam.param_groups[0]["lr"] = 2e-3 * min(1, (self.done + 1) / 20)
        self.adam.step()
        self.done += 1
        return {n: loss.item() for n, loss in values.items()}

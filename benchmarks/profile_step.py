"""Where a training step's time goes, and how far it is from what matrix products alone would take.

    python benchmarks/profile_step.py [--sizes demo small-ref base] [--repeats 7]

Everything is measured in one process, in turns, on one thread unless it says otherwise; what is compared is a ratio of
medians of the same minute.

size       `demo`: the recipe's last phase; `small-ref`: width 192, depth 4/4/2, 64 px, 32 pairs and 32 sentences, at
           which the published code was timed at 61 % of the rate of such products; `base`: the paper's, with 2 and 2
flops      of all matrix products of a step (torch.utils.flop_counter)
rate       of products of 1,024 x 1,024 in the step's precision, FLOP/s; and of the step's own products, each alone
reached    flops / seconds / rate: 1 is a step that does nothing else
attention  a layer of the vision encoder, forward and backward, as training has it and by SDPA
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from measuring import BF16, in_turns, medians, options, write
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from xfm import recipes
from xfm.base import seeding
from xfm.config import DataConfig, MaskConfig, ModelConfig, RunConfig, TextConfig, TrainConfig, VisionConfig
from xfm.data import dataset
from xfm.data.streams import Streams
from xfm.model.attention import Attention
from xfm.model.batch import Batch, Pairs, Texts, TokenBatch
from xfm.objectives import Pretraining, build, weighted_sum, weights_at
from xfm.train.accelerator import keep_freed_memory
from xfm.train.optimizer import make_optimizer
from xfm.train.step_gradient import Shards

DEMO_STEPS = range(1100, 1112)  # of the demo's last phase


class Shapes(TorchDispatchMode):
    """Counts the matrix products of what runs in it, by name, shapes and dtype."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[tuple[str, tuple[tuple[int, ...], ...], torch.dtype]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().partition("::")[2].partition(".")[0]
        if name in ("mm", "addmm", "bmm", "baddbmm"):
            two = [a for a in args if isinstance(a, torch.Tensor)][-2:]
            self.found[
                name.removeprefix("add").removeprefix("badd"), tuple(tuple(t.shape) for t in two), two[0].dtype
            ] += 1
        return func(*args, **(kwargs or {}))


class Step:
    """A model, its optimizer, and the batches of some steps, taken in turns."""

    def __init__(self, config: RunConfig, batches: list[Batch], step: int, bf16: bool) -> None:
        self.config, self.batches, self.weights = config, batches, weights_at(config, step)
        self.pretraining = Pretraining(build(config), config).train()
        precise = config.replace({"train.precision": "bf16" if bf16 else "fp32"})
        self.adamw = make_optimizer(self.pretraining.model, precise.train)
        self.autocast: Callable[[], Any] = partial(torch.autocast, "cpu", torch.bfloat16) if bf16 else nullcontext
        self.dtype, self.done = torch.bfloat16 if bf16 else torch.float32, 0

    def next(self) -> Batch:
        self.done += 1
        return self.batches[self.done % len(self.batches)]

    def whole(self) -> None:
        self.pretraining.zero_grad()
        with self.autocast():
            total = weighted_sum(self.pretraining(self.next(), self.weights, (0, self.done))[0], self.weights)
        total.backward()
        self.update()

    def update(self) -> None:
        torch.nn.utils.clip_grad_norm_(self.pretraining.parameters(), 1.0)
        self.adamw.step()

    def in_shards(self, count: int = 2) -> Callable[[], None]:
        shards = Shards(self.pretraining, count, 1, self.autocast)

        def step() -> None:
            shards(self.next(), self.weights, (0, self.done))
            self.update()

        return step


def small_ref() -> RunConfig:
    return RunConfig(
        "small-ref",
        model=ModelConfig(VisionConfig(64, 8, 192, 4, 3), TextConfig(8192, 66, 192, 4, 3, 768), fusion_depth=2),
        data=DataConfig(pairs=32, texts=32, text_tokens=30, mask=MaskConfig(image_patches=24, smallest_block=4)),
        train=TrainConfig(),
    )


def base() -> RunConfig:
    return RunConfig("base", data=DataConfig(pairs=2, texts=2, text_tokens=30))


def batch_of(config: RunConfig) -> Batch:
    """Random pixels and words of the sizes that the published code was timed with: texts of 16 to 30 tokens."""
    g = seeding.generator("benchmark", config.name)
    vision, data = config.model.vision, config.data
    image = torch.randn(data.pairs, 3, vision.image_size, vision.image_size, generator=g)
    order = torch.rand(data.pairs, vision.patches, generator=g).argsort(1)
    hidden = order < data.mask.image_patches
    return {
        "texts": Texts(words(data.texts, data.mask.text_share, config, g)),
        "pairs": Pairs(image, words(data.pairs, data.mask.caption_share, config, g), hidden),
    }


def words(count: int, share: float, config: RunConfig, g: torch.Generator) -> TokenBatch:
    lengths = torch.randint(16, 31, (count,), generator=g)
    lengths[0] = 30
    ids = torch.randint(5, config.model.text.vocabulary - 1, (count, 30), generator=g)
    mask = torch.arange(30) < lengths[:, None]
    ids = torch.where(mask, ids, 1)
    most = int(30 * share)
    places = 1 + torch.rand(count, 15, generator=g).argsort(1)[:, :most]
    known = torch.arange(most) < (lengths * share).long().clamp(min=1)[:, None]
    labels = torch.where(known, ids.gather(1, places), -100)
    masked = ids.clone().scatter_(1, torch.where(known, places, 0), config.model.text.vocabulary - 1)
    masked[:, 0] = 0
    return TokenBatch(ids, mask, masked, torch.where(known, places, 0), labels)


def demo() -> tuple[RunConfig, list[Batch], int]:
    config = recipes.demo()
    streams = Streams(config, dataset(config).tokenizer())
    return config, [streams[step] for step in DEMO_STEPS], DEMO_STEPS[0]


def synthetic(config: RunConfig) -> tuple[RunConfig, list[Batch], int]:
    return config, [batch_of(config)], config.train.steps


SIZES: dict[str, Callable[[], tuple[RunConfig, list[Batch], int]]] = {
    "demo": demo, "small-ref": lambda: synthetic(small_ref()), "base": lambda: synthetic(base()),
}  # fmt: skip


def attentions(dtype: torch.dtype) -> dict[str, Callable[[], None]]:
    """A layer of the vision encoder's attention, forward and backward, as training has it and by SDPA."""
    layer, x = Attention(192, 3, key_bias=False), torch.randn(32, 65, 192, dtype=dtype, requires_grad=True)
    layer, bias = layer.to(dtype).train(), torch.zeros(3, 65, 65, requires_grad=True)

    def sdpa() -> None:
        weight, both = layer.join()
        q, k, v = F.linear(x, weight, both).unflatten(-1, (3, 3, 64)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, bias.to(dtype)[None])
        layer.out(mixed.transpose(1, 2).flatten(2)).sum().backward()

    return {"attention": lambda: layer(x, bias).sum().backward(), "attention, SDPA": sdpa}


def on_threads(count: int, job: Callable[[], object]) -> None:
    torch.set_num_threads(count)
    try:
        job()
    finally:
        torch.set_num_threads(1)


def product(dtype: torch.dtype, count: int = 4) -> Callable[[], object]:
    a, b = (torch.randn(1024, 1024, dtype=dtype) for _ in range(2))
    return lambda: [torch.mm(a, b) for _ in range(count)]


def own_products(step: Step) -> Callable[[], object]:
    """All matrix products of a step, on memory of their own."""
    with Shapes() as shapes:
        step.whole()
    made = [
        (torch.bmm if name == "bmm" else torch.mm, [torch.randn(*shape, dtype=dtype) for shape in two], count)
        for (name, two, dtype), count in shapes.found.items()
    ]
    return lambda: [run(*two) for run, two, count in made for _ in range(count)]


def gflop(step: Step) -> float:
    with FlopCounterMode(display=False) as counted:
        step.whole()
    return counted.get_total_flops() / 1e9


def measure(size: str, bf16: bool, repeats: int) -> dict[str, Any]:
    config, batches, at = SIZES[size]()
    step = Step(config, batches, at, bf16)
    step.whole()
    jobs: dict[str, Callable[[], object]] = {"step": step.whole, "product": product(step.dtype)}
    jobs |= {"own products": own_products(step), **attentions(step.dtype)}
    jobs |= {f"{name}, two threads": partial(on_threads, 2, jobs[name]) for name in ("step", "product")}
    if size == "demo":
        jobs["step, two shards"] = step.in_shards()
    seconds, counted = medians(in_turns(jobs, repeats)), gflop(step)
    rate = 4 * 2 * 1024**3 / seconds["product"] / 1e9
    return {
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "gflop": {"all": round(counted, 2)},
        "gflop_per_second": {
            "products of 1,024": round(rate, 1),
            "the step's own": round(counted / seconds["own products"], 1),
        },
        "reached": round(counted / seconds["step"] / rate, 3),
        "faster": {name: round(seconds["step"] / seconds[name], 2) for name in seconds if name.startswith("step, ")},
    }


if __name__ == "__main__":
    asked = options(__doc__, sizes=list(SIZES), repeats=7)
    keep_freed_memory()
    found = {
        f"{size}, {'bf16' if bf16 else 'fp32'}": measure(size, bf16, asked.repeats if size != "base" else 2)
        for size in asked.sizes
        for bf16 in (False, True)[: 1 + BF16]
    }
    write(asked, sizes=found)

"""Where a training step's time goes, and how far it is from what matrix products alone would take.

    python benchmarks/profile_step.py [--sizes demo small-ref base] [--repeats 7] [--out F.json]

Everything is measured in one process, in turns, on one thread unless it says otherwise; what is compared is a ratio of
medians of the same minute. Writes benchmarks/results/profile_step.json and a figure beside it, and prints the text.

size       `demo`: the recipe's last phase; `small-ref`: width 192, depth 4/4/2, 64 px, 32 pairs and 32 sentences, at
           which the published code was timed at 61 % of the rate of such products; `base`: the paper's, with 2 and 2
flops      of all matrix products of a step (torch.utils.flop_counter), those of the forward pass by part
rate       of products of 1,024 x 1,024 in the step's precision, FLOP/s; and of the step's own products, each alone
reached    flops / seconds / rate: 1 is a step that does nothing else
fixed      seconds of the same step at the smallest sizes: what its operations cost that does not grow with them
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch.profiler import ProfilerActivity, profile, record_function
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
from xfm.train.step_gradient import Shards, split

HERE = Path(__file__).parent / "results"
DEMO_STEPS = range(1100, 1112)  # of the demo's last phase
KINDS = {  # of kernels, by the beginning of their names
    "matrix products": ("mm", "addmm", "bmm", "baddbmm", "linear"),
    "softmax, norms, GELU": ("_softmax", "_log_softmax", "native_layer_norm", "gelu"),
    "copies, casts": ("copy_", "_to_copy", "clone", "contiguous", "to"),
    "indexing, joining": ("index", "take", "put", "scatter", "gather", "cat", "embedding", "stack", "sort"),
    "elementwise": ("add", "mul", "div", "sub", "sum", "mean", "pow", "neg", "where", "fill_", "zero_", "addcmul"),
    "optimizer": ("_fused_adamw", "linalg_vector_norm", "_foreach", "Optimizer"),
}


_raised: list[str] = []  # sizes measured since malloc's thresholds were raised in this process


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
        with record_function("forward"), self.autocast():
            total = weighted_sum(self.pretraining(self.next(), self.weights, (0, self.done))[0], self.weights)
        with record_function("backward"):
            total.backward()
        self.update()

    def update(self) -> None:
        with record_function("optimizer"):
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


def empty(step: Step) -> Step:
    """The same losses and layers at the smallest sizes: as many operations, next to nothing in each."""
    model = step.config.model
    widths = {f"model.{part}.width": 4 * getattr(model, part).heads for part in ("vision", "text")}
    config = step.config.replace({**widths, "model.text.intermediate": 8, "model.embed_dim": 4})
    few = {}
    for name, stream in step.batches[0].items():
        size = len(stream.image) if hasattr(stream, "image") else len(stream.tokens.ids)  # type: ignore[union-attr]
        few |= split({name: stream}, size // 2)[0]
    made = Step(config, [few], 0, step.dtype == torch.bfloat16)
    made.weights = step.weights
    return made


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


def in_turns(jobs: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Median seconds of each, all run in turns after one round to warm up."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for turn in range(repeats + 1):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(each) for name, each in seconds.items()}


def on_threads(count: int, job: Callable[[], None]) -> None:
    torch.set_num_threads(count)
    try:
        job()
    finally:
        torch.set_num_threads(1)


def product(dtype: torch.dtype, count: int = 4) -> Callable[[], None]:
    a, b = (torch.randn(1024, 1024, dtype=dtype) for _ in range(2))
    return lambda: [torch.mm(a, b) for _ in range(count)] and None


def own_products(step: Step) -> Callable[[], None]:
    """All matrix products of a step, on memory of their own."""
    with Shapes() as shapes:
        step.whole()
    made = [
        (torch.bmm if name == "bmm" else torch.mm, [torch.randn(*shape, dtype=dtype) for shape in two], count)
        for (name, two, dtype), count in shapes.found.items()
    ]
    return lambda: [run(*two) for run, two, count in made for _ in range(count)] and None


def flops(step: Step) -> dict[str, float]:
    """GFLOP of a step's products: forward by part (torch's counter cannot tell the parts backward), and all."""
    forward, backward = FlopCounterMode(display=False, depth=3), FlopCounterMode(display=False)
    step.pretraining.zero_grad()
    with forward:
        total = weighted_sum(step.pretraining(step.next(), step.weights, (0, step.done))[0], step.weights)
    with backward:
        total.backward()
    counts = {name: sum(ops.values()) for name, ops in forward.get_flop_counts().items()}
    parts = {"vision": "vision", "language": "text", "fusion": "fusion"}
    found = {label: sum(n for name, n in counts.items() if name.endswith(f"model.{p}")) for label, p in parts.items()}
    found["heads and rest"] = counts["Global"] - sum(found.values())
    found["backward"] = backward.get_total_flops()
    return {k: round(v / 1e9, 2) for k, v in {**found, "all": sum(found.values())}.items()}


def kinds(step: Step, repeats: int) -> dict[str, dict[str, float]]:
    """Milliseconds a step of each kind of kernel in the forward pass, the backward pass and the optimizer, and how many
    operations there are. What a profiler costs is in it."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(repeats):
            step.whole()
    events = found.events()
    phases = [(e.name, e.time_range) for e in events if e.name in ("forward", "backward", "optimizer")]
    spent: dict[str, dict[str, float]] = {name: defaultdict(float) for name in ("forward", "backward", "optimizer")}
    for event in events:
        phase = next(
            (n for n, t in phases if t.start <= event.time_range.start and event.time_range.end <= t.end), None
        )
        if phase is None:
            continue
        name = event.name.removeprefix("aten::")
        kind = next(
            (k for k, starts in KINDS.items() if event.name.startswith("aten::") and name.startswith(starts)),
            "other, dispatch",
        )
        spent[phase]["optimizer" if phase == "optimizer" else kind] += event.self_cpu_time_total / 1e3 / repeats
    counted = {phase: {k: round(v, 2) for k, v in each.items()} for phase, each in spent.items()}
    return counted | {"operations": {"a step": round(sum(e.name.startswith("aten::") for e in events) / repeats)}}


def faults(step: Step, repeats: int) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(repeats):
        step.whole()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / repeats


def measure(size: str, bf16: bool, repeats: int) -> dict[str, Any]:
    config, batches, at = SIZES[size]()
    step = Step(config, batches, at, bf16)
    step.whole()
    churn = {} if _raised else {"glibc's thresholds": round(faults(step, 3))}  # no way back: of the first size alone
    keep_freed_memory()
    _raised.append(size)
    step.whole()
    jobs: dict[str, Callable[[], None]] = {"step": step.whole, "product": product(step.dtype)}
    jobs |= {"own products": own_products(step), "fixed": empty(step).whole}
    jobs |= {
        "step, two threads": partial(on_threads, 2, step.whole),
        "product, two threads": partial(on_threads, 2, jobs["product"]),
    }
    if size == "demo":
        jobs |= {"step, two shards": step.in_shards()}
        streams = Streams(config, dataset(config).tokenizer())
        jobs |= {"batch": lambda: streams[at] and None}
    seconds, counted = in_turns(jobs, repeats), flops(step)
    rate = 4 * 2 * 1024**3 / seconds["product"]
    return {
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "gflop": counted,
        "gflop_per_second": {
            "products of 1,024": round(rate / 1e9, 1),
            "the step's own": round(counted["all"] / seconds["own products"], 1),
            "the step": round(counted["all"] / seconds["step"], 1),
        },
        "reached": round(counted["all"] * 1e9 / seconds["step"] / rate, 3),
        "of its own products": round(seconds["own products"] / seconds["step"], 3),
        "faster": {name: round(seconds["step"] / seconds[name], 2) for name in seconds if name.startswith("step, ")},
        "page_faults": {**churn, "raised": round(faults(step, 3))},
        "milliseconds": kinds(step, 3),
    }


def figure(sizes: dict[str, Any]) -> Figure:
    """A bar a size: what its step's time is spent on, as a share, over the bar of forward, backward and optimizer."""
    colours = dict(
        zip(
            [*KINDS, "other, dispatch"],
            ["#0072B2", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#999999", "#D9D9D9"],
            strict=True,
        )
    )
    drawn = Figure(figsize=(11, 0.9 + 1.25 * len(sizes)), layout="constrained")
    axes = drawn.subplots()
    for row, each in enumerate(sizes.values()):
        spent = {phase: kinds for phase, kinds in each["milliseconds"].items() if phase != "operations"}
        whole, left = sum(sum(kinds.values()) for kinds in spent.values()), 0.0
        for phase, by_kind in spent.items():
            width = 100 * sum(by_kind.values()) / whole
            axes.barh(row - 0.26, width, 0.3, left, color="white", edgecolor="black", linewidth=0.8)
            if width > 8:
                axes.text(left + width / 2, row - 0.26, phase, ha="center", va="center", fontsize=9)
            for kind in colours:
                share = 100 * by_kind.get(kind, 0.0) / whole
                axes.barh(row + 0.12, share, 0.44, left, color=colours[kind], edgecolor="white", linewidth=0.5)
                if share > 3:
                    axes.text(
                        left + share / 2,
                        row + 0.12,
                        f"{share:.0f}",
                        ha="center",
                        va="center",
                        fontsize=9,
                        color="white" if kind == "matrix products" else "black",
                    )
                left += share
        axes.text(101, row, f"{each['reached']:.0%} of the\nproducts' rate", va="center", fontsize=9)
    axes.set(xlim=(0, 112), yticks=range(len(sizes)), yticklabels=[*sizes], xlabel="% of a step's time, one thread")
    axes.invert_yaxis()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    handles = [axes.barh(0, 0, color=c, label=kind) for kind, c in colours.items()]
    drawn.legend(handles, [*colours], loc="outside upper center", ncols=7, fontsize=9, frameon=False)
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=HERE / "profile_step.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    native = any(has for name, has in torch.cpu.get_capabilities().items() if "bf16" in name)
    sizes = {}
    for size in args.sizes:
        for bf16 in (False, True)[: 1 + native]:
            name = f"{size}, {'bf16' if bf16 else 'fp32'}"
            sizes[name] = each = measure(size, bf16, args.repeats if size != "base" else 2)
            print(
                f"{name}: {each['seconds']['step']:.3f} s, {each['gflop']['all']:.1f} GFLOP, {each['gflop_per_second']}"
            )
            print(f"    {each['reached']:.0%} of the products' rate; faster than one thread: {each['faster']}")
            print(f"    page faults {each['page_faults']}; seconds {each['seconds']}")
            for phase, spent in each["milliseconds"].items():
                print(f"    {phase}: {spent}")
    found = {
        "command": f"python benchmarks/profile_step.py --sizes {' '.join(args.sizes)} --repeats {args.repeats}",
        "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "load": round(os.getloadavg()[0], 1),
        "sizes": sizes,
    }  # fmt: skip
    args.out.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    figure(sizes).savefig(args.out.with_suffix(".png"), dpi=110)
    print(args.out)


if __name__ == "__main__":
    main()

"""How long a training step takes, and where it goes: one JSON under benchmarks/results/.

    python benchmarks/step_time.py [--sizes small-ref base] [--threads 1] [--repeats 5]

`small-ref` is a size at which the published code was timed: on such a machine (x86_64, one thread, fp32) a step of that
code took 1.8 to 2.05 s, and 12 s at `base` with batch 2. Those figures are quoted, not measured here.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from xfm import seeding
from xfm.batch import Batch, Pairs, Texts, TokenBatch
from xfm.config import DataConfig, MaskConfig, ModelConfig, RunConfig, TextConfig, TrainConfig, VisionConfig
from xfm.model.attention import explicit
from xfm.objectives import Pretraining, build, weighted_sum
from xfm.train.optimizer import make_optimizer

PUBLISHED_SECONDS = {"small-ref": (1.8, 2.05), "base": (12.0, 12.0)}
OBJECTIVES = {"mlm": 1.0, "itc": 1.0, "itm": 1.0, "imlm": 1.0, "mim": 1.0}


def small_ref() -> RunConfig:
    return RunConfig(
        "small-ref",
        model=ModelConfig(VisionConfig(64, 8, 192, 4, 3), TextConfig(8192, 66, 192, 4, 3, 768), fusion_depth=2),
        data=DataConfig(pairs=32, texts=32, text_tokens=30, mask=MaskConfig(image_patches=24, smallest_block=4)),
        train=TrainConfig(),
    )


def base() -> RunConfig:
    return RunConfig("base", data=DataConfig(pairs=2, texts=2, text_tokens=30))


SIZES = {"small-ref": small_ref, "base": base}


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


def clock(run: Callable[[], object], repeats: int) -> dict[str, float]:
    """Best wall and CPU seconds of some runs, after one to warm up."""
    run()
    wall, cpu = [], []
    for _ in range(repeats):
        began = time.perf_counter(), time.process_time()
        run()
        wall.append(time.perf_counter() - began[0])
        cpu.append(time.process_time() - began[1])
    return {"seconds": min(wall), "cpu_seconds": min(cpu)}


def measure(config: RunConfig, precision: str, repeats: int) -> dict[str, object]:
    model, batch = build(config), batch_of(config)
    pretraining, adamw = Pretraining(model, config), make_optimizer(model, config.train)
    narrow = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")

    def losses(on: dict[str, float]) -> torch.Tensor:
        with narrow:
            return weighted_sum(pretraining(batch, on, (0, 0))[0], on)

    def step() -> None:
        adamw.zero_grad()
        losses(OBJECTIVES).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adamw.step()

    def alone(on: dict[str, float]) -> Callable[[], None]:
        return lambda: losses(on).backward()

    @torch.no_grad()
    def forward() -> None:
        losses(OBJECTIVES)

    whole = clock(step, repeats)
    pairs, texts = batch["pairs"], batch["texts"]
    text_tokens = int(pairs.tokens.mask.sum() + texts.tokens.mask.sum())  # type: ignore[union-attr]
    tokens = text_tokens + config.data.pairs * config.model.vision.patches
    parts = {"forward of all losses": clock(forward, repeats), "optimizer": clock(adamw.step, repeats)}
    parts |= {f"{name} alone": clock(alone({name: 1.0}), repeats) for name in OBJECTIVES}
    return {
        **whole,
        "steps_per_second": 1 / whole["seconds"],
        "tokens_per_second": tokens / whole["seconds"],
        "tokens": tokens,
        "of_published": [round(whole["seconds"] / s, 3) for s in PUBLISHED_SECONDS[config.name]],
        "parts": parts,
    }


def attention_kernels(repeats: int) -> dict[str, float]:
    """Seconds of SDPA over seconds of the explicit form, forward and backward: above 1 the explicit form is faster.

    This is what `model.attention.prefers_explicit` decides by."""
    ratios = {}
    for name, shape, dropout, learnt in (
        ("vision, learnt bias", (32, 3, 65, 64), 0.0, True),
        ("text, padding mask, dropout", (96, 3, 30, 64), 0.1, False),
    ):
        for dtype in (torch.float32, torch.bfloat16):
            q, k, v = (torch.randn(shape, dtype=dtype, requires_grad=True) for _ in range(3))
            bias = torch.zeros(1, shape[1], shape[2], shape[2], dtype=dtype, requires_grad=learnt)

            def sdpa(q=q, k=k, v=v, bias=bias, dropout=dropout) -> None:
                F.scaled_dot_product_attention(q, k, v, bias, dropout).sum().backward()

            def plain(q=q, k=k, v=v, bias=bias, dropout=dropout) -> None:
                explicit(q, k, v, bias, dropout, None).sum().backward()

            ratio = clock(sdpa, 4 * repeats)["seconds"] / clock(plain, 4 * repeats)["seconds"]
            ratios[f"{name}, {str(dtype).removeprefix('torch.')}"] = round(ratio, 2)
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "step_time.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    native = any(has for name, has in torch.cpu.get_capabilities().items() if "bf16" in name)
    result = {
        "command": f"python benchmarks/step_time.py --sizes {' '.join(args.sizes)} --threads {args.threads}",
        "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "native_bf16": native},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "threads": args.threads,
        "published_seconds": PUBLISHED_SECONDS,
        "sdpa_over_explicit": attention_kernels(args.repeats),
        "sizes": {},
    }
    for size in args.sizes:
        for precision in ("fp32", "bf16"):
            figures = measure(SIZES[size](), precision, args.repeats if size != "base" else 2)
            result["sizes"][f"{size} {precision}"] = figures
            print(f"{size} {precision}: {figures['seconds']:.2f} s, {figures['of_published']} of the published")
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(args.out)


if __name__ == "__main__":
    main()

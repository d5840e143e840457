"""Whether S models trained as one are faster than one after the other: one JSON under benchmarks/results/.

    python benchmarks/stacked.py [--configs joint warm-start demo] [--counts 2 4 8] [--precisions bf16] [--repeats 5]

A whole training step (all losses, backward, clipping, optimizer) of S seeds, one thread, in turns: one model after the
other; stacked, every encoder pass of all models being one pass under `vmap` and the heads and losses one by one; and,
as a bound on any stacking, one model with S times the data, which shares what stacked models cannot. `joint` and
`warm-start` are what studies/two-by-two trains. Stacked losses and gradient norms are first checked against the single
models', in fp32. For recipes without dropout.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from xfm import recipes
from xfm.batch import IGNORE, PAD, Batch, TokenBatch
from xfm.config import RunConfig
from xfm.data import dataset
from xfm.data.streams import Streams
from xfm.flow import Flow
from xfm.model.fusion import ImageTokens
from xfm.objectives import Pretraining, build, weights_at
from xfm.train.loop import weighted_sum
from xfm.train.optimizer import make_optimizer, parameter_groups

ROOT = Path(__file__).resolve().parents[1]
ALONE = {"train.threads": 1, "data.workers": 0}
ALL_ON = {f"objectives.{o}.start": 0.0 for o in ("itm", "imlm", "bbp", "mim")}
SIZES = ("pairs", "fusion_batch", "regions", "region_images", "images", "texts")
Losses = dict[str, Tensor]


def configs() -> dict[str, RunConfig]:
    spec = json.loads((ROOT / "studies" / "two-by-two" / "spec.json").read_text("utf-8"))
    joint = recipes.get(spec["recipe"]).replace({**ALONE, **spec["changes"]})
    demo = recipes.get("demo").replace({**ALONE, **ALL_ON, "data.single_until": 0.0, "data.full_from": 0.0})
    return {"joint": joint.replace({"init_from": ""}), "warm-start": recipes.stage1(joint), "demo": demo}


class Single:
    """One model and its training step."""

    def __init__(self, config: RunConfig, batch: Batch, bf16: bool):
        self.config, self.batch = config, batch
        self.model, self.narrow = build(config), torch.autocast("cpu", torch.bfloat16, enabled=bf16)
        self.pretraining, self.adamw = Pretraining(self.model, config), make_optimizer(self.model, config.train)
        self.weights = weights_at(config, config.train.steps)

    def step(self) -> tuple[list[Losses], list[float]]:
        """The losses and the gradient's norm."""
        with self.narrow:
            losses, _ = self.pretraining(self.batch, self.weights, (self.config.seed, 0))
            total = weighted_sum(losses, self.weights)
        self.adamw.zero_grad()
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.clip).item()
        self.adamw.step()
        return [losses], [norm]


class Stacked:
    """S models whose encoders are one, with batched parameters (S, ...); each keeps its heads."""

    def __init__(self, models: Sequence[Single], bf16: bool):
        self.bf16, self.train, self.weights = bf16, models[0].config.train, models[0].weights
        self.singles, self.batches = models, padded([m.batch for m in models])
        self.parameters: dict[str, dict[str, Tensor]] = {}
        self.narrowed: dict[
            str, dict[str, Tensor]
        ] = {}  # of this step: a product's weights are cast once for all passes
        self.shells: dict[str, nn.Module] = {}
        self.products: dict[str, set[str]] = {}
        batched: dict[Tensor, Tensor] = {}  # by the first model's
        for name in ("vision", "text", "fusion"):
            encoders = [getattr(m.model, name) for m in models]
            self.parameters[name], _ = stack_module_state(encoders)
            self.shells[name] = copy.deepcopy(encoders[0])
            linear = {f"{n}." for n, m in encoders[0].named_modules() if isinstance(m, nn.Linear)}
            self.products[name] = {n for n in self.parameters[name] if n.rpartition(".")[0] + "." in linear}
            batched |= {p: self.parameters[name][n] for n, p in encoders[0].named_parameters()}
        self.heads: list[tuple[Tensor, ...]] = []  # of all models
        self.adamw = torch.optim.AdamW([*self._groups(batched)], lr=self.train.lr, eps=self.train.eps, fused=True,
                                       betas=(self.train.beta1, self.train.beta2))  # fmt: skip
        for m in models:
            del m.model.text.word._parameters["weight"]  # MLM's head reads it: a slice of the batched one, each step

    def _groups(self, batched: dict[Tensor, Tensor]) -> Iterator[dict[str, Any]]:
        for groups in zip(*(parameter_groups(m.model, self.train) for m in self.singles), strict=True):
            alike = [*zip(*(g["params"] for g in groups), strict=True)]
            heads = [p for p in alike if p[0] not in batched]
            self.heads += heads
            yield groups[0] | {
                "params": [batched[p[0]] for p in alike if p[0] in batched] + [p for h in heads for p in h]
            }

    def step(self) -> tuple[list[Losses], list[float]]:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            losses = self.forward()
            total = sum(weighted_sum(each, self.weights) for each in losses)
        self.adamw.zero_grad()
        total.backward()  # type: ignore[union-attr]
        norms = self.clip()
        self.adamw.step()
        return losses, norms

    def forward(self) -> list[Losses]:
        for name, parameters in self.parameters.items():
            narrow = self.products[name] if self.bf16 else set()
            self.narrowed[name] = {n: p.bfloat16() if n in narrow else p for n, p in parameters.items()}
        for m, words in zip(self.singles, self.parameters["text"]["word.weight"], strict=True):
            m.model.text.word.weight = words  # type: ignore[assignment]
            for objective in m.model.objectives.values():
                objective.constrain()  # type: ignore[operator]
        losses: list[Losses] = [{} for _ in self.singles]
        for stream in self.batches[0]:
            flows = [m.pretraining.flow(batch, stream, self.weights, (m.config.seed, 0))
                     for m, batch in zip(self.singles, self.batches, strict=True)]  # fmt: skip
            self.fill(flows)
            for flow, out in zip(flows, losses, strict=True):
                out |= {f"{stream}/{name}": flow.objective(name)(flow).loss for name in flow.active}
        return losses

    def fill(self, flows: Sequence[Flow]) -> None:
        """Makes what flows memoise, of all models at once."""
        one, n = flows[0], flows[0].fusion_count

        def stack(get: Callable[[Flow], Tensor]) -> Tensor:
            return torch.stack([get(flow) for flow in flows])

        def keep(name: str, values: Sequence[Any]) -> None:
            for flow, value in zip(flows, values, strict=True):
                flow.__dict__[name] = value

        def reaches(readers: Sequence[str]) -> bool:
            return any(flow.text_gradient(o) > 0 for flow in flows for o in readers)

        seen = bool(one.reading("image", "features", "fused"))
        if seen or one.reading("mim_target"):
            keep("patches", self.encode("vision", seen, stack(lambda f: f.pictures)).unbind())
        if one.reading("masked_image"):
            hidden = stack(lambda f: f.batch.image_mask)
            keep("masked_patches", self.encode("vision", True, stack(lambda f: f.pictures), hidden).unbind())
        if readers := one.reading("text", "features"):
            inputs = stack(lambda f: f.batch.tokens.ids), stack(lambda f: f.batch.tokens.mask)
            keep("text", self.encode("text", reaches(readers), *inputs).unbind())
        if readers := one.reading("masked_text"):
            inputs = stack(lambda f: f.batch.tokens.masked_ids[:n]), stack(lambda f: f.batch.tokens.mask[:n])
            keep("masked_text", self.encode("text", reaches(readers), *inputs).unbind())
        if one.reading("fused"):
            keep("fused", self.fuse(flows))

    def fuse(self, flows: Sequence[Flow]) -> list[dict[str, Tensor]]:
        made = [{o: flow.objective(o).pairing(flow) for o in flow.reading("fused")} for flow in flows]
        text = torch.stack([torch.cat([flow.cross(p.text, o) for o, p in of.items()])
                            for flow, of in zip(flows, made, strict=True)])  # fmt: skip
        mask, item = (torch.stack([torch.cat([getattr(p, f) for p in of.values()]) for of in made])
                      for f in ("mask", "item"))  # fmt: skip
        pooled, patches, owner = (torch.stack([getattr(flow.image, f) for flow in flows])
                                  for f in ("pooled", "patches", "owner"))  # fmt: skip
        seen = [flow.image.mask for flow in flows]
        masks = None if seen[0] is None else torch.stack(seen)  # type: ignore[arg-type]
        fused = self.encode("fusion", True, text, mask, pooled, patches, owner, masks, item)
        sizes = [len(p.item) for p in made[0].values()]
        return [dict(zip(made[0], out.split(sizes), strict=True)) for out in fused]

    def encode(self, name: str, graph: bool, *inputs: Tensor | None) -> Tensor:
        """One pass of an encoder for all models: inputs and output (S, ...)."""

        def one(parameters: dict[str, Tensor], *given: Any) -> Tensor:
            if name == "fusion":
                text, mask, *image, item = given
                given = (text, mask, ImageTokens(*image), item)
            return functional_call(self.shells[name], parameters, given)

        dims = (0, *(None if i is None else 0 for i in inputs))
        with torch.set_grad_enabled(torch.is_grad_enabled() and graph):
            return vmap(one, in_dims=dims, randomness="different")(self.narrowed[name], *inputs)

    def clip(self) -> list[float]:
        """Each model's gradient by its own norm; returns the norms."""
        stacked = [p.grad for of in self.parameters.values() for p in of.values() if p.grad is not None]
        heads = [[p.grad for p in of if p.grad is not None] for of in zip(*self.heads, strict=True)]
        squares = sum(g.flatten(1).square().sum(1) for g in stacked)
        squares = squares + torch.stack([nn.utils.get_total_norm(of) for of in heads]).square()
        norms = squares.sqrt()
        scales = (self.train.clip / (norms + 1e-6)).clamp(max=1)
        for g in stacked:
            g.mul_(scales.view(-1, *[1] * (g.ndim - 1)))
        for of, scale in zip(heads, scales, strict=True):
            for g in of:
                g.mul_(scale)
        return norms.tolist()


def padded(batches: Sequence[Batch]) -> list[Batch]:
    """With the texts of all models padded to one length."""

    def to(t: Tensor, name: str, value: int) -> Tensor:
        longest = max(getattr(b[stream].tokens, name).shape[1] for b in batches)  # type: ignore[union-attr]
        return F.pad(t, (0, longest - t.shape[1]), value=value)

    made = [dict(batch) for batch in batches]
    fill = {"ids": PAD, "mask": 0, "masked_ids": PAD, "masked_at": 0, "labels": IGNORE}
    for stream in (s for s, b in batches[0].items() if hasattr(b, "tokens")):
        for batch in made:
            part: Any = batch[stream]
            tokens = TokenBatch(**{n: to(getattr(part.tokens, n), n, value) for n, value in fill.items()})
            batch[stream] = dataclasses.replace(part, tokens=tokens)
    return made


def difference(config: RunConfig, draw: Callable[[RunConfig], Batch], count: int = 3) -> dict[str, float]:
    """The largest of losses and (relative) gradient norms between stacked and single models, over three steps."""
    seeds = [config.replace({"seed": s}) for s in range(count)]
    singles, others = ([Single(c, draw(c), False) for c in seeds] for _ in range(2))
    stacked, loss, norm = Stacked(others, False), 0.0, 0.0
    for _ in range(3):
        losses, norms = stacked.step()
        for s, single in enumerate(singles):
            (expected,), (of,) = single.step()
            loss = max(loss, *((losses[s][k] - v).abs().item() for k, v in expected.items()))
            norm = max(norm, abs(norms[s] / of - 1))
    return {"loss": loss, "gradient_norm": norm}


def measure(config: RunConfig, draw: Callable[[RunConfig], Batch], count: int, bf16: bool, repeats: int) -> dict:
    seeds = [config.replace({"seed": s}) for s in range(count)]
    singles, others = ([Single(c, draw(c), bf16) for c in seeds] for _ in range(2))
    large = config.replace({f"data.{size}": count * getattr(config.data, size) for size in SIZES})
    stacked, one = Stacked(others, bf16), Single(large, draw(large), bf16)
    forms = {"single": lambda: [s.step() for s in singles], "stacked": stacked.step, "bound": one.step}
    times = {form: ([], []) for form in forms}
    for _ in range(repeats + 1):
        for form, run in forms.items():
            began = time.process_time(), time.perf_counter()
            run()
            times[form][0].append(time.process_time() - began[0])
            times[form][1].append(time.perf_counter() - began[1])
    cpu, wall = ({f: statistics.median(t[i][1:]) for f, t in times.items()} for i in (0, 1))
    return {
        "cpu_seconds": {form: round(t, 4) for form, t in cpu.items()},
        "seconds": {form: round(t, 4) for form, t in wall.items()},
        "faster": {form: round(cpu["single"] / cpu[form], 3) for form in ("stacked", "bound")},  # by CPU time
        "load_average": round(os.getloadavg()[0], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", nargs="+", choices=configs(), default=["joint", "warm-start", "demo"])
    parser.add_argument("--counts", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--precisions", nargs="+", choices=("bf16", "fp32"), default=["bf16"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "stacked.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        "command": f"python benchmarks/stacked.py --configs {' '.join(args.configs)} --counts "
        f"{' '.join(map(str, args.counts))} --precisions {' '.join(args.precisions)} --repeats {args.repeats}",
        "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "threads": 1,
        "difference_fp32": {},
        "steps": {},
    }
    for name in args.configs:
        config, tokenizer = configs()[name], dataset(configs()[name]).tokenizer()

        def draw(of: RunConfig, tokenizer=tokenizer) -> Batch:
            return Streams(of, tokenizer)[of.train.steps // 2]

        result["difference_fp32"][name] = difference(config, draw)
        for precision in args.precisions:
            for count in args.counts:
                found = measure(config, draw, count, precision == "bf16", args.repeats)
                result["steps"][f"{name} {precision}, {count} models"] = found
                faster = ", ".join(f"{form} {ratio} times as fast" for form, ratio in found["faster"].items())
                print(f"{name} {precision}, {count} models: {faster}", flush=True)
                args.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(args.out)


if __name__ == "__main__":
    main()

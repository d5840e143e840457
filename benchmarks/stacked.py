"""What training several small models as one could win at most: one JSON under benchmarks/results/.

    python benchmarks/stacked.py [--counts 2 4 8] [--repeats 5]

Stacked models (batched parameters, `vmap`) would run as few operations as one, over the data of S. One model with S
times the data does that too, and shares its weights, which stacked models cannot: it bounds them. Measured in turns on
one thread, in the processor time of a whole training step, against S steps of single models: 1.2 is a fifth faster at
most. `joint` and `warm-start` have few data a step, where operations cost the most beside what they compute.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import torch

from xfm import recipes
from xfm.config import STREAMS, RunConfig
from xfm.data import dataset
from xfm.data.streams import Streams
from xfm.objectives import Pretraining, build, weighted_sum, weights_at
from xfm.recipes import prior_runs
from xfm.train.accelerator import keep_freed_memory
from xfm.train.optimizer import make_optimizer

ROOT = Path(__file__).resolve().parents[1]
SIZES = (*STREAMS, "fusion_batch", "region_images")
FEW = {
    **{"data.pairs": 48, "data.fusion_batch": 8, "data.regions": 8, "data.region_images": 4},
    **{"data.images": 8, "data.texts": 8, "train.muon_lr": 0.0},
}


def configs() -> dict[str, RunConfig]:
    joint = recipes.get("demo+stage1").replace(FEW)
    return {"joint": joint, "warm-start": prior_runs.stage1(joint), "demo": recipes.demo()}


class Step:
    """A model and its training step on the data of `count` models, of the last phase."""

    def __init__(self, config: RunConfig, count: int, bf16: bool) -> None:
        sizes = {f"data.{s}": count * getattr(config.data, s) for s in SIZES}
        config = config.replace(sizes | {"train.precision": "bf16" if bf16 else "fp32"})
        last = config.train.steps - 1
        self.batch, self.weights = Streams(config, dataset(config).tokenizer())[last], weights_at(config, last)
        self.pretraining = Pretraining(build(config), config).train()
        self.adamw, self.bf16 = make_optimizer(self.pretraining.model, config.train), bf16

    def seconds(self, times: int = 1) -> float:
        """Of this process, for so many steps."""
        began = time.process_time()
        for _ in range(times):
            self.pretraining.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                losses, _ = self.pretraining(self.batch, self.weights, (0, 0))
                total = weighted_sum(losses, self.weights)
            total.backward()
            torch.nn.utils.clip_grad_norm_(self.pretraining.parameters(), 1.0)
            self.adamw.step()
        return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    native = any(has for name, has in torch.cpu.get_capabilities().items() if "bf16" in name)
    bounds: dict[str, dict[str, float]] = {}
    for name, config in configs().items():
        single = Step(config, 1, native)
        for count in args.counts:
            wide = Step(config, count, native)
            single.seconds(), wide.seconds()
            turns = [single.seconds(count) / wide.seconds() for _ in range(args.repeats)]
            bounds.setdefault(name, {})[str(count)] = round(statistics.median(turns), 2)
            print(f"{name}, {count} models: at most {bounds[name][str(count)]} times as fast")
    found = {
        "command": f"python benchmarks/stacked.py --counts {' '.join(map(str, args.counts))} --repeats {args.repeats}",
        "at_most_times_as_fast": bounds,
        "precision": "bf16" if native else "fp32",
        "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "load": round(os.getloadavg()[0], 1),
    }
    out = ROOT / "benchmarks" / "results" / "stacked.json"
    out.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    print(out)


if __name__ == "__main__":
    main()

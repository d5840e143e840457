"""What probing costs a training: one JSON under benchmarks/results/.

    python benchmarks/probe_cost.py [--recipe demo] [--steps 60]

A step with all objectives and a probe are timed in turns in the same run, one thread; from them comes the share of the
time that a probe every so many steps takes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import torch

from xfm import pretrain, recipes
from xfm.data import dataset
from xfm.diagnostics.training_probe import TrainingProbe
from xfm.objectives import Pretraining, build

EVERY = (20, 50, 100, 200)
ALL_ON = {f"objectives.{o}.start": 0.0 for o in ("itm", "imlm", "bbp", "mim")}
ALONE = {"train.threads": 1, "data.workers": 0, "train.validate_every": 0, "train.save_every": 10**6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "probe_cost.json")
    args = parser.parse_args()
    config = recipes.get(args.recipe).replace(ALL_ON | ALONE | {"data.single_until": 0.0, "data.full_from": 0.0})
    torch.set_num_threads(1)
    model = build(config)
    probe = TrainingProbe(Pretraining(model, config), build(config), dataset(config).tokenizer())
    steps, probes = [], []
    with tempfile.TemporaryDirectory() as folder:
        records = pretrain(config, folder)
        for record in records:
            steps.append(record["seconds"])
            if record["step"] % 10 == 9:
                began = time.perf_counter()
                probe(record["step"])
                probes.append(time.perf_counter() - began)
            if len(steps) == args.steps:
                break
        records.close()
    step, each = statistics.median(steps[10:]), statistics.median(probes[1:])
    result = {
        "command": f"python benchmarks/probe_cost.py --recipe {args.recipe} --steps {args.steps}",
        "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "threads": 1,
        "load_average": round(os.getloadavg()[0], 2),
        "seconds_a_step": round(step, 4),
        "seconds_a_probe": round(each, 4),
        "share_of_training": {every: round(each / (every * step), 4) for every in EVERY},
    }
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    shares = ", ".join(f"{share:.1%} every {every} steps" for every, share in result["share_of_training"].items())
    print(f"a probe takes {each / step:.1f} steps' time: {shares}")
    print(args.out)


if __name__ == "__main__":
    main()

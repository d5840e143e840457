"""Weak scaling on this machine: samples a second of 1, 2 and 4 processes (gloo), each with the same batch and thread.

python benchmarks/weak_scaling.py [--processes 1 2 4] [--steps 12] [--out benchmarks/results/weak_scaling.json]

It tells what the processes' meeting costs, and nothing of a cluster: they share cores, caches and memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

WARM_UP = 2  # steps
CAVEATS = "one machine: processes share cores, caches and memory; gloo, not NCCL; more of them than cores cannot scale"


def train(root: str, steps: int) -> None:
    """What each process does."""
    from xfm import pretrain, recipes

    sizes = {"name": "weak-scaling", "train.steps": steps, "train.save_every": steps, "train.validate_every": 0}
    config = recipes.get("demo").replace(sizes | {"train.shards": 1, "train.threads": 1, "train.precision": "fp32"})
    for _ in pretrain(config, root):
        pass


def step_seconds(processes: int, steps: int) -> float:
    """Median of a step without waiting for data, after the warm-up, of the main process."""
    with tempfile.TemporaryDirectory() as root:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *launcher, __file__, "--train-in", root, "--steps", str(steps)]
        subprocess.run(command, env=environment, check=True)
        lines = (Path(root) / "weak-scaling" / "seed0" / "metrics.jsonl").read_text("utf-8").splitlines()
    records = [json.loads(line) for line in lines][WARM_UP:]
    return statistics.median(r["seconds"] - r["waited"] for r in records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/weak_scaling.json"))
    parser.add_argument("--train-in", default="", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.train_in:
        return train(chosen.train_in, chosen.steps)
    seconds = {n: step_seconds(n, chosen.steps) for n in chosen.processes}
    first = seconds[chosen.processes[0]]
    result = {
        "command": "python benchmarks/weak_scaling.py",
        "recipe": "demo",
        "steps": chosen.steps,
        "cores": os.cpu_count(),
        "step_seconds": {str(n): round(s, 4) for n, s in seconds.items()},
        "efficiency": {str(n): round(first / s, 3) for n, s in seconds.items()},
        "caveats": CAVEATS,
    }
    chosen.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

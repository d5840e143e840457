"""Weak scaling on this machine: samples a second of 1, 2 and 4 processes (gloo), each with the same batch and thread.

    python benchmarks/weak_scaling.py [--processes 1 2 4] [--steps 12]

It tells what the processes' meeting costs, and nothing of a cluster: they share cores, caches and memory.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import options, write

WARM_UP = 2  # steps
CAVEATS = "one machine: processes share cores, caches and memory; gloo, not NCCL; more of them than cores cannot scale"
TRAIN = """
from xfm import pretrain, recipes
sizes = {{"name": "weak-scaling", "train.steps": {steps}, "train.save_every": {steps}, "train.validate_every": 0}}
alone = {{"train.shards": 1, "train.threads": 1, "train.precision": "fp32"}}
for _ in pretrain(recipes.get("demo").replace(sizes | alone), {root!r}):
    pass
"""


def step_seconds(processes: int, steps: int) -> float:
    """Median of a step without waiting for data, after the warm-up, of the main process."""
    with tempfile.TemporaryDirectory() as root:
        (script := Path(root) / "train.py").write_text(TRAIN.format(steps=steps, root=root), "utf-8")
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", str(script)]
        subprocess.run([sys.executable, *launcher], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
        lines = (Path(root) / "weak-scaling" / "seed0" / "metrics.jsonl").read_text("utf-8").splitlines()
    return statistics.median(r["seconds"] - r["waited"] for r in map(json.loads, lines[WARM_UP:]))


if __name__ == "__main__":
    asked = options(__doc__, processes=[1, 2, 4], steps=12)
    taken = {str(n): round(step_seconds(n, asked.steps), 4) for n in asked.processes}
    first = taken[str(asked.processes[0])]
    efficiency = {n: round(first / each, 3) for n, each in taken.items()}
    write(asked, recipe="demo", step_seconds=taken, efficiency=efficiency, caveats=CAVEATS)

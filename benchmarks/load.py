"""How long the checkpoint that comes with the package takes to open, after imports: benchmarks/results/load.json.

    python benchmarks/load.py

One thread: config, tokenizer and weights read, the model built, five times from cold objects; the median.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from pathlib import Path

import torch

import xfm


def once() -> float:
    began = time.perf_counter()
    run = xfm.load("demo").run
    run.model(), run.tokenizer()
    return time.perf_counter() - began


if __name__ == "__main__":
    torch.set_num_threads(1)
    seconds = [once() for _ in range(5)]
    found = {"command": "python benchmarks/load.py", "seconds": statistics.median(seconds), "first": seconds[0],
             "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "cores": os.cpu_count()},
             "versions": {"python": platform.python_version(), "torch": torch.__version__}, "threads": 1}  # fmt: skip
    out = Path(__file__).parent / "results" / "load.json"
    out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"xfm.load: {found['seconds']:.2f} s, the first time {found['first']:.2f} s -> {out}")

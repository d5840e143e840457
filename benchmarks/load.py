"""How long the bundled checkpoint takes to open, and help to answer: benchmarks/results/load.json.

    python benchmarks/load.py

One thread. Opening, after imports: config, tokenizer and weights read, the model built, five times from cold objects.
Help: a new process each, five times warm, beside one that imports torch. Medians.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

import xfm


def once() -> float:
    began = time.perf_counter()
    run = xfm.load("demo").run
    run.model(), run.tokenizer()
    return time.perf_counter() - began


def process(code: str) -> float:
    """Seconds of a new process, once the files are in memory."""
    seconds = []
    for _ in range(6):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def helps() -> dict[str, float]:
    main = "import sys\nfrom xfm.cli import main\ntry:\n    main({})\nexcept SystemExit:\n    pass"
    asked = {"xfm --help": ["--help"], "xfm pretrain --help": ["pretrain", "--help"]}
    return {name: process(main.format(words)) for name, words in asked.items()} | {"torch": process("import torch")}


if __name__ == "__main__":
    torch.set_num_threads(1)
    seconds = [once() for _ in range(5)]
    found = {"command": "python benchmarks/load.py", "seconds": statistics.median(seconds), "first": seconds[0],
             "help_seconds": helps(),
             "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "cores": os.cpu_count()},
             "versions": {"python": platform.python_version(), "torch": torch.__version__}, "threads": 1}  # fmt: skip
    out = Path(__file__).parent / "results" / "load.json"
    out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"xfm.load: {found['seconds']:.2f} s, the first time {found['first']:.2f} s -> {out}")
    print("; ".join(f"{name} {took:.2f} s" for name, took in found["help_seconds"].items()))

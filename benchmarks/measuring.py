"""What benchmarks share: their options, times in turns, and one JSON a benchmark under benchmarks/results/."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"
BF16 = any(has for name, has in torch.cpu.get_capabilities().items() if "bf16" in name)


def options(about: str | None, **defaults: Any) -> Namespace:
    """The command's options, `--name`, of the kind of their defaults (a list: several), and `--out`. One thread."""
    defaults = {"out": RESULTS / f"{Path(sys.argv[0]).stem}.json"} | defaults
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        several = isinstance(default, list)
        kind = Path if isinstance(default, Path) else type(default[0] if several else default)
        parser.add_argument(f"--{name}", type=kind, nargs="+" if several else None, default=default)
    torch.set_num_threads(1)
    return parser.parse_args()


def seconds(job: Callable[[], object]) -> float:
    began = time.perf_counter()
    job()
    return time.perf_counter() - began


def in_turns(jobs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each, all run in turns after one round to warm up."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(repeats + 1):
        for name, job in jobs.items():
            took = seconds(job)
            if turn:
                taken[name].append(took)
    return taken


def medians(taken: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(each) for name, each in taken.items()}


def spread(values: list[float]) -> dict[str, float]:
    return {"least": round(min(values), 2), "median": round(statistics.median(values), 2)}


def write(asked: Namespace, versions: Mapping[str, Any] | None = None, **found: Any) -> None:
    """Writes what was found, with the command and the machine, and prints it."""
    given = [word for name, value in vars(asked).items() if name != "out" for word in _words(name, value)]
    head = {
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *given]),
        "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__.split("+")[0], **(versions or {})},
        "load": round(os.getloadavg()[0], 1),  # processes that wanted a core
    }
    text = json.dumps(head | found, indent=1)
    asked.out.write_text(text + "\n", "utf-8")
    print(text if len(text) < 4000 else f"{text[:4000]} ...", asked.out, sep="\n")


def _words(name: str, value: Any) -> list[str]:
    return [f"--{name.replace(chr(95), chr(45))}", *map(str, value if isinstance(value, list) else [value])]

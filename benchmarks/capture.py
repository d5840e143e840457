"""What it costs to look: one JSON under benchmarks/results/.

    python benchmarks/capture.py [--recipes demo base]

One thread, one run: a forward pass of a picture and a text before anybody has ever captured, and after somebody has
(they should cost the same); then a capture of everything, without and with gradients, and the memory that it takes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from xfm import recipes
from xfm.data import dataset
from xfm.data.world.scenes import World
from xfm.explain.attention_capture import attentions
from xfm.explain.prepare_inputs import scene_inputs
from xfm.explain.tracing import capture_attention
from xfm.model.modes import eval_mode
from xfm.objectives import build


def median(call: Callable[[], object], repeats: int) -> float:
    """Seconds, after a first time that does not count."""
    call()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text("utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak(call: Callable[[], object]) -> int:
    """Bytes at most beyond what was there before, looked at every millisecond (Linux)."""
    before, most, done = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.001):
            most = max(most, resident() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    call()
    done.set()
    watcher.join()
    return most


def measure(name: str, repeats: int) -> dict[str, Any]:
    config = recipes.get(name)
    model = build(config)
    world = World(100, config.model.vision.image_size)
    words = dataset(recipes.demo().replace({"model.text.vocabulary": 4096})).tokenizer()
    question = scene_inputs(model, words, world.scene("test", 0))

    def forward() -> None:
        with torch.no_grad():
            question.outputs(question.patches[None], question.pieces[None])

    with eval_mode(model):
        before = median(forward, repeats)
        extra = peak(lambda: capture_attention(question))
        with_gradients = median(lambda: capture_attention(question), max(repeats // 4, 2))
        without = median(lambda: capture_attention(question, gradients=False), max(repeats // 4, 2))
        after = median(forward, repeats)
    assert all(module.tap is None for module in attentions(model).values())
    return {
        "image_tokens": len(question.patches) + 1,
        "text_tokens": len(question.pieces),
        "seconds_forward": before,
        "seconds_forward_after_a_capture": after,
        "after_over_before": after / before,
        "seconds_capture": without,
        "seconds_capture_with_gradients": with_gradients,
        "extra_gigabytes_with_gradients": extra / 1e9,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["demo", "base"])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "capture.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    result = {
        "command": f"python benchmarks/capture.py --recipes {' '.join(args.recipes)} --repeats {args.repeats}",
        "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "cores": os.cpu_count()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "threads": 1,
        "sizes": {name: measure(name, args.repeats) for name in args.recipes},
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    for name, found in result["sizes"].items():
        print(name, {key: round(value, 4) for key, value in found.items()})


if __name__ == "__main__":
    main()

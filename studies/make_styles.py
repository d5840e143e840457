"""Does a concept outlast the hand that drew it? studies/styles.json: the demo on OpenMoji alone, and on three families.

    python studies/make_styles.py [--seeds 0 1] [--root runs]

Five arms a seed, each of the recipe `demo`: OpenMoji alone, and for each family the other three. All are
asked the evaluation's task `styles`: every family, those that were held out too. An arm takes minutes; what
is in the file is not run again, and a training that was cut off goes on.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import tyro

from xfm import Run, pretrain, recipes
from xfm.base.files import write_atomically
from xfm.config import RunConfig
from xfm.data.world.styles import STYLES
from xfm.tasks import evaluate_run, to_json

OUT = Path(__file__).parent / "styles.json"
LEFT_OUT = ("fluent", "openmoji", "noto", "twemoji")  # in the order of their training
Arm = dict[str, Any]


def arms(seed: int) -> dict[str, RunConfig]:
    """Name -> config of what is trained."""
    demo = recipes.demo().replace({"seed": seed})
    drawn = {"openmoji alone": "openmoji"}
    drawn |= {f"without {left}": "+".join(style for style in STYLES if style != left) for left in LEFT_OUT}
    return {
        name: demo.replace({"name": f"styles {name}".replace(" ", "-"), "data.styles": styles})
        for name, styles in drawn.items()
    }


def measured(config: RunConfig, root: Path) -> Arm:
    """Trains and asks one arm."""
    torch.set_num_threads(1)
    for record in pretrain(config, root):
        if record["step"] % 100 == 0:
            print(f"{config.name}: step {record['step']} of {record['of']}, loss {record['loss']:.3f}", flush=True)
    run = Run.of(config, root)
    return {
        "styles": config.data.styles,
        "seed": config.seed,
        "fingerprint": config.fingerprint,
        "training_seconds": round(sum(record["seconds"] for record in run.metrics()), 1),
        "environment": json.loads(run.read("environment.json")),
        "evaluation": json.loads(to_json(evaluate_run(run.folder, "styles"))),
    }


def main(seeds: tuple[int, ...] = (0, 1), root: Path = Path("runs")) -> None:
    done = json.loads(OUT.read_text("utf-8"))["arms"] if OUT.exists() else {}
    for seed in seeds:
        for name, config in arms(seed).items():
            key = f"{name}, seed {seed}"
            if done.get(key, {}).get("fingerprint") == config.fingerprint:
                continue
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                done[key] = process.submit(measured, config, root).result()
            result = {
                "command": "python studies/make_styles.py",
                "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "cores": os.cpu_count()},
                "config": recipes.demo().replace({"train.threads": 1}).to_dict(),  # but for styles and seed
                "arms": done,
            }
            write_atomically(OUT, json.dumps(result, indent=1) + "\n")
            print(f"{key}: {OUT}", flush=True)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)

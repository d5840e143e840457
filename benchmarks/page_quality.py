"""What eight bits a weight cost: the shipped checkpoint on its test split, with its own weights and with those that a
page has: one JSON under benchmarks/results/.

    python benchmarks/page_quality.py

Test samples, and so the intervals, are the same for both; "difference" is the page's less the checkpoint's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import xfm
from xfm.tasks import evaluate
from xfm.tasks.result import Result
from xfm_widgets.page_model import as_in_page, page_model
from xfm_widgets.pages import script_json

TASKS = ("retrieval", "grounding", "imlm")
SHOWN = {  # task, condition, metric
    *(
        (f"{way}{kind}", "ITC", "R@1")
        for way in ("text to image", "image to text")
        for kind in ("", " (random gallery)")
    ),
    *((way, "ITM re-ranked", "R@1") for way in ("text to image", "image to text")),
    *((f"grounding{kind}", "", metric) for kind in ("", " (several objects)") for metric in ("acc@0.5", "mean IoU")),
    ("grounding (harder pictures)", "hard", "acc@0.5"),
    ("masked names", "right picture", "accuracy"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="demo")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "page_quality.json")
    args = parser.parse_args()
    lab: Any = xfm.load(args.checkpoint)
    payload = page_model(lab.model, lab.tokenizer)
    own, page = (
        {key(r): r for r in evaluate(model, lab.config, lab.tokenizer, tasks=TASKS, progress=True)}
        for model in (lab.model, as_in_page(lab.model))
    )
    rows = [
        dict(zip(("task", "condition", "metric"), name, strict=True))
        | {"checkpoint": result.value, "interval": [result.low, result.high], "page": page[name].value,
           "difference": page[name].value - result.value, "samples": result.n}
        for name, result in own.items() if name in SHOWN
    ]  # fmt: skip
    result = {
        "command": "python benchmarks/page_quality.py",
        "versions": {"python": platform.python_version(), "torch": version("torch")},
        "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "cores": os.cpu_count()},
        "parameters": sum(p.numel() for p in lab.model.parameters()),
        "bytes": {"weights": len(payload["weights"]), "as text in a page": len(script_json(payload))},
        "quality": rows,
    }
    args.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    for row in rows:
        print(row["task"], row["condition"], row["metric"], f"{row['checkpoint']:.4f} -> {row['page']:.4f}")


def key(result: Result) -> tuple[str, str, str]:
    return result.task, result.condition, result.metric


if __name__ == "__main__":
    main()

"""Where are relations lost? The tables and the figure under studies/relations/, a line a run.

    python studies/make_relations.py [RUN ...] [--train 800] [--test 600] [--patched 24]

RUN: a run's folder, or a checkpoint that comes along; "demo" where none is named. A run that stands in results.jsonl
with the same weights and sizes is not measured again, so a killed command goes on where it was. results.csv has the
same numbers, a row each; figures/probes.png what probes read off each layer.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import xfm
from xfm import plots
from xfm.evaluation import EvalContext
from xfm.evaluation.relations import Row, Sizes, measure_relations
from xfm.files import append_json_lines, read_json_lines, write_atomically

FOLDER = Path(__file__).parent / "relations"


def measured(name: str, lab: Any, sizes: Sizes) -> dict[str, Any]:
    """One line: what was measured, of which weights, how long it took (CPU seconds of one thread), and all rows."""
    began = time.process_time()
    rows = measure_relations(EvalContext(lab.model, lab.config, lab.tokenizer), sizes)
    seconds = round(time.process_time() - began)
    return identity(name, lab, sizes) | {"cpu_seconds": seconds, "columns": Row._fields, "rows": rows}


def identity(name: str, lab: Any, sizes: Sizes) -> dict[str, Any]:
    run = Path(name).parent.name + "/" + Path(name).name if Path(name).parent.name else name
    return {"run": run, "seed": lab.config.seed, "fingerprint": lab.config.fingerprint, "sizes": vars(sizes)}


def table(lines: list[dict[str, Any]]) -> pd.DataFrame:
    """All rows of all runs."""
    parts = []
    for line in lines:
        part = pd.DataFrame(line["rows"], columns=line["columns"])
        part.insert(0, "run", line["run"])
        part.insert(1, "seed", line["seed"])
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", default=["demo"], metavar="RUN")
    for name, size in (("train", 800), ("test", 600), ("patched", 24)):
        parser.add_argument(f"--{name}", type=int, default=size)
    parser.add_argument("--out", type=Path, default=FOLDER)
    asked = parser.parse_args()
    sizes = Sizes(asked.train, asked.test, asked.patched)
    (asked.out / "figures").mkdir(parents=True, exist_ok=True)
    file = asked.out / "results.jsonl"
    torch.set_num_threads(1)
    for name in asked.runs:
        lab = xfm.load(name)
        wanted = identity(name, lab, sizes)
        if not any(wanted.items() <= line.items() for line in read_json_lines(file, "run")):
            append_json_lines(file, [measured(name, lab, sizes)])
            print(f"{name}: {file}", flush=True)
    lines = read_json_lines(file, "run")
    everything = table(lines)
    write_atomically(asked.out / "results.csv", everything.to_csv(index=False, float_format="%.5g"))
    runs = everything["run"].nunique()
    title = (
        f"Linear probes for relations by layer, {runs} run{'s' * (runs > 1)} (dashed: untrained; dotted: control task)"
    )
    figure = plots.probe_layers(everything.query("part == 'probe'"), title)
    for kind in ("png", "pdf"):
        write_atomically(asked.out / "figures" / f"probes.{kind}", figure.bytes(kind))


if __name__ == "__main__":
    main()

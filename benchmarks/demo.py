"""What the demo costs and learns: `xfm pretrain demo` in an empty folder, timed, into benchmarks/results/demo.json.

python benchmarks/demo.py [--recipe demo] [--seed 0] [--folder F]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch

from xfm.plots.curve_records import constant_levels
from xfm.study.study_metrics import HELD_OUT, held_out
from xfm.train import Run


def resident(pid: int) -> int:
    """Bytes that a process and its children hold (Linux), of pages that several share each its share."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            own, rollup = ((folder / name).read_text("utf-8") for name in ("stat", "smaps_rollup"))
        except OSError:
            continue  # it has just ended, or is another user's
        parent = int(own.rpartition(")")[2].split()[1])
        if pid in (int(folder.name), parent):
            total += next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
    return total


def learnt(run: Run) -> list[dict[str, Any]]:
    """Each loss on what is held out, at the end of training, beside what is reached without having learnt it."""
    records = run.metrics()
    last = next(r for r in reversed(records) if any(key.startswith(HELD_OUT) for key in r))
    known = {f"{HELD_OUT}/{key}": level for key, level in constant_levels(records).items()}
    rows = []
    for found in held_out(last, run.config):
        own = (found.known.baseline, found.known.baseline_name)
        level, name = known.get(found.metric, own) if own[0] is None else own
        rows.append({"loss": found.metric, "value": found.value, "level": level, "level_name": name, "n": found.n})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work and leave the run (an empty one that is removed)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "demo.json")
    args = parser.parse_args()
    with contextlib.nullcontext(args.folder) if args.folder else tempfile.TemporaryDirectory() as folder:
        command = ["pretrain", args.recipe, "--seed", str(args.seed)]
        environment = {**os.environ, "XFM_CACHE": f"{folder}/cache"}  # as on a fresh machine
        began, peak = time.time(), 0
        process = subprocess.Popen([sys.executable, "-m", "xfm.cli", *command], cwd=folder, env=environment)
        waiter = threading.Thread(target=process.wait)
        waiter.start()
        while waiter.is_alive():
            peak = max(peak, resident(process.pid))
            waiter.join(1)
        if process.returncode:
            sys.exit(f"xfm {' '.join(command)} ended with {process.returncode}")
        ended = time.time()
        run = Run.open(Path(folder) / "runs" / args.recipe / f"seed{args.seed}")
        records = run.metrics()
        seconds, waited = (sum(r[name] for r in records) for name in ("seconds", "waited"))
        wall, after = ended - began, ended - (run.folder / "DONE").stat().st_mtime
        result = {
            "command": f"xfm {' '.join(command)}",
            "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "cores": os.cpu_count()},
            "environment": json.loads((run.folder / "environment.json").read_text("utf-8")),
            "wall_seconds": round(wall, 1),
            "training_seconds": round(seconds, 1),
            "evaluation_and_report_seconds": round(after, 1),
            "waited_for_data": round(waited / seconds, 4),
            "peak_resident_gigabytes": round(peak / 1e9, 2),
            "fingerprint": run.config.fingerprint,
            "config": run.config.to_dict(),
            "held_out": learnt(run),
            "evaluation": json.loads((run.folder / "evaluation.json").read_text("utf-8")),
        }
    args.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(
        f"{wall:.0f} s in all, {seconds:.0f} s of training ({waited / seconds:.1%} of it waiting for data), "
        f"{after:.0f} s of evaluation and report, {peak / 1e9:.2f} GB at most: {args.out}"
    )


if __name__ == "__main__":
    main()

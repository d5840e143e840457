"""What the demo costs and learns: `xfm pretrain demo` in an empty folder, timed.

python benchmarks/demo.py [--recipe demo] [--seed 0]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from measuring import options, write

from xfm.plots.curve_records import constant_levels
from xfm.study.study_metrics import HELD_OUT, held_out
from xfm.train import Run


def resident(process: psutil.Process) -> int:
    """Bytes that a process and its children hold (Linux), of pages that several share each its share."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            total += each.memory_full_info().pss
        except psutil.Error:
            continue  # it has just ended
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
    asked = options(__doc__, recipe="demo", seed=0)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "xfm.cli", "pretrain", asked.recipe, "--seed", str(asked.seed)]
        environment = {**os.environ, "XFM_CACHE": f"{folder}/cache"}  # as on a fresh machine
        began, peak = time.time(), 0
        process = subprocess.Popen(command, cwd=folder, env=environment)
        waiter = threading.Thread(target=process.wait)
        waiter.start()
        while waiter.is_alive():
            if psutil.pid_exists(process.pid):
                peak = max(peak, resident(psutil.Process(process.pid)))
            waiter.join(1)
        ended = time.time()
        if process.returncode:
            sys.exit(f"{' '.join(command)} ended with {process.returncode}")
        run = Run.open(Path(folder) / "runs" / asked.recipe / f"seed{asked.seed}")
        seconds, waited = (sum(r[name] for r in run.metrics()) for name in ("seconds", "waited"))
        write(
            asked,
            environment=json.loads(run.read("environment.json")),
            wall_seconds=round(ended - began, 1),
            training_seconds=round(seconds, 1),
            evaluation_and_report_seconds=round(ended - (run.folder / "DONE").stat().st_mtime, 1),
            waited_for_data=round(waited / seconds, 4),
            peak_resident_gigabytes=round(peak / 1e9, 2),
            fingerprint=run.config.fingerprint,
            config=run.config.to_dict(),
            held_out=learnt(run),
            evaluation=json.loads(run.read("evaluation.json")),
        )


if __name__ == "__main__":
    main()

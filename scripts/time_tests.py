"""Runs the whole suite and writes where the minutes go: benchmarks/results/tests.json.

    python scripts/time_tests.py                  # every step of `make test-all`, on a quiet machine
    python scripts/time_tests.py tests/explain    # some tests in one process, printed and not written

Seconds of a group are those of its tests, set-up included, added over processes; seconds of a step are on the clock.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "tests.json"
REPORTS = "XFM_TEST_REPORTS"  # the file that pytest's processes append their tests' durations to
STEPS = {"make test": ("js", "lint", "unit", "notebooks", "browser"), "what make test-all adds": ("full", "lessons")}
SLOWEST = 40
GROUPS = {  # the first whose pattern a test's file has
    "browser": r"^tests/browser/",
    "notebooks": r"^notebooks/",
    "hostile": r"^tests/attack/|hostile|broken|damage",
    "parity": r"parity|/test_published|/interop/|/kernels/|/gpu/",
    "training": r"^tests/train/|workers|many_machines|resume",
    "tasks": r"^tests/(downstream|evaluation)/|specialists",
    "data": r"^tests/data/|/test_(images|own_\w+|your_own_data)\.py",
    "study": r"^tests/study/",
    "widgets": r"^tests/widgets/",
    "explain": r"^tests/(explain|guests|interventions|diagnostics)/|plots",
    "model": r"^tests/(model|objectives)/|/test_(flow|masking|optimizer)\.py",
    "pages": r"/test_(docs|readme|report|recipes)\.py",
    "house": r"^tests/",
}


def pytest_runtest_logreport(report: Any) -> None:
    """As pytest's plugin: appends a phase of a test; by xdist's controller, not again by its workers."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        with open(os.environ[REPORTS], "a", encoding="utf-8") as file:
            file.write(json.dumps([report.nodeid, report.duration]) + "\n")


def group(test: str) -> str:
    return next(name for name, pattern in GROUPS.items() if re.search(pattern, test))


def run(command: list[str], reports: Path) -> dict[str, Any]:
    """Runs a command whose pytest, if any, reports; its seconds on the clock and its exit status."""
    path = os.pathsep.join(filter(None, (str(ROOT / "scripts"), os.environ.get("PYTHONPATH"))))
    plugin = {"PYTEST_ADDOPTS": "-p time_tests", "PYTHONPATH": path, REPORTS: str(reports)}
    began = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=os.environ | plugin, check=False)
    return {"seconds": round(time.perf_counter() - began, 1), "status": done.returncode}


def durations(reports: Path) -> dict[str, float]:
    """Seconds of each test, the slowest first."""
    seconds: dict[str, float] = defaultdict(float)
    for line in reports.read_text("utf-8").splitlines():
        test, duration = json.loads(line)
        seconds[test] += duration
    return slowest_first(seconds)


def slowest_first(seconds: dict[str, float]) -> dict[str, float]:
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def sums(seconds: dict[str, float], of: Callable[[str], str]) -> dict[str, dict[str, float]]:
    """Tests and seconds of each group that `of` puts tests into."""
    took: dict[str, float] = defaultdict(float)
    for test, duration in seconds.items():
        took[of(test)] += duration
    tests = Counter(map(of, seconds))
    return {name: {"tests": tests[name], "seconds": round(s, 1)} for name, s in slowest_first(took).items()}


def show(rows: dict[str, Any]) -> None:
    for name, row in rows.items():
        print(f"{row['seconds']:8.1f} s {row.get('tests', ''):6}  {name}")


def main(tests: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        reports = Path(folder) / "reports.jsonl"
        reports.touch()
        if tests:
            run([sys.executable, "-m", "pytest", "-q", *tests], reports)
            seconds = durations(reports)
            show(sums(seconds, lambda test: test.partition("::")[0]))
            return show({test: {"seconds": took} for test, took in [*seconds.items()][:SLOWEST]})
        load = os.getloadavg()[0]
        steps = {name: run(["make", name], reports) for names in STEPS.values() for name in names}
        seconds = durations(reports)
    commands = {command: sum(steps[name]["seconds"] for name in names) for command, names in STEPS.items()}
    found = {
        "command": "python scripts/time_tests.py",
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "load_before": round(load, 2),
        "seconds": {command: round(took, 1) for command, took in commands.items()},
        "steps": steps,
        "groups": sums(seconds, group),
        "slowest": {test: round(took, 1) for test, took in [*seconds.items()][:SLOWEST]},
    }
    OUT.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    show(steps | found["groups"])
    print(", ".join(f"{command}: {took / 60:.1f} minutes" for command, took in commands.items()), "->", OUT)
    if failed := [name for name, step in steps.items() if step["status"]]:
        sys.exit(f"failed, so their times are not those of a whole run: {', '.join(failed)}")


if __name__ == "__main__":
    main(sys.argv[1:])

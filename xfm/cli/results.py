"""What has been learnt: `xfm evaluate`, `xfm study`, `xfm runs`; and what other commands print like these."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from ..base.fields import require
from ..base.numbers import count
from ..base.strings import printable
from ..config import ConfigError, RunConfig

if TYPE_CHECKING:
    from ..tasks import Result
    from ..train import Run

ROOT = Path("runs")  # where run folders lie
say = partial(print, file=sys.stderr, flush=True)  # progress; what was learnt goes to the standard output


def print_results(results: Sequence[Result], everything: bool) -> None:
    """The answers, or the whole table; before it a line for each task that the data cannot serve."""
    from ..tasks.evaluation import brief_lines, format_lines

    for reason in getattr(results, "skipped", {}).values():
        say(f"skipped: {reason}")
    print(format_lines(results) if everything else brief_lines(results))


def started_as() -> str:
    """The command with which this process was started, as the working directory and PATH know it."""
    script = Path(sys.argv[0])
    if script.name not in ("xfm", "xfm.exe"):
        return "python -m xfm.cli"
    if (command := shutil.which("xfm")) and Path(command).resolve() == script.resolve():
        return "xfm"
    near = os.path.relpath(script) if script.absolute().is_relative_to(Path.cwd()) else str(script)
    return near if os.sep in near else f".{os.sep}{near}"


def lines(said: object) -> str:
    """Of a message, which may quote names and texts of others; its own lines stay."""
    return "\n".join(map(printable, str(said).split("\n")))


@dataclass(frozen=True)
class Evaluate:
    """Print what a finished run has learnt: six answers beside their baselines, and what is at or below its own."""

    run_folder: tyro.conf.Positional[Path]
    tasks: tuple[str, ...] = ("all",)
    """Some of them: language, vision, vision-language, or retrieval, grounding, ...; then nothing is written.
    "downstream": fine-tuned on every task of the embedded data, a run of its own each, beside the same without
    pre-training, laid out as the paper's main table."""
    again: bool = False
    """Measure again, where evaluation.json is there already."""
    all: bool = False
    """Print every number, not six."""
    fetch: bool = False
    """Fetch the run's remote shards from the address that its config names."""

    def run(self) -> None:
        from ..data.source import allow
        from ..lab import run_folder
        from ..tasks import FAMILIES, MEASURED, evaluate_run
        from ..train import Run

        names = ", ".join(("all", "downstream", *FAMILIES, *MEASURED))
        require(bool(self.tasks), "--tasks", "", f"one name or more of {names}; leave --tasks out for all")
        folder = run_folder(self.run_folder)
        if self.fetch:
            allow(Run.open(folder).config.data.sources)
        if self.tasks == ("downstream",):
            return self._fine_tune(Run.open(folder))
        results = evaluate_run(folder, self.tasks, self.again, progress=True)
        print_results(results, self.all)
        if (report := folder / "report.html").exists():
            print(f"Report: {report.resolve().as_uri()}")
        if not self.all:
            chosen = "" if self.tasks == ("all",) else f" --tasks {' '.join(self.tasks)}"
            command = f"{started_as()} evaluate {printable(self.run_folder)}{chosen} --all"
            print(f"All {count(len(results), 'number')}: {command}")

    def _fine_tune(self, run: Run) -> None:
        """The run that the paper's table has in a line."""
        from ..lab import beside
        from ..tasks import format_lines
        from ..tasks.finetuning.table import EMBEDDED, finetuned, table

        of = partial(finetuned, run, EMBEDDED, beside(run.folder), progress=True)
        rows = {"pretrained": of(), "no pre-training": of(scratch=True)}
        if self.all:
            print(format_lines([result for results in rows.values() for result in results]) + "\n")
        print(table(rows))


@dataclass(frozen=True)
class Study:
    """Run an ablation study, or what is missing of it; print its effects, leave its figures, tables and report."""

    what: tyro.conf.Positional[str]
    """Its name under --root, its folder, or its spec.json (`xfm.study.Study(...)` writes one)."""
    workers: int = 1
    """Processes that train at the same time, one thread each; 0 trains nothing and draws what is there anew."""
    root: Path = Path("studies")
    """Where studies lie: spec.json and results.csv of each."""
    runs: Path = ROOT
    """Where run folders lie."""
    metrics: bool = False
    """Train nothing: list what its tasks measure, as `primary` takes it, with family, unit, baseline."""
    plan: bool = False
    """Train nothing: what it will take on this machine, and which effects it could find."""
    all: bool = False
    """Print every effect, with its interval, not six."""
    accept_code: str = ""
    """Go on although the package has changed since the first result: the reason, which the report tells."""
    slurm: tuple[str, ...] = ()
    """Jobs of a SLURM cluster, as partition=gpu timeout_min=240 cpus_per_task=1; --workers says how many at a time."""

    def run(self) -> None:
        from ..study import command

        require(self.metrics + self.plan + self.all < 2, "options", "", "one of --metrics, --plan, --all")
        tell = "metrics" if self.metrics else "plan" if self.plan else "all" if self.all else ""
        command(self.what, self.workers, self.root, self.runs, tell, self.accept_code, self.slurm)


@dataclass(frozen=True)
class Runs:
    """List the runs: how far they are, and where; of one that cannot be opened, why."""

    root: tyro.conf.Positional[Path] = ROOT
    compare: bool = False
    """Put six answers of the finished ones side by side (where they are evaluated; `xfm evaluate RUN_FOLDER`)."""
    all: bool = False
    """Compare every number, with intervals."""
    verify: bool = False
    """Read every file and compare it with the run's manifest.json; exit status 1 where one is damaged."""

    def run(self) -> None:
        from ..study.variants import readable
        from ..tasks.evaluation import Result, compare_answers, compare_results, evaluate_run
        from ..train import Run

        require(self.root == ROOT or self.root.is_dir(), "ROOT", str(self.root), "a folder of runs (NAME/seed0/...)")
        folders = sorted(path.parent for path in self.root.glob("*/seed*/config.json"))
        if not folders:
            print(f"no runs under {printable(self.root)}; `{started_as()} pretrain demo` makes one")
        broken, evaluated, configs = 0, dict[str, list[Result]](), dict[str, RunConfig]()
        for folder in folders:
            try:
                said = self.state(folder)
                if self.compare and (folder / "evaluation.json").exists():
                    name = printable(folder.relative_to(self.root))
                    evaluated[name], configs[name] = evaluate_run(folder), Run.open(folder).config
            except (RuntimeError, ConfigError, OSError) as error:
                said, broken = f"broken: {error}", broken + 1
            print(f"{printable(folder)}  {printable(said)}")
        if evaluated:
            names, compare = readable(configs), compare_results if self.all else compare_answers
            print("\n" + compare({names[folder]: results for folder, results in evaluated.items()}))
        if broken and self.verify:
            sys.exit(f"xfm: {broken} of {len(folders)} runs are damaged")

    def state(self, folder: Path) -> str:
        """RunError for a run that cannot be opened or, where it is to be verified, has a damaged file."""
        from ..data.skipped_items import count_skipped
        from ..train import Run

        run = Run.open(folder)
        if self.verify and (found := run.damaged()):
            raise found[0]
        records = run.metrics()
        done = "done" if run.done else f"{len(records)} of {run.config.train.steps} steps"
        loss = records[-1].get("loss") if records else None
        skipped = f"; {said}" if (said := count_skipped(records)) else ""
        whole = "; every file is whole" if self.verify else ""
        return done + (f"  loss {loss:.3f}" if isinstance(loss, int | float) else "") + skipped + whole

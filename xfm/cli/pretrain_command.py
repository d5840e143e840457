"""`xfm pretrain`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tqdm import tqdm

from ..base.fields import require
from ..base.numbers import listed, percent
from ..base.progress import Progress
from ..config import RunConfig
from .results import ROOT, print_results, say, started_as

if TYPE_CHECKING:
    from ..runs.run import Record


@dataclass(frozen=True)
class Pretrain:
    """Train a recipe, evaluate it, and write its report. A finished run opens at once, an unfinished one goes on."""

    recipe: tyro.conf.Positional[str]
    """Recipe and changes: demo, pretrained, small, base, smoke; demo+no_stop_gradient, demo+stage1+no_guidance, ...
    "own --data captions.csv photos/ ..." picks sizes for your own data (docs/your-own-data.md)."""
    config: Annotated[RunConfig, tyro.conf.arg(name="")]
    """Every field of the recipe can be changed, as in --train.steps 2000."""
    root: Path = ROOT
    """Where run folders lie."""
    dry_run: bool = False
    """Train nothing: print parameters, tokens, FLOPs, memory, and the time to expect on this machine."""
    all: bool = False
    """Print every number of the evaluation and of the gradients, not six."""

    def run(self) -> None:
        if self.dry_run:
            from ..model.replicas import launched
            from ..train.estimate import estimate

            require(launched()[1] == 1, "processes", launched()[1], "1 with --dry-run: run it without torchrun")
            print(f"{self.config.name}: a step is counted and twenty are timed; no run is made ...")
            print(estimate(self.config))
        else:
            self.train()

    def train(self) -> None:
        from ..data.skipped_items import count_skipped
        from ..model.replicas import launched
        from ..report import gradient_tables, write_report
        from ..tasks import evaluate_run
        from ..train import Run, pretrain

        if launched()[0]:  # of several processes the first one speaks and evaluates
            for _ in pretrain(self.config, self.root):
                pass
            return
        run = Run.of(self.config, self.root)
        say(f"{self.config.name}: {self.config.train.steps} steps into {run.folder}")
        self._follow(pretrain(self.config, self.root))
        seconds, waited = (sum(r.get(what, 0.0) for r in run.metrics()) for what in ("seconds", "waited"))
        share = percent(waited / max(seconds, 1e-9))
        say(f"Trained in {seconds:.0f} s, {share} of them waiting for data. Now the test split ...")
        if skipped := count_skipped(run.metrics()):
            say(skipped)
        results = evaluate_run(run.folder, progress=True)
        say("Now the gradients and the report ...")
        report = write_report(run, gradients := gradient_tables(run))
        print_results(results, self.all)
        for title, table in gradients.items() if self.all else ():
            print(f"\nGradients, {title}:\n{table}")
        print(f"Report: {report.resolve().as_uri()}")
        notebooks = "make lab, " if Path("Makefile").is_file() and Path("notebooks").is_dir() else ""
        ablated = "no_stop_gradient" in self.config.name
        print(f"Next: {notebooks}{started_as()} {'runs --compare' if ablated else 'pretrain demo+no_stop_gradient'}")

    def _follow(self, records: Iterable[Record]) -> None:
        """Shows a bar a run, as a warm start has its own, and says which losses join."""
        bar, on = None, dict[str, None]()
        for record in records:
            losses = dict.fromkeys(key.split("/")[1].upper() for key in record if key.count("/") == 1)
            if bar is None or bar.name != record["run"]:
                bar = Progress(record["run"], record["of"], record["step"])
            elif joined := [loss for loss in losses if loss not in on]:
                which = f"{listed(joined)} join{'s' * (len(joined) == 1)}"
                note = f"step {record['step']}: {which}; the total is not comparable with the steps before"
                tqdm.write(note, file=sys.stderr)
            on = losses
            bar.update(f"loss {record['loss']:.2f}")
            if bar.done == bar.total:
                bar.close()

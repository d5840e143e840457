"""`xfm pretrain`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..base.fields import require
from ..base.progress import Progress
from ..config import RunConfig
from .results import ROOT, print_results


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
        folder = run.folder
        print(f"{self.config.name}: {self.config.train.steps} steps into {folder}")
        bars: dict[str, Progress] = {}  # a warm start has its own
        for record in pretrain(self.config, self.root):
            name, done = record["run"], record["step"]
            if name not in bars:
                bars[name] = Progress(name, record["of"], done)
            bars[name].update(f"loss {record['loss']:.2f}")
        for bar in bars.values():
            bar.close()
        seconds, waited = (sum(r.get(what, 0.0) for r in run.metrics()) for what in ("seconds", "waited"))
        share = waited / max(seconds, 1e-9)
        print(f"Trained in {seconds:.0f} s, {share:.1%} of them waiting for data. Now the test split ...")
        if said := count_skipped(run.metrics()):
            print(said)
        print_results(evaluate_run(folder, progress=True))
        print("Now the gradients and the report ...", flush=True)
        gradients = gradient_tables(run)
        for title, table in gradients.items():
            print(f"\nGradients, {title}:\n{table}")
        print(f"\nReport: {write_report(run, gradients)} (its figures lie beside it, under figures/)")
        print("\nGo on: `make lab` opens the notebooks; `xfm pretrain demo+no_stop_gradient` ablates the stop, and")
        print("`xfm --help` shows what else there is (.venv/bin/xfm, where make installed it).")

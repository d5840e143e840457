"""The study: `Study("stop", variants=["xfm", "no_stop_gradient"], seeds=range(10)).run()`."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ..files import write_atomically
from ..plots import Figure
from ..train import Run
from ..train.run import Record
from . import diagnostics_jsonl, figures, formatting, results_csv
from .effects import effects, pairs
from .job import Outcome
from .preregistration import read_spec, require_fresh, require_primary, require_unchanged
from .runner import Key, run_missing
from .spec import Spec
from .variants import BASELINE, VariantSpec, labelled

PAPER = (BASELINE, "no_stop_gradient", "no_guidance", "neither")


class Study:
    """Variants x seeds of a recipe: trained, measured, compared seed by seed.

    `<root>/<name>/` holds spec.json and results.csv, from which alone the study resumes; run folders lie under `runs`,
    where studies share what they have in common. Raises ConfigError where the spec cannot be run, where a confirmatory
    one uses an exploration's seed, or changes after its first result.
    """

    def __init__(
        self,
        name: str,
        recipe: str = "demo+stage1",
        variants: Mapping[str, VariantSpec] | Iterable[VariantSpec] = PAPER,
        seeds: Iterable[int] = range(10),
        primary: Iterable[str] = (),
        changes: Mapping[str, Any] | None = None,
        tasks: str | Iterable[str] = "all",
        confirmatory: bool = False,
        explored: Iterable[str] = (),
        root: str | Path = "studies",
        runs: str | Path = "runs",
    ):
        tasks = (tasks,) if isinstance(tasks, str) else tuple(tasks)
        self.spec = Spec(
            name,
            recipe,
            labelled(variants),
            tuple(seeds),
            dict(changes or {}),
            tuple(primary),
            tasks,
            confirmatory,
            tuple(explored),
        )
        self.folder, self.runs = Path(root) / name, Path(runs).absolute()
        self.table = self.folder / "results.csv"
        self.failed: dict[Key, str] = {}
        if confirmatory:
            require_fresh(self.spec, Path(root))
        require_unchanged(self.spec, self.folder)

    @classmethod
    def load(cls, path: str | Path, runs: str | Path = "runs") -> Study:
        """The study of a folder, or of the spec.json in it. StudyError where there is none."""
        folder = Path(path).parent if Path(path).suffix == ".json" else Path(path)
        spec = read_spec(folder)
        fields = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
        return cls(**fields, root=folder.parent, runs=runs)

    def run(self, executor: Executor | None = None, workers: int = 1, show: bool | None = None) -> None:
        """Trains and measures what is not there yet: in this process, in so many `workers` of one thread each, or on
        any executor of concurrent.futures (whose processes take one job at a time). Each finished run goes to
        results.csv at once. A run that fails is tried once more; the others go on, and a warning says what is missing.
        Interrupted, what was trained is saved, and the same call goes on.

        `show`: see Progress. Raises ConfigError where a primary metric is not among those of the first variant.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / "spec.json", self.spec.to_json())
        results_csv.mend(self.table)
        there = self._there()
        todo = [key for key in self._keys() if key not in there]
        self.failed = run_missing(self.spec, self.runs, todo, self._record, executor, workers, show) if todo else {}
        if self.failed:
            reasons = "\n".join(f"  {v}, seed {s}: {why}" for (v, s), why in self.failed.items())
            warnings.warn(
                f"{self.spec.name}: {len(self.failed)} of {len(self._keys())} runs failed twice and are "
                f"missing; the same study tries them again\n{reasons}",
                stacklevel=2,
            )

    def _record(self, key: Key, outcome: Outcome) -> None:
        rows = outcome.rows
        diagnostics_jsonl.append(
            self.folder / "probes.jsonl", key, outcome.probes
        )  # first: results.csv says what is there
        results_csv.append(self.table, results_csv.block(self.spec, *key, rows, outcome.seconds))
        if key[0] == next(iter(self.spec.variants)):  # early, not when all is trained
            require_primary(self.spec.primary, {row.metric: row.family for row in rows})

    def _keys(self) -> list[Key]:
        return [(variant, seed) for seed in self.spec.seeds for variant in self.spec.variants]

    def _there(self) -> set[Key]:
        return {*self.results()[["variant", "seed"]].itertuples(index=False, name=None)}

    def run_of(self, variant: str, seed: int) -> Run:
        """The run of a variant and seed, with its folder, there or not."""
        return Run.of(self.spec.config(variant, seed), self.runs)

    def missing(self) -> pd.DataFrame:
        """The runs without results, and why: variant, seed, why."""
        there = self._there()
        rows = [(*key, self.failed.get(key, "not run yet")) for key in self._keys() if key not in there]
        return pd.DataFrame(rows, columns=["variant", "seed", "why"])

    def results(self) -> pd.DataFrame:
        """A row a run x metric: variant, seed, fingerprint, family, metric, value, n (samples), seconds (of training).
        StudyError where results.csv holds something else, or results of other configs."""
        found: Any = results_csv.read(self.table, self.spec)
        return found[found["seed"].isin(self.spec.seeds)].reset_index(drop=True)

    def probes(self) -> dict[str, list[list[Record]]]:
        """What the training probe saw, by variant and seed (`changes={"train.probe_every": 100}`), for `xfm.plots`."""
        return diagnostics_jsonl.read(self.folder / "probes.jsonl", self._keys())

    def effects(self, against: str = "") -> pd.DataFrame:
        """A row a variant x metric: variant - against, paired by seed; primary metrics first.

        role, family, n (pairs), mean and mean_against, effect with low and high (paired t, 95 %), p (sign-flip
        permutation), p_min (the smallest that n pairs can give), p_holm (over primary metrics x variants), d, n_needed
        (pairs for 80 % power at .05), better (more or less), note (what is missing). `against` names a variant or, of a
        grid over several, the one to compare with in each cell; "": "xfm", or the first where that is none. ConfigError
        for an unknown one, and for a primary metric that was not measured.
        """
        against, results = against or self.spec.reference, self.results()
        if len(results):
            require_primary(self.spec.primary, dict(results[["metric", "family"]].itertuples(index=False, name=None)))
        return effects(results, self.spec.references(against), self.spec.primary, len(self.spec.seeds))

    def pairs(self, against: str = "") -> pd.DataFrame:
        """A row a variant x metric x seed: the differences that `effects` is made of."""
        return pairs(self.results(), self.spec.references(against or self.spec.reference))

    def figure(
        self,
        kind: Literal["effects", "seeds", "map", "probes"] = "effects",
        metrics: formatting.Metrics = "",
        against: str = "",
    ) -> Figure:
        """effects: of each metric the variants' effects, seeds as dots, intervals. seeds: of each metric the values, a
        line a seed. map: of one metric, over a two-way grid, the effect in each cell. probes: what objectives do to
        the encoders over the steps, where runs were probed (it has no metrics).

        `metrics`: "primary", "all", or keys; primary ones where there are any. ConfigError for an unknown one.
        """
        return figures.draw(self, kind, metrics, against or self.spec.reference)

    def to_markdown(self, metrics: formatting.Metrics = "", against: str = "") -> str:
        """The effects as a Markdown table; primary metrics bold, units in the first column."""
        return formatting.to_markdown(formatting.select(self.effects(against), metrics))

    def to_latex(self, metrics: formatting.Metrics = "", against: str = "") -> str:
        """The same as a LaTeX tabular of the package booktabs."""
        return formatting.to_latex(formatting.select(self.effects(against), metrics))

    def report(self, path: str | Path = "", against: str = "") -> Path:
        """Writes one self-contained page (report.html in the study's folder, unless `path` says where): what was asked,
        the effects in words, figures and a table, what happened inside, what it does not tell."""
        from .report import render  # it draws every figure of the study: loaded when asked for

        target = Path(path) if path else self.folder / "report.html"
        write_atomically(target, render(self, against))
        return target

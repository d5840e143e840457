"""The study: `Study("stop", variants=["xfm", "no_stop_gradient"], seeds=range(10)).run()`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import pandas as pd

from ..base.fields import one_of, require, unknown_field
from ..plots.curves import StreamCurves
from ..runs.run import Record
from ..train import Run
from . import code_pin, plan, results_csv, runner, store, untrained
from .effects import effects, informative, pairs
from .failure_scoring import NOT_YET
from .plan import Plan
from .power import Pilot
from .preregistration import read_spec, require_all_measured, require_fresh, require_unchanged
from .results_csv import StudyError
from .spec import PLAN, Spec
from .statistics import equivalence
from .store import Key
from .study_metrics import Metric
from .telling import Telling
from .variants import BASELINE, VariantSpec, labelled, plain

__all__ = ["PAPER", "Study"]

PAPER = (BASELINE, "no_stop_gradient", "no_guidance", "neither")


class Study(Telling):
    """Variants x seeds of a recipe: trained, measured, compared seed by seed.

    `<root>/<name>/` holds spec.json and results.csv, from which alone the study resumes; run folders lie under `runs`,
    where studies share what they have in common. `plan`: the fields of `Spec` that say beforehand how it is judged, as
    split, margins, detectable, question. Raises ConfigError where the spec cannot be run, where a confirmatory one uses
    an exploration's seed, or changes after its first result.
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
        **plan: Any,
    ):
        lists = {"seeds": seeds, "primary": primary, "tasks": tasks, "explored": explored}
        of_all: Any = {field: _several(field, values) for field, values in lists.items()}
        require(changes is None or isinstance(changes, Mapping), "changes", changes, "a mapping of dotted fields")
        of_all["changes"] = {field: plain(value) for field, value in (changes or {}).items()}
        for field in plan:
            if field not in PLAN:
                raise unknown_field(field, PLAN)
        of_all |= {name: _several(name, value) if name == "hypotheses" else value for name, value in plan.items()}
        self.spec = Spec(name, recipe, labelled(variants), confirmatory=confirmatory, **of_all)
        self.folder, self.runs = Path(root) / name, Path(runs).absolute()
        self.table = self.folder / "results.csv"
        self._effects: tuple[tuple[Any, ...], pd.DataFrame] = (), pd.DataFrame()  # the last, and what they are made of
        if confirmatory:
            require_fresh(self.spec, Path(root))
        require_unchanged(self.spec, self.folder)

    @classmethod
    def load(cls, path: str | Path, runs: str | Path = "runs") -> Study:
        """The study of a folder, or of the spec.json in it. StudyError where there is none."""
        folder = Path(path).parent if Path(path).suffix == ".json" else Path(path)
        folder = folder if folder.name not in ("", "..") else folder.resolve()  # a study is called as its folder is
        spec = read_spec(folder)
        fields = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
        return cls(**fields, root=folder.parent, runs=runs)

    def run(self, executor: Executor | None = None, workers: int = 1, show: bool | None = None) -> None:
        """Trains and measures what is not there yet: in this process, in so many `workers` of one thread each, or on
        any executor of concurrent.futures (whose processes take one job at a time). Each finished run goes to
        results.csv at once. A run that fails is tried once more, then kept in failed.json until a later call succeeds;
        the others go on. Interrupted, what was trained is saved, and the same call goes on.

        `show`: see Progress. One process at a time runs a study: StudyError where another does. Before anything is
        trained it raises ConfigError where a metric of the spec is none of those that are measured (see `measurable`)
        and, before a confirmatory study has results, where a primary one is not admitted (see admission); and
        CodeChanged where the package is not the one that the results are of (see `accept_code`); so do the workers.
        """
        runner.run(self.spec, self.folder, self.runs, executor, workers, show)

    def _keys(self) -> list[Key]:
        return [(variant, seed) for seed in self.spec.seeds for variant in self.spec.variants]

    def _finished(self) -> set[Key]:
        return results_csv.runs(self.table, self.spec) & {*self._keys()}

    def failed(self) -> dict[Key, str]:
        """The runs that failed twice and have no results since, and why."""
        left = {*self._keys()} - self._finished()
        reasons = store.read_failed(self.folder / "failed.json", self.spec)
        return {key: why for key, why in reasons.items() if key in left}

    def metrics(self) -> dict[str, Metric]:
        """What is known of each metric: its baseline, its unit, which direction is better (baselines.json)."""
        return store.read_baselines(self.folder / "baselines.json")

    def measurable(self, executor: Executor | None = None) -> pd.DataFrame:
        """A row for each metric that the study's tasks measure: metric, family, unit, baseline and its name, better,
        untrained (the value at step 0), n (samples). An untrained model of the reference's config is measured once,
        here or on `executor`, which may take minutes; untrained.json keeps it."""
        return untrained.of(self.spec, self.folder, executor).table()

    def _seconds(self) -> dict[str, float]:
        """The median training, by variant, of those that have results."""
        runs: Any = self.results().drop_duplicates(["variant", "seed"])
        return runs.groupby("variant")["seconds"].median().to_dict()

    def plan(self, workers: int = 1) -> Plan:
        """What it will take and could find, before anything is trained: arms, runs, shared warm starts, hours on this
        machine, disk, and of each metric the minimum detectable effect, from the paired differences of the studies in
        `explored`. A few steps of each arm are timed, and an untrained model is measured once: minutes. In a notebook
        it is tables; `print` has it as text. ConfigError for a metric of the spec that will not be measured."""
        require(type(workers) is int and workers > 0, "workers", workers, "a whole number from 1")
        measured = untrained.of(self.spec, self.folder)
        require_all_measured(self.spec, measured.families)
        explored = [Study.load(self.folder.parent / name, self.runs) for name in self.spec.explored]
        pilots = {study.spec.name: Pilot(study.pairs(), study.metrics(), study.spec.configs) for study in explored}
        finished = self._finished()
        todo = [key for key in self._keys() if key not in finished]
        return plan.make(self.spec, self.runs, todo, self._seconds(), measured, pilots, workers)

    def accept_code(self, reason: str) -> str:
        """Goes on with a package that has changed since the study's first result: pins it as it is now, and keeps old
        hash, new hash, changed files and the reason in code.json, for the report. Returns what was done."""
        with store.alone(self.folder):
            return code_pin.accept(self.folder, reason, len(self._finished()))

    def run_of(self, variant: str, seed: int) -> Run:
        """The run of a variant and seed, with its folder, there or not."""
        return Run.of(self.spec.config(variant, seed), self.runs)

    def missing(self) -> pd.DataFrame:
        """The runs without results, and why: variant, seed, why."""
        finished, failed = self._finished(), self.failed()
        rows = [(*key, failed.get(key, NOT_YET)) for key in self._keys() if key not in finished]
        return pd.DataFrame(rows, columns=["variant", "seed", "why"])

    def results(self) -> pd.DataFrame:
        """A row a run x metric: variant, seed, fingerprint, family, metric, value, n (samples), seconds (of training).
        StudyError where results.csv holds something else, or results of other configs."""
        rows: Any = results_csv.read(self.table, self.spec)
        return rows[rows["seed"].isin(self.spec.seeds)].reset_index(drop=True)

    def probes(self) -> dict[str, list[list[Record]]]:
        """The training probe's records, by variant and seed (`changes={"train.probe_every": 100}`), for `xfm.plots`."""
        return store.probes(self.folder, self._keys())

    def curves(self) -> dict[str, list[StreamCurves]]:
        """The losses of training, by variant and seed: "loss", "stream/objective", and held out "validation/...", each
        with the steps done (T,) and the values (T,), at most 60. Variants and seeds without any are left out."""
        return store.curves(self.folder, self._keys())

    def effects(self, against: str = "") -> pd.DataFrame:
        """A row a variant x metric: variant - against, paired by seed; primary metrics first.

        role ("primary", "secondary", "control"), family, n (pairs), mean and mean_against, baseline and its name,
        step_0 (before training), effect with low and high (paired t, 95 %), p (sign-flip permutation; of a sequential
        study's primary metrics by e-values), p_min (the smallest that n pairs can give), p_holm (over primary metrics x
        variants, through the gates where there are any), its correction ("Holm", "gatekeeping"; "" of other metrics), e
        (see e_values), d, detectable (the smallest true effect found in 80 % of studies with n pairs), stated (the one
        in the spec), margin, p_equivalent and equivalent (TOST, uncorrected, without pairs of which both runs failed),
        verdict (FLOOR where no variant leaves the baseline behind, SHUT where gatekeeping tested nothing) and what it
        is judged_by ("Holm", "gatekeeping", "interval"), better ("higher", "lower"), note (what is missing or failed).

        `against` names a variant or, of a grid over several, the one to compare with in each cell; "": "xfm", or the
        first where that is none; against another than the spec's there is no correction, margin or stated effect.
        ConfigError for an unknown one, and for a metric of the spec that was not measured.
        """
        references, failed, metrics = self._judged(against)
        made_of = (results_csv.content(self.table), *references.items(), *failed.items(), *metrics.items())
        if self._effects[0] != made_of:  # a report asks nine times, and each takes a second of a hundred runs
            results = self.results()
            if set(results["variant"]) & set(references.values()):  # a specialist alone has not all metrics
                require_all_measured(self.spec, dict(results[["metric", "family"]].itertuples(index=False, name=None)))
            declared = references == self.spec.references(self.spec.reference)
            table = effects(results, references, self.spec, failed, metrics, self.levels(), declared)
            self._effects = made_of, table
        return self._effects[1].copy()

    def pairs(self, against: str = "") -> pd.DataFrame:
        """A row a variant x metric x seed: the differences that `effects` is made of."""
        return pairs(self.results(), *self._judged(against), self.levels())

    def _judged(self, against: str) -> tuple[dict[str, str], dict[Key, str], dict[str, Metric]]:
        return self.spec.references(against or self.spec.reference), self.failed(), self.metrics()

    def equivalence(self, metric: str, margin: float | None = None, against: str = "") -> pd.DataFrame:
        """A row a variant: whether its difference on `metric` is shown to be within `margin` either way (TOST at .05,
        by the 90 % interval; with fewer than three pairs it is not). None: the margin of the spec; one that is chosen
        after the results is exploratory. ConfigError for an unknown metric, StudyError where there are no pairs yet."""
        margin = self.spec.margins.get(metric) if margin is None else margin
        good = isinstance(margin, int | float) and 0 < margin < math.inf
        require(good, "margin", margin, "a positive number, in the metric's unit, here or in the spec's margins")
        assert margin is not None
        differences = self.pairs(against)
        if not len(differences):
            raise StudyError(f"{self.table}: {self._no_pairs()}")
        one_of("metric", metric, differences["metric"].unique())
        groups = differences[differences["metric"] == metric].groupby("variant", sort=False)
        found = {variant: equivalence(informative(group), margin) for variant, group in groups}
        rows = [{"variant": variant, **dataclasses.asdict(one)} for variant, one in found.items()]
        return pd.DataFrame(rows).set_index("variant")


def _several(field: str, values: Any) -> tuple[Any, ...]:
    """Of a list; a text alone is one."""
    require(isinstance(values, Iterable), field, values, "a list")
    return (values,) if isinstance(values, str) else tuple(values)

"""The study: `Study("stop", variants=["xfm", "no_stop_gradient"], seeds=range(10)).run()`.

A facade: what it computes are functions of `Measurements`, what it shows is drawn and written by `xfm.report`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

import pandas as pd

from ..base.fields import require, unknown_field
from ..runs.run import Record
from ..train import Run
from . import code_pin, conclusions, plan, results_csv, runner, store, untrained
from .admission import Admission, admissions
from .comparisons import by_field, mean_ranks, pareto
from .contrasts import contrast, interaction, recovered, share
from .effects import Metrics, effects, equivalence, pairs
from .measurements import Measurements
from .plan import Plan
from .power import Pilot
from .preregistration import read_spec, require_all_measured, require_fresh, require_unchanged
from .spec import PLAN, Spec
from .store import Key
from .study_metrics import Metric
from .variance import median_shares, spread
from .variants import BASELINE, VariantSpec, labelled, plain

if TYPE_CHECKING:
    from ..plots import Figure
    from ..plots.curve_records import StreamCurves

PAPER = (BASELINE, "no_stop_gradient", "no_guidance", "neither")
P = ParamSpec("P")
T = TypeVar("T")


def _of_measurements(function: Callable[Concatenate[Measurements, P], T]) -> Callable[Concatenate[Study, P], T]:
    """A function of measurements as a method of Study, with its documentation."""

    @wraps(function)
    def method(self: Study, *args: P.args, **kwargs: P.kwargs) -> T:
        return function(self.measurements, *args, **kwargs)

    return method


def _pages() -> Any:
    return import_module("xfm.report.study_page")  # late: pages stand above this room, and studies run without them


class Study:
    """Variants x seeds of a recipe: trained, measured, compared seed by seed.

    `<root>/<name>/` holds spec.json and results.csv, from which alone the study resumes; studies share the run folders
    under `runs`. `plan`: the fields of `Spec` that fix how it is judged, as split, margins, question. ConfigError where
    the spec cannot be run, or a confirmatory one uses an exploration's seed or changes after its first result.
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
        self._measured: tuple[tuple[str, ...], Measurements] | None = None  # content of the files, as last read
        if confirmatory:
            require_fresh(self.spec, Path(root))
        require_unchanged(self.spec, self.folder)

    def __repr__(self) -> str:
        runs = len(self.spec.variants) * len(self.spec.seeds)
        return f"Study({str(self.folder)!r}): {len(self.measurements.finished)} of {runs} runs"

    def _repr_html_(self) -> str:
        return _pages().card_of(self)

    @classmethod
    def load(cls, path: str | Path, runs: str | Path = "runs") -> Study:
        """The study of a folder, or of the spec.json in it. StudyError where there is none."""
        folder = Path(path).parent if Path(path).suffix == ".json" else Path(path)
        folder = folder if folder.name not in ("", "..") else folder.resolve()  # a study is called as its folder is
        spec = read_spec(folder)
        return cls(**{f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}, root=folder.parent, runs=runs)

    def run(self, executor: Executor | None = None, workers: int = 1, show: bool | None = None) -> None:
        """Trains and measures the runs without results, in this process, in `workers` of one thread each, or on any
        executor of concurrent.futures. Each finished run goes to results.csv at once; interrupted, the same call goes
        on. A run that fails twice is kept in failed.json until a later call succeeds. `show`: see Progress.

        Raises StudyError where another process runs the study; ConfigError, before anything is trained, where a metric
        of the spec is not measured (see `measurable`) or a primary one of a confirmatory study not admitted; and
        CodeChanged where the package is not the one that the results are of (see `accept_code`)."""
        runner.run(self.spec, self.folder, self.runs, executor, workers, show)

    def measurable(self, executor: Executor | None = None) -> pd.DataFrame:
        """A row for each metric that the study's tasks measure: metric, family, unit, baseline and its name, better,
        untrained (the value at step 0), n (samples). An untrained model of the reference's config is measured once,
        here or on `executor`, which may take minutes; untrained.json keeps it."""
        return untrained.of(self.spec, self.folder, executor).table()

    def plan(self, workers: int = 1) -> Plan:
        """What the study will take and could find: arms, runs, shared warm starts, hours on this machine, disk, and for
        each metric the minimum detectable effect, from the paired differences of the studies in `explored`. It takes
        minutes: some steps of each arm are timed. ConfigError for a metric of the spec that will not be measured."""
        require(type(workers) is int and workers > 0, "workers", workers, "a whole number from 1")
        measured = untrained.of(self.spec, self.folder)
        require_all_measured(self.spec, measured.families)
        explored = [Study.load(self.folder.parent / name, self.runs) for name in self.spec.explored]
        pilots = {study.spec.name: Pilot(study.pairs(), study.metrics(), study.spec.configs) for study in explored}
        data = self.measurements
        todo = [key for key in data.runs if key not in data.finished]
        return plan.make(self.spec, self.runs, todo, data.seconds(), measured, pilots, workers)

    def admission(self) -> pd.DataFrame:
        """A row a primary metric: whether the reference (or the variant that the spec's `admission` names) beats the
        baseline in the studies that explored, by the lower end of its 95 % interval over their seeds; mean, low, high,
        baseline, and why it is not admitted."""
        return pd.DataFrame(admissions(self.spec, self.folder.parent), columns=list(Admission._fields))

    def accept_code(self, reason: str) -> str:
        """Goes on with a package that has changed since the study's first result: pins it as it is now, and keeps both
        hashes, the changed files and the reason in code.json, for the report. Returns what was done."""
        with store.alone(self.folder):
            return code_pin.accept(self.folder, reason, len(self.measurements.finished))

    def run_of(self, variant: str, seed: int) -> Run:
        """The run of a variant and seed, with its folder, there or not."""
        return Run.of(self.spec.config(variant, seed), self.runs)

    @property
    def measurements(self) -> Measurements:
        """Everything measured so far, read anew when a file has changed. StudyError where one holds something else."""
        names = ("results.csv", "baselines.json", "failed.json")
        files = tuple(results_csv.content(self.folder / name) for name in names)
        if self._measured is None or self._measured[0] != files:
            self._measured = files, Measurements.read(self.folder, self.spec)
        return self._measured[1]

    def results(self) -> pd.DataFrame:
        """A row a run x metric: variant, seed, fingerprint, family, metric, value, n (samples), seconds (of training).
        StudyError where results.csv holds something else, or results of other configs."""
        return self.measurements.results.copy()

    def levels(self) -> pd.DataFrame:
        """Reference values of runs: variant, seed, metric, level ("baseline", or "step 0": of its initial weights, for
        variants that others are compared with), value. Older studies have one baseline a metric (`metrics`)."""
        return self.measurements.levels.copy()

    def metrics(self) -> dict[str, Metric]:
        """Baseline, unit and better direction of each metric (baselines.json)."""
        return dict(self.measurements.metrics)

    def failed(self) -> dict[Key, str]:
        """The runs that failed twice and have no results since, and why."""
        return dict(self.measurements.failed)

    def probes(self) -> dict[str, list[list[Record]]]:
        """The training probe's records, by variant and seed (`changes={"train.probe_every": 100}`), for `xfm.plots`."""
        return store.probes(self.folder, self.measurements.runs)

    def curves(self) -> dict[str, list[StreamCurves]]:
        """The losses of training, by variant and seed: "loss", "stream/objective", and held out "validation/...", each
        with the steps done (T,) and the values (T,), at most 60. Variants and seeds without any are left out."""
        return store.curves(self.folder, self.measurements.runs)

    missing = _of_measurements(Measurements.missing)
    effects = _of_measurements(effects)
    pairs = _of_measurements(pairs)
    equivalence = _of_measurements(equivalence)
    contrast = _of_measurements(contrast)
    interaction = _of_measurements(interaction)
    share = _of_measurements(share)
    recovered = _of_measurements(recovered)
    pareto = _of_measurements(pareto)
    mean_ranks = _of_measurements(mean_ranks)
    by_field = _of_measurements(by_field)
    learnt = _of_measurements(Measurements.learnt)
    spread = _of_measurements(spread)
    median_shares = _of_measurements(median_shares)

    def answer(self, question: str, hypotheses: Sequence[tuple[str, str]] = ()) -> None:
        """Writes an answer in words to the study's question and, to each hypothesis of the spec in order, whether it
        held ("holds", "holds in part", "does not hold", "not decided") and why. ConfigError for anything else,
        StudyError where a study that confirms has runs to do: it is read once, when it is whole."""
        conclusions.record(self.folder, self.measurements, question, hypotheses)

    def answers(self) -> pd.DataFrame:
        """What `answer` wrote: hypothesis, held, why. StudyError where answers.json holds something else."""
        return conclusions.table(self.folder, self.spec)

    def figure(
        self,
        kind: Literal["effects", "seeds", "map", "pareto", "spread", "probes"] = "effects",
        metrics: Metrics = "",
        against: str = "",
    ) -> Figure:
        """Draws the study; where there is nothing to draw yet the figure says so. `metrics`: "primary", "all", or keys;
        "": the primary ones where there are any. ConfigError for an unknown one.

        effects: a panel a metric, the variants' effects, seeds as dots, intervals. seeds: every run's value, a line a
        seed. map: one metric over a two-way grid. pareto: two or three metrics, which variants are on their front.
        spread: standard deviations over the runs, beside the reference's. probes: gradients and encoders over the
        steps, where runs were probed."""
        return _pages().figure(self, kind, metrics, against)

    def to_markdown(self, metrics: Metrics = "", against: str = "") -> str:
        """The effects as a Markdown table, primary metrics bold; without pairs the means. For a study that asks how
        much runs vary (Spec.of_spread) the standard deviations."""
        return _pages().markdown(self, metrics, against)

    def to_latex(self, metrics: Metrics = "", against: str = "") -> str:
        """The same as a LaTeX tabular of the package booktabs."""
        return _pages().latex(self, metrics, against)

    def report(self, path: str | Path = "", against: str = "") -> Path:
        """Writes one self-contained page (report.html in the study's folder, unless `path` says where): question and
        design, admission, effects in sentences, figures and a table, answers, seeds, limits. Returns its path."""
        return _pages().write(self, path, against)[0]

    def save(self, against: str = "") -> list[Path]:
        """Writes the report, figures (PNG, PDF) and tables of all metrics (Markdown, LaTeX). Returns their paths."""
        return _pages().save(self, against)


def _several(field: str, values: Any) -> tuple[Any, ...]:
    require(isinstance(values, Iterable), field, values, "a list")
    return (values,) if isinstance(values, str) else tuple(values)

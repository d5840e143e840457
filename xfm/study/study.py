"""The study: `Study("stop", variants=["xfm", "no_stop_gradient"], seeds=range(10)).run()`.

A facade: what it computes are functions of `Measurements`, what it shows is drawn and written by `xfm.report`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

import pandas as pd

from ..runs.run import Record
from . import code_pin, comparisons, conclusions, contrasts, growing_csv, plan, run_records, runner, store, variance
from . import effects as paired
from .admission import Admission, admissions
from .measurements import Measurements
from .preregistration import read_spec, require_fresh, require_unchanged
from .spec import Spec
from .study_metrics import of_ngram
from .worker import untrained_of

if TYPE_CHECKING:
    from ..plots import Figure
    from ..plots.curve_records import StreamCurves

P = ParamSpec("P")
T = TypeVar("T")


def _of_measurements(function: Callable[Concatenate[Measurements, P], T]) -> Callable[Concatenate[Study, P], T]:
    """Turns a function of measurements into a method of Study with the same docstring."""

    @wraps(function)
    def method(self: Study, *args: P.args, **kwargs: P.kwargs) -> T:
        return function(self.measurements, *args, **kwargs)

    return method


def _pages() -> Any:
    return import_module("xfm.report.study_page")  # late: pages stand above this room, and studies run without them


class Study:
    """Ablation study: variants x seeds of a recipe, trained, measured and compared seed by seed.

    Resumes from spec.json and results.csv in `<root>/<name>/`; studies share the run folders under `runs`.

    Args:
        name: A Spec, or a name and the fields of `Spec`, by name or (recipe, variants, seeds) by position.
            Without them: demo+stage1; the paper's ablations; seeds 0 to 9; all tasks.

    Raises:
        ConfigError: For a spec that cannot be run, and for a confirmatory one that reuses an exploration's seed or
            changes after its first result.
    """

    def __init__(
        self, name: Spec | str, *design: Any, root: str | Path = "studies", runs: str | Path = "runs", **fields: Any
    ):
        self.spec = name if isinstance(name, Spec) else Spec.of(name, *design, **fields)
        self.folder, self.runs = Path(root) / self.spec.name, Path(runs).absolute()
        self.table = self.folder / store.RESULTS
        self._measured: tuple[list[str], Measurements] | None = None  # content of the files, as last read
        if self.spec.confirmatory:
            require_fresh(self.spec, Path(root))
        require_unchanged(self.spec, self.folder)

    def __repr__(self) -> str:
        data = self.measurements
        return f"Study({str(self.folder)!r}): {len(data.finished)} of {len(data.runs)} runs"

    def _repr_html_(self) -> str:
        return _pages().card_of(self)

    @classmethod
    def load(cls, path: str | Path, runs: str | Path = "runs") -> Study:
        """Opens the study of a folder or spec.json. StudyError where there is none."""
        folder = Path(path).parent if Path(path).suffix == ".json" else Path(path)
        folder = folder if folder.name not in ("", "..") else folder.resolve()  # a study is called as its folder is
        return cls(read_spec(folder), root=folder.parent, runs=runs)

    def run(self, executor: Executor | None = None, workers: int = 1, show: bool | None = None) -> None:
        """Trains and measures the runs without results: on an executor of concurrent.futures, else in `workers`
        processes of one thread each (1: this process). Finished runs are saved at once, so the same call resumes an
        interrupted study. Runs that fail twice stay in failed.json until a later call succeeds. `show`: see Progress.

        Raises StudyError while another process runs the study; CodeChanged where the package has changed since the
        first result (see `accept_code`); and ConfigError, before training, for a metric of the spec that is not
        measured (see `measurable`) and for a primary metric of a confirmatory study that is not admitted."""
        runner.run(self.spec, self.folder, self.runs, executor, workers, show)

    def measurable(self, executor: Executor | None = None) -> pd.DataFrame:
        """Table of the metrics that the study's tasks measure: metric, family, unit, baseline and its name, better,
        untrained (value at step 0), n (samples). An untrained model of the reference's config is measured once, here
        or on `executor`, in some minutes; untrained.json keeps it."""
        table = untrained_of(self.spec, self.folder, executor).table()
        rows = zip(table["metric"], table["untrained"], strict=True)
        if levels := {key: value for metric, value in rows if (key := of_ngram(metric))}:
            store.write_ngram(self.folder, levels)
        return table

    def plan(self, workers: int = 1) -> plan.Plan:
        """Estimates cost and power: arms, runs, shared warm starts, hours on this machine, disk, and each metric's
        minimum detectable effect, from the paired differences of the studies in `explored`. Takes minutes, as steps of
        each arm are timed. ConfigError for a metric of the spec that will not be measured."""
        return plan.make(self.measurements, self.folder, self.runs, workers)

    def admission(self) -> pd.DataFrame:
        """Table of the checks of the rule of admission (study/admission.py), of a primary metric or an arm each: part,
        metric, variant, n (seeds in the explorations), mean, low, high, baseline, admitted, and why not."""
        checks = admissions(self.spec, self.folder.parent, self.measurements)
        return pd.DataFrame(checks, columns=list(Admission._fields))

    def accept_code(self, reason: str) -> str:
        """Accepts a package that has changed since the study's first result: pins its present state, and keeps both
        hashes, the changed files and the reason in code.json, for the report. Returns a message."""
        with store.alone(self.folder):
            return code_pin.accept(self.folder, reason, len(self.measurements.finished))

    @property
    def measurements(self) -> Measurements:
        """All measurements so far, read again when a file has changed. StudyError for a file of another content."""
        files = [growing_csv.content(self.folder / name) for name in store.FILES]
        if self._measured is None or self._measured[0] != files:
            self._measured = files, Measurements.read(self.folder, self.spec)
        return self._measured[1]

    def results(self) -> pd.DataFrame:
        """Table of runs x metrics: variant, seed, fingerprint, family, metric, value, n (samples; empty where runs
        differ), training seconds. StudyError for a results.csv of another content, or of other configs."""
        return self.measurements.results.copy()

    def levels(self) -> pd.DataFrame:
        """Reference values of runs: variant, seed, metric, level ("baseline", or "step 0": of its initial weights, for
        variants that others are compared with), value."""
        return self.measurements.levels.copy()

    def probes(self) -> dict[str, list[list[Record]]]:
        """Records of the training probe (`changes={"train.probe_every": 100}`), by variant and seed."""
        return run_records.probes(self.folder, self.measurements.runs)

    def curves(self) -> dict[str, list[StreamCurves]]:
        """Learning curves by variant and seed: "loss", "stream/objective" and, held out, "validation/...", each with
        steps (T,) and values (T,), T <= 60. Variants and seeds without records are left out."""
        return run_records.curves(self.folder, self.measurements.runs)

    missing = _of_measurements(Measurements.missing)
    learnt = _of_measurements(Measurements.learnt)
    effects = _of_measurements(paired.effects)
    pairs = _of_measurements(paired.pairs)
    equivalence = _of_measurements(paired.equivalence)
    contrast = _of_measurements(contrasts.contrast)
    share = _of_measurements(contrasts.share)
    recovered = _of_measurements(contrasts.recovered)
    pareto = _of_measurements(comparisons.pareto)
    by_field = _of_measurements(comparisons.by_field)
    spread = _of_measurements(variance.spread)
    median_shares = _of_measurements(variance.median_shares)

    def answer(self, question: str, hypotheses: Sequence[tuple[str, str]] = ()) -> None:
        """Saves an answer in words to the study's question and, for each hypothesis of the spec in order, a verdict
        ("holds", "holds in part", "does not hold", "not decided") and its reason. ConfigError for anything else;
        StudyError for a confirmatory study with runs to do, which is read once, when complete."""
        conclusions.record(self.folder, self.measurements, question, hypotheses)

    def answers(self) -> pd.DataFrame:
        """Table of the saved answers: hypothesis, held, why. StudyError for an answers.json of another content."""
        return conclusions.table(self.folder, self.spec)

    def figure(
        self,
        kind: Literal["effects", "seeds", "steps", "pareto", "spread", "probes"] = "effects",
        metrics: paired.Metrics = "",
        against: str = "",
    ) -> Figure:
        """Draws a figure of the study, with a note where there are no data yet. `metrics`: "primary", "all", or keys;
        "": the primary ones where there are any. ConfigError for an unknown one.

        effects: one panel per metric with the variants' effects and intervals, seeds as dots. seeds: each run's value,
        one line per seed. steps: effects on the first metric's training loss against the step. pareto: two or three
        metrics and their Pareto front. spread: standard deviations over runs, beside the reference's. probes: gradients
        and encoders over the steps, where runs were probed."""
        return _pages().figure(self, kind, metrics, against)

    def to_markdown(self, metrics: paired.Metrics = "", against: str = "") -> str:
        """Markdown table of the effects, primary metrics bold; of the means where there are no pairs, of the standard
        deviations for a study of variance (Spec.of_spread)."""
        return _pages().text_table(self, "markdown", metrics, against)

    def to_latex(self, metrics: paired.Metrics = "", against: str = "") -> str:
        """`to_markdown` as a LaTeX tabular (package booktabs)."""
        return _pages().text_table(self, "latex", metrics, against)

    def report(self, path: str | Path = "", against: str = "") -> Path:
        """Writes one self-contained page (report.html in the study's folder, unless `path` says where): question and
        design, admission, effects in sentences, figures and a table, answers, seeds, limits. Returns its path."""
        return _pages().write(self, path, against)[0]

    def save(self, against: str = "") -> list[Path]:
        """Writes the report, figures (PNG, PDF) and tables of all metrics (Markdown, LaTeX). Returns their paths."""
        return _pages().save(self, against)

"""A study, to walk through: every metric's effect with its interval, the pairs behind it, the curves of training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xfm import plots
from xfm.objectives import losses_by_stream
from xfm.plots.curve_records import HELD_OUT
from xfm.plots.effect_intervals import forest
from xfm.plots.probe_figures import interval, series
from xfm.plots.style import message_figure
from xfm.report.text_tables import to_latex, to_markdown
from xfm.study import Study
from xfm.study.effects import select

from .choices import Name, Option, Place, Text
from .run_curves import panel
from .view import View

if TYPE_CHECKING:
    import pandas as pd

Band = dict[str, Any]  # steps, n, mean, low and high (95 %), least and most
ROWS = ("primary", "all", "metric")
NUMBERS = ("effect", "low", "high", "mean", "mean_against", "n", "p", "p_min", "p_holm", "d", "margin", "p_equivalent")
WORDS = ("variant", "metric", "against", "note", "verdict", "judged_by", "correction", "equivalent")
FIGURE = 6  # metrics of the figure, where none is primary
NEAR = 0.01  # of the way from a baseline to a full score, or of a loss: as good as the baseline itself
LANGUAGE = f"{HELD_OUT}texts/mlm"  # the loss of words that are masked, which is what "language, ..." asks
MISSING = 5  # runs that are named


class AblationExplorer(View):
    """AblationExplorer(Study.load("studies/insulation")): each metric's difference to the reference, paired by
    seed.

    Reads the study's results, learning curves and probes; run folders are not needed.
    """

    metric = Name(of=lambda view: view._names("metric"))
    variant = Name(of=lambda view: view._names("variant"))  # which is compared
    rows = Option(ROWS, "primary")  # the metrics in the list, the table, and what is copied
    curve = Name(of=lambda view: view._curves)  # which learning curve
    band = Option(("interval", "range"), "interval")  # 95 % of the mean, or least to most
    search = Text("")  # what metrics and variants are looked for by: any words, all of which must be in a name
    step = Place(-1)  # whose values are read out; -1: the last

    def __init__(self, study: Study, **traits: Any) -> None:
        """Shows a study; an unreadable one, or one without results, is reported in `message`."""
        self._study = study
        self._effects: Any = None
        self._pairs: Any = None
        self._curves: dict[str, dict[str, Band]] = {}
        nothing = {"metrics": [], "variants": [], "order": [], "effects": [], "pairs": b"", "texts": {}, "curves": {}}
        payload = {"name": study.spec.name, "kind": "", **nothing}
        with self.reporting():
            effects, pairs, self._curves = select(study.effects(), "all"), study.pairs(), curves(study)
            self._pairs = pairs[pairs["metric"].isin(effects["metric"])]
            payload, self._effects = self._all(effects), effects
        super().__init__(payload, str(self.message) or missing(study), **traits)
        if self._effects is None:
            return
        if "rows" not in traits and not (self._effects["role"] == "primary").any():
            self.rows = "all"
        if "curve" not in traits:
            self.curve = first_curve(self.metric, self._curves)

    def _names(self, column: str) -> list[str]:
        """Metrics, or variants, that have effects."""
        return [] if self._effects is None else [*dict.fromkeys(self._effects[column])]

    def _all(self, table: Any) -> dict[str, Any]:
        spec = self._study.spec
        metrics, variants = ([*dict.fromkeys(table[c])] for c in ("metric", "variant"))
        rows = [{k: number(row[k]) for k in NUMBERS} | {k: row[k] for k in WORDS} for row in table.to_dict("records")]
        pairs = [
            (metrics.index(p["metric"]), variants.index(p["variant"]), p["seed"], p["value_against"], p["value"])
            for p in self._pairs.to_dict("records")
        ]
        columns = ["metric", "role", "family", "unit", "better", "baseline", "baseline_name", "ngram", "step_0"]
        known = table.drop_duplicates("metric")[columns].to_dict("records")
        texts = {"markdown": cut(to_markdown(table), 2), "latex": cut(to_latex(table), 4, 2)} if len(table) else {}
        return {
            "name": spec.name,
            "kind": spec.kind,
            "metrics": [
                row | {key: number(row[key]) for key in ("baseline", "ngram", "step_0")} | {"floor": floor(table, row)}
                for row in known
            ],
            "variants": variants,
            "order": [*spec.variants],
            "effects": rows,
            "pairs": np.array(pairs, np.float32).tobytes(),
            "texts": texts,
            "curves": self._curves,
        }

    def data(self) -> pd.DataFrame:
        """Selected rows of `Study.effects`, for all variants."""
        if self._effects is None:
            return self._study.missing()
        return select(self._effects, self.metric if self.rows == "metric" else self.rows).reset_index(drop=True)

    def figure(self) -> plots.Figure:
        """The primary metrics (without any: the first six) and the chosen one."""
        name = self._study.spec.name
        if self._effects is None or not len(self._effects):
            return message_figure(f"{name}: nothing to compare yet")
        table = self._effects
        primary = [*dict.fromkeys(table[table["role"] == "primary"]["metric"])]
        chosen = primary or [*dict.fromkeys(table["metric"])][:FIGURE]
        title = f"{name}, difference to {self._study.spec.reference}, 95 % intervals, paired by seed"
        rows = select(table, list(dict.fromkeys([*chosen, self.metric])))
        return forest(rows, self._pairs, list(self._study.spec.variants), title)


def curves(study: Study) -> dict[str, dict[str, Band]]:
    """By curve and variant: the losses of training, their sum where it is the same sum in all, and what probes saw."""
    bands: dict[str, dict[str, Band]] = {}
    left_out = "" if one_sum(study) else "loss"
    for variant, seeds in study.curves().items():
        for key in (key for key in seeds[0] if key != left_out and all(key in seed for seed in seeds)):
            if (line := band(*shared([seed[key] for seed in seeds])))["steps"]:
                kind = "held-out loss" if key.startswith(HELD_OUT) else "training loss"
                bands.setdefault(f"{panel(key)[1]}: {kind}", {})[variant] = line
    probes = study.probes()
    for name, read in plots.READINGS.items():
        lines = {variant: band(*series(seeds, read)) for variant, seeds in probes.items()}
        if lines := {variant: line for variant, line in lines.items() if line["steps"]}:
            bands[name] = lines
    return bands


def first_curve(metric: str, curves: Mapping[str, Mapping[str, Band]]) -> str:
    """The loss that a metric is, or that trains what it measures: on held-out data, if it is a curve and no point. Or
    else the first curve."""
    title = panel(LANGUAGE if metric.startswith("language, ") else metric)[1]
    own = [f"{title}: held-out loss", f"{title}: training loss"]
    found = [name for name in own if any(len(line["steps"]) > 1 for line in curves.get(name, {}).values())]
    return next(iter([*found, *curves]), "")


def one_sum(study: Study) -> bool:
    """Whether all variants add the same losses of the same streams, weighted alike."""
    first, *others = (
        (losses_by_stream(config), {name: (own.weight, own.start) for name, own in config.objectives.items()})
        for config in study.spec.configs.values()
    )
    return all(each == first for each in others)


def shared(seeds: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """The steps (T,) that all seeds' curves have, and the values there (seeds, T)."""
    found = [dict(zip(steps.tolist(), values.tolist(), strict=True)) for steps, values in seeds]
    steps = sorted(set.intersection(*map(set, found)))
    return np.array(steps, int), np.array([[one[step] for step in steps] for one in found])


def band(steps: np.ndarray, values: np.ndarray) -> Band:
    """Of values (seeds, T). Without a second seed there is no interval."""
    if not len(steps):
        return {"steps": []}
    mean, half = values.mean(0), interval(values)
    lines = {"mean": mean, "least": values.min(0), "most": values.max(0)}
    lines |= {} if half is None else {"low": mean - half, "high": mean + half}
    return {"steps": steps.tolist(), "n": len(values)} | {k: [number(v) for v in line] for k, line in lines.items()}


def floor(table: pd.DataFrame, metric: Mapping[str, Any]) -> bool:
    """Whether every variant's mean is near the baseline of a metric, or on its wrong side: an effect on it compares
    models that have learnt next to nothing, also where an interval leaves the baseline behind (the study's verdict)."""
    level, rows = metric["baseline"], table[table["metric"] == metric["metric"]]
    means = [*rows["mean"], *rows["mean_against"]]
    means = [mean for mean in means if mean == mean]
    if number(level) is None or not means or metric["better"] not in ("higher", "lower"):
        return False
    sign = 1 if metric["better"] == "higher" else -1
    gain = NEAR * (abs(1 - level) if metric["unit"] == "%" else abs(level))
    return all(sign * (mean - level) <= gain for mean in means)


def cut(text: str, head: int, foot: int = 0) -> dict[str, Sequence[str]]:
    """A table's lines, so that the browser can put any rows together."""
    lines = text.rstrip("\n").split("\n")
    end = len(lines) - foot
    return {"head": lines[:head], "rows": lines[head:end], "foot": lines[end:]}


def missing(study: Study) -> str:
    rows = study.missing().to_dict("records")
    if not rows:
        return ""
    if len(rows) == len(study.spec.variants) * len(study.spec.seeds):
        return "No results yet: study.run() trains and measures."
    named = [f"{row['variant']}, seed {row['seed']}: {row['why']}" for row in rows[:MISSING]]
    named += ["..."] * (len(rows) > MISSING)
    return f"{len(rows)} {'run is' if len(rows) == 1 else 'runs are'} missing: {'; '.join(named)}"


def number(value: Any) -> float | None:
    """None for what is missing or not finite: JSON has neither."""
    return float(f"{value:.6g}") if value == value and isinstance(value, int | float) and math.isfinite(value) else None

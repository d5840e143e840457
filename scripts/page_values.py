"""Numbers in the sentences of pages, from committed results.

    <!-- value insulation "no stop" "language, loss (nats)" effect+ci -->0.069 nats (0.065 to 0.074)<!-- /value -->

A source, two keys and fields. The numbers between the marks become the fields', in their order, with as many digits as
they are written with, and with a sign where they are written with one; `-effect` turns a difference around. Shares and
accuracies are in per cent or points. Sources and their keys:

a study            an arm and a metric: effect ci holm tost margin mean against baseline start rise (from start to mean)
                   learnt detectable closed; two arms ("no stop - PCGrad"): effect ci tost; or, of another study of the
                   same seeds ("no stop - mends/PCGrad"): effect ci; where it asks how much runs vary: sd ci
demo, checkpoint   "task, condition" and a metric: value ci baseline n
styles             an arm of studies/styles.json and "task, condition, metric": the same
relations          a run and "condition, metric, encoder layer position": value ci
family             an arm and a metric: holm, over all primary comparisons of the studies of SAME_SEEDS; "" and "": how
                   many these are (n), and how many of them are below .05 (shown) and the smallest p (least)
benchmarks/NAME, studies/NAME   the place in its JSON file ("overhead/seconds") and "%", "MB" or "": value
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from statsmodels.stats.multitest import multipletests

import xfm
from xfm.study import Study
from xfm.study.statistics import mean_interval
from xfm.tasks import Result, evaluate_run, from_json

ROOT = Path(__file__).resolve().parents[1]
VALUE = re.compile(r'(<!-- value (\S+) "([^"]*)" "([^"]*)" (-?)([\w+]+) -->)(.*?)(<!-- /value -->)', re.S)
NUMBER = re.compile(r"(?<![\w@.])[+−]?\d[\d,]*(?:\.\d+)?(?!\w)")
SAME_SEEDS = ("insulation", "mends", "elsewhere", "general", "guidance", "negatives")  # 100 to 111, test split
SEVERAL = {"ci": ("low", "high"), "closed": ("closed share", "closed low", "closed high")}
Fields = Mapping[str, float]


def valued(text: str) -> str:
    """A page with the numbers of its sentences made anew. ValueError where a sentence has another count of them."""
    return VALUE.sub(_sentence, text)


def _sentence(found: re.Match[str]) -> str:
    mark, source, first, second, turned, form, words, end = found.groups()
    fields = dict(_fields(source, first, second))
    if turned:
        fields |= {"effect": -fields["effect"], "low": -fields["high"], "high": -fields["low"]}
    names = [name for part in form.split("+") for name in SEVERAL.get(part, (part,))]
    if len(NUMBER.findall(words)) != len(names):
        raise ValueError(f"{mark}: {', '.join(names)} and {words!r} are not equally many numbers")
    values = iter(fields[name] for name in names)
    return mark + NUMBER.sub(lambda number: _as_written(number[0], next(values)), words) + end


def _as_written(number: str, value: float) -> str:
    digits, sign = len(number.partition(".")[2]), "+" * (number[0] in "+−")
    return f"{value:{sign},.{digits}f}".replace("-", "−")


@cache
def _fields(source: str, first: str, second: str) -> Fields:
    if source in ("demo", "checkpoint"):
        return _result(demo_results() if source == "demo" else checkpoint_results(), f"{first}, {second}")
    if source == "styles":
        return _result(from_json(json.dumps(read("studies/styles.json")["arms"][first]["evaluation"])), second)
    if source == "relations":
        row: Any = relations().loc[(first, second)]
        return {name: 100 * row[name].item() for name in ("value", "low", "high")}
    if "/" in source:
        found: Any = read(source.replace("benchmarks/", "benchmarks/results/") + ".json")
        for key in first.split("/"):
            found = found[int(key) if isinstance(found, list) else key]
        return {"value": found * {"%": 100, "MB": 1e-6}.get(second, 1)}
    if source == "family":
        p = family()
        return {"holm": p.loc[(first, second)]} if first else {"n": len(p), "shown": (p < 0.05).sum(), "least": p.min()}
    if "/" in first:
        return _across(source, first, second)
    return _spread(source, first, second) if study(source).spec.of_spread else _effect(source, first, second)


def _effect(name: str, arms: str, metric: str) -> Fields:
    arm, _, other = arms.partition(" - ")
    of_metric = effects(name).query("metric == @metric").set_index("variant")
    row: Any = of_metric.iloc[0] if arm == of_metric["against"].iloc[0] else of_metric.loc[arm]
    scale = 100 if row["unit"] == "%" else 1
    if other:
        tost = {"tost": study(name).equivalence(metric, against=other).loc[arm, "p"]} if row["margin"] > 0 else {}
        row = study(name).contrast({arm: 1, other: -1}, metric).iloc[0]
        return {end: scale * row[end] for end in ("effect", "low", "high")} | tost
    columns = {"effect", "low", "high", "mean", "mean_against", "baseline", "step_0", "detectable", "margin"}
    fields = {{"mean_against": "against", "step_0": "start"}.get(c, c): scale * row[c] for c in columns}
    if arm == row["against"]:
        fields["mean"] = fields["against"]
    fields |= {"holm": row["p_holm"], "tost": row["p_equivalent"], "learnt": fields["baseline"] - fields["against"]}
    fields["rise"] = fields["mean"] - fields["start"]
    if "no stop" in study(name).spec.variants and arm not in ("no stop", "xfm"):
        closed: Any = study(name).recovered("no stop", "xfm", metric).set_index("variant").loc[arm]
        fields |= {f"closed {end}": 100 * closed[end] for end in ("share", "low", "high")}
    return fields


def _across(name: str, arms: str, metric: str) -> Fields:
    """The paired difference of arms of two studies, the second "STUDY/ARM"."""
    arm, _, other = arms.partition(" - ")
    values = []
    for place, variant in ((name, arm), other.split("/")):
        rows: Any = study(place).results().set_index(["variant", "metric", "seed"])["value"].sort_index()
        values.append(rows.loc[variant, metric])
    scale = 100 if study(name).measurements.known(metric).unit == "%" else 1
    ends = mean_interval((values[0] - values[1]).dropna())
    return {"effect": scale * float(ends.mean), "low": scale * float(ends.low), "high": scale * float(ends.high)}


def _spread(name: str, arm: str, metric: str) -> Fields:
    row: Any = study(name).spread([metric]).set_index("variant").loc[arm]
    scale = 100 if row["unit"] == "%" else 1
    return {"sd": scale * row["sd"], "low": scale * row["sd_low"], "high": scale * row["sd_high"]}


def _result(results: list[Result], title: str) -> Fields:
    (r,) = (r for r in results if ", ".join(filter(None, (r.task, r.condition, r.metric))) == title)
    scale = 1 if "nats" in r.metric else 100
    values = {"value": r.value, "low": r.low, "high": r.high, "baseline": r.baseline or 0}
    return {name: scale * value for name, value in values.items()} | {"n": r.n}


@cache
def study(name: str) -> Study:
    return Study.load(ROOT / "studies" / name)


@cache
def effects(name: str) -> pd.DataFrame:
    return study(name).effects()


@cache
def family() -> pd.Series:
    """Holm's p of each arm and metric over all primary comparisons of SAME_SEEDS, each counted once."""
    rows = pd.concat(effects(name).query("role == 'primary'") for name in SAME_SEEDS)
    once = rows.drop_duplicates(["variant", "metric", "effect"]).set_index(["variant", "metric"])
    return pd.Series(multipletests(once["p"], method="holm")[1], once.index)


@cache
def relations() -> pd.DataFrame:
    """By run and what was measured where."""
    table = pd.read_csv(ROOT / "studies" / "relations" / "results.csv").fillna({"encoder": "", "position": ""})
    where = table["encoder"] + " " + table["layer"].astype(str) + " " + table["position"]
    place = table["condition"] + ", " + table["metric"] + (", " + where).where(table["layer"] >= 0, "")
    return table.assign(place=place).set_index(["run", "place"]).sort_index()


def read(path: str) -> Any:
    return json.loads((ROOT / path).read_text("utf-8"))


@cache
def demo_results() -> list[Result]:
    return from_json(json.dumps(benchmark("demo")["evaluation"]))


@cache
def checkpoint_results() -> list[Result]:
    return evaluate_run(xfm.load("demo").run.folder)  # as it was saved; nothing is run


@cache
def benchmark(name: str) -> dict[str, Any]:
    return read(f"benchmarks/results/{name}.json")

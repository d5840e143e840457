"""The curves of one run, thinned while they come: what the monitor of training draws."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xfm.config import RunConfig
from xfm.objectives import OBJECTIVES, losses_by_stream
from xfm.plots import READINGS
from xfm.plots.curve_records import CONSTANT, HELD_OUT, Record, constant_levels, starts
from xfm.runs.run import METRICS, PROBES
from xfm.train import Run

POINTS = 1000  # of a curve, at most: each is the mean over as many steps as that takes
GROUPS = ("losses", "accuracies", "parts of losses", "gradient norms", "gradient cosines", "encoders", "speed")
TOTALS = {"loss": ("losses", "all, weighted", ""), "grad_norm": ("gradient norms", "all, before clipping", "L2 norm"),
          "steps/s": ("speed", "throughput", "steps / s"), "waited": ("speed", "waiting for data", "share of the time"),
          "rate": ("speed", "learning rate", "")}  # fmt: skip
ENCODERS = ("language", "vision", "fusion")
PROBED = ("norm/", "cosine/", "reading/")  # what probes see, not each step

ALWAYS = ("loss", "grad_norm", "rate", "steps/s", "waited")  # curves of every run


@dataclass(frozen=True)
class Plan:
    """Steps are steps done, as on a curve's axis."""

    keys: tuple[str, ...] = ()  # of the curves that will come, probes' apart
    joins: dict[str, int] = field(default_factory=dict)  # by curve: its loss joins after this step
    levels: dict[str, dict[str, Any]] = field(default_factory=dict)  # by curve: without having learnt anything
    curriculum: list[int] = field(default_factory=list)  # pairs show one object until, all that they have from; or []


def plan_of(config: RunConfig) -> Plan:
    """Of a run with this config."""
    joined, joins, levels = starts(config), dict[str, int](), dict[str, dict[str, Any]]()
    for stream, losses in losses_by_stream(config).items():
        for name in (n for n in losses if n in joined):
            loss, key = OBJECTIVES[name], f"{stream}/{name}"
            joins[key] = joined[name]
            if level := loss.chance(config, stream):
                levels[key] = {"value": level[0], "name": level[1], "kind": "chance"}
            if loss.accuracy_key:
                joins[key := f"{key}/{loss.accuracy_key}"] = joined[name]
                if level := loss.chance(config, stream, "accuracy"):
                    levels[key] = {"value": level[0], "name": level[1], "kind": "chance"}
    curriculum = [round(share * config.train.steps) for share in config.data.curriculum or ()]
    return Plan((*ALWAYS, *joins), joins, levels, curriculum if "pairs" in losses_by_stream(config) else [])


class Curves:
    """`add` takes records of training, `probed` those of probes.jsonl, `take` returns what is new since the last time.

    `points[key]` is x, y, x, y, ... of float32, x in steps done; keys as in the records, and "norm/...", "cosine/..."
    and "reading/..." of probes.
    """

    def __init__(self, name: str, label: str = "", state: str = "not begun", config: RunConfig | None = None) -> None:
        """`config`: what is known of the curves before they come."""
        self.name, self.label, self.state = name, label or name, state
        self.plan = plan_of(config) if config else Plan()
        self.of_steps, self.every, self.last = config.train.steps if config else 0, 1, -1
        self.first: tuple[int, float] | None = None  # step and loss of its first record
        self.points: dict[str, array[float]] = {}
        self.new: dict[str, array[float]] = {}
        self.sums: dict[str, tuple[float, int, int]] = {}  # of the open bucket: sum, how many, last step
        self.whole = True  # `take` does not tell all: send everything

    @classmethod
    def of(cls, run: Run, state: str = "not begun") -> Curves:
        """Of a run whose records are still to come."""
        return cls(run.config.name, f"{run.config.name}, seed {run.config.seed}", state, run.config)

    def described(self, label: str) -> dict[str, Any]:
        """A `MonitorRun` of payloads.d.ts."""
        curves = {key: points.tobytes() for key, points in self.points.items()}
        plan = {"joins": self.plan.joins, "levels": self.plan.levels, "curriculum": self.plan.curriculum}
        return {"label": label, "state": self.state, "of": self.of_steps, "every": self.every, "curves": curves, **plan}

    def add(self, record: Record) -> None:
        """KeyError for a record without step and of."""
        step = record["step"]
        for key, (value, name) in constant_levels([record]).items():
            self.plan.levels[key] = {"value": value, "name": name, "kind": "constant"}
            self.whole = True
        if self.first is None:
            self.first = begins(record)
            self.of_steps, self.every = record["of"], math.ceil(record["of"] / POINTS)
        if step <= self.last:
            self.cut(step)
        if step // self.every != self.last // self.every:
            self.flush()
        self.last = step
        for key, value in plain(record):
            total, count, _ = self.sums.get(key, (0.0, 0, 0))
            self.sums[key] = total + value, count + 1, step

    def flush(self) -> None:
        """Makes points of the steps that are not in any yet."""
        for key, (total, count, step) in self.sums.items():
            mean = total / count
            if key == "seconds":
                key, mean = "steps/s", 1 / mean if mean else math.nan
            self.append(key, step + 1, mean)
        self.sums.clear()

    def append(self, key: str, x: float, y: float) -> None:
        for points in (self.points, self.new):
            points.setdefault(key, array("f")).extend((x, y))

    def cut(self, step: int) -> None:
        """Forgets this step and later ones, which come again."""
        self.whole = True
        self.sums.clear()
        for key, points in self.points.items():
            kept = [i for i in range(0, len(points), 2) if points[i] <= step]
            self.points[key] = array("f", [v for i in kept for v in points[i : i + 2]])

    def probed(self, records: Iterable[Record]) -> None:
        """In place of earlier ones."""
        self.whole = True
        self.points = {k: v for k, v in self.points.items() if not k.startswith(PROBED)}
        for record in records:
            for key, value in probe(record):
                self.append(key, record["step"], value)

    def take(self) -> dict[str, bytes]:
        new, self.new, self.whole = self.new, {}, False
        return {key: points.tobytes() for key, points in new.items()}


def described(key: str) -> dict[str, Any]:
    group, title, unit = panel(key)
    return {"key": key, "group": group, "title": title, "unit": unit, "dense": is_dense(key)}


def is_dense(key: str) -> bool:
    """A value a step or nearly, so that a running mean tells more than the values."""
    return not key.startswith((HELD_OUT, *PROBED))


def has_panel(key: str) -> bool:
    """Held-out values and moving levels are drawn in the panel of what they belong to."""
    return not key.startswith(HELD_OUT) and not key.endswith(CONSTANT)


def begins(record: Record) -> tuple[int, float]:
    return record["step"], record.get("loss", math.nan)


def plain(record: Record) -> Iterator[tuple[str, float]]:
    for key, value in record.items():
        if isinstance(value, int | float) and ("/" in key or key in ("loss", "grad_norm", "rate", "seconds")):
            yield key, float(value)
    if record.get("seconds"):
        yield "waited", record.get("waited", math.nan) / record["seconds"]


def probe(record: Record) -> Iterator[tuple[str, float]]:
    for objective, by_module in record["norm"].items():
        for encoder in ENCODERS:
            norms = [n for module, n in by_module.items() if module.startswith(encoder) and n is not None]
            if norms:
                yield f"norm/{objective}/{encoder}", math.hypot(*norms)
    for encoder, pairs in record["cosine"].items():
        yield from ((f"cosine/{encoder}/{pair}", value) for pair, value in pairs.items() if value is not None)
    for name, read in READINGS.items():
        if "cosine" not in name and "gradient" not in name and (value := read(record)) is not None:
            yield f"reading/{name}", value


def panel(key: str) -> tuple[str, str, str]:
    """The group that a curve is shown in, its title, its unit."""
    key = key.removeprefix(HELD_OUT)
    if key in TOTALS:
        return TOTALS[key]
    kind, _, rest = key.partition("/")
    if kind == "norm":
        objective, _, encoder = rest.partition("/")
        return "gradient norms", f"{objective.upper()} on the {encoder} encoder", "L2 norm"
    if kind == "cosine":
        encoder, _, pair = rest.partition("/")
        return "gradient cosines", f"{pair.upper().replace(' ', ' and ')}, {encoder} encoder", "cosine"
    if kind == "reading":
        return "encoders", rest, ""
    objective, _, part = rest.partition("/")
    title = f"{objective.upper()}, {kind}"
    loss = OBJECTIVES.get(objective)
    if not part:
        return "losses", title, loss.unit if loss else ""
    if part == (loss.accuracy_key if loss else "accuracy"):
        return "accuracies", title, loss.accuracy_name if loss else part
    return "parts of losses", f"{title}: {part}", ""


def order(key: str) -> tuple[int, int, str]:
    """Panels by their group, sums first, then by objective."""
    group, title, _ = panel(key)
    names = [*TOTALS, *OBJECTIVES]
    objective = next((part for part in key.removeprefix(HELD_OUT).split("/") if part in names), key)
    return GROUPS.index(group), names.index(objective) if objective in names else len(names), title


def of_run(run: Run) -> Curves:
    """The curves of a run folder, as it is now."""
    curves = Curves.of(run, "finished" if run.done else "unfinished")
    for record in run.metrics():
        curves.add({"of": run.config.train.steps} | record)
    curves.probed(run.probes())
    return curves


def stamp(folder: Path) -> list[tuple[int, int] | None]:
    """What changes where a run folder has other curves."""
    files = [folder / name for name in (METRICS, PROBES, "DONE")]
    return [(file.stat().st_size, file.stat().st_mtime_ns) if file.exists() else None for file in files]


def curves_for(record: Record, all_curves: list[Curves], again: Curves | None) -> tuple[Curves, Curves | None]:
    """The curves that a record belongs to; new ones for a new name, as of a warm start. A finished run that is trained
    again tells its records again: then it is `again`, and they go nowhere."""
    name = str(record.get("run", "training"))
    for curves in (c for c in all_curves if c.name == name):
        if curves.state != "finished":
            curves.state = "live"
            return curves, again
        if curves is again or curves.first == begins(record):
            return Curves(name), curves
    for before in all_curves:  # a warm start, which has come to its end
        before.state = {"live": "finished"}.get(before.state, before.state)
    all_curves.append(Curves(name, state="live"))
    return all_curves[-1], again

"""What came out of a run, in a few sentences."""

from __future__ import annotations

from collections.abc import Sequence

from ..config import RunConfig
from ..evaluation import Result
from .describe import MIM_TARGETS, listed, percent, spoken

FINDINGS = {  # what a model does, by task, metric and condition
    ("image to text", "R@1", "ITC"): "finds a picture’s caption in",
    ("text to image", "R@1", "ITC"): "finds a caption’s picture in",
    ("grounding", "acc@0.5", ""): "puts the box of a phrase where its object is in",
    ("naming", "accuracy", ""): "names the one object of a picture in",
    ("naming (unseen concepts)", "accuracy", ""): "names an object that no training picture showed in",
    ("concept", "accuracy", "pooled, linear probe"): "lets a linear probe tell the one object of a picture in",
    ("masked names", "accuracy", "right picture"): "guesses a hidden name beside its picture in",
    ("language", "accuracy", ""): "guesses a hidden token of a sentence in",
}


def abstract(config: RunConfig, results: Sequence[Result], parameters: int, seconds: float) -> list[str]:
    """What was trained, in `seconds`, and what came out."""
    stops = [s for o, s in config.flow.text_gradient.items() if o != "itc"]
    stop = "on" if not any(stops) else "off" if all(s == 1 for s in stops) else "in part, or in a dose,"
    start = "from a warm start" if config.init_from else "from scratch"
    said = [
        f"One training of X-FM by X-FM Lab: {parameters:,} parameters, {config.train.steps:,} steps {start}, in "
        f"{spoken(seconds)}. The paper’s stop-gradient is {stop}; masked image modelling predicts "
        f"{MIM_TARGETS[config.flow.mim_target].format(teacher=config.flow.teacher)}."
    ]
    found = [f"{does} {percent(r.value)} of {r.n:,} cases ({beside(r)})" for does, r in findings(results)]
    if found:
        said.append(
            f"On the {results[0].split} split the model {listed(found)}. In brackets: the 95 % interval, and "
            "what is reached without having learnt the task."
        )
    controlled = [r for r in results if r.baseline is not None]
    out = sum(not r.low <= r.baseline <= r.high for r in controlled if r.baseline is not None)
    said.append(
        f"Of {len(results)} results {len(controlled)} have a baseline, which {out} of the 95 % intervals leave out."
    )
    return said


def findings(results: Sequence[Result]) -> list[tuple[str, Result]]:
    there = {(r.task, r.metric, r.condition): r for r in results}
    return [(does, there[key]) for key, does in FINDINGS.items() if key in there]


def beside(r: Result) -> str:
    interval = f"{percent(r.low)[:-2]} to {percent(r.high)}"
    return interval if r.baseline is None else f"{interval}; {r.baseline_name}: {percent(r.baseline)}"

"""Writes the numbers of the explorable, widgets/xfm_widgets/explorable.json, from the committed studies.

    python scripts/make_explorable.py

The wheel has no studies, so the numbers travel with the views. A test compares every one with its study's table.
"""

from __future__ import annotations

import json
import math
from itertools import chain, count
from pathlib import Path
from typing import Any

import make_watched_runs
import torch
from page_values import checkpoint_results, effects, family, read, study

import xfm
from xfm.base.files import write_atomically
from xfm.data.world import openmoji
from xfm.objectives import weights_at
from xfm.objectives.bbp import constant_box
from xfm.tasks import EvalContext
from xfm.tasks.world.language import log_unigram
from xfm_widgets.gradient_flow import whole

TARGET = Path(__file__).resolve().parents[1] / "widgets" / "xfm_widgets" / "explorable.json"
SHOWN = ("crab", "snake")  # concepts of the picture that all screens share
EXCHANGED = "to the left of"
BOXES = 200  # training scenes whose boxes the best constant box is chosen for
RANKED = "image to text, {}, R@1"
GROUNDING = "grounding (several objects), acc@0.5"
EFFECTS = {
    "insulation": [("no stop", metric) for metric in ("language, loss (nats)", GROUNDING,
                    *(RANKED.format(ranking) for ranking in ("ITC", "ITM re-ranked", "ITC + ITM")))],
    "guidance": [("none", "concept, pooled, k-NN, accuracy"), ("none", GROUNDING), ("self x 1, early", GROUNDING)],
}  # fmt: skip
COLUMNS = ("n", "mean", "mean_against", "baseline", "baseline_name", "step_0", "effect", "low", "high", "p_holm",
           "margin", "p_equivalent", "verdict", "better", "unit")  # fmt: skip
CHECKPOINT = [
    *((f"matching ({what} exchanged)", "ITM", "accuracy") for what in ("name", "count", "size", "relation")),
    *(("masked relations", f"{picture} picture", "accuracy") for picture in ("right", "wrong")),
    ("grounding (several objects)", "", "acc@0.5"),
    ("trained style: naming", "openmoji", "accuracy"),
    ("held-out style: naming", "noto", "accuracy"),
]
AGREEMENT = ("agreement", "agreement_of_mean")  # of masked patches' predictions, and of the mean patch, with the target


def numbers() -> dict[str, Any]:
    """All that explorable.json has, as JSON."""
    return {
        "pair": pair(),
        "records": [norms(record) for record in study("insulation").probes()["xfm"][0]],
        "watched": watched(),
        "effects": [effect(name, *key) for name, keys in EFFECTS.items() for key in keys],
        "guidance": guidance(),
        "ngram": read("studies/ngram.json")["test"]["language, loss (nats)"],
        "checkpoint": {", ".join(filter(None, key)): result(key) for key in CHECKPOINT},
    }


def pair() -> dict[str, Any]:
    """Which scene is shown, the first whose caption a screen can change, and the baselines of its losses that no model
    makes: each token's unigram loss (nats), and the best constant box (cx, cy, w, h as shares of the side)."""
    lab = xfm.load("demo")
    catalogue = [concept.name for concept in openmoji.concepts()]
    concepts = [catalogue.index(name) for name in SHOWN]
    index = next(i for i in count() if EXCHANGED in lab.scene(i, concepts=tuple(concepts)).text)
    scene = lab.scene(index, concepts=tuple(concepts))
    context = EvalContext(lab.model, lab.config, lab.tokenizer)
    unigram = -log_unigram(context)[lab.tokenizer.encode(scene.text, lab.config.data.text_tokens)]
    boxes = chain.from_iterable(lab.scene(i, "train").regions for i in range(BOXES))
    best, _ = constant_box(torch.tensor([region.box for region in boxes], dtype=torch.float64))
    return {
        "index": index,
        "concepts": concepts,
        "caption": scene.text,
        "unigram": [round(loss, 4) for loss in unigram.tolist()],
        "constant_box": [round(share, 4) for share in best.tolist()],
    }


def norms(record: Any) -> dict[str, Any]:
    """Gradient norms of a training probe as GradientFlow takes them, without cosines."""
    return {name: value for name, value in whole(record).items() if name != "cosine"}


def watched() -> dict[str, Any]:
    """Of the two watched runs the steps, what each measured there, and its probes; of X-FM the maps of guidance."""
    runs: dict[str, Any] = read("studies/watched_runs.json")["arms"]
    ((seed, steps),) = {(run["seed"], tuple(one["step"] for one in run["measured"])) for run in runs.values()}
    return {
        "seed": seed,
        "steps": steps,
        "of": make_watched_runs.configs()["xfm"].train.steps,
        **{name: first_step(loss) for name, loss in (("joins", "itm"), ("guided", "mim"))},
        "arms": {
            arm: {name: [one[name] for one in run["measured"]] for name in ("language", "boxes")}
            | {"records": [norms(record) for record in run["probes"]]}
            for arm, run in runs.items()
        },
        "guidance": {
            name: [one["guidance"][name] for one in runs["xfm"]["measured"]] for name in ("prediction", "mean")
        },
    }


def first_step(loss: str) -> int:
    """The first step that a loss of the watched runs takes part in."""
    config = make_watched_runs.configs()["xfm"]
    return next(step for step in range(config.train.steps) if weights_at(config, step).get(loss))


def effect(name: str, arm: str, metric: str) -> dict[str, Any]:
    """A row of the study's effects, arm − X-FM, with every seed's pair of values."""
    row: Any = effects(name).query("variant == @arm and metric == @metric").iloc[0]
    seeds = study(name).pairs().query("variant == @arm and metric == @metric")
    values = {column: finite(row[column]) for column in COLUMNS}
    among = family().get((arm, metric), math.nan) if row["role"] == "primary" else math.nan
    pairs = seeds[["seed", "value", "value_against"]].values.tolist()
    return {"study": name, "arm": arm, "metric": metric, **values, "p_family": finite(among), "seeds": pairs}


def guidance() -> dict[str, list[list[float]]]:
    """(step, mean over the seeds) of X-FM's training probes: cosines with MIM's target."""
    runs = study("guidance").probes()["xfm"]
    steps = [record["step"] for record in runs[0]]

    def mean(name: str, i: int) -> float:
        return round(sum(run[i]["guidance"][name] for run in runs) / len(runs), 4)

    return {name: [[step, mean(name, i)] for i, step in enumerate(steps)] for name in AGREEMENT}


def result(key: tuple[str, str, str]) -> dict[str, Any]:
    (found,) = (r for r in checkpoint_results() if (r.task, r.condition, r.metric) == key)
    return {name: getattr(found, name) for name in ("value", "low", "high", "baseline", "baseline_name", "n", "unit")}


def finite(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return float(value) if math.isfinite(value) else None


if __name__ == "__main__":
    write_atomically(TARGET, json.dumps(numbers(), ensure_ascii=False, separators=(",", ":")) + "\n")

"""What studies in the regime `study` share: its recipe, tasks and metrics, the models that X-FM is beside, and the
targets of guidance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xfm import recipes
from xfm.recipes import prior_runs
from xfm.recipes.specialists import SPECIALISTS
from xfm.train.estimate import estimate

HERE = Path(__file__).parent
RECIPE = "study"
ALONE = {"bert_like": {"data.texts": 64}, "beit_like": {"data.images": 64}, "clip_like": {}}  # all without a warm start
EVALUATED = [
    *("mlm", "lexnames", "pairs", "minimal_pairs"),
    "recognition",
    *("naming", "matching", "retrieval", "grounding"),
]
FOUND = "grounding (several objects), acc@0.5"
NEIGHBOURS = "concept, pooled, k-NN, accuracy"


def models() -> dict[str, dict[str, Any]]:
    """Label -> changes of X-FM and the specialists, their steps among them."""
    common = recipes.get(RECIPE)
    budget = sum(estimate(config).run_flops for config in (prior_runs.stage1(common), common))
    found: dict[str, dict[str, Any]] = {"xfm": {}, "fused": {"specialist": "fused"}}
    for name, changes in ALONE.items():
        alone = {"init_from": "", **changes}
        steps = round(budget / estimate(SPECIALISTS[name](common).replace(alone)).step_flops)
        found[name] = {"specialist": name, **alone, "train.steps": steps, "train.validate_every": steps}
    return found


def guided(target: str, weight: float, start: float | None = None) -> dict[str, dict[str, Any]]:
    """Label -> changes: a target of MIM on the one scale, at a weight of its loss, from a share of the steps on."""
    begins = {} if start is None else {"objectives.mim.start": start}
    label = f"{target} x {weight:g}" + (", early" if begins else "")
    return {label: recipes.ablations()[f"guide_{target}"] | {"objectives.mim.weight": weight} | begins}

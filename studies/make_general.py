"""Writes the spec of the study `general-exploration`: X-FM against specialists of as many parameters and as many FLOPs,
on the validation split. What confirms is written down once this has shown what each model learns.

    python studies/make_general.py

X-FM's budget is its language encoder's warm start and its joint training, counted from its config; a specialist spends
all of it on its own losses. What is counted is a step's products, forward and backward (torch's FlopCounterMode).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xfm import recipes
from xfm.files import write_atomically
from xfm.specialists import SPECIALISTS
from xfm.study import Study
from xfm.train.estimate import estimate

HERE = Path(__file__).parent
REGIME = {"data.texts": 32, "train.validate_every": 1200, "train.save_every": 300}  # of all variants
JOINT = {"init_from": "stage1:text", "stage1_steps": 10_000, "train.text_lr_scale": 0.3}  # of X-FM and `fused`
ALONE = {"bert_like": {"data.texts": 64}, "beit_like": {"data.images": 64}, "clip_like": {}}
OWN = {
    "language": ["lexname", "synset", "hypernym"],
    "vision": ["concept", "subcategory", "unseen_concept", "fine"],
    "vision-language": ["retrieval", "grounding", "vqa", "nlvr2", "captioning"],
}
EVALUATED = ["mlm", "lexnames", "pairs", "naming", "retrieval", "grounding"]
SEEDS = range(3)


def variants() -> dict[str, dict[str, Any]]:
    """Label -> changes, the specialists' steps among them."""
    common = recipes.get("demo").replace({"train.shards": 1, **REGIME})
    ours = common.replace(JOINT)
    budget = sum(estimate(config).run_flops for config in (recipes.stage1(ours), ours))
    found: dict[str, dict[str, Any]] = {"xfm": JOINT, "fused": {"specialist": "fused", **JOINT}}
    for name, changes in ALONE.items():
        step = estimate(SPECIALISTS[name](common).replace(changes)).step_flops
        steps = round(budget / step)
        found[name] = {"specialist": name, **changes, "train.steps": steps, "train.validate_every": steps}
    return found


if __name__ == "__main__":
    made, tasks = variants(), [f"finetune:{task}" for field in OWN.values() for task in field]
    asked = "What do X-FM and the specialists learn at this size, each on its own field, and how much does it vary?"
    study = Study("general-exploration", "demo", made, SEEDS, changes=REGIME, tasks=[*EVALUATED, *tasks], root=HERE,
                  split="validation", question=asked)  # fmt: skip
    study.folder.mkdir(exist_ok=True)
    write_atomically(study.folder / "spec.json", study.spec.to_json())
    print(json.dumps(made, indent=1))

"""The page that learns, in Node.js with the page's own code: what it learns, and what the stop changes.

    python benchmarks/learning_page.py [--first_seed 200] [--seeds 6] [--steps 400] [--longer 1000] [--phases 6]

widgets/xfm_widgets/learning_page.json: R@1 of 16, mean over `groups` groups of held-out pairs, and the box IoU after
`steps` and `longer` steps; the last 100 steps' losses in joint training and MLM's held-out loss after two phases,
without the stop minus with it, paired by seed, with 95 % intervals. The recipe was chosen on seeds 1000-1003.
"""

from __future__ import annotations

import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from measuring import options, write

from xfm_widgets.learning_page import MEASURED, drawings

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from javascript import run  # type: ignore[import-not-found]

HEAD = """
import { createKernels } from "./learn/learn_kernels.js";
import { readDrawings } from "./learn/learn_draws.js";
import { createTrainer, PAPER } from "./learn/learn_trainer.js";
import { meanInterval, twoPhases } from "./learn/learn_two_phases.js";
const trainer = createTrainer(createKernels(), readDrawings(data.drawings), data.seed);
"""
JOINT = """
const ability = () => {
  const groups = Array.from({ length: data.groups }, (_, group) => trainer.ability(group));
  const mean = (name) => meanInterval(groups.flatMap((group) => group[name])).mean;
  return { recall: mean("recall"), iou: mean("ious") };
};
const run = (isStopped, steps) => {
  trainer.reset(data.seed);
  const [last, measured] = [{}, {}];
  for (let step = 1; step <= steps; step++) {
    const { losses } = trainer.step({ ...PAPER, isStopped });
    if (step > data.steps - 100 && step <= data.steps)
      for (const [name, value] of Object.entries(losses)) last[name] = (last[name] ?? 0) + value / 100;
    if (step === data.steps || step === steps) measured[step] = ability();
  }
  return { last, measured };
};
answer({ stopped: run(true, data.longer), open: run(false, data.steps) });
"""
PHASES = """
const experiment = twoPhases(trainer, data.seed);
for (var next = experiment.next(); !next.done; ) next = experiment.next();
answer(next.value);
"""


def node(script: str, **data: Any) -> Any:
    return run(HEAD + script, {"drawings": DRAWINGS, "seed": 0, **data})


def intervals(differences: list[list[float]]) -> list[dict[str, float]]:
    effects = node("answer(data.differences.map(meanInterval));", differences=differences)
    return [{name: round(v, 4) for name, v in effect.items()} for effect in effects]


def learnt(runs: list[dict[str, Any]], steps: int) -> dict[str, float]:
    measured = [one["stopped"]["measured"][str(steps)] for one in runs]
    means = {name: round(statistics.mean(one[name] for one in measured), 3) for name in ("recall", "iou")}
    return {"seeds": len(measured), **means}


if __name__ == "__main__":
    sizes = {"steps": 400, "longer": 1000, "groups": 8}
    asked = options(__doc__, first_seed=200, seeds=6, phases=6, jobs=2, out=MEASURED, **sizes)
    DRAWINGS = drawings()
    sizes = {name: getattr(asked, name) for name in sizes}
    with ThreadPoolExecutor(asked.jobs) as pool:
        waiting = [[pool.submit(node, script, seed=asked.first_seed + i, **sizes) for i in range(count)]
                   for script, count in ((PHASES, asked.phases), (JOINT, asked.seeds))]  # fmt: skip
        phases, runs = ([job.result() for job in jobs] for jobs in waiting)
    names = [*runs[0]["open"]["last"]]
    effects = intervals([[one["open"]["last"][n] - one["stopped"]["last"][n] for one in runs] for n in names])
    write(
        asked,
        learnt={str(steps): learnt(runs, steps) for steps in (asked.steps, asked.longer)},
        joint={"steps": asked.steps, "losses": dict(zip(names, effects, strict=True))},
        two_phases=intervals([[pair["open"] - pair["stopped"] for pair in phases]])[0],
        pairs=phases,
        runs=runs,
    )

"""The page that learns, in Node.js with the page's own code: its speed, what it learns, and what the stop changes.

    python benchmarks/learning_page.py [--seeds 6] [--steps 400] [--phases 6] [--longer 1000] [--long_seeds 2]

widgets/xfm_widgets/learning_page.json: milliseconds a step with WebAssembly and with plain JavaScript (least and
median); R@1 of 16, mean over `groups` groups of held-out pairs, and the box IoU after `steps` and, of the first
seeds, `longer` steps; in joint training from scratch the last 100 steps' losses without the stop minus with it,
paired by seed; the same difference of MLM's held-out loss after a second phase of fusion losses. Intervals are 95 %
(Student's t). The page's sentences take their numbers from here.
"""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from measuring import options, spread, write

from xfm_widgets.learning_page import MEASURED, drawings

HEAD = """
import { createKernels } from "./learn/learn_kernels.js";
import { readDrawings } from "./learn/learn_draws.js";
import { createTrainer, PAPER } from "./learn/learn_trainer.js";
import { meanInterval, twoPhases } from "./learn/learn_two_phases.js";
const trainer = createTrainer(createKernels(data.plain), readDrawings(data.drawings), data.seed);
"""
SPEED = """
const times = Array.from({ length: data.steps }, () => {
  const begin = performance.now();
  trainer.step(PAPER);
  return performance.now() - begin;
});
answer(times.slice(data.steps / 4));
"""
JOINT = """
const ability = () => {
  const groups = Array.from({ length: data.groups }, (_, group) => trainer.ability(group));
  const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;
  return { recall: mean(groups.map((g) => g.recall)), iou: mean(groups.flatMap((g) => g.ious)) };
};
const run = (isStopped, steps) => {
  trainer.reset(data.seed);
  const last = {};
  const measured = {};
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
let next = experiment.next();
while (!next.done) next = experiment.next();
answer(next.value);
"""
INTERVALS = "answer(data.differences.map(meanInterval));"


def node(script: str, **data: Any) -> Any:
    import javascript

    return javascript.run(HEAD + script, {"drawings": DRAWINGS, "seed": 0, "plain": False, **data})


def intervals(differences: list[list[float]]) -> list[dict[str, float]]:
    rounded = ({name: round(v, 4) for name, v in effect.items()} for effect in node(INTERVALS, differences=differences))
    return [*rounded]


def learnt(runs: list[dict[str, Any]], steps: int) -> dict[str, float]:
    measured = [run["stopped"]["measured"][str(steps)] for run in runs if str(steps) in run["stopped"]["measured"]]
    means = {name: round(statistics.mean(run[name] for run in measured), 3) for name in ("recall", "iou")}
    return {"seeds": len(measured), **means}


if __name__ == "__main__":
    import sys

    sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # javascript.py
    asked = options(__doc__, seeds=6, steps=400, longer=1000, long_seeds=2, phases=6, groups=8, jobs=4, out=MEASURED)
    DRAWINGS = drawings()
    times = {kind: spread(node(SPEED, plain=kind == "JavaScript", steps=n))
             for kind, n in (("WebAssembly", 80), ("JavaScript", 8))}  # fmt: skip
    sizes = {"steps": asked.steps, "groups": asked.groups}
    with ThreadPoolExecutor(asked.jobs) as pool:
        waiting = [pool.submit(node, PHASES, seed=seed) for seed in range(asked.phases)]
        longer = (asked.longer if seed < asked.long_seeds else asked.steps for seed in range(asked.seeds))
        more = [pool.submit(node, JOINT, seed=seed, longer=n, **sizes) for seed, n in enumerate(longer)]
        phases, runs = ([job.result() for job in jobs] for jobs in (waiting, more))
    names = [*runs[0]["open"]["last"]]
    effects = intervals([[run["open"]["last"][n] - run["stopped"]["last"][n] for run in runs] for n in names])
    write(
        asked,
        milliseconds_a_step=times,
        learnt={str(steps): learnt(runs, steps) for steps in (asked.steps, asked.longer)},
        joint={"steps": asked.steps, "losses": dict(zip(names, effects, strict=True))},
        two_phases=intervals([[pair["open"] - pair["stopped"] for pair in phases]])[0],
        pairs=phases,
        runs=runs,
    )

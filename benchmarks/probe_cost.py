"""What probing costs a training.

    python benchmarks/probe_cost.py [--recipe demo] [--steps 60]

A step with all objectives and a probe are timed in turns in the same run, one thread; from them comes the share of the
time that a probe every so many steps takes.
"""

from __future__ import annotations

import statistics
import tempfile
from functools import partial

from measuring import options, seconds, write

from xfm import pretrain, recipes
from xfm.data import dataset
from xfm.diagnostics.training_probe import TrainingProbe
from xfm.objectives import Pretraining, build

EVERY = (20, 50, 100, 200)
ALL_ON = {f"objectives.{o}.start": 0.0 for o in ("itm", "imlm", "bbp", "mim")}
ALONE = {"train.threads": 1, "data.workers": 0, "train.validate_every": 0, "train.save_every": 10**6}

if __name__ == "__main__":
    asked = options(__doc__, recipe="demo", steps=60)
    config = recipes.get(asked.recipe).replace(ALL_ON | ALONE | {"data.single_until": 0.0, "data.full_from": 0.0})
    model = build(config)
    probe = TrainingProbe(Pretraining(model, config), build(config), dataset(config).tokenizer())
    steps, probes = [], []
    with tempfile.TemporaryDirectory() as folder:
        records = pretrain(config, folder)
        for record in records:
            steps.append(record["seconds"])
            if record["step"] % 10 == 9:
                probes.append(seconds(partial(probe, record["step"])))
            if len(steps) == asked.steps:
                break
        records.close()
    step, each = statistics.median(steps[10:]), statistics.median(probes[1:])
    share = {every: round(each / (every * step), 4) for every in EVERY}
    write(asked, seconds_a_step=round(step, 4), seconds_a_probe=round(each, 4), share_of_training=share)

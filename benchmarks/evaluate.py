"""The standard evaluation of a model of the demo's size: by forked processes, by threads, and on one core, in turns.

    python benchmarks/evaluate.py [--repeats 2]

The answers must be the same. Seconds of each, and what the forks take as a share of the others (medians).
"""

from __future__ import annotations

from functools import partial
from unittest.mock import patch

from measuring import in_turns, medians, options, write

import xfm
from xfm import recipes
from xfm.base import workers
from xfm.objectives import build
from xfm.tasks import Evaluation, evaluate

WAYS: dict[str, dict] = {
    "forks": {"CONTEXT": workers.CONTEXT},
    "threads": {"CONTEXT": None},
    "one core": {"_usable_cores": lambda: 1},
}

if __name__ == "__main__":
    asked = options(__doc__, repeats=2)
    config, tokenizer = recipes.demo(), xfm.load("demo").tokenizer  # untrained: it costs what a trained one does
    model, found = build(config), list[Evaluation]()

    def run(changes: dict) -> None:
        with patch.multiple(workers, **changes):
            found.append(evaluate(model, config, tokenizer))

    taken = in_turns({way: partial(run, changes) for way, changes in WAYS.items()}, asked.repeats)
    assert all(each == found[0] for each in found), "the answers differ"
    forks, *others = medians(taken).items()
    write(asked, seconds=taken, **{"forks as a share of": {way: round(forks[1] / took, 3) for way, took in others}})

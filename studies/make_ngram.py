"""What an n-gram of the two visible neighbours reaches: studies/ngram.json, and baselines.json of each study that asks
the language encoder.

    python studies/make_ngram.py     # half a minute of one core

`xfm.tasks.neighbours` is the model. Studies that were trained before evaluations had its rows get them here.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from xfm import recipes
from xfm.base.files import write_atomically
from xfm.config import RunConfig, from_json
from xfm.data import dataset
from xfm.data.source import Split
from xfm.study.preregistration import read_spec
from xfm.study.store import BASELINES, read_metrics, write_ngram
from xfm.study.study_metrics import has_ngram, of_ngram
from xfm.study.worker import reference_config
from xfm.tasks import EvalContext
from xfm.tasks.neighbours import MODELS
from xfm.tasks.world import language, minimal_pairs

HERE = Path(__file__).parent


def context_of(config: RunConfig, split: Split) -> EvalContext:
    """Without a model, of which counts ask nothing."""
    return EvalContext(None, config, dataset(config).tokenizer(), split)  # type: ignore[arg-type]


@cache
def levels(data: str, split: Split) -> dict[str, float]:
    """Metric -> what the n-gram reaches, on the data of a config (as JSON)."""
    context = context_of(from_json(data), split)
    unigram = language.log_unigram(context)
    pairs = minimal_pairs.draw_pairs(context, unigram)
    rows = [*language.by_neighbours(context, unigram), *minimal_pairs.by_neighbours(context, pairs)]
    return {of_ngram(row.key): row.value for row in rows}


def main() -> None:
    config = recipes.study()
    model = language.ngram(context_of(config, "test"))
    shown: dict[str, Any] = {"command": "python studies/make_ngram.py", "prior": model.prior}
    shown["weights"] = dict(zip(MODELS, np.round(model.weights, 3).tolist(), strict=True))
    for split in ("test", "validation"):
        shown[split] = {key: round(value, 4) for key, value in levels(config.to_json(), split).items()}
    write_atomically(HERE / "ngram.json", json.dumps(shown, indent=1) + "\n")
    for folder in sorted(path.parent for path in HERE.glob("*/results.csv") if (path.parent / "spec.json").exists()):
        spec, asked = read_spec(folder), [*filter(has_ngram, read_metrics(folder))]
        ours = recipes.study().replace({"data": reference_config(spec).to_dict()["data"]})
        found = levels(ours.to_json(), spec.split)
        if asked:
            write_ngram(folder, {metric: round(found[metric], 6) for metric in asked})
            print(folder / BASELINES)


if __name__ == "__main__":
    main()

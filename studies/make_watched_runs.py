"""What two runs of one seed do while they train: studies/watched_runs.json, which the explorable's screens show.

    python studies/make_watched_runs.py [--workers 2] [--root runs] [--out studies/watched_runs.json]

The recipe `demo`, with the stop and without, at the seed of `make demo`: same initial weights, same batches, one thread
each. Weights are kept every EVERY steps; each copy is asked for the validation split's masked words and boxes, and for
MIM's guidance on the picture that the explorable shares. Ten minutes of one core a run on a quiet machine. An arm that
is in the file is not run again; a training that was cut off goes on.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

from xfm import Run, pretrain, recipes
from xfm.base import seeding
from xfm.base.files import write_atomically
from xfm.config import RunConfig
from xfm.data.masking import block_mask
from xfm.data.world import openmoji
from xfm.data.world.scenes import Scene, World
from xfm.explain import make_inputs
from xfm.tasks import EvalContext, Result
from xfm.tasks.context import reproducibly
from xfm.tasks.world import grounding, language

OUT = Path(__file__).parent / "watched_runs.json"
ARMS = {"xfm": "demo", "no stop": "demo+no_stop_gradient"}
SEED = 0
EVERY = 50  # steps
SENTENCES, SCENES = 1000, 200  # of the validation split
SHOWN = ("crab", "snake")  # concepts of the picture that the explorable shares
MASKS = 64  # of the picture, each hides as many patches as training does
DIGITS = 5
Arm = dict[str, Any]


def configs() -> dict[str, RunConfig]:
    """Arm -> config, watched."""
    watched = {"seed": SEED, "train.keep": EVERY, "train.probe_every": EVERY, "train.shards": 1}
    return {arm: recipes.get(recipe).replace(watched) for arm, recipe in ARMS.items()}


def watched(config: RunConfig, root: Path) -> Arm:
    """Trains one arm, and asks its weights of every kept step."""
    torch.set_num_threads(1)
    for record in pretrain(config, root):
        if record["step"] % 100 == 0:
            print(f"{record['run']}: step {record['step']} of {record['of']}, loss {record['loss']:.3f}", flush=True)
    run = Run.of(config, root)
    context = EvalContext(run.model(), config, run.tokenizer(), "validation")
    unigram = language.log_unigram(context)
    return {
        "seed": config.seed,
        "fingerprint": config.fingerprint,
        "training_seconds": round(sum(record["seconds"] for record in run.metrics()), 1),
        "environment": json.loads(run.read("environment.json")),
        "measured": [{"step": step, **asked(run, step, unigram)} for step in run.kept()],
        "probes": [{name: rounded(record[name]) for name in ("step", "norm", "held_back")} for record in run.probes()],
    }


def asked(run: Run, step: int, unigram: np.ndarray) -> Arm:
    """What the weights of a step answer: value, 95 % interval, baseline and n of the language loss (nats) and of the
    boxes found (several objects); of every patch the two cosines of `guidance`."""
    model = run.model(step)
    context = EvalContext(model, run.config, run.tokenizer(), "validation")
    with reproducibly(model), torch.no_grad():
        _, loss = language.by_model(context, unigram, SENTENCES)
        found = boxes(context)
        prediction, mean = guidance(context)
    print(f"{run.config.name}: step {step} measured, {loss.value:.3f} nats, {found.value:.3f} boxes", flush=True)
    cosines = {"prediction": rounded(prediction.tolist()), "mean": rounded(mean.tolist())}
    return {"language": row(loss), "boxes": row(found), "guidance": cosines}


def boxes(context: EvalContext) -> Result:
    """acc@0.5 over the phrases of pictures with several objects."""
    scenes = list(context.examples("grounding", SCENES, "boxes"))
    _, owner, true, predicted = grounding.predict(context, scenes)
    several = grounding.objects(owner, true)[1] > 1
    correct = grounding.is_correct(grounding.box_iou(predicted, true))
    return context.result("grounding (several objects)", "", "acc@0.5", correct[several], groups=owner[several])


def guidance(context: EvalContext) -> tuple[Tensor, Tensor]:
    """Of each patch (P,), a mean over the masks that hide it, the cosine with the encoder's output of the whole picture
    of what the encoder makes of the masked picture there, and of the mean output of that mask's hidden patches."""
    vision, grid, rule = context.model.vision, context.config.model.vision.grid, context.config.data.mask
    drawn = [block_mask(grid, rule.image_patches, rule.smallest_block, seeding.rng("watched", k)) for k in range(MASKS)]
    masks, scene = torch.from_numpy(np.stack(drawn)), picture(context.world)
    inputs = make_inputs(context.model, context.tokenizer, scene.image, scene.text)
    target = vision.encode(inputs.patches[None])[0]
    predicted = vision.encode(torch.where(masks[..., None], inputs.masked_patches, inputs.patches))
    mean = (masks[..., None] * target).sum(1, keepdim=True) / masks.sum(1)[:, None, None]
    cosines = (F.cosine_similarity(guess, target[None], dim=-1) for guess in (predicted, mean))
    prediction, of_mean = ((cosine * masks).sum(0) / masks.sum(0) for cosine in cosines)
    return prediction, of_mean


def picture(world: World) -> Scene:
    """The scene that the explorable shares."""
    catalogue = [concept.name for concept in openmoji.concepts()]
    return world.scene("test", 0, concepts=tuple(catalogue.index(name) for name in SHOWN))


def row(result: Result) -> list[float]:
    return rounded([result.value, result.low, result.high])


def rounded(value: Any) -> Any:
    """All its numbers to DIGITS significant digits."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def main(workers: int = 1, root: Path = Path("runs"), out: Path = OUT) -> None:
    done = json.loads(out.read_text("utf-8"))["arms"] if out.exists() else {}
    todo = {arm: c for arm, c in configs().items() if done.get(arm, {}).get("fingerprint") != c.fingerprint}
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        running = {pool.submit(watched, config, root): arm for arm, config in todo.items()}
        for future in as_completed(running):
            done[running[future]] = future.result()
            arms = {arm: done[arm] for arm in ARMS if arm in done}
            write_atomically(out, json.dumps({"every": EVERY, "arms": arms}) + "\n")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)

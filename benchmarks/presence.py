"""What tells a phrase that is true of a picture from one that is not.

    python benchmarks/presence.py

The checkpoint that comes with the package, 200 validation scenes, one thread. Of each scene one own phrase, the name of
one of its objects ("the lion"), a phrase of another scene that is false here, the name of a concept that is not here,
and that of one that no training picture shows. A score's AUROC: how often it is higher for what is here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from measuring import options, write

import xfm
from xfm.base import seeding
from xfm.data.world.grammar import is_true
from xfm.data.world.scenes import Scene
from xfm.explain import AttributionInputs, box_predictor, make_inputs
from xfm.model.modes import eval_mode
from xfm.objectives.bbp import overlap

SCENES, LIKELY, UNLIKELY = 200, 0.25, 0.05  # the probabilities that GroundingPad draws its lines at
TRUE, FALSE = ("own phrase", "own name"), ("another's phrase", "absent name", "never seen name")
AGAINST = [("own phrase", "another's phrase"), ("own name", "absent name"), ("own name", "never seen name")]


def asked(scenes: list[Scene], names: tuple[str, ...], unseen: tuple[str, ...]) -> dict[str, list[tuple[Scene, str]]]:
    """By kind, a scene and a phrase."""
    rng, pairs = seeding.rng("presence"), {kind: [] for kind in (*TRUE, *FALSE)}
    for i, scene in enumerate(scenes):
        here = {o.name for o in scene.objects}
        others = (scenes[(i + j) % len(scenes)].phrases[0] for j in range(1, len(scenes)))
        absent = [name for name in names if name not in here]
        false = next(p.text for p in others if not is_true(p, scene.objects))
        own, away, never = (f"the {name}" for name in (min(here), rng.choice(absent), rng.choice(unseen)))
        phrases = (scene.phrases[0].text, own, false, away, never)
        for kind, phrase in zip(pairs, phrases, strict=True):
            pairs[kind].append((scene, phrase))
    return pairs


def scores(lab: Any, scene: Scene, phrase: str) -> dict[str, float]:
    found = box_predictor(lab.model, lab.tokenizer, scene.image)(phrase)
    inputs = make_inputs(lab.model, lab.tokenizer, scene.image, phrase)
    with torch.no_grad(), eval_mode(lab.model):
        out = inputs.outputs(inputs.patches[None], inputs.pieces[None])
        gain = words_gain(inputs, lab)
    return {
        "ITM, phrase and predicted box": found["presence"],
        "ITM, phrase and whole picture": out.itm.sigmoid().item(),
        "ITC, phrase and whole picture": out.itc.item(),
        "words, IMLM less MLM": gain,
        "agreement of masked pictures": found["candidates"][0]["share"],
    }


def words_gain(inputs: AttributionInputs, lab: Any) -> float:
    """The log-probability (nats a piece) of each piece, masked, with the picture less without."""
    ids = lab.tokenizer.encode(inputs.text, 64)
    n, heads = len(ids) - 2, lab.model.objectives
    keep = ~torch.eye(len(ids), dtype=torch.bool)[1:-1]
    out = inputs.outputs(*inputs.mask(torch.ones(n, len(inputs.patches), dtype=torch.bool), keep))
    at, own = (range(n), range(1, n + 1)), torch.tensor(ids[1:-1])
    given = heads["imlm"].logits(out.fused[at]).log_softmax(-1)
    alone = heads["mlm"].head(out.text[at], lab.model.text.word.weight).log_softmax(-1)
    return (given - alone)[range(n), own].mean().item()


def auroc(true: list[float], false: list[float]) -> float:
    a, b = np.array(true)[:, None], np.array(false)
    return float((a > b).mean() + (a == b).mean() / 2)


def alike(lab: Any) -> dict[str, float]:
    """Of two objects of one name and one other, how many the name's box, or one of the candidates, is right of."""
    reached = {"box": 0, "candidates": 0}
    place: Callable[[Any], torch.Tensor] = lambda b: torch.tensor([b[0] + b[2] / 2, b[1] + b[3] / 2, b[2], b[3]])  # noqa: E731
    for i in range(SCENES // 4):
        other = next(c for c in range(i + 1, 100) if c not in lab.data.world.held_out_partners[i])
        scene = lab.scene(i, "validation", concepts=(i, i, other), phrases=False)
        name = scene.objects[0].name
        true = torch.stack([place((o.x, o.y, o.width, o.height)) for o in scene.objects if o.name == name])
        found = box_predictor(lab.model, lab.tokenizer, scene.image)(f"the {name}")
        for key, boxes in (("box", [found["box"]]), ("candidates", [c["box"] for c in found["candidates"]])):
            given = torch.stack([place(b) for b in boxes])
            iou = overlap(*torch.broadcast_tensors(given[:, None], true))[0]
            reached[key] += int((iou >= 0.5).any(0).sum())
    return {key: n / (SCENES // 4) for key, n in reached.items()}


if __name__ == "__main__":
    given = options(__doc__)
    lab = xfm.load("demo")
    world: Any = lab.data.sources[0]
    scenes = [world.scene("validation", i, seed=77) for i in range(SCENES)]
    table = {
        kind: [scores(lab, scene, phrase) for scene, phrase in pairs]
        for kind, pairs in asked(scenes, world.names, world.unseen_names).items()
    }
    columns = list(table[TRUE[0]][0])
    ours = {kind: np.array([row[columns[0]] for row in rows]) for kind, rows in table.items()}
    areas = {
        c: {f"{a} / {b}": round(auroc([r[c] for r in table[a]], [r[c] for r in table[b]]), 3) for a, b in AGAINST}
        for c in columns
    }
    likely = {kind: float((p >= LIKELY).mean()) for kind, p in ours.items()}
    unlikely = {kind: float((p < UNLIKELY).mean()) for kind, p in ours.items()}
    found = {"scenes": SCENES, "split": "validation", "auroc": areas, "likely": likely, "unlikely": unlikely}
    write(given, **found, **{"two alike, objects found": alike(lab)})

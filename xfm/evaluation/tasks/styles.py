"""Held-out styles: naming, retrieval and grounding of the same concepts, drawn by families that training did not show.

Does a model know what a lion looks like, or one drawing of it?
"""

from __future__ import annotations

import torch

from ...data.synthetic.styles import STYLES
from ..context import EvalContext
from ..result import Result
from . import grounding, naming, retrieval

__all__ = ["NEEDS", "SCENES", "score"]

NEEDS = ("objects", "boxes")
SCENES = 200  # of grounding, a style
Drawn = list[
    tuple[str, str, EvalContext]
]  # "trained style" or "held-out style", which, and the context of its pictures


def score(context: EvalContext) -> list[Result]:
    """Per style the accuracy of naming (not for unseen splits), R@1 of ITC among distinct pairs, and grounding at an IoU
    of 0.5: of styles that the model was trained on, as the reference, and of those held out.

    All of a scene is drawn in the one style. Baselines: chance, and the constant box that is best on training scenes.
    """
    trained = context.world.styles
    drawn = [
        ("trained style" if style in trained else "held-out style", style, context.with_data({"data.styles": style}))
        for style in STYLES
    ]
    named = [] if context.unseen else _naming(context, drawn)
    return [*named, *_retrieval(context, drawn), *_grounding(context, drawn)]


def _naming(context: EvalContext, drawn: Drawn) -> list[Result]:
    names = context.world.names
    return [
        context.result(
            f"naming ({kind})",
            style,
            "accuracy",
            naming.classify(own, "naming", names, naming.EACH),
            (1 / len(names), "chance"),
            1.0,
        )
        for kind, style, own in drawn
    ]


def _retrieval(context: EvalContext, drawn: Drawn) -> list[Result]:
    results = []
    for kind, style, own in drawn:
        pairs = retrieval.distinct_pairs(own.scene("retrieval", i) for i in range(retrieval.ATTEMPTS))
        by_itc = retrieval.similarities(own, pairs)
        results += [
            retrieval.recall(context, f"{direction} ({kind})", f"ITC, {style}", turn(by_itc), 1, 1.0)
            for direction, turn in retrieval.DIRECTIONS.items()
        ]
    return results


def _grounding(context: EvalContext, drawn: Drawn) -> list[Result]:
    train = context.scenes("grounding", SCENES, "train")
    constant = grounding.best_constant(torch.tensor([region.box for s in train for region in s.regions]))
    results = []
    for kind, style, own in drawn:
        _, owner, true, predicted = grounding.predict(own, own.scenes("grounding", SCENES))
        correct, level = (grounding.is_correct(grounding.box_iou(box, true)) for box in (predicted, constant))
        baseline = level.mean().item(), "best constant box"
        results.append(context.result(f"grounding ({kind})", style, "acc@0.5", correct, baseline, 1.0, owner))
    return results

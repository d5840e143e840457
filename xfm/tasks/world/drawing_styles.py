"""Held-out styles: naming, retrieval and grounding of the same concepts, by families that training did not show.

Does a model know what a lion looks like, or one drawing of it?
"""

from __future__ import annotations

from ...data.world.styles import STYLES
from ..context import EvalContext
from ..result import Result
from . import grounding, object_naming, retrieval

NEEDS = ("objects", "boxes")
SCENES = 200  # of grounding, a style
Drawn = list[tuple[str, str, EvalContext]]  # "trained style" or "held-out style"; its name; its data


def score(context: EvalContext) -> list[Result]:
    """Per style the accuracy of naming (not for unseen splits), R@1 of ITC among distinct pairs, and accuracy of
    grounding where the model has BBP: of styles that it was trained on, as the reference, and of those held out.

    All of a scene is drawn in the one style. Baselines: chance, and the box of any object of the picture, which takes
    knowing where things are and not what they are.
    """
    trained = context.world.styles
    styled = [
        ("trained style" if style in trained else "held-out style", style, context.with_data({"data.styles": style}))
        for style in STYLES
    ]
    named = [] if context.unseen else _naming(context, styled)
    grounded = _grounding(context, styled) if "bbp" in context.model.objectives else []
    return [*named, *_retrieval(context, styled), *grounded]


def _naming(context: EvalContext, styled: Drawn) -> list[Result]:
    names = context.world.names
    return [
        context.result(f"{kind}: naming", style, "accuracy", correct, (1 / len(names), "chance"), 1.0)
        for kind, style, data in styled
        for correct in [object_naming.classify(data, "naming", names, object_naming.EACH)]
    ]


def _retrieval(context: EvalContext, styled: Drawn) -> list[Result]:
    results = []
    for kind, style, data in styled:
        pairs = retrieval.distinct_pairs(data.scene("retrieval", i) for i in range(retrieval.ATTEMPTS))
        by_itc = retrieval.similarities(data, pairs)
        results += [
            retrieval.recall(context, f"{kind}: {direction}", f"ITC, {style}", turn(by_itc), 1, 1.0)
            for direction, turn in retrieval.DIRECTIONS.items()
        ]
    return results


def _grounding(context: EvalContext, styled: Drawn) -> list[Result]:
    results = []
    for kind, style, data in styled:
        _, owner, true, predicted = grounding.predict(data, data.scenes("grounding", SCENES))
        correct = grounding.is_correct(grounding.box_iou(predicted, true))
        guess = grounding.any_object_box(owner, true).mean().item(), "any object's box"
        results.append(context.result(f"{kind}: grounding", style, "acc@0.5", correct, guess, 1.0, owner))
    return results

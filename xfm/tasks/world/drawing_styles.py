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
    names, named, retrieved, grounded = context.world.names, list[Result](), list[Result](), list[Result]()
    for kind, style, data in styled:
        if not context.unseen:
            correct, chance = object_naming.classify(data, "naming", names, object_naming.EACH), 1 / len(names)
            named.append(context.result(f"{kind}: naming", style, "accuracy", correct, (chance, "chance"), 1.0))
        pairs = retrieval.distinct_pairs(data.scene("retrieval", i) for i in range(retrieval.ATTEMPTS))
        by_itc = retrieval.similarities(data, pairs)
        retrieved += [
            retrieval.recall(context, f"{kind}: {direction}", f"ITC, {style}", turn(by_itc), 1, 1.0)
            for direction, turn in retrieval.DIRECTIONS.items()
        ]
        if "bbp" in context.model.objectives:
            _, owner, true, predicted = grounding.predict(data, data.scenes("grounding", SCENES))
            correct = grounding.is_correct(grounding.box_iou(predicted, true))
            guess = grounding.any_object_box(owner, true).mean().item(), "any object's box"
            grounded.append(context.result(f"{kind}: grounding", style, "acc@0.5", correct, guess, 1.0, owner))
    return [*named, *retrieved, *grounded]

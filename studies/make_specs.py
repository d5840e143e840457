"""Writes the specs of the studies in the regime `study`: explorations, on the validation split, and what confirms, once
they have shown what each model learns, and how much it varies.

    python studies/make_specs.py

`general` (confirms): X-FM against specialists of as many parameters and as many FLOPs, in language, vision, and both.
`guidance` (confirms): what masked patches predict, each target at the weight with the highest mean of k-NN and linear
probe of concepts in guidance-exploration (seeds 0 and 1), and none.
`mends` (confirms): PCGrad, distillation and SGD in the stop's place, and beside it.
`elsewhere` (confirms): stops before the vision encoder, before ITC and in the lower half, and three ways without one.
`negatives` (confirms): ITM with exchanged relations among its negatives.
`insulation` (confirms): the stop-gradient against other ways to spend the same gradient, or the same steps.
`insulation-exploration`: X-FM with and without the stop-gradient. `mends-exploration`: further ways to do without it,
or to stop more, each at several strengths where it has one; `mends-strengths`: what is taken further of them, at more
seeds. `attention`: the function of the cross-attention, by where
it looks and by tasks. `negatives-exploration`: ITM with captions of which a relation was exchanged among its negatives.
`guidance-exploration`: what masked patches predict, on one scale, each target at three weights. `varies`: one source of
randomness varied at a time.
`general-exploration`: X-FM against specialists of as many parameters and as many FLOPs. X-FM's budget is its language
encoder's warm start and its joint training, counted from its config; a specialist spends all of it on its own losses.
What is counted is a step's products, forward and backward (torch's FlopCounterMode).
"""

from __future__ import annotations

import json
from itertools import product
from typing import Any, get_args

from confirm import LOSS, SEEN, elsewhere, general, guidance, insulation, mends, negatives
from regime import EVALUATED, FOUND, HERE, NEIGHBOURS, RECIPE, guided, models

from xfm import recipes
from xfm.base.files import write_atomically
from xfm.config import SOURCES, AttentionFunction
from xfm.study import Study

TUNED = ["lexname", "synset", "hypernym", "concept", "subcategory", "fine", "grounding", "vqa"]
STEPS = ("train.steps", "train.validate_every")
# of clip_like when it was explored, 5 % more than now: the products of SDPA's fused kernel were not counted then
UNCOUNTED = 2486
SEEDS = (1, 0, 2, 3, 4)
TARGETS = ("self", "clip", "stage1", "ema", "data2vec", "ibot", "pixels")  # of guidance, on one scale
WEIGHTS = (0.3, 1.0, 3.0)  # of MIM: predicting nothing costs 1, whatever the target
EARLY = ("self", "clip", "stage1", "pixels")  # also with MIM from the first step on, where the recipe's begins half-way


def targets() -> dict[str, dict[str, Any]]:
    """Label -> changes: X-FM as it is, without MIM, some targets from the first step on, and each target at three
    weights of its loss."""
    arms = {"xfm": {}, "none": recipes.ablations()["no_mim"]}
    for target in EARLY:
        arms |= guided(target, 1.0, 0.0)
    for target, weight in product(TARGETS, WEIGHTS):
        arms |= guided(target, weight)
    return arms


def ways() -> dict[str, dict[str, Any]]:
    """Label -> changes: the stop lifted and its gradient treated, or its harm held by the optimizer, by a penalty or by
    the warm start's answers; the same optimizer, and the same slower rate, with the stop and without; and stops
    elsewhere."""
    known = recipes.ablations()
    no_stop = known["no_stop_gradient"]
    treated = {"PCGrad": "pcgrad", "GradVac": "gradvac", "masked": "masked", "lower half stopped": "lower_stop"}
    strengths = {
        "L2-SP": ("flow.l2sp", (0.003, 0.03, 0.3)),
        "distilled": ("flow.mlm_distillation", (0.3, 1.0, 3.0)),
        "SGD": ("train.text_sgd_lr", (0.03, 0.1, 0.3)),
    }
    return {
        "xfm": {},
        "no stop": no_stop,
        **{label: known[f"gradient_{how}"] for label, how in treated.items()},
        **{f"no stop, {kind} {x:g}": no_stop | {f: x} for kind, (f, values) in strengths.items() for x in values},
        **{f"SGD {x:g}": {"train.text_sgd_lr": x} for x in strengths["SGD"][1]},
        "no stop, text rate x .3": no_stop | known["text_slow"],
        "text rate x .3": known["text_slow"],
        "vision stopped": known["vision_stop"],
        "ITC stopped": known["itc_stop"],
    }


def strengths() -> dict[str, dict[str, Any]]:
    """Label -> changes: what kept the loss low at the one seed of mends-exploration, distillation also stronger, each
    without the stop and with it; and PCGrad, which did not."""
    known = recipes.ablations()
    no_stop = known["no_stop_gradient"]
    held = {f"distilled {x:g}": {"flow.mlm_distillation": x} for x in (3.0, 10.0)} | {
        "SGD 0.1": {"train.text_sgd_lr": 0.1}
    }
    return {
        "xfm": {},
        "no stop": no_stop,
        "PCGrad": known["gradient_pcgrad"],
        **{f"no stop, {label}": no_stop | changes for label, changes in held.items()},
        **held,
    }


def explorations() -> list[Study]:
    about: Any = {"root": HERE, "split": "validation"}
    return [
        Study(
            "insulation-exploration",
            RECIPE,
            {"xfm": {}, "no_stop": recipes.ablations()["no_stop_gradient"]},
            SEEDS,
            tasks=EVALUATED,
            question="What is learnt with and without the stop-gradient, and how much does the difference vary?",
            **about,
        ),
        Study(
            "mends-exploration",
            RECIPE,
            ways(),
            SEEDS,
            tasks=EVALUATED,
            question="What keeps the language encoder's loss low without a stop: gradients that are projected, turned, "
            "masked or stopped in the lower layers alone, a pull to the warm start, its answers, or an optimizer in "
            "which a small gradient is a small step; at which strength? Does a slower language encoder leave anything "
            "for a stop to do? And what do stops elsewhere do?",
            **about,
        ),
        Study(
            "mends-strengths",
            RECIPE,
            strengths(),
            (1, 0, 2),
            [LOSS, FOUND, SEEN],
            tasks=EVALUATED,
            question="How much of what mends-exploration found at one seed comes back at two more? Does more "
            "distillation do more? And what does a stop add to it, or to SGD?",
            **about,
        ),
        Study(
            "attention",
            RECIPE,
            {name: "xfm" if name == "scaled_dot" else name for name in get_args(AttentionFunction)},
            range(3),
            ["alignment (several objects), words, pointing game"],
            tasks=["retrieval", "matching", "grounding", "alignment"],
            question="By which function should words attend to a picture: does the attention of some lie on what the "
            "words name more than that of others, and what does the model learn with it?",
            **about,
        ),
        Study(
            "negatives-exploration",
            RECIPE,
            {"xfm": {}, "half": {"data.relation_negatives": 0.5}, "all": {"data.relation_negatives": 1.0}},
            SEEDS,
            tasks=EVALUATED,
            question="Does ITM tell true relations from exchanged ones where training shows it some, and what else "
            "changes?",
            **about,
        ),
        Study(
            "guidance-exploration",
            RECIPE,
            targets(),
            SEEDS,
            [NEIGHBOURS, FOUND],
            tasks=EVALUATED,
            question="What should masked patches predict: the outputs of the encoder that the other losses shape "
            "(X-FM), of one that others shaped, alone or beside texts, of its own average, or pixels; at which weight "
            "of the loss; and is any of it better than nothing?",
            **about,
        ),
        Study(
            "varies",
            RECIPE,
            {"xfm": {}, **{f"{one} alone": recipes.ablations()[f"vary_{one}"] for one in SOURCES if one != "rest"}},
            range(10),
            tasks=EVALUATED,
            question="Which source of randomness do results vary by: the warm start, the initial weights, the data and "
            "their order, the masks, or ITM's negatives? In `xfm` all do; in the others one does, and the rest, with "
            "what is held out, is that of one seed.",
            **about,
        ),
        Study(
            "general-exploration",
            RECIPE,
            models() | {"clip_like": models()["clip_like"] | dict.fromkeys(STEPS, UNCOUNTED)},
            SEEDS,
            tasks=[*EVALUATED, *(f"finetune:{task}" for task in TUNED)],
            question="What do X-FM and the specialists learn at this size, each on its own field, and how much does "
            "it vary?",
            **about,
        ),
    ]


if __name__ == "__main__":
    for study in (*explorations(), general(), insulation(), negatives(), guidance(), mends(), elsewhere()):
        study.folder.mkdir(exist_ok=True)
        write_atomically(study.folder / "spec.json", study.spec.to_json())
        print(study.spec.name, json.dumps(study.spec.variants, indent=1))

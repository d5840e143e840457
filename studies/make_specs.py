"""Writes the specs of the studies in the regime `study`: explorations, on the validation split, and what confirms, once
they have shown what each model learns, and how much it varies.

    python studies/make_specs.py

`general` (confirms): X-FM against specialists of as many parameters and as many FLOPs, in language, vision, and both.
`guidance` (confirms): what masked patches predict, each target at the weight with the highest mean of k-NN and linear
probe of concepts in guidance-exploration (seeds 0 and 1), and none.
`negatives` (confirms): ITM with exchanged relations among its negatives.
`insulation` (confirms): the stop-gradient against other ways to spend the same gradient, or the same steps.
`insulation-exploration`: X-FM with and without the stop-gradient. `mends-exploration`: further ways to do without it,
or to stop more, each at several strengths where it has one. `attention`: the function of the cross-attention, by where
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
from pathlib import Path
from typing import Any, get_args

from xfm import prior_runs, recipes
from xfm.config import SOURCES, AttentionFunction
from xfm.files import write_atomically
from xfm.specialists import SPECIALISTS
from xfm.study import Study
from xfm.train.estimate import estimate

HERE = Path(__file__).parent
RECIPE = "study"
ALONE = {"bert_like": {"data.texts": 64}, "beit_like": {"data.images": 64}, "clip_like": {}}  # all without a warm start
EVALUATED = [
    *("mlm", "lexnames", "pairs", "minimal_pairs"),
    "recognition",
    *("naming", "matching", "retrieval", "grounding"),
]
TUNED = ["lexname", "synset", "hypernym", "concept", "subcategory", "fine", "grounding", "vqa"]
STEPS = ("train.steps", "train.validate_every")
# of clip_like when it was explored, 5 % more than now: the products of SDPA's fused kernel were not counted then
UNCOUNTED = 2486
CONFIRMED = ["lexname", "synset", "concept", "subcategory", "vqa"]  # of them, so that it fits into half a day of a core
SEEDS = (1, 0, 2, 3, 4)
FRESH = range(100, 112)  # of all that confirms in this regime: they share warm starts and reference runs
LOSS, SEEN, FOUND = (
    "language, loss (nats)",
    "concept, pooled, linear probe, accuracy",
    "grounding (several objects), acc@0.5",
)
NEIGHBOURS = "concept, pooled, k-NN, accuracy"
RANKED = "image to text, ITM re-ranked, R@1"
SYNSET, CONCEPT, RECALL = "same synset, accuracy", "concept of a picture, accuracy", "image to text, ITC, R@1"
TARGETS = ("self", "clip", "stage1", "ema", "data2vec", "ibot", "pixels")  # of guidance, on one scale
WEIGHTS = (0.3, 1.0, 3.0)  # of MIM: predicting nothing costs 1, whatever the target
BEST = {"self": 1.0, "clip": 0.3, "stage1": 1.0, "ema": 0.3, "data2vec": 0.3, "ibot": 1.0, "pixels": 0.3}
EARLY = ("self", "clip", "stage1", "pixels")  # also with MIM from the first step on, where the recipe's begins half-way
GAP = 0.057  # nats, of the loss: no stop - stop in insulation-exploration; a fifth of it is as good as none


def models() -> dict[str, dict[str, Any]]:
    """Label -> changes of X-FM and the specialists, their steps among them."""
    common = recipes.get(RECIPE)
    budget = sum(estimate(config).run_flops for config in (prior_runs.stage1(common), common))
    found: dict[str, dict[str, Any]] = {"xfm": {}, "fused": {"specialist": "fused"}}
    for name, changes in ALONE.items():
        alone = {"init_from": "", **changes}
        steps = round(budget / estimate(SPECIALISTS[name](common).replace(alone)).step_flops)
        found[name] = {"specialist": name, **alone, "train.steps": steps, "train.validate_every": steps}
    return found


def general() -> Study:
    return Study(
        "general",
        RECIPE,
        models(),
        FRESH,
        [SYNSET, CONCEPT, RECALL],
        {"train.probe_every": 200},
        [*EVALUATED, *(f"finetune:{task}" for task in CONFIRMED)],
        confirmatory=True,
        explored=["general-exploration"],
        root=HERE,
        margins={SYNSET: 0.02, CONCEPT: 0.03, RECALL: 0.03},
        detectable={SYNSET: 0.04, CONCEPT: 0.04, RECALL: 0.02},
        admission={SYNSET: "bert_like", CONCEPT: "beit_like"},  # clip_like has as many steps as are equal only here
        question="Can one model do at this size what specialists of as many parameters do with as much computing, each "
        "on its own field; and what do its two techniques buy beside the same losses without them?",
        hypotheses=(
            "H1: on pairs of definitions X-FM is as good as a language encoder alone, within the margin (TOST).",
            "H2: on concepts of pictures X-FM is better than a vision encoder alone, and worse than a dual encoder.",
            "H3: in retrieval X-FM is worse than a dual encoder.",
            "H4: beside the same losses without stop-gradient and guidance, X-FM is as good on all three (TOST).",
        ),
        would_change="One model does all three if H1 holds and H2's and H3's losses to the dual encoder stay within "
        "the margins. The techniques buy something at this size if X-FM is better than `fused` on any of the three.",
    )


def insulation() -> Study:
    known = recipes.ablations()
    no_stop = known["no_stop_gradient"]
    arms = {
        "xfm": {},
        "no stop": no_stop,
        "no stop, MLM x 2": no_stop | known["mlm_x2"],
        "no stop, MLM x 4": no_stop | known["mlm_x4"],
        "noise": known["gradient_noise"],
        "shuffled pairs": known["gradient_shuffled"],
        "no stop, text rate x .3": no_stop | known["text_slow"],
        "text frozen": known["text_frozen"],
        "text only": known["text_only"],
    }
    return Study(
        "insulation",
        RECIPE,
        arms,
        FRESH,
        [LOSS, FOUND, SEEN],
        {"train.probe_every": 200},
        EVALUATED,
        confirmatory=True,
        explored=["insulation-exploration"],
        root=HERE,
        gatekeeping=True,
        margins={LOSS: round(GAP / 5, 4)},
        detectable={LOSS: round(GAP / 5, 4), FOUND: 0.05, SEEN: 0.03},
        question="Why does the stop-gradient keep the language encoder's loss low, if it does: because the fusion "
        "losses' gradient conflicts with MLM's, or because any further gradient takes a share of what the optimizer "
        "can move? Noise of the same size, and the gradient of shuffled pairs, take the share, not the content; more "
        "weight for MLM, or a slower language encoder, gives it back without a stop.",
        hypotheses=(
            "H1: without the stop the language encoder's loss is higher.",
            "H2: MLM at twice or four times its weight closes at least four fifths of that gap without a stop: the "
            "loss is equivalent to X-FM's within the margin (TOST).",
            "H3: X-FM is on the Pareto front of the three primary metrics.",
        ),
        would_change="Insulation is about conflict if shuffled pairs and noise do less harm than the true gradient, "
        "and about the optimizer's budget if they do as much, or if H2 holds. If H1 fails, the stop does not do what "
        "it is for, at this size; if H3 fails, something else does it better.",
    )


def negatives() -> Study:
    return Study(
        "negatives",
        RECIPE,
        {"xfm": {}, "all": {"data.relation_negatives": 1.0}},
        FRESH,
        [RANKED],
        {"train.probe_every": 200},
        ["mlm", "naming", "matching", "retrieval", "grounding"],
        confirmatory=True,
        explored=["insulation-exploration", "negatives-exploration"],
        root=HERE,
        detectable={RANKED: 0.04},
        question="Do fused states have a relation that ITM does not read, in every seed; and does ITM learn to read it "
        "where each of its negative texts that states a relation has it exchanged? What does that cost?",
        hypotheses=(
            "H1: with exchanged relations ITM still ranks the true caption first as often as a coin: over the seeds, "
            "the 95 % interval of the mean is within 3 points of 50 % (600 questions a run, make_relations.py).",
            "H2: in both, a linear head trained anew on the mean of the fused tokens finds the true caption more often "
            "than one on <s> (the same questions, paired by seed).",
            "H3: captions are ranked worse by ITM with such negatives.",
        ),
        would_change="If H1 fails upwards, ITM's negatives are why relations are not read, and the read-out can be "
        "taught. If H2 fails, the checkpoint's mean of the fused tokens was one seed's, and relations are lost before.",
    )


def guided(target: str, weight: float, start: float | None = None) -> dict[str, dict[str, Any]]:
    """Label -> changes: a target of MIM on the one scale, at a weight of its loss, from a share of the steps on."""
    begins = {} if start is None else {"objectives.mim.start": start}
    label = f"{target} x {weight:g}" + (", early" if begins else "")
    return {label: recipes.ablations()[f"guide_{target}"] | {"objectives.mim.weight": weight} | begins}


def targets() -> dict[str, dict[str, Any]]:
    """Label -> changes: X-FM as it is, without MIM, some targets from the first step on, and each target at three
    weights of its loss."""
    arms = {"xfm": {}, "none": recipes.ablations()["no_mim"]}
    for target in EARLY:
        arms |= guided(target, 1.0, 0.0)
    for target, weight in product(TARGETS, WEIGHTS):
        arms |= guided(target, weight)
    return arms


def guidance() -> Study:
    arms = {"xfm": {}, "none": recipes.ablations()["no_mim"]}
    for target, weight in BEST.items():
        arms |= guided(target, weight)
    return Study(
        "guidance",
        RECIPE,
        arms | guided("self", BEST["self"], 0.0),
        FRESH,
        [NEIGHBOURS, FOUND],
        {"train.probe_every": 200},
        EVALUATED,
        confirmatory=True,
        explored=["insulation-exploration", "guidance-exploration"],
        root=HERE,
        margins={NEIGHBOURS: 0.02, FOUND: 0.015},
        detectable={NEIGHBOURS: 0.025, FOUND: 0.015},
        question="What should masked patches predict, if anything: the outputs of the encoder that the other losses "
        "shape (X-FM), of one that others shaped, alone or beside texts, of its own average, or pixels? Each target at "
        "the weight that did best in exploration, on one scale; X-FM's own also as the recipe has it, and from the "
        "first step on.",
        hypotheses=(
            "H1: without MIM fewer pictures have their concept among their neighbours (k-NN).",
            "H2: its own average (EMA), and its own outputs on the one scale, do as well as X-FM there, within the "
            "margin (TOST): neither the scale nor the step that outputs are of matters.",
            "H3: every target that the other losses do not shape along with the student (CLIP-like, stage 1, pixels) "
            "does worse there than X-FM.",
            "H4: from half-way on no target, and none, finds fewer or more boxes than X-FM, within the margin (TOST).",
            "H5: from the first step on, its own outputs cost X-FM neighbours and boxes.",
        ),
        would_change="Guidance helps pictures here if H1 holds. It helps by what is predicted if H3 holds too, and by "
        "being one more loss on pictures if the frozen targets do as well. X-FM had 2.0, 2.2 and -1.0 points more than "
        "no MIM at three exploration seeds: if H1 fails, guidance buys less here than twelve seeds can tell. If H5 "
        "fails, half of the steps without MIM are no mend, and the recipe should drop them.",
    )


def mends() -> dict[str, dict[str, Any]]:
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
            mends(),
            SEEDS,
            tasks=EVALUATED,
            question="What keeps the language encoder's loss low without a stop: gradients that are projected, turned, "
            "masked or stopped in the lower layers alone, a pull to the warm start, its answers, or an optimizer in "
            "which a small gradient is a small step; at which strength? Does a slower language encoder leave anything "
            "for a stop to do? And what do stops elsewhere do?",
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
    for study in (*explorations(), general(), insulation(), negatives(), guidance()):
        study.folder.mkdir(exist_ok=True)
        write_atomically(study.folder / "spec.json", study.spec.to_json())
        print(study.spec.name, json.dumps(study.spec.variants, indent=1))

"""What confirms, once explorations have shown what each model learns, and how much it varies."""

from __future__ import annotations

from regime import EVALUATED, FOUND, HERE, NEIGHBOURS, RECIPE, guided, models

from xfm import recipes
from xfm.study import Study

CONFIRMED = ["lexname", "synset", "concept", "subcategory", "vqa"]  # of them, so that it fits into half a day of a core
FRESH = range(100, 112)  # of all that confirms in this regime: they share warm starts and reference runs
LOSS, SEEN = "language, loss (nats)", "concept, pooled, linear probe, accuracy"
RANKED = "image to text, ITM re-ranked, R@1"
SYNSET, CONCEPT, RECALL = "same synset, accuracy", "concept of a picture, accuracy", "image to text, ITC, R@1"
BEST = {"self": 1.0, "clip": 0.3, "stage1": 1.0, "ema": 0.3, "data2vec": 0.3, "ibot": 1.0, "pixels": 0.3}
GAP = 0.057  # nats, of the loss: no stop - stop in insulation-exploration; a fifth of it is as good as none


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


def mends() -> Study:
    known = recipes.ablations()
    no_stop = known["no_stop_gradient"]
    held = {"distilled 10": {"flow.mlm_distillation": 10.0}, "SGD 0.1": {"train.text_sgd_lr": 0.1}}
    return Study(
        "mends",
        RECIPE,
        {
            "xfm": {},
            "no stop": no_stop,
            "PCGrad": known["gradient_pcgrad"],
            **{f"no stop, {label}": no_stop | changes for label, changes in held.items()},
            **held,
        },
        FRESH,
        [LOSS, FOUND, SEEN],
        {"train.probe_every": 200},
        EVALUATED,
        confirmatory=True,
        explored=["insulation-exploration", "mends-strengths"],
        root=HERE,
        gatekeeping=True,
        margins={LOSS: round(GAP / 5, 4), FOUND: 0.02},
        detectable={LOSS: round(GAP / 5, 4), FOUND: 0.04, SEEN: 0.03},
        question="What keeps the language encoder's loss low where the fusion losses' gradient is let in: a gradient "
        "that is cleared of what conflicts with the others (PCGrad), an optimizer in which a small gradient is a small "
        "step (SGD), or predictions that are held to those of the warm start (distillation, at ten times MLM's "
        "weight)? And what does a stop then still do?",
        hypotheses=(
            "H1: PCGrad does nothing for that loss: it is equivalent to that of no stop within the margin (TOST).",
            "H2: held to the warm start's predictions, without a stop, the loss is lower than X-FM's, and no fewer "
            "boxes are found: the lower end of the 95 % interval is above -2 points.",
            "H3: so held, the stop does less: what it takes off the loss is less than half of what it takes off "
            "without (the upper end of the ratio's 95 % interval, Fieller's).",
            "H4: with SGD the stop does as much: at least four fifths of that (the lower end).",
        ),
        would_change="If H1 and H2 hold, what harms the language encoder is neither a conflict that a projection would "
        "take away nor the gradient's coming in, but a drift that a hold on what was learnt prevents, and the stop is "
        "one way among others, dearer in boxes where these are more. If H1 fails, it is a conflict in part. If H2 "
        "fails, the stop has no better here. If H3 fails, the stop does something that the hold does not. If H4 fails, "
        "the harm is in part how AdamW scales a small gradient; if it holds, it is not.",
    )


def elsewhere() -> Study:
    known = recipes.ablations()
    no_stop = known["no_stop_gradient"]
    return Study(
        "elsewhere",
        RECIPE,
        {
            "xfm": {},
            "no stop": no_stop,
            "no stop, L2-SP 0.03": no_stop | {"flow.l2sp": 0.03},
            "vision stopped": known["vision_stop"],
            "lower half stopped": known["gradient_lower_stop"],
            "ITC stopped": known["itc_stop"],
            "masked": known["gradient_masked"],
            "GradVac": known["gradient_gradvac"],
        },
        FRESH,
        [LOSS, FOUND, SEEN],
        {"train.probe_every": 200},
        EVALUATED,
        confirmatory=True,
        explored=["insulation-exploration", "mends-exploration", "mends-strengths"],
        root=HERE,
        margins={LOSS: round(GAP / 5, 4), FOUND: 0.02},
        detectable={LOSS: round(GAP / 5, 4), FOUND: 0.06, SEEN: 0.04},
        question="Do the fusion losses harm the vision encoder, too, where no stop protects it, and does ITC harm the "
        "language encoder? And what is left of the stop's effect where the lower half of the layers alone has one, or "
        "where the gradient comes in and the weights are pulled to the warm start's (L2-SP), each number is trained by "
        "MLM or by the fusion losses alone (a mask), or their gradients are turned to agree as usual (GradVac)?",
        hypotheses=(
            "H1: with its weights pulled to the warm start's, without a stop, the language encoder's loss is lower "
            "than X-FM's, and no fewer boxes are found: the lower end of the 95 % interval is above -2 points.",
            "H2: neither the mask nor GradVac does anything for that loss: each is equivalent to no stop within the "
            "margin (TOST).",
            "H3: a stop in the lower half does a part of what the whole one does for that loss: the 95 % interval of "
            "the share of the gap that it closes (Fieller's) lies between 0 and 1.",
            "H4: what ITC costs the language encoder buys boxes: with ITC stopped, too, its loss is lower, and fewer "
            "boxes are found.",
            "H5: the fusion losses cost the vision encoder concepts and give it boxes: with a stop before it a linear "
            "probe tells more concepts, and fewer boxes are found.",
        ),
        would_change="If H5 holds, the harm and the use of fusion are the same on both sides, and X-FM's stop protects "
        "one of two. If H5 fails by its concepts, pictures have nothing to be protected from; if by its boxes, the "
        "vision encoder needs no fusion loss here. If H1 holds, a pull on the weights is one more way to that loss; if "
        "it fails, the weights are the wrong thing to hold. If H2 fails, the harm is in part a conflict within a step "
        "that a projection does not see. If H3 fails upwards, the lower half is all that needs a stop; downwards, the "
        "upper. If H4 fails by its loss, what is left of the harm is not ITC's.",
    )

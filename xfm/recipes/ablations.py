"""Ablations, interventions and levels: the changes of fields that `+` adds to a recipe.

recipes.get("demo+no_stop_gradient+hard")
"""

from __future__ import annotations

from typing import Any, get_args

from ..config import SOURCES, FusionGradient

FIXED = 1000  # a seed that no study has: of the sources that a variant does not vary


def ablations() -> dict[str, dict[str, Any]]:
    """Ablation -> all fields that it changes, with their values; one `no_<loss>` for each loss of `OBJECTIVES`."""
    from ..objectives.registry import OBJECTIVES  # brings torch, which `xfm pretrain --help` does without

    no_stop = {
        f"flow.text_gradient.{o}": 1.0 for o, loss in OBJECTIVES.items() if loss.crosses() and loss.text_gradient < 1
    }
    no_guidance = {"flow.mim_target": "frozen"}

    def instead(how: str) -> dict[str, Any]:  # of the stop: docs/interventions.md
        return no_stop | {"flow.fusion_gradient": how}

    def guided(target: str) -> dict[str, Any]:  # on one scale
        return {"flow.mim_target": target, "flow.standardise_target": True}

    return {
        "no_stop_gradient": no_stop,
        "no_guidance": no_guidance,
        "neither": no_stop | no_guidance,
        "pixels": {"flow.mim_target": "pixels"},
        **{f"no_{o}": {f"objectives.{o}.weight": 0.0} for o in OBJECTIVES},
        "text_only": {"data.pairs": 0, "data.regions": 0, "data.images": 0},
        "image_only": {"data.pairs": 0, "data.regions": 0, "data.texts": 0, "objectives.mim.start": 0.0},
        "pairs_only": {"data.regions": 0, "data.images": 0, "data.texts": 0},
        **{name: {"model.cross_attention": name} for name in ("dot", "general", "additive", "cosine")},
        **{f"gradient_{how}": instead(how) for how in get_args(FusionGradient) if how != "plain"},
        "itc_stop": {"flow.text_gradient.itc": 0.0},
        "vision_stop": {"flow.image_gradient": 0.0},
        "mlm_x2": {"objectives.mlm.weight": 2.0},
        "mlm_x4": {"objectives.mlm.weight": 4.0},
        "text_slow": {"train.text_lr_scale": 0.3},
        "text_frozen": {"train.text_lr_scale": 0.0},
        "text_layer_decay": {"train.text_layer_decay": 0.7},
        "text_sgd": {"train.text_sgd_lr": 0.1},
        "adamw": {"train.muon_lr": 0.0},  # the paper's optimizer, alone
        "l2sp": {"flow.l2sp": 0.01},
        "ewc": {"flow.ewc": 1.0},
        "mlm_distilled": {"flow.mlm_distillation": 1.0},
        **{f"guide_{t}": guided(t) for t in ("self", "frozen", "ema", "data2vec", "ibot", "pixels")},
        "guide_clip": guided("teacher") | {"flow.teacher": "+clip_like"},
        "guide_stage1": guided("teacher") | {"flow.teacher": "+image_only+images_64"},
        "images_64": {"data.images": 64},
        **{f"vary_{one}": {f"seed_of.{source}": FIXED for source in SOURCES if source != one} for one in SOURCES},
        "stage1": {"init_from": "stage1"},  # no ablation: the paper's warm start, which `no_guidance` needs
        "text_stage1": {"init_from": "stage1:text"},
    }


LEVELS: dict[str, dict[str, Any]] = {  # harder pictures, richer captions, more of the world
    "rotated": {"data.scenes.rotation": 30.0},
    "alike": {"data.scenes.alike": 0.7},
    "cluttered": {"data.scenes.clutter": 12},
    "occluded": {"data.scenes.overlap": 0.3},
    "rich": {"data.captions.colours": 0.3, "data.captions.negation": 0.15, "data.captions.paraphrase": 0.5},
    "full_world": {"data.concepts": 803},
}
LEVELS["hard"] = {f: v for level in ("rotated", "alike", "cluttered", "occluded") for f, v in LEVELS[level].items()}


def changes() -> dict[str, dict[str, Any]]:
    """All changes that `+` composes: ablations and levels."""
    return ablations() | LEVELS

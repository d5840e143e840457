"""Looking inside a model: traces, attributions and their faithfulness, interventions.

    from xfm import explain
    inputs = explain.make_inputs(model, tokenizer, image, text, target="itm")
    attribution = explain.attribute(inputs, "integrated gradients")

Names are loaded when they are first used: `from xfm import explain` loads no captum.
"""

# ruff: noqa: F401

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers: the same names as below
    from . import head_stats
    from .attention_capture import Captured, attentions, capture
    from .attribution import METHODS, Attribution, Method, attribute
    from .box_prediction import box_predictor, phrase_boxes
    from .faithfulness import (
        BASELINES,
        Curve,
        FaithfulnessReport,
        faithfulness_report,
        perturbation_curves,
        truth_scores,
    )
    from .inputs import AttributionInputs, make_inputs, scene_inputs
    from .interventions import (
        HeadImportance,
        ablate_heads,
        head_importance,
        objective_effects,
        pruning_curve,
        removal_effects,
    )
    from .leaderboards import Leaderboard, leaderboard, leaderboard_scenes
    from .masked_prediction import masked_predictor
    from .methods.attention_methods import bimodal_rollout
    from .patching import PatchingEffect, activation_patching
    from .randomisation import RankCorrelation, randomise_weights, randomised_copy
    from .scores import SCORES
    from .targets import ITC, ITM, Target, box_target, word_target
    from .token_axes import PatchAxis, TokenAxis
    from .tracing import AttentionMap, Trace, capture_attention, trace

_MODULES = {  # module -> its public names; a module without names is public itself
    "attention_capture": ("Captured", "attentions", "capture"),
    "attribution": ("METHODS", "Attribution", "Method", "attribute"),
    "box_prediction": ("box_predictor", "phrase_boxes"),
    "faithfulness": ("BASELINES", "Curve", "FaithfulnessReport", "faithfulness_report", "perturbation_curves",
                     "truth_scores"),
    "head_stats": (),
    "inputs": ("AttributionInputs", "make_inputs", "scene_inputs"),
    "interventions": ("HeadImportance", "ablate_heads", "head_importance", "objective_effects", "pruning_curve",
                      "removal_effects"),
    "leaderboards": ("Leaderboard", "leaderboard", "leaderboard_scenes"),
    "masked_prediction": ("masked_predictor",),
    "methods.attention_methods": ("bimodal_rollout",),
    "patching": ("PatchingEffect", "activation_patching"),
    "randomisation": ("RankCorrelation", "randomise_weights", "randomised_copy"),
    "scores": ("SCORES",),
    "targets": ("ITC", "ITM", "Target", "box_target", "word_target"),
    "token_axes": ("PatchAxis", "TokenAxis"),
    "tracing": ("AttentionMap", "Trace", "capture_attention", "trace"),
}  # fmt: skip
_HOME = {name: module for module, names in _MODULES.items() for name in names or (module,)}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    module = import_module(f".{_HOME[name]}", __name__)
    globals()[name] = value = module if name == _HOME[name] else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return __all__

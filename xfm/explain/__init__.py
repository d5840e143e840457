"""Looking inside a model: traces, attributions and their faithfulness, interventions.

    from xfm import explain
    trace = explain.trace(model, tokenizer, image, text, target="itm")
    attribution = explain.attribute(explain.make_inputs(model, tokenizer, image, text), "integrated gradients")

Names are imported when they are first used: `from xfm import explain` loads no captum.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {  # module -> its public names; a module without names is public itself
    "attention_capture": ("Captured", "attentions", "capture"),
    "attribution": ("METHODS", "Attribution", "Method", "attribute"),
    "box_prediction": ("box_predictor", "phrase_boxes"),
    "faithfulness": ("Curve", "FaithfulnessReport", "faithfulness_report", "perturbation_curves", "truth_scores"),
    "head_stats": (),
    "inputs": ("AttributionInputs", "make_inputs", "scene_inputs"),
    "interventions": ("HeadImportance", "ablate_heads", "head_importance", "objective_effects", "removal_effects"),
    "leaderboards": ("Leaderboard", "leaderboard", "leaderboard_scenes"),
    "masked_prediction": ("masked_predictor",),
    "methods.attention_methods": ("bimodal_rollout",),
    "patching": ("PatchingEffect", "activation_patching"),
    "randomisation": ("RankCorrelation", "randomise_weights", "randomised_copy"),
    "scores": ("SCORES",),
    "targets": ("ITC", "ITM", "Target", "box_target", "word_target"),
    "token_axes": ("PatchAxis", "TokenAxis"),
    "tracing": ("AttentionMap", "Trace", "capture_attention", "trace"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names or (module,)}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    module = import_module(f".{_HOME[name]}", __name__)
    value = module if name == _HOME[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

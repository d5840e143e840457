"""Looking inside a model: traces, attributions and their faithfulness, interventions.

    from xfm import explain
    inputs = explain.make_inputs(model, tokenizer, image, text, target="itm")
    attribution = explain.attribute(inputs, "integrated gradients")

A name is loaded from its module when it is first used, so `from xfm import explain` loads no captum.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_NAMES = {
    "attention_capture": "attentions capture",
    "attribution": "SCORES SHARE TARGET Attribution",
    "box_prediction": "box_predictor seen_words",
    "faithfulness": "BASELINES faithfulness_report perturbation_curves truth_scores",
    "inputs": "AttributionInputs",
    "interventions": "ablate_heads activation_patching head_importance objective_effects pruning_curve removal_effects",
    "leaderboards": "leaderboard leaderboard_scenes randomise_weights",
    "mask_predictions": "masked_predictor",
    "method_table": "METHODS SLOW attribute",
    "methods.attention_methods": "bimodal_rollout",
    "prepare_inputs": "example_inputs make_inputs said_once scene_inputs",
    "targets": "Target",
    "tracing": "AttentionMap Trace trace",
}
_MODULE = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = ["head_stats", *_MODULE]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    module = import_module(f".{_MODULE.get(name, name)}", __name__)
    globals()[name] = value = getattr(module, name) if name in _MODULE else module
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""Recipes: functions that return configs. `get("demo+no_stop_gradient")` composes a recipe and changes."""

from .ablations import LEVELS, ablations, changes
from .recipes import RECIPES, base, current, demo, get, of_config, pretrained, small, smoke, study, styles, with_changes
from .specialists import SPECIALISTS, beit_like, bert_like, clip_like, fused

__all__ = ["LEVELS", "RECIPES", "SPECIALISTS", "ablations", "base", "beit_like", "bert_like", "changes", "clip_like",
           "current", "demo", "fused", "get", "of_config", "pretrained", "small", "smoke", "study", "styles",
           "with_changes"]  # fmt: skip

"""What is trained: `get("demo+no_stop_gradient")`. Recipes are functions that return configs; `+` adds changes."""

from .recipes import (
    LEVELS,
    RECIPES,
    SPECIALISTS,
    ablations,
    base,
    beit_like,
    bert_like,
    changes,
    clip_like,
    current,
    demo,
    fused,
    get,
    of_config,
    pretrained,
    scratch_std,
    small,
    smoke,
    study,
    styles,
    with_changes,
)

__all__ = ["LEVELS", "RECIPES", "SPECIALISTS", "ablations", "base", "beit_like", "bert_like", "changes", "clip_like",
           "current", "demo", "fused", "get", "of_config", "pretrained", "scratch_std", "small", "smoke", "study",
           "styles", "with_changes"]  # fmt: skip

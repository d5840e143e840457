"""Figures from plain arrays, tables and records, never from a model. Each shows itself in a notebook."""

from .charts import bars, heads, heatmap, lines, scatter
from .effect_intervals import forest, paired_seeds
from .effect_map import effect_map
from .example_pictures import (
    grounding_examples,
    hidden_patches,
    images,
    masked_word_examples,
    retrieval_examples,
    scenes,
)
from .explanations import attention, attention_matrices, attributions, patch_maps
from .gradients import cosines, gradient_scales, gradient_table
from .learning_curves import learning_curves, throughput
from .method_scores import insertion_deletion, leaderboard
from .probe_figures import READINGS, probes
from .relations import forced_choices, probe_layers
from .result_dots import evaluation, evaluation_pages
from .style import Figure

__all__ = ["READINGS", "Figure", "attention", "attention_matrices", "attributions", "bars", "cosines", "effect_map",
           "evaluation", "evaluation_pages", "forced_choices", "forest", "gradient_scales", "gradient_table",
           "grounding_examples", "heads", "heatmap", "hidden_patches", "images", "insertion_deletion", "leaderboard",
           "learning_curves", "lines", "masked_word_examples", "paired_seeds", "patch_maps", "probe_layers", "probes",
           "retrieval_examples", "scatter", "scenes", "throughput"]  # fmt: skip

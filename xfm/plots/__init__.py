"""Figures from plain arrays, tables and records, never from a model. Each shows itself in a notebook."""

from .charts import bars, gradient_scales, insertion_deletion, leaderboard, lines, scatter
from .effect_intervals import forest, paired_seeds
from .example_pictures import (
    grounding_examples,
    hidden_patches,
    images,
    masked_word_examples,
    retrieval_examples,
    scenes,
)
from .explanations import attention, attention_matrices, attributions, patch_maps
from .heat_maps import cosines, gradient_table, heads, heatmap
from .learning_curves import learning_curves, throughput
from .probe_figures import READINGS, forced_choices, probe_layers, probes
from .result_dots import evaluation, evaluation_pages
from .style import Figure

__all__ = ["READINGS", "Figure", "attention", "attention_matrices", "attributions", "bars", "cosines",
           "evaluation", "evaluation_pages", "forced_choices", "forest", "gradient_scales", "gradient_table",
           "grounding_examples", "heads", "heatmap", "hidden_patches", "images", "insertion_deletion", "leaderboard",
           "learning_curves", "lines", "masked_word_examples", "paired_seeds", "patch_maps", "probe_layers", "probes",
           "retrieval_examples", "scatter", "scenes", "throughput"]  # fmt: skip

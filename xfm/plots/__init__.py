"""Figures from plain arrays, tables and records, never from a model. Each shows itself in a notebook."""

from .curves import learning_curves
from .effects import effect_map, forest, paired_seeds
from .explanations import attention, attributions, bars, heads, leaderboard, trust_curves
from .flow import flow
from .gallery import ranking
from .gradients import doses, gradient_table
from .grounding import grounding
from .looks import looks
from .overlay import Overlay, overlay
from .pictures import grounding_examples, hidden_patches, masked_word_examples, retrieval_examples, scenes
from .playground import playground
from .probes import READINGS, cosines, probes
from .results import evaluation, pages
from .style import Figure
from .throughput import throughput

__all__ = ["READINGS", "Figure", "Overlay", "attention", "attributions", "bars", "cosines", "doses", "effect_map",
           "evaluation", "flow", "forest", "gradient_table", "grounding", "grounding_examples", "heads",
           "hidden_patches", "leaderboard", "learning_curves", "looks", "masked_word_examples", "overlay", "pages",
           "paired_seeds", "playground", "probes", "ranking", "retrieval_examples", "scenes", "throughput",
           "trust_curves"]  # fmt: skip

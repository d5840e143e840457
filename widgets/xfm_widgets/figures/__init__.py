"""What the views draw where there is no kernel: static figures of plain arrays, in the look of `xfm.plots`."""

from .compare_runs import CurvePanel, compare_runs
from .flow_diagram import flow_diagram
from .plot_answers import Said, plot_answers
from .plot_attention import AttentionSide, plot_attention
from .plot_grounding import grounding
from .plot_masked_prediction import masked_prediction
from .plot_retrieval import plot_retrieval

__all__ = ["AttentionSide", "CurvePanel", "Said", "compare_runs", "flow_diagram", "grounding", "masked_prediction",
           "plot_answers", "plot_attention", "plot_retrieval"]  # fmt: skip

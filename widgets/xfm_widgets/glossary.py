"""The words that each view explains in place, of docs/glossary.md."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

LOSSES = ("MLM, MIM", "ITC", "ITM", "IMLM", "BBP")
TERMS = {
    "AblationExplorer": (
        "Recipe, ablation, level", "Keyed randomness, paired runs", "Effect, verdict, detectable effect",
        "Holm's correction", "Confirmatory, exploratory", "Baseline, chance", "Linear probe, k-NN, fine-tuning",
    ),
    "AttributionLab": (
        "Attribution, method, target", "Token, patch", "ITC", "ITM", "Completeness", "Faithfulness report",
        "Pointing game", "Insertion, deletion", "Infidelity, sensitivity", "Randomisation test", "Blue and orange",
    ),
    "GradientFlow": (
        "Language encoder, vision encoder, fusion encoder", *LOSSES, "Stop-gradient, gradient scale",
        "Guidance, teacher, student", "No path",
    ),
    "GroundingPad": ("BBP", "IoU, acc@0.5", "ITM", "Token, patch", "Head, attention map"),
    "MaskPlayground": ("Token, patch", "MLM, MIM", "IMLM", "Guidance, teacher, student", "Unigram baseline"),
    "RetrievalExplorer": ("ITC", "ITM", "R@k", "Re-ranking", "Upper bound", "Baseline, chance"),
    "TaskExplorer": (
        "Downstream task", "Confidence, calibration", "Control", "Baseline, chance", "Bootstrap interval",
        "IoU, acc@0.5", "Trace", "Attribution, method, target",
    ),
    "TraceExplorer": (
        "Trace", "Token, patch", "Language encoder, vision encoder, fusion encoder", "Head, attention map", "Rollout",
        "Blue and orange",
    ),
    "TrainingMonitor": (
        *LOSSES, "Stream", "Recipe, ablation, level", "Warm start (stage 1)", "Baseline, chance", "Unigram baseline",
    ),
}  # fmt: skip


def terms_of(view: str) -> list[tuple[str, str]]:
    """Terms of a view and their meanings, by the view's class name; empty for a user-defined view."""
    return [(term, meanings()[term]) for term in TERMS.get(view, ())]


@cache
def meanings() -> dict[str, str]:
    return json.loads((Path(__file__).parent / "glossary.json").read_text("utf-8"))

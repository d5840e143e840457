"""ITM's head trained anew on the frozen fusion encoder, with exchanged relations as the only negatives: is the relation
in what ITM reads, and the head does not use it, or is it not there?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from xfm.data.world.grammar import compose
from xfm.tasks.baselines import linear_probe, select_penalty
from xfm.tasks.context import EvalContext

from .probes import fit_sites
from .relation_questions import Question, Row, measured, pictures

EPOCHS = 200
DECAYS = (0.1, 1.0, 10.0)  # scikit-learn's alpha
Fitted = Callable[[np.ndarray], np.ndarray]  # (n, F) -> (n,) log-odds that the two belong together


def _linear(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> Fitted:
    return linear_probe(x, y, groups).decision_function


def _mlp(x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> Fitted:
    """One hidden layer of twice the width, as ITM's head has; its penalty is chosen as the linear probe's is."""
    network: Any = MLPClassifier((2 * x.shape[1],), max_iter=EPOCHS, random_state=0)
    steps = Pipeline([("scale", StandardScaler()), ("classify", network)])
    fitted = select_penalty(steps, DECAYS, x, y, groups, "alpha")

    def log_odds(features: np.ndarray) -> np.ndarray:
        no, yes = fitted.predict_log_proba(features).T
        return yes - no

    return log_odds


HEADS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], Fitted]] = {"linear": _linear, "MLP": _mlp}


def head_rows(context: EvalContext, train: Sequence[Question], test: Sequence[Question], of: str = "") -> list[Row]:
    """How often the true caption scores above the exchanged one, by heads that read the last fused states: ITM's own
    token `<s>`, the relation word's, or the mean. `of`: added to the conditions. Baseline: chance."""
    last = len(context.model.fusion.layers)
    sites = [{s: x for s, x in fit_sites(context, qs) if s[:2] == ("fusion", last)} for qs in (train, test)]
    rows = []
    for site, x in sites[0].items():
        features, tested = x.flatten(0, 1).numpy().astype(float), sites[1][site].flatten(0, 1).numpy().astype(float)
        labels, groups = np.tile((1, 0), len(train)), np.repeat(np.arange(len(train)), 2)
        for name, make in HEADS.items():
            condition = f"{name} head, {of}" if of else f"{name} head"
            scores = make(features, labels, groups)(tested).reshape(-1, 2)
            rows.append(measured("head", condition, "accuracy", lead(scores), "head", baseline=0.5, encoder="fusion",
                                 layer=last, position=site[2]))  # fmt: skip
    return rows


def lead(scores: np.ndarray) -> np.ndarray:
    """(n, 2) -> (n,): whether the first is the larger; a tie counts half."""
    return (scores[:, 0] > scores[:, 1]) + 0.5 * (scores[:, 0] == scores[:, 1])


@torch.inference_mode()
def as_it_is_rows(context: EvalContext, questions: Sequence[Question]) -> list[Row]:
    """The model's own ITM and ITC: the true caption above the exchanged one, without and with the objects' sizes in
    both; the right picture above the mirrored one, of which the false caption is true. Baseline: chance."""
    n, mirrored = len(questions), pictures(context, questions, "mirrored")
    captions = [c for q in questions for c in (q.scene.caption, q.exchanged)]
    sizes = [o.size for q in questions for _ in range(2) for o in q.things]
    named = [[replace(t, size=sizes[2 * i + j]) for j, t in enumerate(c.things)] for i, c in enumerate(captions)]
    sized = [compose(things, c.relations) for things, c in zip(named, captions, strict=True)]
    texts = [c.text for c in (*captions, *sized)]
    shown = [*(q.scene for q in questions), *mirrored]
    own, both = torch.arange(n), torch.arange(n).repeat_interleave(2)
    image_of = torch.stack([own, own + n], 1).flatten()
    plain = torch.arange(2 * n)
    pairings = {"caption": (both, plain), "caption with sizes": (both, 2 * n + plain), "picture": (image_of, 2 * both)}
    rows = []
    for what, (image, text) in pairings.items():
        by_itc = (context.image_features(shown)[image] * context.text_features(texts)[text]).sum(1)
        scored = {"ITM": context.match_logits(shown, texts, image, text), "ITC": by_itc}
        for head, scores in scored.items():
            correct = lead(scores.double().numpy().reshape(-1, 2))
            rows.append(measured("head", f"{head} as it is, {what}", "accuracy", correct, "head", baseline=0.5))
    return rows

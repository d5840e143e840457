"""Activation patching: which states carry ITM's difference between a true caption and the one with its relation
exchanged, by layer and position (Meng et al., 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xfm.diagnostics import hooks
from xfm.explain.interventions import activation_patching
from xfm.explain.prepare_inputs import make_inputs
from xfm.tasks.context import EvalContext
from xfm.tasks.result import bootstrap_interval

from .relation_questions import Question, Row, measured


def patching_rows(context: EvalContext, questions: Sequence[Question]) -> list[Row]:
    """The share of the difference of ITM's log-odds that the states of the true caption restore in the pass of the
    exchanged one, at a position of a layer or at all: of the sums over the questions, since a question's own difference
    may be as good as none; and that difference itself (nats; its size whatever its sign)."""
    model, shares, differences = context.model, dict[tuple[str, int, str], list[tuple[float, float]]](), []
    layers = {name: hooks.layers(model, model.stacks[name]) for name in ("language", "fusion")}
    for q in questions:
        texts = q.scene.caption.text, q.exchanged.text
        clean, corrupt = (make_inputs(model, context.tokenizer, q.scene.image, text, "itm") for text in texts)
        differences.append(clean.score() - corrupt.score())
        sign, size = float(np.sign(differences[-1])), abs(differences[-1])
        inside = {"<s>": range(1)} | q.spans
        rest = sorted(set(range(len(q.ids[0]))).difference(*inside.values()))
        for position, tokens in {**inside, "other words": rest, "all": None}.items():
            for encoder, names in layers.items():
                for layer, name in enumerate(names, 1):
                    effect = activation_patching(clean, corrupt, name, None if tokens is None else list(tokens))[0]
                    restored = sign * (effect.patched - effect.corrupt)
                    shares.setdefault((encoder, layer, position), []).append((restored, size))
    rows = [
        measured(
            "patching", "log-odds, true - exchanged", "difference", np.array(differences), "patching", baseline=0.0
        ),
        measured("patching", "log-odds, true - exchanged", "size of the difference", np.abs(differences), "patching"),
    ]
    for (encoder, layer, position), pairs in shares.items():
        scores = np.array(pairs)
        value = scores[:, 0].sum() / scores[:, 1].sum()
        interval = bootstrap_interval(scores, None, "relations", "patching", of_means=lambda m: m[..., 0] / m[..., 1])
        where = {"encoder": encoder, "layer": layer, "position": position}
        rows.append(Row("patching", "restored", "share", float(value), *interval, len(scores), 0.0, **where))
    return rows

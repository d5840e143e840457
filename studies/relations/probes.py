"""Linear probes: at which layer can a relation be read off the states, by logistic regression?

Two questions. *Relation*: left or right, above or below, of the caption with the relation masked, beside its picture: a
probe an axis, chance is a half. *Fit*: is the whole caption the true or the exchanged one, what ITM is asked; neither
the caption nor the picture alone tells. Each stands beside the same probe of the untrained model, and beside a control
task (Hewitt & Liang, 2019): a label drawn for each subject's name, which says what a probe can learn by heart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from xfm.base import seeding
from xfm.data.streams import region_patches
from xfm.tasks.baselines import correct, linear_probe
from xfm.tasks.context import EvalContext

from .relation_questions import AXES, Question, Row, measured
from .states import layer_states

Site = tuple[str, int, str]  # encoder, layer, position


def probe_rows(context: EvalContext, train: Sequence[Question], test: Sequence[Question], of: str = "") -> list[Row]:
    """Accuracy on test questions of probes trained on the others, at every site; `of`: added to the conditions."""
    rows = []
    states = [dict(relation_sites(context, questions)) for questions in (train, test)]
    for site in states[0]:
        for what in ("relation", "control"):
            scores = [_by_axis(states[0][site], train, states[1][site], test, axis, what) for axis in AXES]
            rows.append(_row(what, of, site, np.concatenate(scores), 0.5))
    fits = [dict(fit_sites(context, questions)) for questions in (train, test)]
    for site in fits[0]:
        x, y = (each[site].flatten(0, 1).numpy() for each in fits)
        labels = [np.tile((1, 0), len(questions)) for questions in (train, test)]
        probe = linear_probe(x, labels[0], np.repeat(np.arange(len(train)), 2))
        rows.append(_row("fit", of, site, correct(probe, y, labels[1]).reshape(-1, 2), 0.5))
    return rows


def _row(what: str, of: str, site: Site, scores: np.ndarray, chance: float) -> Row:
    encoder, layer, position = site
    condition = f"{what}, {of}" if of else what
    return measured("probe", condition, "accuracy", scores, "probe", baseline=chance, encoder=encoder, layer=layer,
                    position=position)  # fmt: skip


def _by_axis(
    x: Tensor, train: Sequence[Question], y: Tensor, test: Sequence[Question], axis: str, what: str
) -> np.ndarray:
    """(n,) whether each test question of an axis is answered right."""
    parts = []
    for states, questions in ((x, train), (y, test)):
        kept = [i for i, q in enumerate(questions) if q.axis == axis]
        parts.append((states[kept].numpy(), np.array([_label(questions[i], what) for i in kept])))
    (features, labels), tested = parts
    return correct(linear_probe(features, labels), *tested)


def _label(question: Question, what: str) -> int:
    """The control's is drawn by the subject's name."""
    return question.label if what == "relation" else int(seeding.rng("control", question.things[0].name).random() < 0.5)


def relation_sites(context: EvalContext, questions: Sequence[Question]) -> Iterator[tuple[Site, Tensor]]:
    """Features (n, F) of captions with the relation masked, beside their pictures."""
    states = layer_states(context, [q.scene for q in questions], [q.masked for q in questions])
    for layer, patches in enumerate(states["vision"]):
        yield ("vision", layer, "all patches"), patches.mean(1)
        yield ("vision", layer, "both boxes"), boxes_pooled(patches, questions, context.model.config.vision.patch_size)
    yield from _of_tokens(states, [q.place for q in questions], "mask")


def _of_tokens(states: dict[str, list[Tensor]], place: Sequence[int], name: str) -> Iterator[tuple[Site, Tensor]]:
    for encoder in ("language", "fusion"):
        for layer, tokens in enumerate(states[encoder]):
            if layer or encoder == "language":  # what enters the fusion encoder is what left the language encoder
                yield (encoder, layer, "<s>"), tokens[:, 0]
                yield (encoder, layer, name), tokens[torch.arange(len(tokens)), list(place)]


def boxes_pooled(patches: Tensor, questions: Sequence[Question], size: int) -> Tensor:
    """Patch states (n, P, D) -> (n, 2 D): their means over the subject's box and over the object's."""
    grid = round(patches.shape[1] ** 0.5)
    means = []
    for which in (0, 1):
        things = [q.things[which] for q in questions]
        inside = region_patches(np.array([[o.x, o.y, o.width, o.height] for o in things], float), grid, size)
        weight = torch.from_numpy(inside).to(patches.dtype)[..., None]
        means.append((weight * patches).sum(1) / weight.sum(1))
    return torch.cat(means, 1)


def fit_sites(context: EvalContext, questions: Sequence[Question]) -> Iterator[tuple[Site, Tensor]]:
    """Features (n, 2, F) of the true caption and of the exchanged one, beside the picture."""
    shown = [q.scene for q in questions for _ in q.ids]
    states = layer_states(context, shown, [ids for q in questions for ids in q.ids])
    places = [q.place for q in questions for _ in q.ids]
    for site, features in _of_tokens(states, places, "relation word"):
        yield site, features.unflatten(0, (-1, 2))
    last = states["fusion"][-1]
    lengths = torch.tensor([len(ids) for q in questions for ids in q.ids])
    seen = (torch.arange(last.shape[1]) < lengths[:, None])[..., None].to(last.dtype)
    yield (
        ("fusion", len(states["fusion"]) - 1, "all tokens"),
        ((last * seen).sum(1) / seen.sum(1)).unflatten(0, (-1, 2)),
    )

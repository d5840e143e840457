"""Where is a relation lost? Read-out or representation: masked prediction, probes, patching, heads trained anew."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import torch

from xfm.base.fields import require
from xfm.objectives import build
from xfm.tasks.context import EvalContext, reproducibly

from .attention_heads import as_it_is_rows, head_rows
from .masked import data_rows, masked_rows
from .patched_relations import patching_rows
from .probes import probe_rows
from .relation_questions import AXES, Question, Row, draw_questions, pictures

__all__ = ["AXES", "Question", "Row", "Sizes", "draw_questions", "measure_relations", "pictures"]


@dataclass(frozen=True)
class Sizes:
    """How many questions."""

    train: int  # that probes and heads are trained on
    test: int
    patched: int

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            require(value > 0, name, value, "positive")
            require(value % 4 == 0, name, value, "a multiple of 4: as many of each relation")


def measure_relations(context: EvalContext, sizes: Sizes) -> list[Row]:
    """All rows of a model, and those of its probes and heads untrained (the weights of its config's seed), asked of the
    context's split; probes and heads learn on training pictures. The model needs ITC, ITM and IMLM; the data are the
    drawn world."""
    for name in ("itc", "itm", "imlm"):
        require(name in context.model.objectives, "objectives", ", ".join(context.model.objectives), f"with {name}")
    untrained = replace(context, model=build(context.config).to(context.model.device))
    rows: list[Row] = []
    with reproducibly(context.model), reproducibly(untrained.model):
        train, test = draw_questions(context, "train", sizes.train), draw_questions(context, context.split, sizes.test)
        rows += data_rows(context) + masked_rows(context, test) + as_it_is_rows(context, test)
        for model, of in ((context, ""), (untrained, "untrained")):
            rows += probe_rows(model, train, test, of) + head_rows(model, train, test, of)
    with reproducibly(context.model), torch.inference_mode(False):
        return rows + patching_rows(context, test[: sizes.patched])

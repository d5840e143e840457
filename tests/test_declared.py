"""A loss whose declaration is wrong is refused in one sentence: when the model is built, or at its first step."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from reference import batches
from torch import nn

from xfm.config import ConfigError
from xfm.diagnostics.gradient_table import gradient_table
from xfm.flow import Flow
from xfm.model.batch import FusionBatch, LossOut
from xfm.objectives import OBJECTIVES, Objective, Pretraining


class Right(Objective):
    """Of the text's token 0; what the tests change is wrong."""

    title = "right"
    streams = ("pairs",)
    reads = ("text",)

    def __init__(self, config: Any):
        super().__init__()
        self.head = nn.Linear(config.model.text.width, 1)

    def forward(self, flow: Flow) -> LossOut:
        return scalar(self, flow.text[:, 0])


def paired(self: Any, flow: Any) -> FusionBatch:
    return FusionBatch(flow.text, flow.batch.tokens.mask, torch.arange(len(flow.batch.tokens.ids)))


def scalar(loss: Any, states: torch.Tensor) -> LossOut:
    return LossOut(loss.head(states[:, : loss.head.in_features]).square().mean())


def of_fused(self: Any, flow: Any) -> LossOut:
    return scalar(self, flow.fused["added"][:, 0])


def added(monkeypatch: pytest.MonkeyPatch, declared: dict[str, Any]) -> Pretraining:
    """A model with all of the paper's losses off, and this one on."""
    monkeypatch.setitem(OBJECTIVES, "added", type("Added", (Right,), declared))
    return batches.pretraining(objectives__added__weight=1.0)


def forward(pretraining: Pretraining) -> dict[str, torch.Tensor]:
    return pretraining(batches.batch(pretraining.config), ("added",), (0, 0))[0]


AT_BUILD = {
    "reads, misspelt": ({"reads": ("texts",)}, ".reads = 'texts': must be one of .*; did you mean 'text'"),
    "reads, a string": ({"reads": "text"}, r".reads = 'text': must be a tuple of names, as \(\"text\""),
    "reads, a target alone": ({"reads": ("mim_target",)}, '.reads: "mim_target" has no gradient; add what is to'),
    "no forward pass": ({"forward": Objective.forward}, r": Added has no forward\(flow\); add one that returns"),
    "fused, without pairing": ({"reads": ("fused",)},
        r': reads "fused" without pairing\(flow\); add one that returns a'),
    "text on images": ({"streams": ("pairs", "images")},
        ': reads "text", which stream "images" does not have; leave "images" out of streams'),
}  # fmt: skip
UNDECLARED = ': uses flow.text without declaring it; add "text" to reads'

FUSED = {"reads": ("text", "fused"), "pairing": paired}


def by(forward: Callable[[Any], Any]) -> dict[str, Any]:
    return {"forward": lambda self, flow: forward(flow)}


def head_of(states: Callable[[Any], torch.Tensor]) -> dict[str, Any]:
    return {"forward": lambda self, flow: scalar(self, states(flow))}


AT_FIRST_STEP = {
    "another text": ({"reads": ("masked_text",)}, UNDECLARED),
    "in its pairing": (FUSED | {"reads": ("image", "fused"), "forward": of_fused}, UNDECLARED),
    "no pairing": (FUSED | {"pairing": lambda self, flow: (flow.text, 1), "forward": of_fused},
        ": pairing returns a tuple; return a FusionBatch"),
    "no such tensor": (head_of(lambda flow: flow.txt[:, 0]),
        ": uses flow.txt, which a flow does not have; did you mean 'text'"),
    "detached": (head_of(lambda flow: flow.text[:, 0].detach()),
        ': sends no gradient into an encoder, though it reads "text"; compute the loss from'),
    "a tensor": (by(lambda flow: flow.text.mean()), r": forward returns a Tensor; return LossOut\(loss\)"),
    "a vector": (by(lambda flow: LossOut(flow.text.mean((1, 2)))),
        r": LossOut.loss is of shape \(4,\); make it a tensor without dimensions, as by .mean\(\)"),
    "an accuracy that is not reported": ({"accuracy_key": "accuracy"},
        ': accuracy_key = "accuracy" is not in the report; add it to LossOut'),
}  # fmt: skip


@pytest.mark.parametrize("case", [*AT_BUILD, *AT_FIRST_STEP])
def test_a_loss_that_cannot_be_or_does_not_do_as_it_declares_is_refused(case: str, monkeypatch) -> None:
    """When the model is built, or at its first step, also where that measures gradients."""
    declared, sentence = (AT_BUILD | AT_FIRST_STEP)[case]
    with pytest.raises(ConfigError, match=f"objectives.added{sentence}") as error:
        pretraining = added(monkeypatch, declared)
        assert case in AT_FIRST_STEP
        if case == "another text":
            gradient_table(pretraining, batches.batch(pretraining.config))
        forward(pretraining)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("declared", [
    {}, {"streams": ("pairs", "texts")}, {"text_gradient": 0.0}, FUSED | {"forward": of_fused},
    {"reads": ("text", "image")} | head_of(lambda flow: flow.image.pooled),
])  # fmt: skip
def test_a_loss_that_does_as_it_declares_trains(declared: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    losses = forward(added(monkeypatch, declared))
    assert {*losses} == {f"{stream}/added" for stream in declared.get("streams", ("pairs",))}


def test_the_graph_is_looked_through_once_and_a_frozen_encoder_needs_no_gradient(monkeypatch) -> None:
    pretraining, asked = added(monkeypatch, {}), []
    pretraining.model.text.requires_grad_(False)
    assert forward(pretraining)["pairs/added"].requires_grad, "its head still learns"
    pretraining = added(monkeypatch, {})
    with torch.no_grad():
        forward(pretraining)  # a validation has no gradient
    monkeypatch.setattr("xfm.objectives.declared._reaches", lambda *_: asked.append(1) or True)
    forward(pretraining)
    forward(pretraining)
    assert asked == [1]

"""A loss whose declaration is wrong is refused in one sentence: when the model is built, or at its first step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from reference import batches
from torch import nn

from xfm.config import ConfigError
from xfm.diagnostics.gradient_table import gradient_table
from xfm.flow import Flow
from xfm.model.batch import FusionBatch, LossOut
from xfm.objectives import OBJECTIVES, Objective, Pretraining, build
from xfm.objectives.declared import BATCHES, READS


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


class Untrained(Objective):
    title, streams, reads = "without a forward pass", ("pairs",), ("text",)


def scalar(loss: Any, states: torch.Tensor) -> LossOut:
    return LossOut(loss.head(states[:, : loss.head.in_features]).square().mean())


def own(flow: Any) -> FusionBatch:
    text, item = flow.text, torch.arange(len(flow.batch.tokens.ids))
    return FusionBatch(text, flow.batch.tokens.mask, item)


def of_image(self: Any, flow: Any) -> LossOut:
    return scalar(self, flow.image.pooled)


def of_fused(self: Any, flow: Any) -> LossOut:
    return scalar(self, flow.fused["added"][:, 0])


def without_graph(self: Any, flow: Any) -> LossOut:
    with torch.no_grad():
        image = flow.image.pooled
    return scalar(self, image)


def added(monkeypatch: pytest.MonkeyPatch, declared: dict[str, Any], base: type[Objective] = Right) -> Pretraining:
    """A model with all of the paper's losses off, and this one on."""
    monkeypatch.setitem(OBJECTIVES, "added", type("Added", (base,), declared))
    config = batches.config(objectives__added__weight=1.0)
    return Pretraining(build(config), config)


def forward(pretraining: Pretraining) -> dict[str, torch.Tensor]:
    return pretraining(batches.batch(pretraining.config), ("added",), (0, 0))[0]


ENTRIES = ", ".join(map(repr, READS))
AT_BUILD = {
    "reads, misspelt": ({"reads": ("texts",)}, f"objectives.added.reads = 'texts': must be one of {ENTRIES}; did you"),
    "reads, a string": ({"reads": "text"}, r"objectives.added.reads = 'text': must be a tuple of names, as \(\"text\""),
    "reads, not there": ({"reads": ()}, r"objectives.added.reads = \(\): must be a tuple of names"),
    "reads, a target alone": ({"reads": ("mim_target",)}, 'added.reads: "mim_target" has no gradient; add what is to'),
    "streams, misspelt": ({"streams": ("pair",)}, "added.streams = 'pair': must be one of .*; did you mean 'pairs'?"),
    "streams, a string": ({"streams": "pairs"}, r"objectives.added.streams = 'pairs': must be a tuple of names"),
    "streams, not there": ({"streams": ()}, r"objectives.added.streams = \(\): must be a tuple of names"),
    "no title": ({"title": ""}, "objectives.added.title = '': must be a name for figures"),
    "fused, without pairing": (
        {"reads": ("fused",)},
        r'objectives.added: reads "fused" without pairing\(flow\); add one that returns a FusionBatch',
    ),
    "text on images": (
        {"streams": ("pairs", "images")},
        'objectives.added: reads "text", which stream "images" does not have; leave "images" out of streams',
    ),
    "hidden patches of regions": (
        {"streams": ("regions",), "reads": ("masked_image",)},
        'objectives.added: reads "masked_image", which stream "regions" does not have',
    ),
}
AT_FIRST_STEP = {
    "another text": (
        {"reads": ("masked_text",)},
        'objectives.added: uses flow.text without declaring it; add "text" to reads',
    ),
    "text, declared as image": (
        {"reads": ("image",)},
        'objectives.added: uses flow.text without declaring it; add "text" to reads',
    ),
    "patches": (
        {"forward": lambda self, flow: scalar(self, flow.patches[:, 0])},
        'objectives.added: uses flow.patches without declaring it; add "image" to reads',
    ),
    "in its pairing": (
        {"reads": ("image", "fused"), "pairing": lambda self, flow: own(flow), "forward": of_fused},
        'objectives.added: uses flow.text without declaring it; add "text" to reads',
    ),
    "no pairing": (
        {"reads": ("text", "fused"), "pairing": lambda self, flow: (flow.text, 1), "forward": of_fused},
        "objectives.added: pairing returns a tuple; return a FusionBatch",
    ),
    "under another name": (
        {
            "reads": ("text", "fused"),
            "pairing": lambda self, flow: own(flow),
            "forward": lambda self, flow: scalar(self, flow.fused["add"][:, 0]),
        },
        r"objectives.added: uses flow.fused\['add'\], which no loss has paired; take the name under which",
    ),
    "no such tensor": (
        {"forward": lambda self, flow: scalar(self, flow.txt[:, 0])},
        "objectives.added: uses flow.txt, which a flow does not have; did you mean 'text'",
    ),
    "what it declares is called otherwise": (
        {"reads": ("masked_image",), "forward": lambda self, flow: scalar(self, flow.masked_image[:, 0])},
        "objectives.added: uses flow.masked_image, which a flow does not have; it is flow.masked_patches",
    ),
    "detached": (
        {"forward": lambda self, flow: scalar(self, flow.text[:, 0].detach())},
        'objectives.added: sends no gradient into an encoder, though it reads "text"; compute the loss from these',
    ),
    "never read": (
        {"forward": lambda self, flow: scalar(self, flow.batch.image.flatten(1))},
        'objectives.added: sends no gradient into an encoder, though it reads "text"',
    ),
    "read without a graph": (
        {"reads": ("image",), "forward": without_graph},
        'objectives.added: sends no gradient into an encoder, though it reads "image"',
    ),
    "a tensor": (
        {"forward": lambda self, flow: flow.text.mean()},
        r"objectives.added: forward returns a Tensor; return LossOut\(loss\)",
    ),
    "a vector": (
        {"forward": lambda self, flow: LossOut(flow.text.mean((1, 2)))},
        r"objectives.added: LossOut.loss is of shape \(4,\); make it a tensor without dimensions, as by .mean\(\)",
    ),
    "a number": (
        {"forward": lambda self, flow: LossOut(1.0)},  # type: ignore[arg-type]
        "objectives.added: LossOut.loss is a float; make it a tensor",
    ),
    "a number in the report": (
        {"forward": lambda self, flow: LossOut(flow.text.mean(), {"share": 0.5})},  # type: ignore[dict-item]
        r'objectives.added: LossOut.report\["share"\] is a float; make it a tensor',
    ),
    "an accuracy that is not reported": (
        {"accuracy_key": "accuracy"},
        'objectives.added: accuracy_key = "accuracy" is not in the report; add it to LossOut',
    ),
}


@pytest.mark.parametrize(("declared", "sentence"), AT_BUILD.values(), ids=AT_BUILD)
def test_a_declaration_that_cannot_be_is_refused_when_the_model_is_built(declared, sentence: str, monkeypatch) -> None:
    with pytest.raises(ConfigError, match=sentence) as error:
        added(monkeypatch, declared)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("declared", "sentence"), AT_FIRST_STEP.values(), ids=AT_FIRST_STEP)
def test_a_loss_that_does_not_do_as_it_declares_is_refused_at_its_first_step(declared, sentence, monkeypatch) -> None:
    pretraining = added(monkeypatch, declared)
    with pytest.raises(ConfigError, match=sentence) as error:
        forward(pretraining)
    assert "\n" not in str(error.value)


def test_a_loss_without_a_forward_pass_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"objectives.added: Added has no forward\(flow\); add one that returns"):
        added(monkeypatch, {}, Untrained)


def test_a_wrong_loss_is_refused_where_gradients_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    pretraining = added(monkeypatch, {"reads": ("masked_text",)})
    with pytest.raises(ConfigError, match=r"objectives\.added: uses flow\.text without declaring it"):
        gradient_table(pretraining, batches.batch(pretraining.config))


RIGHT: dict[str, dict[str, Any]] = {
    "text": {},
    "of two streams": {"streams": ("pairs", "texts")},
    "one of the tensors that it reads": {"reads": ("text", "image"), "forward": of_image},
    "text, stopped": {"text_gradient": 0.0},
    "fused": {"reads": ("text", "fused"), "pairing": lambda self, flow: own(flow), "forward": of_fused},
}


@pytest.mark.parametrize("declared", RIGHT.values(), ids=RIGHT)
def test_a_loss_that_does_as_it_declares_trains(declared: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pretraining = added(monkeypatch, declared)
    losses = forward(pretraining)
    assert {*losses} == {f"{stream}/added" for stream in declared.get("streams", ("pairs",))}


def test_an_encoder_that_is_frozen_needs_no_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    pretraining = added(monkeypatch, {})
    pretraining.model.text.requires_grad_(False)
    assert forward(pretraining)["pairs/added"].requires_grad, "its head still learns"


def test_the_graph_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pretraining, asked = added(monkeypatch, {}), []
    with torch.no_grad():
        forward(pretraining)  # a validation has no gradient
    monkeypatch.setattr("xfm.objectives.declared._reaches", lambda *_: asked.append(1) or True)
    forward(pretraining)
    forward(pretraining)
    assert asked == [1]


def test_streams_are_those_of_the_batches() -> None:
    assert {name: type(stream) for name, stream in batches.batch(batches.config()).items()} == BATCHES

"""What the house promises to whoever adds a loss or an encoder: one file and one line, and everything else follows."""

import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reference import batches
from torch import nn

from xfm import plots, pretrain, recipes
from xfm.config import ConfigError, RunConfig
from xfm.data import dataset
from xfm.data.streams import Streams
from xfm.diagnostics.gradient_table import gradient_table
from xfm.explain import attribute, make_inputs, trace
from xfm.flow import Flow
from xfm.model import VISION_ENCODERS
from xfm.model.batch import FusionBatch, LossOut
from xfm.model.blocks import two_layer_head
from xfm.objectives import OBJECTIVES, Objective, Pretraining, build
from xfm.objectives.base import widen
from xfm.runs.run import Run
from xfm.train.optimizer import parameter_groups


class Length(Objective):
    """A text loss: how many tokens the whole sentence has, as a share of the longest, from the text's token 0."""

    title = "length of the text"
    streams = ("pairs", "texts")
    reads = ("text",)
    family = "language"
    unit = "squared error"

    def __init__(self, config: RunConfig):
        super().__init__()
        self.head = two_layer_head(config.model.text.width, 1)

    def forward(self, flow: Flow) -> LossOut:
        lengths = flow.batch.tokens.mask.sum(1) / flow.batch.tokens.mask.shape[1]
        return LossOut(F.mse_loss(widen(self.head(flow.text[:, 0]))[:, 0], lengths.float()))


def of_the_page(package: str, *names: str) -> list[Any]:
    """The classes that docs/extend.md shows, made as if their files were there."""
    page = (Path(__file__).parents[1] / "docs/extend.md").read_text("utf-8")
    inside: dict[str, Any] = {"__name__": f"{package}.added", "__package__": package}
    for block in re.findall(rf"^```python {package.replace('.', '/')}/\w+\.py\n(.*?)^```", page, re.M | re.S):
        exec(compile(block, "docs/extend.md", "exec"), inside)
    return [inside[name] for name in names]


Uniformity, WhichOfTwo = of_the_page("xfm.objectives", "Uniformity", "WhichOfTwo")
(ConvEncoder,) = of_the_page("xfm.model", "ConvEncoder")
ADDED: dict[str, type[Objective]] = {"uniformity": Uniformity, "length": Length, "which_of_two": WhichOfTwo}


@pytest.fixture(params=ADDED)
def added(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(OBJECTIVES, request.param, ADDED[request.param])  # the one line
    return request.param


def with_loss(loss: str, /, **changes: Any) -> RunConfig:
    starts = {f"objectives.{o}.start": 0.0 for o in recipes.smoke().objectives}
    return recipes.smoke().replace({f"objectives.{loss}.weight": 0.5, **starts, **changes})


def batch_of(config: RunConfig) -> dict[str, Any]:
    return Streams(config, dataset(config).tokenizer(), "validation")[config.train.steps]


def test_a_text_loss_trains_the_language_encoder_where_no_other_loss_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "length", Length)
    config = with_loss("length").replace({f"objectives.{o}.weight": 0.0 for o in ("itc", "mlm")})
    pretraining, batch = Pretraining(build(config), config), batch_of(config)
    losses, _ = pretraining(batch, ("length", "itm", "imlm", "bbp", "mim"), (0, 0))
    assert {"pairs/length", "texts/length"} <= set(losses)
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in pretraining.model.text.layers.parameters())


def test_an_added_loss_has_its_gradient_row_and_a_head_with_the_new_heads_rate_and_its_own_draw(added: str) -> None:
    config = with_loss(added)
    model, without = build(config), build(recipes.smoke())
    row = gradient_table(Pretraining(model, config), batch_of(config)).norms[added]
    language = {module for module in row if module.startswith("language")}
    # the paper's stop is before the language encoder of which_of_two
    expected = {"uniformity": {"vision"}, "length": language, "which_of_two": {"vision", "fusion"}}
    assert {m for m, norm in row.items() if norm is not None} == expected[added] | {f"{added.upper()} head"}
    own = {id(p) for p in model.objectives[added].parameters()}
    scales = {g["scale"] for g in parameter_groups(model, config.train) for p in g["params"] if id(p) in own}
    assert scales == {config.train.head_lr_scale}
    same = model.state_dict()
    assert all(torch.equal(value, same[name]) for name, value in without.state_dict().items()), "no other weight moves"


def test_it_trains_is_ablated_by_name_and_has_its_curve(added: str, tmp_path) -> None:
    config = with_loss(added, name="added", **{"train.steps": 3, "train.validate_every": 3})
    records, loss = list(pretrain(config, tmp_path)), f"{ADDED[added].streams[0]}/{added}"
    assert all(loss in record for record in records) and f"validation/{loss}" in records[-1]
    titles = [axes.get_title(loc="left") for axes in plots.learning_curves(records, config).axes]
    assert any(title.startswith(added.upper()) for title in titles), titles
    ablated = config.replace({**recipes.ablations()[f"no_{added}"], "name": "ablated"})
    assert loss not in next(pretrain(ablated, tmp_path))
    assert Run.open(tmp_path / "added" / "seed0").model().objectives[added] is not None


def test_losses_that_cannot_be_are_refused_before_anything_is_made(tmp_path) -> None:
    for changes, said in (
        ({"objectives.imtm.weight": 1.0}, r"objectives = 'imtm': must be one of .*did you mean 'imlm'|'itm'"),
        ({"flow.text_gradient.mlm": 0.5}, "flow.text_gradient.mlm: mlm does not cross from text to pictures"),
    ):
        with pytest.raises(ConfigError, match=said):
            next(pretrain(recipes.smoke().replace(changes), tmp_path))
    assert not any(tmp_path.iterdir())
    config = recipes.smoke()
    few = {name: config.objectives[name] for name in ("mlm", "itm")}
    with pytest.raises(ConfigError, match=r"objectives.itm: reads contrastive features.*add objectives.itc"):
        build(RunConfig(model=config.model, data=config.data, objectives=few))


def test_another_vision_encoder_trains_resumes_is_probed_traced_and_explained(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(VISION_ENCODERS, "conv", ConvEncoder)  # the one line
    steps = {"train.steps": 4, "train.save_every": 2, "train.probe_every": 2}
    config = recipes.smoke().replace({"name": "conv", "model.vision.encoder": "conv"} | steps)
    list(islice(pretrain(config, tmp_path), 2))
    assert [r["step"] for r in pretrain(config, tmp_path)] == [2, 3]
    run = Run.of(config, tmp_path)
    assert [r["step"] for r in run.probes()] == [0, 2, 4] and len(run.probes()[-1]["cka"]["vision"]) == 2
    model, tokenizer, scene = run.model(), run.tokenizer(), dataset(config).world.scene("test", 1)
    seen = trace(model, tokenizer, scene.image, scene.text, target="itm")
    assert set(seen.maps) == {"language", "fusion", "cross"} and len(seen.states["vision"]) == 3
    inputs = make_inputs(model, tokenizer, scene.image, scene.text)
    assert attribute(inputs, "integrated gradients").patches.abs().sum() > 0
    with pytest.raises(ConfigError, match="attention"):
        attribute(inputs, "rollout")
    table = gradient_table(Pretraining(model, config), batch_of(config))
    assert table.norms["itc"]["vision"] > 0 and table.norms["mim"]["vision mask token"] > 0


# ---- a loss whose declaration is wrong is refused in one sentence: when the model is built, or at its first step
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


def with_declared(monkeypatch: pytest.MonkeyPatch, declared: dict[str, Any]) -> Pretraining:
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
    "a tensor": ({"forward": lambda _, flow: flow.text.mean()}, r": forward returns a Tensor; return LossOut\(loss\)"),
    "a vector": ({"forward": lambda _, flow: LossOut(flow.text.mean((1, 2)))},
        r": LossOut.loss is of shape \(4,\); make it a tensor without dimensions, as by .mean\(\)"),
    "an accuracy that is not reported": ({"accuracy_key": "accuracy"},
        ': accuracy_key = "accuracy" is not in the report; add it to LossOut'),
}  # fmt: skip


@pytest.mark.parametrize("case", [*AT_BUILD, *AT_FIRST_STEP])
def test_a_loss_that_cannot_be_or_does_not_do_as_it_declares_is_refused(case: str, monkeypatch) -> None:
    declared, sentence = (AT_BUILD | AT_FIRST_STEP)[case]
    with pytest.raises(ConfigError, match=f"objectives.added{sentence}") as error:
        pretraining = with_declared(monkeypatch, declared)
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
    losses = forward(with_declared(monkeypatch, declared))
    assert {*losses} == {f"{stream}/added" for stream in declared.get("streams", ("pairs",))}

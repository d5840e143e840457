"""What the house promises to whoever adds a loss or an encoder: one file and one line, and everything else follows.

The losses and the encoder here are real ones, written as a user would, and registered by a line at run time.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reference import batches
from torch import Tensor, nn

import xfm_widgets as xw
from xfm import cli, plots, pretrain, recipes
from xfm.config import ConfigError, RunConfig, VisionConfig
from xfm.data import dataset
from xfm.data.streams import Streams
from xfm.diagnostics.gradient_table import gradient_table
from xfm.explain import attribute, make_inputs, trace
from xfm.flow import Flow
from xfm.model import VISION_ENCODERS
from xfm.model.batch import FusionBatch, LossOut
from xfm.model.blocks import two_layer_head
from xfm.model.stacks import Stack
from xfm.model.vision import patchify
from xfm.objectives import OBJECTIVES, Objective, Pretraining, build
from xfm.objectives.base import Level, Measure, mean_over, widen
from xfm.runs.run import Run
from xfm.train.optimizer import parameter_groups


class Uniformity(Objective):
    """An image loss: spreads the image features over the sphere (Wang and Isola, 2020)."""

    title = "uniformity of the images"
    streams = ("pairs",)
    reads = ("image",)
    family = "vision"
    unit = "log of a mean potential"

    def __init__(self, config: RunConfig):
        super().__init__()
        self.project = nn.Linear(config.model.vision.width, 16)

    def forward(self, flow: Flow) -> LossOut:
        image = F.normalize(widen(self.project(flow.image.pooled)), dim=-1)
        return LossOut(torch.pdist(image).square().mul(-2).exp().mean().log())


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


class Counting(Objective):
    """A fusion loss: which of two pictures is the text's, asked of the fusion encoder."""

    title = "which of two pictures"
    streams = ("pairs",)
    reads = ("text", "image", "fused")
    text_gradient = 0.0
    accuracy_key = "accuracy"

    def __init__(self, config: RunConfig):
        super().__init__()
        self.head = two_layer_head(config.model.text.width, 1)

    @classmethod
    def chance(cls, config: RunConfig, stream: str, measure: Measure = "loss") -> Level | None:
        return (0.5, "a coin") if measure == "accuracy" else (0.6931, "ln 2")

    def pairing(self, flow: Flow) -> FusionBatch:
        n = flow.fusion_count
        text, mask = flow.text[:n], flow.batch.tokens.mask[:n]
        own = torch.arange(len(text), device=text.device)
        return FusionBatch(torch.cat([text] * 2), torch.cat([mask] * 2), torch.cat([own, own.roll(1)]))

    def forward(self, flow: Flow) -> LossOut:
        own, other = widen(self.head(flow.fused["counting"][:, 0]))[:, 0].chunk(2)
        loss = mean_over(F.softplus(other - own).sum(), len(own))
        return LossOut(loss, {"accuracy": (own > other).float().mean()})


ADDED: dict[str, type[Objective]] = {"uniformity": Uniformity, "length": Length, "counting": Counting}


@pytest.fixture(params=ADDED)
def added(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(OBJECTIVES, request.param, ADDED[request.param])  # the one line
    return request.param


def with_loss(loss: str, /, config: RunConfig | None = None, **changes: Any) -> RunConfig:
    config = config or recipes.smoke()
    starts = {f"objectives.{o}.start": 0.0 for o in config.objectives}
    return config.replace({f"objectives.{loss}.weight": 0.5, **starts, **changes})


def batch_of(config: RunConfig) -> dict[str, Any]:
    return Streams(config, dataset(config).tokenizer(), "validation")[config.train.steps]


def test_an_added_loss_has_its_gradient_row(added: str) -> None:
    config = with_loss(added)
    table = gradient_table(Pretraining(build(config), config), batch_of(config))
    row = table.norms[added]
    reached = {module for module, norm in row.items() if norm is not None}
    language = {module for module in row if module.startswith("language")}
    assert f"{added.upper()} head" in reached
    expected = {
        "uniformity": {"vision"},
        "length": language,
        "counting": {"vision", "fusion"},  # the paper's stop is before its language encoder
    }
    assert reached - {f"{added.upper()} head"} == expected[added]


def test_a_text_loss_trains_the_language_encoder_where_no_other_loss_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "length", Length)
    config = with_loss("length").replace({f"objectives.{o}.weight": 0.0 for o in ("itc", "mlm")})
    pretraining, batch = Pretraining(build(config), config), batch_of(config)
    losses, _ = pretraining(batch, ("length", "itm", "imlm", "bbp", "mim"), (0, 0))
    assert {"pairs/length", "texts/length"} <= set(losses)
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in pretraining.model.text.layers.parameters())


def test_the_stop_is_the_added_fusion_losses_too_and_so_is_its_ablation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "counting", Counting)
    config = with_loss("counting")
    opened = config.replace({"flow.text_gradient.counting": 1.0})
    norms = [gradient_table(Pretraining(build(c), c), batch_of(c)).norms["counting"] for c in (config, opened)]
    assert norms[0]["language layer 0"] is None and norms[1]["language layer 0"] > 0
    assert recipes.ablations()["no_stop_gradient"]["flow.text_gradient.counting"] == 1.0


def test_its_head_learns_at_the_new_heads_rate_and_starts_from_its_own_draw(added: str) -> None:
    config = with_loss(added)
    model, without = build(config), build(recipes.smoke())
    named = {id(p): name for name, p in model.named_parameters()}
    scales = {named[id(p)]: g["scale"] for g in parameter_groups(model, config.train) for p in g["params"]}
    heads = [name for name in scales if name.startswith(f"objectives.{added}.")]
    assert heads and {scales[name] for name in heads} == {config.train.head_lr_scale}
    same = model.state_dict()
    assert all(torch.equal(value, same[name]) for name, value in without.state_dict().items()), "no other weight moves"


def test_it_trains_is_ablated_by_name_and_has_its_curve(added: str, tmp_path) -> None:
    config = with_loss(added, name="added", **{"train.steps": 3, "train.validate_every": 3})
    records = list(pretrain(config, tmp_path))
    stream = ADDED[added].streams[0]
    assert all(f"{stream}/{added}" in record for record in records)
    assert f"validation/{stream}/{added}" in records[-1]
    drawn = [axes.get_title(loc="left") for axes in plots.learning_curves(records, config).axes]
    titles = [" ".join(title.split()) for title in drawn]  # long ones are wrapped
    assert any(title.startswith(added.upper()) and ADDED[added].title in title for title in titles), titles
    ablated = config.replace({**recipes.ablations()[f"no_{added}"], "name": "ablated"})
    assert f"{stream}/{added}" not in next(pretrain(ablated, tmp_path))
    assert Run.open(tmp_path / "added" / "seed0").model().objectives[added] is not None


def test_it_has_its_arrow_in_the_gradient_flow(added: str) -> None:
    encoders = {"uniformity": "vision", "length": "language layer 0", "counting": "fusion"}
    record = {"step": 0, "norm": {added: {encoders[added]: 1.5}, "mlm": {"language layer 0": 2.0}}, "held_back": {}}
    view = xw.GradientFlow([record])
    shown = {loss["name"]: loss for loss in view.payload["objectives"]}
    assert set(shown) == {added, "mlm"} and shown[added]["title"] == ADDED[added].title
    flowing = view.flowing()[added]
    assert {encoder for encoder, norm in flowing.items() if norm} == {encoders[added].split()[0]}


def test_it_is_switched_on_from_a_shell(added: str) -> None:
    options = [f"--objectives.{added}.weight", "0.25", "--train.steps", "7"]
    scale = ["--flow.text-gradient.counting", "0.5"] if added == "counting" else []
    config = cli.parse(["pretrain", "smoke", *options, *scale]).config  # type: ignore[union-attr]
    assert config.objectives[added].weight == 0.25 and config.train.steps == 7
    assert config.flow.text_gradient.get(added) == (0.5 if scale else None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objectives.imtm.weight": 1.0}, r"objectives = 'imtm': must be one of .*did you mean 'imlm'|'itm'"),
        ({"flow.text_gradient.mlm": 0.5}, "flow.text_gradient.mlm: mlm does not cross from text to pictures"),
    ],
)
def test_a_loss_that_cannot_be_is_refused_before_anything_is_made(changes, said: str, tmp_path) -> None:
    with pytest.raises(ConfigError, match=said):
        next(pretrain(recipes.smoke().replace(changes), tmp_path))
    assert not any(tmp_path.iterdir())


def test_contrastive_features_need_a_loss_that_has_their_heads() -> None:
    config = recipes.smoke()
    losses = {name: loss for name, loss in config.objectives.items() if name != "itc"}
    with pytest.raises(ConfigError, match=r"objectives.itm: reads contrastive features.*add objectives.itc"):
        build(RunConfig(model=config.model, data=config.data, objectives=losses))


def test_a_gradient_scale_may_be_of_one_of_the_papers_losses_that_is_not_there() -> None:
    config = recipes.smoke()
    losses = {name: config.objectives[name] for name in ("mlm", "itc")}
    assert "itm" in config.flow.text_gradient
    assert {*build(RunConfig(model=config.model, data=config.data, objectives=losses)).objectives} == {*losses}


class ConvEncoder(nn.Module):
    """A vision encoder without attention: two convolutions over the patches' grid."""

    stack = Stack("vision", "vision.layers", {})

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.config, width = config, config.width
        self.patch_embed = nn.Linear(3 * config.patch_size**2, width)
        self.mask_token = nn.Parameter(torch.zeros(width))
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def embed(self, image: Tensor) -> Tensor:
        return self.patch_embed(patchify(image, self.config.patch_size))

    def encode(self, x: Tensor) -> Tensor:
        grid = x.transpose(1, 2).unflatten(2, (self.config.grid,) * 2)
        for layer in self.layers:
            grid = grid + F.gelu(layer(grid))
        return grid.flatten(2).transpose(1, 2)

    def forward(self, image: Tensor, hidden: Tensor | None = None) -> Tensor:
        x = self.embed(image)
        return self.encode(x if hidden is None else torch.where(hidden[..., None], self.mask_token.to(x.dtype), x))


@pytest.fixture
def conv(monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    monkeypatch.setitem(VISION_ENCODERS, "conv", ConvEncoder)  # the one line
    return recipes.smoke().replace({"name": "conv", "model.vision.encoder": "conv", "train.probe_every": 2})


def test_another_vision_encoder_trains_resumes_and_is_probed(conv: RunConfig, tmp_path) -> None:
    config = conv.replace({"train.steps": 4, "train.save_every": 2})
    for record in pretrain(config, tmp_path):
        if record["step"] == 1:
            break
    records = list(pretrain(config, tmp_path))
    assert [r["step"] for r in records] == [2, 3]
    run = Run.of(config, tmp_path)
    assert run.done and isinstance(run.model().vision, ConvEncoder)
    assert [r["step"] for r in run.probes()] == [0, 2, 4] and len(run.probes()[-1]["cka"]["vision"]) == 2


def test_another_vision_encoder_is_traced_and_explained_by_what_it_has(conv: RunConfig) -> None:
    model, data = build(conv).eval(), dataset(conv)
    scene, tokenizer = data.world.scene("test", 1), data.tokenizer()
    seen = trace(model, tokenizer, scene.image, scene.text, target="itm")
    assert set(seen.maps) == {"language", "fusion", "cross"} and len(seen.states["vision"]) == 3
    inputs = make_inputs(model, tokenizer, scene.image, scene.text)
    assert attribute(inputs, "integrated gradients").patches.abs().sum() > 0
    with pytest.raises(ConfigError, match="attention"):
        attribute(inputs, "rollout")
    table = gradient_table(Pretraining(model, conv), batch_of(conv))
    assert table.norms["itc"]["vision"] > 0 and table.norms["mim"]["vision mask token"] > 0


def test_the_reference_model_has_the_papers_losses_alone() -> None:
    assert list(batches.model(batches.config()).objectives) == list(OBJECTIVES)

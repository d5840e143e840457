"""A step in parts one after the other, and layers that are computed again: the same gradients, in less memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from xfm import recipes
from xfm.config import ConfigError, RunConfig
from xfm.data import dataset
from xfm.data.streams import Streams
from xfm.data.tokenizer import Tokenizer
from xfm.model.batch import Batch
from xfm.objectives import OBJECTIVES, Pretraining, build, weighted_sum
from xfm.train import Run, pretrain
from xfm.train.accelerator import make_accelerator
from xfm.train.estimate import _count
from xfm.train.step_gradient import in_parts, split

STEP = 100
KEY = (0, STEP)
SUMS = [name for name in OBJECTIVES if name not in ("itc", "itm")]  # what these compare is within a part


def config(**changes: Any) -> RunConfig:
    fields = {name.replace("__", "."): value for name, value in changes.items()}
    sizes = {"data.fusion_batch": 0, "data.region_images": 8, "data.regions": 16, "data.images": 8, "data.texts": 8}
    return recipes.get("smoke+adamw").replace(sizes | {"train.steps": 200, "train.shards": 1} | fields)


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return dataset(config()).tokenizer()


@pytest.fixture(scope="module")
def batch(words: Tokenizer) -> Batch:
    return Streams(config(), words)[STEP]


def model_of(c: RunConfig) -> Pretraining:
    return Pretraining(build(c).double(), c).train()


def gradients(p: Pretraining) -> dict[str, Tensor]:
    return {name: w.grad.clone() for name, w in p.model.named_parameters() if w.grad is not None}


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("objective", SUMS)
def test_the_parts_give_the_losses_and_gradients_of_the_whole(objective: str, count: int, batch: Batch) -> None:
    accelerator, whole, on = make_accelerator(config().train), model_of(config()), {objective: 1.0}
    expected, report = in_parts(whole, 1, accelerator, batch, on, KEY)
    p = model_of(config())
    losses, said = in_parts(p, count, accelerator, batch, on, KEY)
    assert {n: v.item() for n, v in losses.items()} == pytest.approx({n: v.item() for n, v in expected.items()})
    same = [n for n in report if not n.endswith("/constant")]  # a constant of each part is nearer to it
    assert said.keys() == report.keys()
    assert {n: said[n].item() for n in same} == pytest.approx({n: report[n].item() for n in same})
    wanted, found = gradients(whole), gradients(p)
    assert wanted.keys() == found.keys()
    for name, grad in wanted.items():
        torch.testing.assert_close(found[name], grad, rtol=1e-9, atol=1e-12, msg=name)
    assert any(grad.abs().max() > 1e-4 for grad in wanted.values())


@pytest.mark.parametrize("objective", ["itc", "itm"])
def test_what_is_compared_is_compared_within_a_part(objective: str, batch: Batch) -> None:
    p, on = model_of(config()), {objective: 1.0}
    losses, _ = in_parts(p, 2, make_accelerator(config().train), batch, on, KEY)
    found, sums = gradients(p), dict[str, float]()
    p.zero_grad()
    for i, part in enumerate(split(batch, 2, even=True)):
        alone, _ = p(part, on, (*KEY, i))
        shares = {n: len(part[n.split("/")[0]].tokens.ids) / len(batch[n.split("/")[0]].tokens.ids) for n in alone}  # type: ignore[union-attr]
        alone = {n: shares[n] * loss for n, loss in alone.items()}
        weighted_sum(alone, on).backward()
        sums = {n: sums.get(n, 0.0) + loss.item() for n, loss in alone.items()}
    assert {n: v.item() for n, v in losses.items()} == pytest.approx(sums)
    for name, grad in gradients(p).items():
        torch.testing.assert_close(found[name], grad, rtol=1e-9, atol=1e-12, msg=name)


def test_an_even_guess_is_among_the_pairs_of_a_part(batch: Batch) -> None:
    c = config(train__accumulate=2)
    p = model_of(c)
    for weight in (p.model.contrastive.image.weight, p.model.contrastive.text.weight):
        weight.data.zero_().add_(1)  # every feature is the same
    losses, _ = in_parts(p, 2, make_accelerator(c.train), {"pairs": batch["pairs"]}, {"itc": 1.0}, KEY)
    level = OBJECTIVES["itc"].chance(c, "pairs")
    assert level == (pytest.approx(losses["pairs/itc"].item(), abs=0.05), f"chance, ln {c.data.pairs // 2}")


def test_each_part_fuses_its_share_of_the_pairs(words: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    c = config(data__fusion_batch=4)
    p, seen = model_of(c), []
    forward = type(p.model.fusion).forward
    monkeypatch.setattr(
        type(p.model.fusion), "forward", lambda s, text, *a: seen.append(len(text)) or forward(s, text, *a)
    )
    in_parts(p, 2, make_accelerator(c.train), {"pairs": Streams(c, words)[STEP]["pairs"]}, {"imlm": 1.0}, KEY)
    assert seen == [2, 2]


def kept(changes: dict[str, Any], batch: Batch) -> float:
    """Bytes at the end of the forward pass, which the estimate counts by saved_tensors_hooks."""
    c = config(**changes)
    return _count(build(c), c, batch, STEP, dict.fromkeys(batch, 1.0), "no")[1]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("packed", [False, True])
def test_layers_that_are_computed_again_change_no_gradient(dropout: float, packed: bool, words: Tokenizer) -> None:
    """With every objective, and the same draws in both computations; texts with padding and without."""
    fields = {"model__text__dropout": dropout, "model__vision__drop_path": dropout}
    batch = Streams(config(), words)[STEP]
    if not packed:
        longest = {n: s.tokens.mask.sum(1) == s.tokens.mask.shape[1] for n, s in batch.items() if hasattr(s, "tokens")}  # type: ignore[union-attr]
        assert any(full.any() for full in longest.values())
        batch = {"images": batch["images"]}
    on, found = dict.fromkeys(OBJECTIVES, 1.0), []
    for again in (False, True):
        p = model_of(config(**fields, train__checkpoint_activations=again))
        in_parts(p, 1, make_accelerator(config().train), batch, on, KEY)
        found.append(gradients(p))
    assert found[0].keys() == found[1].keys()
    for name, grad in found[0].items():
        torch.testing.assert_close(found[1][name], grad, rtol=1e-12, atol=1e-14, msg=name)


def test_open_clips_towers_can_be_computed_again(words: Tokenizer) -> None:
    c = recipes.get("smoke+clip_like").replace({"train.shards": 1, "train.steps": 200})
    batch = Streams(c, dataset(c).tokenizer())[STEP]
    on, found = dict.fromkeys(c.objectives, 1.0), []
    for again in (False, True):
        p = model_of(c.replace({"train.checkpoint_activations": again}))
        in_parts(p, 1, make_accelerator(c.train), batch, on, KEY)
        found.append(gradients(p))
    for name, grad in found[0].items():
        torch.testing.assert_close(found[1][name], grad, rtol=1e-12, atol=1e-14, msg=name)


def test_layers_that_are_computed_again_keep_their_inputs_alone(batch: Batch) -> None:
    deep = {"model__vision__depth": 6, "model__text__depth": 6, "model__fusion_depth": 4}
    assert kept(deep | {"train__checkpoint_activations": True}, batch) < 0.35 * kept(deep, batch)


@pytest.mark.parametrize("way", [{"train.accumulate": 2}, {"train.checkpoint_activations": True}])
def test_a_run_resumes_bit_for_bit(way: dict, tmp_path) -> None:
    sizes = {"train.steps": 4, "train.save_every": 2, "train.validate_every": 0, "name": "parts"}
    c = config().replace(sizes | way)
    [*pretrain(c, tmp_path / "a")]
    for record in pretrain(c, tmp_path / "b"):
        if record["step"] == 1:
            break
    [*pretrain(c, tmp_path / "b")]
    a, b = (Run.of(c, tmp_path / x).folder / "model.safetensors" for x in "ab")
    assert a.read_bytes() == b.read_bytes()


def test_what_saves_memory_alone_is_no_other_run() -> None:
    plain = config()
    for same in ({"train.checkpoint_activations": True}, {"train.strategy": "fsdp"}, {"train.accumulate": 1}):
        assert plain.replace(same).fingerprint == plain.fingerprint
    assert plain.replace({"train.accumulate": 2}).fingerprint != plain.fingerprint


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"train.accumulate": 0}, r"train\.accumulate = 0: must be positive"),
        ({"train.accumulate": 5}, r"train\.accumulate = 5: must be at most 4: two of the 8 pairs a part"),
        ({"train.accumulate": 2, "train.shards": 2}, r"train\.shards = 2: must be 1 with train\.accumulate"),
        (
            {"train.checkpoint_activations": True, "train.shards": 2},
            r"train\.shards = 2: must be 1 with train\.checkpoint_activations",
        ),
        ({"train.strategy": "fsdp", "train.probe_every": 5}, r"train\.probe_every = 5: must be 0 with train\.strategy"),
        ({"train.strategy": "zero"}, r"train\.strategy = 'zero'"),
    ],
)
def test_what_does_not_go_together_is_refused(fields: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config().replace(fields)

"""A step's gradient in parts, one after the other or a thread each: that of the whole batch, whoever is late."""

import contextlib
import itertools
import time
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import batches
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from train.conftest import equal

from xfm import recipes
from xfm.config import ConfigError, RunConfig
from xfm.data import dataset
from xfm.data.skipped_items import SkippedItems
from xfm.data.streams import Streams
from xfm.interventions.noise import matched_noise
from xfm.interventions.projection import gradvac, pcgrad
from xfm.model import attention, kernels
from xfm.model.batch import PAD, Batch, Regions, TokenBatch, tree_map
from xfm.model.blocks import TextLayer
from xfm.objectives import OBJECTIVES, Pretraining, build, weighted_sum
from xfm.train import pretrain, step_gradient
from xfm.train.accelerator import make_accelerator
from xfm.train.estimate import _count
from xfm.train.step_gradient import Shards, in_parts, split

STEP = 100
KEY = (0, STEP)
EXACT = {"rtol": 1e-9, "atol": 1e-12}
Found = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]  # losses, report, gradients


def config(recipe: str = "smoke+adamw", **changes: Any) -> RunConfig:
    fields = {name.replace("__", "."): value for name, value in changes.items()}
    sizes = {"data.fusion_batch": 0, "data.region_images": 8, "data.regions": 16, "data.images": 8, "data.texts": 8}
    return recipes.get(recipe).replace(sizes | {"train.steps": 200, "train.shards": 1} | fields)


@pytest.fixture(scope="module")
def words():
    return dataset(config()).tokenizer()


@pytest.fixture(scope="module")
def batch(words):
    return Streams(config(), words)[STEP]


def model_of(c: RunConfig) -> Pretraining:
    return Pretraining(build(c).double(), c).train()


def gradients(p: Pretraining) -> dict[str, Tensor]:
    return {name: w.grad.clone() for name, w in p.model.named_parameters() if w.grad is not None}


def in_turn(p: Pretraining, batch: Batch, on: dict[str, float], count: int = 2) -> Found:
    return *in_parts(p, count, make_accelerator(p.config.train), batch, on, KEY), gradients(p)


def in_threads(p: Pretraining, batch: Batch, on: dict[str, float], count: int = 2) -> Found:
    return *Shards(p, count, 1, contextlib.nullcontext)(batch, on, KEY), gradients(p)


def items(tensors: dict[str, Tensor]) -> dict[str, float]:
    return {name: value.item() for name, value in tensors.items()}


SUMS = [name for name in OBJECTIVES if name not in ("itc", "itm")]  # what these compare in turn is within a part
CASES = [(in_turn, o, count) for o in SUMS for count in (2, 3)]
CASES += [(in_threads, o, count) for o in (*SUMS, "itc") for count in (1, 2, 4)]  # ITM's negatives are of its own part


@pytest.mark.parametrize(("how", "objective", "count"), CASES, ids=lambda case: getattr(case, "__name__", case))
def test_the_parts_give_the_losses_and_gradients_of_the_whole(how, objective, count, batch):
    whole, on = model_of(config()), {objective: 1.0}
    losses, report = whole(batch, on, KEY)
    weighted_sum(losses, on).backward()
    found, said, grads = how(model_of(config()), batch, on, count)
    assert items(found) == pytest.approx(items(losses), rel=1e-6) and said.keys() == report.keys()
    shared = [n for n in report if not n.endswith("/constant") and (how is in_turn or "accuracy" not in n)]
    assert items({n: said[n] for n in shared}) == pytest.approx(items({n: report[n] for n in shared}), rel=1e-5)
    torch.testing.assert_close(grads, gradients(whole), **EXACT)
    assert any(grad.abs().max() > 1e-4 for grad in grads.values())


@pytest.mark.parametrize(("how", "objective"), [(in_turn, "itc"), (in_turn, "itm"), (in_threads, "itm")])
def test_what_is_compared_is_compared_within_a_part(how, objective, batch):
    p, on = model_of(config()), {objective: 1.0}
    losses, _, found = how(p, batch, on)
    sums = dict[str, float]()
    p.zero_grad()
    for i, part in enumerate(split(batch, 2, even=how is in_turn)):
        alone, _ = p(part, on, (*KEY, i))
        share = {s: len(part[s].tokens.ids) / len(batch[s].tokens.ids) for s in ("pairs", "regions")}
        alone = {n: share[n.split("/")[0]] * loss for n, loss in alone.items()}
        weighted_sum(alone, on).backward()
        sums = {n: sums.get(n, 0.0) + loss.item() for n, loss in alone.items()}
    assert items(losses) == pytest.approx(sums, rel=1e-6)
    if how is in_turn:
        torch.testing.assert_close(found, gradients(p), **EXACT)


def test_each_part_fuses_its_share_of_the_pairs(words, monkeypatch):
    c, seen = config(data__fusion_batch=4), []
    p = model_of(c)
    fusion = type(p.model.fusion)
    forward = fusion.forward
    monkeypatch.setattr(fusion, "forward", lambda s, text, *a: seen.append(len(text)) or forward(s, text, *a))
    in_turn(p, {"pairs": Streams(c, words)[STEP]["pairs"]}, {"imlm": 1.0})
    assert seen == [2, 2]


@pytest.mark.parametrize("recipe", ["smoke+adamw", "smoke+clip_like"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_layers_that_are_computed_again_change_no_gradient(recipe, dropout):
    dropped = {"model__text__dropout": dropout, "model__vision__drop_path": dropout}
    fields, found = {} if "clip" in recipe else dropped, []
    for again in (False, True):
        c = config(recipe, **fields, train__checkpoint_activations=again)
        batch = Streams(c, dataset(c).tokenizer())[STEP]
        found.append(in_turn(model_of(c), batch, dict.fromkeys(c.objectives, 1.0), 1)[-1])
    torch.testing.assert_close(found[1], found[0], rtol=1e-12, atol=1e-14)


@pytest.mark.full
def test_layers_that_are_computed_again_keep_their_inputs_alone(batch):
    """Bytes at the end of the forward pass, which the estimate counts by saved_tensors_hooks."""
    deep = {"model__vision__depth": 6, "model__text__depth": 6, "model__fusion_depth": 4}
    configs = [config(**deep, train__checkpoint_activations=again) for again in (False, True)]
    all_of, inputs = (_count(build(c), c, batch, STEP, dict.fromkeys(batch, 1.0), "no")[1] for c in configs)
    assert inputs < 0.35 * all_of


@pytest.mark.parametrize(("fields", "said"), [
    ({"accumulate": 5}, r"train\.accumulate = 5: must be at most 4: two of the 8 pairs a part"),
    ({"shards": 2, "data.fusion_batch": 2}, "at most 1: two of the 2 pairs that are fused a shard"),
    ({"accumulate": 2, "shards": 2}, r"train\.shards = 2: must be 1 with train\.accumulate"),
    ({"checkpoint_activations": True, "shards": 2}, r"train\.shards = 2: must be 1 with train\.checkpoint_activations"),
    ({"strategy": "fsdp", "probe_every": 5}, r"train\.probe_every = 5: must be 0 with train\.strategy"),
])  # fmt: skip
def test_what_does_not_go_together_is_refused(fields, said):
    with pytest.raises(ConfigError, match=said):
        config().replace({name if "." in name else f"train.{name}": value for name, value in fields.items()})


def rows(ids: list[Tensor]) -> list[list[int]]:
    return [row[row != PAD].tolist() for part in ids for row in part]


@pytest.mark.parametrize("count", [2, 3])
def test_the_parts_are_the_batch(batch, words, count):
    """Each padded to the longest of its own texts; a false caption goes with its pair, and no token is lost."""
    more = config(data__pairs=16, data__relation_negatives=1.0, data__caption_tokens=24)
    pairs = Streams(more, words)[STEP]["pairs"]
    for name, whole in [*batch.items(), ("pairs", pairs)]:
        each = [part[name] for part in split({name: whole}, count)]
        if hasattr(whole, "tokens"):
            assert rows([p.tokens.ids for p in each]) == rows([whole.tokens.ids])
            assert whole is pairs or all(p.tokens.mask.any(0).all() for p in each)
        if whole is pairs:
            assert rows([p.false_ids for p in each]) == rows([pairs.false_ids])
            assert all(p.false_ids.shape == p.tokens.ids.shape == p.tokens.mask.shape for p in each)
            assert min(p.tokens.ids.shape[1] for p in each) < pairs.tokens.ids.shape[1]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_late_part_changes_no_bit(batch, dropout, monkeypatch):
    c = config(model__text__dropout=dropout, model__vision__drop_path=dropout)
    on = dict.fromkeys(OBJECTIVES, 1.0)
    *first, expected = in_threads(model_of(c), batch, on)
    forward, calls = TextLayer.forward, itertools.count(1)

    def late(self: TextLayer, *args: Any, **kwargs: Any) -> Tensor:
        time.sleep(0.02 * (next(calls) % 3 == 0))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(TextLayer, "forward", late)
    *second, found = in_threads(model_of(c), batch, on)
    assert next(calls) > 1 and first == second and equal(expected, found)


def test_the_error_of_one_part_is_raised_and_ends_the_others(batch, monkeypatch):
    """Parts share the weights, and not their gradients."""
    p = model_of(config())
    shards, on = Shards(p, 2, 1, contextlib.nullcontext), {"mlm": 1.0, "itc": 1.0}
    for replica in shards.replicas:
        pairs = zip(p.parameters(), replica.parameters(), strict=True)
        assert all(a.data_ptr() == b.data_ptr() and a is not b for a, b in pairs)
    good = shards(batch, on, KEY)
    assert all(w.grad is None for replica in shards.replicas for w in replica.parameters())
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(shards.replicas[1].model.vision, "encode", lambda x: 1 / 0)
        shards(batch, on, KEY)
    assert shards(batch, on, KEY) == good, "and the next step is as ever"


@given(st.lists(st.integers(0, 7), min_size=8, max_size=16), st.integers(1, 4), st.booleans())
def test_every_region_is_in_one_part_with_its_own_picture(owners, count, even):
    """As many in each where that is asked for, or where a part would have fewer than two."""
    owner, rows = torch.tensor(sorted(owners)), torch.arange(len(owners))
    ids = rows[:, None]
    tokens = TokenBatch(ids, torch.ones_like(ids, dtype=torch.bool), ids, ids, ids)
    pictures = torch.arange(8)[:, None, None, None]
    regions = Regions(pictures, owner, rows[:, None] > 0, tokens, rows[:, None].float(), rows > 0)
    parts: list[Any] = [part["regions"] for part in split({"regions": regions}, count, even)]
    assert torch.cat([part.box[:, 0].long() for part in parts]).tolist() == rows.tolist()
    assert torch.cat([part.image[part.owner, 0, 0, 0] for part in parts]).tolist() == owner.tolist()
    sizes = [len(part.owner) for part in parts]
    assert min(sizes) >= 2 and (not even or max(sizes) - min(sizes) <= 1)
    by_picture = [sum(8 * i // count <= o < 8 * (i + 1) // count for o in owners) for i in range(count)]
    assert even or min(by_picture) < 2 or sizes == by_picture


def test_the_contrast_finds_its_own_among_everyones(batch):
    """So its accuracy is that of the whole batch."""
    p, on = model_of(config()), {"itc": 1.0}
    (_, whole), (_, found, _) = p(batch, on, KEY), in_threads(p, batch, on)
    for key in ("pairs/itc/accuracy", "regions/itc/accuracy"):
        assert float(found[key]) == pytest.approx(float(whole[key]), abs=1e-6)


WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "_unique", "unique_", "equal", "is_nonzero")
TO_THE_HOST = ("item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__", "__array__")
MASKS = (torch.bool, torch.uint8)


class NoWaiting(TorchDispatchMode):
    """Raises where a GPU would keep the host waiting: for a value, for a shape that follows from values, or for a copy
    between host and device that is not left to itself."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.name().removeprefix("aten::").partition(".")[0]
        assert not name.startswith(WAITING), f"{name} waits for the device"
        if name.startswith("index"):
            indices = [t for t in tree_leaves((args[1:], kwargs)) if isinstance(t, Tensor)]
            assert not any(t.dtype in MASKS for t in indices[:1]), f"{name} by a mask: its size depends on values"
        out = func(*args, **kwargs)
        tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor)]
        if len({t.device for t in tensors if t.ndim or t.device.type != "cpu"}) > 1:
            assert name == "_to_copy" and kwargs.get("non_blocking"), f"{name} copies between host and device"
        return out


class ToTheHost(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if (name := str(resolve_name(func)).rpartition(".")[2]) in TO_THE_HOST:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


HERE = torch.arange(4.0)


@pytest.mark.parametrize("wait", [lambda: HERE[0].item(), lambda: HERE[HERE > 1], lambda: HERE.to("meta")])
def test_what_waits_is_noticed(wait):
    with pytest.raises((AssertionError, NotImplementedError, RuntimeError)), NoWaiting():
        wait()


CHANGES: dict[str, dict[str, Any]] = {
    "dropout": {},
    "no dropout, so joined passes": batches.STILL,
    "part is fused, of pixels": {"data__fusion_batch": 2, "flow__mim_target": "pixels"},
    "no stop": {f"flow__text_gradient__{o}": 0.5 for o in ("itc", "itm", "imlm", "bbp")},
    "open_clip": {"model__vision__encoder": "open_clip", "model__text__encoder": "open_clip"},
    "bert": {"model__text__encoder": "bert"},
}


@pytest.mark.full
@pytest.mark.parametrize("change", CHANGES)
def test_no_loss_nor_its_gradient_waits(change):
    p = batches.pretraining(**CHANGES[change]).train()
    weights = dict.fromkeys(p.model.objectives, 1.0)
    batch = tree_map(lambda t: t.to("meta"), batches.batch(p.config))
    p.to("meta")
    with NoWaiting():
        losses, report = p(batch, weights, (0, 0))
        weighted_sum(losses, weights).backward()
        torch.nn.utils.clip_grad_norm_(p.parameters(), 1.0)
    assert {name.split("/")[1] for name in losses} == set(batches.ALL)
    assert all(value.device.type == "meta" for value in (losses | report).values())


def test_neither_what_steers_gradients_nor_a_frozen_target_of_pictures_of_bytes_waits():
    with torch.device("meta"):
        grads = {name: torch.empty(12) for name in ("mlm", "itc", "itm")}
    p = batches.pretraining().train().to("meta")
    p.mim_teacher = torch.no_grad()(batches.pretraining().model.vision.to("meta").forward)
    images = tree_map(lambda t: t.to("meta"), batches.images(p.config))
    batch = {"images": type(images)(images.image.to(torch.uint8), images.image_mask)}
    with NoWaiting():
        assert pcgrad(grads, (0,)).shape == gradvac(grads, {}, 0.5, (0,)).shape == (12,)
        for whole in (False, True):
            (noise,) = matched_noise([grads["itm"]], ["weight"], (0,), whole)
            assert noise is not None and noise.device.type == "meta"
        p(batch, ("mim",), (0, 0))[0]["images/mim"].backward()


def as_a_gpu(monkeypatch):
    """The CPU takes a GPU's branches."""
    for module in (kernels, attention):
        monkeypatch.setattr(module, "waits", lambda device: True)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_step_of_the_loop_brings_its_values_to_the_host_once(parts, monkeypatch, tmp_path):
    """From the batch's transfer to the record, the optimizer and all."""
    as_a_gpu(monkeypatch)
    to_device, record = step_gradient.on_device, SkippedItems.record
    seen: list[list[str]] = []
    modes: list[Any] = []

    def begin(*args: Any) -> Any:
        batch = to_device(*args)
        modes.extend([ToTheHost(), NoWaiting()])
        for mode in modes:
            mode.__enter__()
        return batch

    def end(self: SkippedItems, any_new: bool) -> Any:
        while modes:
            (mode := modes.pop()).__exit__(None, None, None)
            seen.extend([mode.seen] if isinstance(mode, ToTheHost) else [])
        return record(self, any_new)

    monkeypatch.setattr(step_gradient, "on_device", begin)
    monkeypatch.setattr(SkippedItems, "record", end)
    changes = {"data.workers": 0, "train.steps": 2, "train.validate_every": 0, "train.shards": 1,
               "train.accumulate": parts, "data.region_images": 4, "train.probe_every": 0}  # fmt: skip
    records = [*pretrain(recipes.get("smoke").replace(changes), tmp_path)]
    assert seen == [["tolist"]] * 2
    assert {o.split("/")[1] for o in records[-1] if o.count("/") == 1} == set(batches.ALL)


def test_a_gpus_branches_give_the_losses_and_gradients_of_a_cpus(monkeypatch):
    found = []
    for _ in range(2):
        p = batches.pretraining(**batches.STILL).train()
        losses, report = p(batches.batch(p.config), batches.ALL, (0, 0))
        torch.stack([*losses.values()]).sum().backward()
        found.append(losses | report | {n: w.grad for n, w in p.named_parameters()})
        as_a_gpu(monkeypatch)
    torch.testing.assert_close(found[1], found[0], rtol=1e-8, atol=1e-10)

"""A training step as a GPU takes it, on a machine that has none: the host never waits for a value, but once a step. On
the `meta` device there are shapes and no values: what would have to wait for one raises."""

from typing import Any

import pytest
import torch
from reference import batches
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from xfm import recipes
from xfm.data.skipped_items import SkippedItems
from xfm.interventions.noise import matched_noise
from xfm.interventions.projection import gradvac, pcgrad
from xfm.model import attention, kernels
from xfm.model.batch import tree_map
from xfm.objectives import weighted_sum
from xfm.train import pretrain, step_gradient

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

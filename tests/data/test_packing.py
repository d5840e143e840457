"""A batch that goes from a loader's process to the trainer as one block of memory."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader

from xfm.data.batch_loader import packed, unpacked
from xfm.model.batch import Images, Pairs, TokenBatch

TYPES = (torch.uint8, torch.bool, torch.int64, torch.float32, torch.float64)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Of any of the types of a batch, also empty or turned, so that its numbers are not in the order of its memory."""
    shape, kind = draw(st.lists(st.integers(0, 5), max_size=3)), draw(st.sampled_from(TYPES))
    made = torch.randint(0, 200, shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99)))).to(kind)
    return made.T if made.ndim == 2 and draw(st.booleans()) else made


def same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)


@given(st.lists(tensors(), max_size=5), tensors(), st.none() | tensors())
def test_it_comes_out_as_it_went_in(several: list[Tensor], one: Tensor, false: Tensor | None) -> None:
    tokens = TokenBatch(one, *(tensor.clone() for tensor in [one] * 4))
    pack = packed(tree := {"several": several, "pairs": Pairs(one, tokens, one, false)})
    assert pack.memory.is_shared() and all(t.is_meta for t in pack.form["several"])  # type: ignore[union-attr]
    out = unpacked(pack)
    assert all(map(same, out["several"], tree["several"])) and len(out["several"]) == len(several)
    assert same(out["pairs"].tokens.labels, one)  # type: ignore[union-attr]
    left = out["pairs"].false_ids  # type: ignore[union-attr]
    assert left is None if false is None else same(left, false)
    assert all(t.data_ptr() % t.element_size() == 0 and t.is_contiguous() for t in out["several"])
    assert not packed({"a": torch.empty(0, 3)}).memory.numel()


def test_from_another_process_it_is_one_block() -> None:
    images = Images(torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2), torch.eye(2, dtype=torch.bool))
    loader = DataLoader([images], batch_size=None, num_workers=1, collate_fn=packed)  # type: ignore[arg-type]
    (pack,) = loader
    out = unpacked(pack)
    assert same(out.image, images.image) and same(out.image_mask, images.image_mask)
    blocks = {t.untyped_storage().data_ptr() for t in (out.image, out.image_mask)}
    assert blocks == {pack.memory.untyped_storage().data_ptr()} and pack.memory.is_shared()

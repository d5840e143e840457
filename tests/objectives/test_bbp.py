"""BBP: boxes against torchvision's, and what the published code gets wrong (degenerate boxes, no box at all)."""

from dataclasses import replace

import pytest
import torch
import torchvision.ops as ops
from hypothesis import given
from hypothesis import strategies as st
from reference import batches, naive
from torch import Tensor

from xfm.objectives.bbp import corners, overlap

SHARE = st.floats(0.01, 1)
BOX = st.tuples(SHARE, SHARE, SHARE, SHARE)


def boxes(*rows) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


@given(st.lists(st.tuples(BOX, BOX), min_size=1, max_size=8))
def test_overlap_is_torchvisions(pairs):
    a, b = (boxes(*rows) for rows in zip(*pairs, strict=True))
    xyxy = [ops.box_convert(t, "cxcywh", "xyxy") for t in (a, b)]
    torch.testing.assert_close(corners(a), xyxy[0])
    iou, giou = overlap(a, b)
    torch.testing.assert_close(iou, ops.box_iou(*xyxy).diagonal(), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(1 - giou, ops.generalized_box_iou_loss(*xyxy, eps=0), rtol=1e-6, atol=1e-9)
    assert (giou <= iou + 1e-12).all() and (giou >= -1).all()


def test_boxes_apart_share_nothing_and_are_told_how_far():
    """Apart on both sides the shared sides are both negative: their product, unclamped, would be an overlap."""
    still, near, far = boxes([0.1, 0.1, 0.2, 0.2])[0], [0.5, 0.5, 0.2, 0.2], [0.9, 0.9, 0.2, 0.2]
    moving = boxes(near, far, [0.5, 0.1, 0.2, 0.2]).requires_grad_()
    iou, giou = overlap(still.expand(3, 4), moving)
    assert iou.tolist() == [0, 0, 0]
    assert giou.tolist() == pytest.approx([0.08 / 0.36 - 1, 0.08 / 1 - 1, 0.08 / 0.12 - 1])
    giou[1].backward()
    assert (moving.grad[1, :2] < 0).all()  # nearer is better


def test_a_degenerate_box_spoils_no_other():
    good = boxes([0.4, 0.4, 0.4, 0.4], [0.5, 0.5, 0.3, 0.6])
    target = boxes([0.5, 0.5, 0.4, 0.4], [0.5, 0.5, 0.3, 0.6])
    alone = overlap(good, target)
    for bad in ([0.5, 0.5, 0.0, 0.3], [0.5, 0.5, 0.0, 0.0], [0.5, 0.5, -0.2, 0.3], [0.5, 0.5, -0.1, -0.1]):
        predicted = torch.cat([good, boxes([0.5, 0.5, 0.2, 0.2])]).requires_grad_()
        together = overlap(predicted, torch.cat([target, boxes(bad)]))
        for one, all_ in zip(alone, together, strict=True):
            torch.testing.assert_close(all_[:2], one)
        assert together[0][2] == 0 and (-1 <= together[1][2] < 1e-9 or min(bad) < 0)
        assert together[1].isfinite().all()
        together[1].sum().backward()
        assert predicted.grad.isfinite().all()
    point = boxes([0.5, 0.5, 0.0, 0.0]).requires_grad_()
    giou = overlap(point, boxes([0.5, 0.5, 0.0, 0.0]))[1]
    giou.sum().backward()
    assert giou.isfinite().all() and point.grad.isfinite().all()


@pytest.mark.parametrize(("count", "pictures", "tokens"), [(2, 1, 4), (5, 3, 7), (7, 2, 9)])
@torch.no_grad()
def test_it_is_a_loop_over_regions_that_are_no_whole_pictures(count, pictures, tokens):
    p = batches.pretraining()
    batch, bbp = batches.regions(p.config, count, pictures, tokens), p.model.objectives["bbp"]
    out = bbp(p.flow({"regions": batch}, "regions", ("bbp",), (0, 0)))
    grids = [naive.tokens(naive.picture(p.model, image)) for image in batch.image]  # whole pictures, not regions
    terms = []
    for r in range(count):
        if batch.is_image[r]:
            continue
        text = naive.text(p.model, naive.unpadded(batch.tokens, r))
        predicted = bbp.head(naive.fuse(p.model, text, grids[batch.owner[r]])[0]).sigmoid()
        target = batch.box[r].double()
        xyxy = [ops.box_convert(t[None], "cxcywh", "xyxy") for t in (predicted, target)]
        l1, giou = (predicted - target).abs().sum(), 1 - ops.generalized_box_iou(*xyxy)[0, 0]
        terms.append((l1, giou, ops.box_iou(*xyxy)[0, 0]))
    for ours, theirs in zip(("l1", "giou", "iou"), zip(*terms, strict=True), strict=True):
        torch.testing.assert_close(out.report[ours], sum(theirs) / len(terms), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(out.loss, out.report["l1"] + out.report["giou"])


def test_without_a_box_the_loss_and_its_gradient_are_zero():
    p = batches.pretraining()
    batch = replace(batches.regions(p.config, 3), is_image=torch.ones(3).bool())
    loss = p({"regions": batch}, ("bbp",), (0, 0))[0]["regions/bbp"]
    loss.backward()
    assert loss.item() == 0
    assert not any(q.grad.any() for q in p.model.objectives["bbp"].parameters())

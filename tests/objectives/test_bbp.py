"""BBP and MIM are loops over regions and hidden patches; boxes are torchvision's."""

from dataclasses import replace

import pytest
import torch
import torchvision.ops as ops
from hypothesis import given
from hypothesis import strategies as st
from reference import batches, naive
from torch import Tensor

from xfm.model.batch import Images
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


def test_degenerate_boxes_spoil_no_other_and_without_a_box_there_is_no_loss():
    good = boxes([0.4, 0.4, 0.4, 0.4], [0.5, 0.5, 0.3, 0.6])
    target = boxes([0.5, 0.5, 0.4, 0.4], [0.5, 0.5, 0.3, 0.6])
    alone = overlap(good, target)
    for bad in ([0.5, 0.5, 0.0, 0.3], [0.5, 0.5, 0.0, 0.0], [0.5, 0.5, -0.2, 0.3], [0.5, 0.5, -0.1, -0.1]):
        predicted = torch.cat([good, boxes([0.5, 0.5, 0.2, 0.2])]).requires_grad_()
        together = overlap(predicted, torch.cat([target, boxes(bad)]))
        torch.testing.assert_close([both[:2] for both in together], [*alone])
        assert together[0][2] == 0 and (-1 <= together[1][2] < 1e-9 or min(bad) < 0)
        assert together[1].isfinite().all()
        together[1].sum().backward()
        assert predicted.grad.isfinite().all()
    p = batches.pretraining()
    batch = replace(batches.regions(p.config, 3), is_image=torch.ones(3).bool())
    loss = p({"regions": batch}, ("bbp",), (0, 0))[0]["regions/bbp"]
    loss.backward()
    assert loss.item() == 0
    assert not any(q.grad.any() for q in p.model.objectives["bbp"].parameters())


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


@pytest.mark.parametrize(("count", "size", "patch", "hidden"), [(1, 16, 4, 6), (3, 16, 4, 15), (2, 24, 8, 1)])
@pytest.mark.parametrize("target", ["self", "pixels", "teacher"])
@pytest.mark.parametrize("stream", ["pairs", "images"])
@torch.no_grad()
def test_it_is_a_loop(count, size, patch, hidden, target, stream):
    sizes = {"model__vision__image_size": size, "model__vision__patch_size": patch, "data__mask__image_patches": hidden}
    p = batches.pretraining(**sizes, flow__mim_target="self" if target == "teacher" else target)
    if target == "teacher":
        p.mim_teacher = lambda pictures: torch.stack([naive.picture(p.model, image).sin() for image in pictures])
    batch, mim = getattr(batches, stream)(p.config, count), p.model.objectives["mim"]
    out = mim(p.flow({stream: batch}, stream, ("mim",), (0, 0)))
    patches, pooled = [], []
    for image, mask in zip(batch.image.double(), batch.image_mask, strict=True):
        predicted = mim.head(naive.picture(p.model, image, mask))
        whole = naive.picture(p.model, image)
        wanted = whole.sin() if target == "teacher" else whole
        if target == "pixels":
            rows = image.unfold(1, patch, patch).unfold(2, patch, patch).permute(1, 2, 0, 3, 4).flatten(2).flatten(0, 1)
            wanted = (rows - rows.mean(1, keepdim=True)) / (rows.var(1, keepdim=True) + 1e-6).sqrt()
        else:
            pooled.append((predicted.mean(0) - wanted.mean(0)).square().mean())
        patches += [(predicted[j] - wanted[j]).square().mean() for j in mask.nonzero()[:, 0].tolist()]
    assert len(patches) == count * hidden
    terms = {"patch": sum(patches) / len(patches)} | ({"pooled": sum(pooled) / count} if pooled else {})
    torch.testing.assert_close(out.report["patch"], terms["patch"], rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(out.loss, sum(terms.values()), rtol=1e-9, atol=1e-11)
    assert {*out.report} == {"constant", *terms}


def test_pictures_of_bytes_are_normalised_as_the_published_code_does():
    p = batches.pretraining(flow__mim_target="pixels")
    batch = batches.images(p.config, 2)
    image = torch.randint(0, 256, batch.image.shape).to(torch.uint8)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    both = [Images(i, batch.image_mask) for i in (image, (image / 255 - mean) / std)]
    losses = [p({"images": images}, ("mim",), (0, 0))[0]["images/mim"].item() for images in both]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)

"""MIM is a loop over hidden patches, plus the pooled token where the target has one."""

import pytest
import torch
from reference import batches, naive

from xfm.model.batch import Images

IMAGES = [(1, 16, 4, 6), (3, 16, 4, 15), (2, 24, 8, 1)]  # pictures, pixels, patch, hidden


@pytest.mark.parametrize(("count", "size", "patch", "hidden"), IMAGES)
@pytest.mark.parametrize("target", ["self", "pixels", "teacher"])
@pytest.mark.parametrize("stream", ["pairs", "images"])
@torch.no_grad()
def test_it_is_a_loop(count, size, patch, hidden, target, stream):
    p = batches.pretraining(
        model__vision__image_size=size,
        model__vision__patch_size=patch,
        data__mask__image_patches=hidden,
        flow__mim_target="self" if target == "teacher" else target,
    )
    if target == "teacher":
        p.mim_teacher = lambda pictures: torch.stack([naive.picture(p.model, image).sin() for image in pictures])
    make = batches.pairs if stream == "pairs" else batches.images
    batch, mim = make(p.config, count), p.model.objectives["mim"]
    out = mim(p.flow({stream: batch}, stream, ("mim",), (0, 0)))
    patches, pooled = [], []
    for image, mask in zip(batch.image.double(), batch.image_mask, strict=True):
        predicted = mim.head(naive.picture(p.model, image, mask))
        whole = naive.picture(p.model, image)
        for row in mask.nonzero()[:, 0].tolist():
            y, x = divmod(row, size // patch)
            pixels = image[:, y * patch : (y + 1) * patch, x * patch : (x + 1) * patch].flatten()
            wanted = {
                "self": whole[row],
                "teacher": whole[row].sin(),
                "pixels": (pixels - pixels.mean()) / (pixels.var() + 1e-6).sqrt(),
            }[target]
            patches.append((predicted[row] - wanted).square().mean())
        wanted = whole.sin() if target == "teacher" else whole
        pooled.append((predicted.mean(0) - wanted.mean(0)).square().mean() if target != "pixels" else torch.zeros(()))
    assert len(patches) == count * hidden
    terms = {"patch": sum(patches) / len(patches), "pooled": sum(pooled) / count}
    torch.testing.assert_close(out.report["patch"], terms["patch"], rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(out.loss, terms["patch"] + terms["pooled"], rtol=1e-9, atol=1e-11)
    assert set(out.report) == ({"patch", "constant"} | ({"pooled"} if target != "pixels" else set()))


def test_pictures_of_bytes_are_normalised_as_the_published_code_does():
    """Also where the target is pixels: those of the normalised picture, and one linear layer is the head."""
    p = batches.pretraining(flow__mim_target="pixels")
    heads = [q.model.objectives["mim"].named_parameters() for q in (p, batches.pretraining(flow__mim_target="self"))]
    shapes = [{n: tuple(w.shape) for n, w in head} for head in heads]
    assert shapes == [{"head.weight": (48, 32), "head.bias": (48,)}, {}]
    batch = batches.images(p.config, 2)
    image = torch.randint(0, 256, batch.image.shape).to(torch.uint8)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    both = [Images(i, batch.image_mask) for i in (image, (image / 255 - mean) / std)]
    losses = [p({"images": images}, ("mim",), (0, 0))[0]["images/mim"].item() for images in both]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)

"""open_clip's towers as encoders: what open_clip computes of the same weights, from a start of its kind."""

import json
import math
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from reference import batches
from torch import Tensor
from torch.nn.attention import SDPBackend

from xfm.flow import Flow
from xfm.interop.clip import to_open_clip
from xfm.model import XFM, openclip_towers
from xfm.objectives import build

TOWERS: Any = {"model__vision__encoder": "open_clip", "model__text__encoder": "open_clip"}


def theirs(model: XFM, folder: Path) -> Any:
    """open_clip's own model, made by its factory, with our weights by its names."""
    config, state = to_open_clip(model.config, model.state_dict())
    (folder / "xfm-same.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    made: Any = open_clip.create_model("xfm-same").double().eval()
    made.load_state_dict(state)
    return made


@pytest.mark.parametrize("intermediate", [40, 41, 24, 97])
def test_states_and_embeddings_are_open_clips_of_the_same_weights(intermediate, tmp_path):
    config = batches.config(**TOWERS, model__text__intermediate=intermediate)
    model = batches.model(config)
    clip, batch = theirs(model, tmp_path), batches.batch(config)["pairs"]
    flow = Flow(model, batch, config.flow, ("itc",), (0, 0))
    ids, length = batch.tokens.ids, config.model.text.positions - 2
    padded = torch.nn.functional.pad(ids, (0, length - ids.shape[1]), value=1)
    assert not batch.tokens.mask.all(), "texts of different lengths"
    with torch.no_grad():
        seen = clip.forward_intermediates(
            flow.pictures, padded, normalize_intermediates=True, image_indices=1, text_indices=1
        )
        image, text, scale = clip(flow.pictures, padded)
        patches, states, features = flow.patches, flow.text, flow.features
        loss = model.contrastive(flow).loss
    grid = seen["image_intermediates"][0].flatten(2).mT
    close: Any = {"rtol": 0, "atol": 1e-9}
    torch.testing.assert_close(patches, grid, **close)
    here = batch.tokens.mask
    torch.testing.assert_close(states[here], seen["text_intermediates"][0][:, : ids.shape[1]][here], **close)
    torch.testing.assert_close(features, (image, text), **close)
    torch.testing.assert_close(loss, open_clip.loss.ClipLoss()(image, text, scale), **close)


def test_gradients_are_open_clips(tmp_path):
    config = batches.config(**TOWERS)
    model = batches.model(config).train()
    clip, batch = theirs(model, tmp_path), batches.batch(config)["pairs"]
    flow = Flow(model, batch, config.flow, ("itc",), (0, 0))
    model.contrastive(flow).loss.backward()
    ids = torch.nn.functional.pad(batch.tokens.ids, (0, clip.context_length - batch.tokens.ids.shape[1]), value=1)
    open_clip.loss.ClipLoss()(*clip(flow.pictures, ids)).backward()
    for name, p in clip.visual.named_parameters():
        if name != "proj":
            torch.testing.assert_close(model.get_parameter(f"vision.tower.{name}").grad, p.grad, rtol=0, atol=1e-9)
    table = model.text.word.weight.grad
    assert table is not None
    torch.testing.assert_close(table, clip.token_embedding.weight.grad, rtol=0, atol=1e-9)


def test_a_text_is_read_at_its_end_whatever_comes_after():
    model = batches.model(batches.config(**TOWERS))
    ids = torch.tensor([[0, 7, 9, 2, 1, 1], [0, 7, 9, 2, 33, 8]])
    mask = torch.tensor([[True] * 4 + [False] * 2] * 2)
    states = model.text(ids, mask)
    sentence = model.text.sentence(states, mask)
    assert torch.equal(sentence, states[:, 3])
    torch.testing.assert_close(sentence[0], sentence[1], rtol=0, atol=1e-12)
    assert (sentence - model.text.sentence(model.text(ids + (ids == 7), mask), mask)).abs().max() > 1e-6


def drawn(seed: int = 0, **changes: Any) -> dict[str, Tensor]:
    config = batches.config(**TOWERS, seed=seed, **changes)
    return {n: p.detach() for n, p in build(config).named_parameters()}


def test_the_start_is_open_clips():
    """Every tensor has the mean and the deviation that open_clip's own has, to what so many numbers can tell."""
    wide: Any = {"model__vision__width": 192, "model__text__width": 144, "model__text__vocabulary": 400}
    wide |= {"model__embed_dim": 96, "model__vision__patch_size": 8, "data__mask__image_patches": 2}
    model = build(batches.config(**TOWERS, **wide))
    torch.manual_seed(0)
    own: Any = to_open_clip(model.config, model.state_dict())[0]
    reference = open_clip.CLIP(own["embed_dim"], own["vision_cfg"], own["text_cfg"])
    names = {f"vision.tower.{n.removeprefix('visual.')}" if n.startswith("visual.") else f"text.tower.{n}": p
             for n, p in reference.named_parameters()}  # fmt: skip
    names["objectives.itc.image.weight"] = names.pop("vision.tower.proj").T
    names["objectives.itc.text.weight"] = names.pop("text.tower.text_projection").T
    del names["text.tower.logit_scale"]
    ours = dict(model.named_parameters())
    towers = {n for n in ours if ".tower." in n}
    assert towers == {n for n in names if ".tower." in n}
    for name, their in names.items():
        mine = ours[name]
        assert mine.shape == their.shape, name
        if their.min() == their.max():
            assert torch.equal(mine, their), name
            continue
        error = 6 / math.sqrt(2 * mine.numel())
        assert abs(mine.std() / their.std() - 1) < error, name
        assert mine.mean().abs() < 6 * their.std() / mine.numel() ** 0.5, name
        kurtosis = [((t - t.mean()) ** 4).mean() / t.var() ** 2 for t in (mine, their)]  # 3 normal, 1.8 uniform
        assert mine.numel() < 1000 or abs(kurtosis[0] - kurtosis[1]) < 0.6, name
    assert not ours["vision.mask_token"].any()


def test_the_start_is_a_function_of_the_seed_and_the_name():
    first, other = drawn(), drawn(1)
    assert all(torch.equal(p, first[n]) for n, p in drawn().items())
    same = {n for n, p in first.items() if torch.equal(p, other[n])}
    constant = {n for n, p in first.items() if p.min() == p.max()}
    assert same == constant
    deeper = drawn(model__vision__depth=3)
    assert all(torch.equal(deeper[n], p) for n, p in first.items() if n.startswith("vision."))


def test_a_hidden_patch_starts_as_the_mean_colour():
    model = batches.model(batches.config(**TOWERS))
    model.vision.mask_token.data.zero_()
    picture = torch.randn(1, 3, 16, 16, dtype=torch.float64)
    hidden = torch.arange(16)[None] < 5
    pale = picture.clone()
    pale[:, :, :4] = 0  # the first row of four patches, and the next row's first
    pale[:, :, 4:8, :4] = 0
    torch.testing.assert_close(model.vision(picture, hidden), model.vision(pale), rtol=0, atol=1e-12)


def test_in_training_in_bf16_on_a_cpu_the_plain_kernel_gives_the_same(monkeypatch):
    """Up to bf16's rounding; and by itself, as the fused one is, elsewhere."""
    config = batches.config(**TOWERS)
    model, batch = batches.model(config).float().train(), batches.batch(config)["pairs"]

    def states() -> list[Tensor]:
        flow = Flow(model, batch, config.flow, ("itc",), (0, 0))
        return [flow.patches.detach(), flow.text.detach()]

    asked: list[object] = []
    kernel = openclip_towers.sdpa_kernel
    monkeypatch.setattr(openclip_towers, "sdpa_kernel", lambda backend: asked.append(backend) or kernel(backend))
    whole = states()
    assert not asked, "in float32"
    with torch.autocast("cpu", torch.bfloat16):
        plain = states()
        assert asked == [SDPBackend.MATH] * 2
        model.eval()
        fused = states()
    assert len(asked) == 2
    for exact, one, other in zip(whole, plain, fused, strict=True):
        assert 0 < (one - other).abs().max() < 0.05
        assert (one - exact).abs().mean() < 1.2 * (other - exact).abs().mean()

"""Encoders and fusion are loops, the fusion encoder transformers' too; padding and sharing change nothing."""

import json
import math
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from reference import batches, naive
from torch import Tensor

from xfm.config import ModelConfig
from xfm.flow import Flow
from xfm.interop.published import published_name
from xfm.model import XFM, ImageTokens, initialise
from xfm.model.attention import FUNCTIONS, additive
from xfm.model.batch import END, PAD
from xfm.model.blocks import DropPath
from xfm.model.text import position_ids
from xfm.model.vision import relative_index, sine_cosine
from xfm.objectives import OBJECTIVES, build


@pytest.mark.parametrize("grid", [1, 2, 5])
def test_relative_index_is_a_loop_over_both_patches(grid):
    assert torch.equal(relative_index(grid), naive.relative_index(grid))


@pytest.mark.parametrize("positions", [False, True])
@torch.no_grad()
def test_a_batch_is_its_pictures_one_by_one(positions):
    config = batches.config(model__vision__absolute_positions=positions)
    model, image, hidden = batches.model(config), batches.pictures(config, 3), batches.hidden_patches(config, 3)
    for mask in (None, hidden):
        ours = model.vision(image.double(), mask)
        assert ours.shape == (3, 16, 32)
        for b in range(3):
            expected = naive.picture(model, image[b], None if mask is None else mask[b])
            torch.testing.assert_close(ours[b], expected, rtol=1e-9, atol=1e-11)


@torch.no_grad()
def test_hidden_patches_are_not_seen():
    config = batches.config()
    model, hidden = batches.model(config), batches.hidden_patches(config, 2)
    image = batches.pictures(config, 2).double()
    out = model.vision(image, hidden)
    noise = torch.randn_like(image) * 9
    pixels = hidden.view(2, 1, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.equal(model.vision(torch.where(pixels, noise, image), hidden), out)
    assert not torch.allclose(model.vision(torch.where(pixels, image, noise), hidden), out)
    assert not torch.allclose(model.vision(image), out)


def test_drop_path_drops_whole_samples_scales_the_kept_and_rises_linearly():
    out = DropPath(0.3).train()(torch.ones(4000, 3, 2)).flatten(1)
    assert torch.equal(out, out[:, :1].expand_as(out))
    kept = out[:, 0] > 0
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 1 / 0.7))
    assert 0.67 < kept.float().mean() < 0.73  # four deviations
    assert DropPath(0.3).eval()(torch.ones(50, 3)).eq(1).all()
    blocks = batches.model(batches.config(model__vision__depth=5, model__vision__drop_path=0.2)).vision.blocks
    assert [block.drop_path.rate for block in blocks] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])


@torch.no_grad()
def test_padding_changes_nothing():
    model, words = batches.model(batches.config()), batches.words(5, 12, 2)
    out = model.text(words.ids, words.mask)
    for b, mask in enumerate(words.mask):
        torch.testing.assert_close(out[b][mask], naive.text(model, naive.unpadded(words, b)), rtol=1e-9, atol=1e-11)


def test_positions_are_counted_over_ids_that_are_not_pads_which_have_no_gradient():
    ids = torch.tensor([[0, 7, 8, 2, PAD, PAD], [0, PAD, 9, 2, PAD, PAD]])
    assert position_ids(ids).tolist() == [[2, 3, 4, 5, 1, 1], [2, 1, 3, 4, 1, 1]]
    text, seen = batches.model(batches.config()).text, []
    text.position.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    ids = batches.words(2, 6, 1).ids
    text(ids, torch.arange(6) > torch.tensor([[-1], [2]]))  # the second text's first tokens are not to be seen
    assert torch.equal(seen[0], position_ids(ids)) and seen[0][1, 0] == 2
    model, words = batches.model(batches.config()), batches.words(3, 9, 2)
    assert PAD in words.ids
    hidden = model.text(words.ids, words.mask)
    hidden.sin().sum().backward(retain_graph=True)  # every row, those of pads too
    word, position = model.text.word.weight, model.text.position.weight
    assert not word.grad[PAD].any() and not position.grad[PAD].any()
    assert word.grad[words.ids[0]].any(1).all() and position.grad[2:5].any(1).all()
    model.objectives["mlm"].head(hidden, word).logsumexp(-1).sum().backward()
    assert word.grad[PAD].any() and not position.grad[PAD].any()


@torch.no_grad()
def test_it_is_transformers_roberta_with_cross_attention_seeing_both_ways():
    from transformers import RobertaConfig
    from transformers.models.roberta.modeling_roberta import RobertaEncoder

    ours = batches.model(batches.config(model__vision__width=24))  # transformers wants equal widths here
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40}
    sizes |= {"layer_norm_eps": 1e-5, "attn_implementation": "eager", "is_decoder": True, "add_cross_attention": True}
    theirs = RobertaEncoder(RobertaConfig(**sizes)).double().eval()
    names = {n: published_name(f"fusion.{n}") for n, _ in ours.fusion.named_parameters()}
    start = "fusion_encoder.roberta.encoder."
    theirs.load_state_dict({names[n].removeprefix(start): p for n, p in ours.fusion.named_parameters()})
    text, mask = torch.randn(3, 7, 24).double(), torch.arange(7) < torch.tensor([[7], [4], [2]])
    patches, seen = torch.randn(3, 16, 24).double(), torch.rand(3, 16) < 0.5
    image = ImageTokens.of_regions(patches, torch.arange(3), seen)
    tokens, keys = torch.cat([image.pooled[:3, None], patches], 1), torch.cat([torch.ones(3, 1).bool(), seen], 1)
    expected = theirs(text, additive(mask).double(), tokens, additive(keys).double()).last_hidden_state
    torch.testing.assert_close(ours.fusion(text, mask, image, torch.arange(3)), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("pictures", "patches", "pairings", "tokens", "of", "function"), [
    *((*sizes, of, "scaled_dot") for sizes in ((1, 4, 1, 3), (3, 16, 7, 9), (4, 9, 12, 5))
      for of in ("pictures", "regions")),
    *((3, 16, 4, 5, "regions", function) for function in FUNCTIONS),
])  # fmt: skip
@torch.no_grad()
def test_pairings_are_what_each_text_makes_of_its_own_item(pictures, patches, pairings, tokens, of, function):
    """Items in any order and more than once; a region is its pooled token and the patches that it overlaps."""
    model = batches.model(batches.config(model__cross_attention=function))
    grids, words = torch.randn(pictures, patches, 32).double(), batches.words(pairings, tokens, 1)
    text = torch.randn(pairings, tokens, 24).double()
    owner, inside = torch.randint(pictures, (5,)), torch.rand(5, patches) < 0.4
    inside[:, 1] = True
    if of == "pictures":
        image, items = ImageTokens.of_pictures(grids), [naive.tokens(g) for g in grids]
    else:
        image = ImageTokens.of_regions(grids, owner, inside)
        items = [naive.tokens(grids[o], s) for o, s in zip(owner, inside, strict=True)] + [*map(naive.tokens, grids)]
    torch.testing.assert_close(image.pooled, torch.stack([i[0] for i in items]))
    item = torch.randint(len(items), (pairings,))
    out = model.fusion(text, words.mask, image, item)
    for n, mask in enumerate(words.mask):
        expected = naive.fuse(model, text[n][mask], items[item[n]])
        torch.testing.assert_close(out[n][mask], expected, rtol=1e-9, atol=1e-11)


TOWERS: Any = {"model__vision__encoder": "open_clip", "model__text__encoder": "open_clip"}
WIDE: Any = {"model__vision__width": 192, "model__text__width": 144, "model__text__vocabulary": 400}


def weights(seed: int = 0, **changes) -> dict[str, Tensor]:
    config = batches.config(model__init_std=0.05, seed=seed, **changes)
    return {name: p.detach() for name, p in build(config).named_parameters()}


def std_is(tensor: Tensor, std: float) -> bool:
    """Within five deviations of what a normal's sample deviation has."""
    return abs(tensor.std().item() / std - 1) < 5 / math.sqrt(2 * tensor.numel())


def test_the_scheme():
    made = weights(**WIDE)
    table = weights(model__vision__absolute_positions=True)["vision.positions"]
    torch.testing.assert_close(table, sine_cosine(4, 32))
    for name, p in made.items():
        last, kind = name.rsplit(".", 1)[-1], name.split(".")
        if "norm" in kind[-2] or kind[-3:-1] == ["head", "1"]:
            assert (p == (last == "weight")).all(), name
        elif last in ("gamma1", "gamma2"):
            assert (p == torch.tensor(0.1)).all(), name
        elif last == "temperature":
            assert p == torch.tensor(0.07)
        elif "relative_bias" in name:
            assert not p.any(), name
        elif "patch_embed" in name or (kind[0] == "objectives" and kind[1] in ("itc", "itm", "bbp")):
            bound = made[name.replace("bias", "weight")].shape[1] ** -0.5  # PyTorch's Linear
            assert p.abs().max() <= bound and (len(p) < 5 or std_is(p, bound / 3**0.5)), name
        elif last == "bias":
            assert not p.any(), name
        elif kind[-2] in ("word", "position"):
            assert not p[PAD].any() and std_is(torch.cat([p[:PAD], p[PAD + 1 :]]), 0.05), name
        elif kind[:2] == ["vision", "blocks"] and (kind[-2] in ("out", "fc2")):
            assert std_is(p, 0.05 / (2 * (int(kind[2]) + 1)) ** 0.5), name
        else:
            assert std_is(p, 0.05), name


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> set[str]:
    return {n for n in a.keys() & b.keys() if torch.equal(a[n], b[n])}


def test_another_head_or_another_objective_changes_no_other_weight_nor_does_a_dtype():
    plain, pixels = weights(), weights(flow__mim_target="pixels")
    assert pixels.keys() - plain.keys() == {"objectives.mim.head.weight", "objectives.mim.head.bias"}
    assert same(plain, pixels) == set(plain)
    config = batches.config(model__init_std=0.05)
    narrow = build(config).bfloat16()
    initialise(narrow, 0)
    torch.testing.assert_close({n: p.float() for n, p in narrow.named_parameters()}, plain, rtol=1e-2, atol=1e-3)
    for gone in OBJECTIVES:
        model = XFM(config.model, {n: objective(config) for n, objective in OBJECTIVES.items() if n != gone})
        initialise(model, 0)
        fewer = dict(model.named_parameters())
        assert same(plain, fewer) == set(fewer) and not any(n.startswith(f"objectives.{gone}.") for n in fewer)


@pytest.mark.parametrize("encoders", [{}, TOWERS], ids=["own", "open_clip"])
def test_another_seed_draws_everything_anew_and_the_same_seed_the_same(encoders):
    first, again, other = (weights(seed, **encoders) for seed in (0, 0, 1))
    assert same(first, again) == set(first)
    drawn = {n for n, p in first.items() if p.min() < p.max() and not n.endswith("positions")}
    assert not drawn & same(first, other)
    assert len({p.flatten()[:3].sum().item() for n, p in first.items() if n in drawn}) == len(drawn)  # no two alike
    deeper = weights(model__vision__depth=3, **encoders)
    assert same(deeper, first) >= {n for n in first if n.startswith("vision.")} - {"vision.relative_index"}


def to_open_clip(model: ModelConfig, tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A dual encoder of open_clip's towers: its config as open_clip has it, and its weights by open_clip's names."""
    vision, text = model.vision, model.text
    images = {"image_size": vision.image_size, "patch_size": vision.patch_size, "width": vision.width}
    images |= {"layers": vision.depth, "head_width": vision.width // vision.heads, "pool_type": "avg"}
    words = {"context_length": text.positions - 2, "vocab_size": text.vocabulary, "width": text.width}
    words |= {"heads": text.heads, "layers": text.depth, "mlp_ratio": (text.intermediate + 0.5) / text.width}
    words |= {"pool_type": "eos", "eos_id": END}
    config = {"embed_dim": model.embed_dim, "vision_cfg": images, "text_cfg": words}
    names = {n: n.replace("vision.tower.", "visual.").replace("text.tower.", "") for n in tensors if ".tower." in n}
    state = {theirs: tensors[ours] for ours, theirs in names.items()}
    state["visual.proj"] = tensors["objectives.itc.image.weight"].T.contiguous()
    state["text_projection"] = tensors["objectives.itc.text.weight"].T.contiguous()
    return config, state | {"logit_scale": -tensors["objectives.itc.temperature"].log()}


def theirs(model: XFM, folder: Path) -> Any:
    config, state = to_open_clip(model.config, model.state_dict())
    (folder / "xfm-same.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    made: Any = open_clip.create_model("xfm-same").double().eval()
    made.load_state_dict(state)
    return made


@pytest.mark.parametrize(("intermediate", "training"), [(40, True), (97, False)])
def test_states_embeddings_and_gradients_are_open_clips_of_the_same_weights(intermediate, training, tmp_path):
    config = batches.config(**TOWERS, model__text__intermediate=intermediate)
    model = batches.model(config).train(training)
    clip, batch = theirs(model, tmp_path), batches.batch(config)["pairs"]
    flow = Flow(model, batch, config.flow, ("itc",), (0, 0))
    ids, length, here = batch.tokens.ids, config.model.text.positions - 2, batch.tokens.mask
    padded = torch.nn.functional.pad(ids, (0, length - ids.shape[1]), value=1)
    assert not here.all(), "texts of different lengths"
    of = {"normalize_intermediates": True, "image_indices": 1, "text_indices": 1}
    seen = clip.forward_intermediates(flow.pictures, padded, **of)
    image, text, scale = clip(flow.pictures, padded)
    loss, expected = model.contrastive(flow).loss, open_clip.loss.ClipLoss()(image, text, scale)
    close: Any = {"rtol": 0, "atol": 1e-9}
    torch.testing.assert_close(flow.patches, seen["image_intermediates"][0].flatten(2).mT, **close)
    torch.testing.assert_close(flow.text[here], seen["text_intermediates"][0][:, : ids.shape[1]][here], **close)
    torch.testing.assert_close(flow.features, (image, text), **close)
    torch.testing.assert_close(loss, expected, **close)
    loss.backward(), expected.backward()
    wanted = {f"vision.tower.{name}": p.grad for name, p in clip.visual.named_parameters() if name != "proj"}
    wanted["text.word.weight"] = clip.token_embedding.weight.grad
    torch.testing.assert_close({name: model.get_parameter(name).grad for name in wanted}, wanted, **close)


def test_a_hidden_patch_starts_as_the_mean_colour():
    model = batches.model(batches.config(**TOWERS))
    model.vision.mask_token.data.zero_()
    picture, hidden = torch.randn(1, 3, 16, 16, dtype=torch.float64), torch.arange(16)[None] < 5
    shown = (~hidden).view(1, 1, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    torch.testing.assert_close(model.vision(picture, hidden), model.vision(picture * shown), rtol=0, atol=1e-12)


def test_the_start_is_open_clips():
    """Every tensor has the mean and the deviation that open_clip's own has, to what so many numbers can tell."""
    coarse: Any = {"model__embed_dim": 96, "model__vision__patch_size": 8, "data__mask__image_patches": 2}
    model = build(batches.config(**TOWERS, **WIDE, **coarse))
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

"""A trace against the model's own outputs, its axes, its heads."""

import copy
import math
from dataclasses import replace
from typing import Any

import numpy as np
import open_clip
import pytest
import small_guests
import timm
import torch
import torch.nn.functional as F
import transformers
from explain.conftest import CONFIG, DATA, SCENE, TOKENIZER
from html_page import Page
from torch import Tensor, nn

from xfm.base import seeding
from xfm.base.fields import ConfigError
from xfm.base.html_card import SIDE
from xfm.explain import head_stats, interventions
from xfm.explain.attention_capture import attentions, capture
from xfm.explain.interventions import activation_patching
from xfm.explain.method_table import attribute
from xfm.explain.prepare_inputs import make_inputs, scene_inputs
from xfm.explain.targets import ITC, model_outputs
from xfm.explain.tracing import Trace, capture_attention, trace
from xfm.model import ImageTokens
from xfm.model.modes import eval_mode
from xfm.objectives import build
from xfm.tasks import EvalContext


@pytest.fixture(scope="module")
def traced(model) -> Trace:
    return trace(model, TOKENIZER, SCENE.image, SCENE.caption.text, "itm")


def test_scores_are_those_of_the_evaluation(model, traced):
    context, first = EvalContext(model, CONFIG, TOKENIZER), torch.zeros(1, dtype=torch.long)
    with eval_mode(model), torch.inference_mode():
        itm = context.match_logits([SCENE], [SCENE.caption.text], first, first)
        cosine = context.image_features([SCENE]) @ context.text_features([SCENE.caption.text]).T
    assert traced.scores == {"itm": pytest.approx(itm.item(), abs=1e-5), "itc": pytest.approx(cosine.item(), abs=1e-5)}


def test_every_map_has_its_axes_and_gradients_of_itm_although_training_stops_them(model, traced):
    text, vision, fused = CONFIG.model.text, CONFIG.model.vision, CONFIG.model.fusion_depth
    length = {"words": len(traced.words.pieces), "patches": 1 + vision.patches}
    axes = {"language": (text.depth, "words", "words"), "vision": (vision.depth, "patches", "patches"),
            "fusion": (fused, "words", "words"), "cross": (fused, "words", "patches")}  # fmt: skip
    assert [*traced.maps] == [*axes] and CONFIG.flow.text_gradient["itm"] == 0
    for name, (layers, queries, keys) in axes.items():
        attention = traced.maps[name]
        assert attention.weights.shape == (layers, text.heads, length[queries], length[keys]), name
        assert (attention.queries, attention.keys) == (queries, keys)
        assert attention.gradients.shape == attention.weights.shape and attention.gradients.abs().sum() > 0, name
    assert {n: len(s) for n, s in traced.states.items()} == {n: 1 + a[0] for n, a in axes.items() if n != "cross"}
    assert torch.equal(traced.states["language"][-1], traced.states["fusion"][0])
    model.train()
    random = torch.get_rng_state()
    by_itc = trace(model, TOKENIZER, SCENE.image, SCENE.caption.text, "itc").maps
    assert model.training and all(p.grad is None for p in model.parameters()), "the model is left as it was"
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert by_itc["cross"].gradients.abs().sum() == 0 < by_itc["language"].gradients.abs().sum()


def test_rollout_is_the_product_with_residuals():
    weights = torch.rand(3, 2, 5, 5, generator=seeding.generator("rollout")).softmax(-1)
    found, expected = head_stats.rollout(weights), torch.eye(5)
    for layer in weights:
        expected = (0.5 * layer.mean(0) + 0.5 * torch.eye(5)) @ expected
    torch.testing.assert_close(found[-1], expected)


def test_heads_of_known_kinds():
    grid, n, keys = 3, 10, torch.arange(10) // 3 == 1  # three of the ten
    weights = torch.stack([torch.full((n, n), 1 / n), torch.eye(n)])[None]  # alike, and each at itself
    assert head_stats.entropy(weights)[0].tolist() == pytest.approx([math.log(n), 0])
    expected = np.mean([math.dist(divmod(a, grid), divmod(b, grid)) for a in range(9) for b in range(9)])
    assert head_stats.distance(weights, grid)[0].tolist() == pytest.approx([expected, 0])
    assert head_stats.mass(weights, keys)[0].tolist() == pytest.approx([0.3, 0.3])
    assert head_stats.mass(weights, keys, queries=keys)[0].tolist() == pytest.approx([0.3, 1])
    assert head_stats.specialised(head_stats.entropy(weights), 1, largest=False) == [(0, 1, 0.0)]


def test_mass_on_an_object_is_that_of_its_name(model):
    inputs = scene_inputs(model, TOKENIZER, SCENE, about=1)
    mass, chance = head_stats.object_mass(inputs)
    with eval_mode(model):
        weights = capture_attention(inputs, gradients=False)[0]["cross"].weights
    patches = inputs.object_patches()[inputs.text]
    torch.testing.assert_close(mass, weights[:, :, inputs.name_pieces][..., 1:][..., patches].sum(-1).mean(-1))
    assert chance == pytest.approx(patches.sum().item() / (1 + len(patches)))


EVIL = "a <script>alert('x')</script> & \"b\" \u202e\n\x1b[2J lion"


def test_each_is_one_screen_of_escaped_html_and_one_line_and_says_what_it_is_of(model, traced):
    evil = np.zeros((9, 9, 3), np.uint8)
    inputs, hostile = scene_inputs(model, TOKENIZER, SCENE), make_inputs(model, TOKENIZER, evil, EVIL)
    credited = replace(hostile, credit="<b>me</b>", objects={"<i>it</i>": np.ones((48, 48), bool)})
    attribution, other = (attribute(each, "input x gradient") for each in (inputs, credited))
    texts = []
    for each in (inputs, hostile, credited, traced, trace(model, TOKENIZER, evil, EVIL), attribution, other):
        tags, line = Page(each._repr_html_()), repr(each)
        assert {*tags.tags} <= {"div", "img", "table", "tr", "th", "td"} and tags.tags.count("img") == 1
        assert tags.tags.count("tr") * 28 + SIDE < 900, type(each).__name__
        assert all(text.isprintable() for text in (*tags.texts, line)) and len(line) < 220
        assert line.startswith(type(each).__name__)
        texts.append(" ".join(tags.texts))
    asked, evil, with_credit, of_trace, _, of_numbers, of_evil = texts
    assert all(part in asked for part in (inputs.text, "itm", "score", *inputs.objects))
    assert "alert('x')" in evil and "<i>it</i>" in with_credit and "<b>me</b>" in of_evil
    assert all(name in of_trace for name in (*traced.maps, *traced.states))
    row, column = divmod(int(attribution.patches.abs().argmax()), 6)
    strongest, _ = max(attribution.by_word().items(), key=lambda pair: abs(pair[1]))
    assert strongest in of_numbers and f"row {row}, column {column}" in of_numbers


CROSS = "fusion.layers.0.cross"
WIDTH = CONFIG.model.text.width // CONFIG.model.text.heads


def test_every_head_is_measured_by_its_ablation_and_by_the_slope_along_its_output(model):
    """Michel et al. (2019): |output . gradient| is the change of the target as the head is scaled."""
    double = copy.deepcopy(model).double()
    asked = [scene_inputs(double, TOKENIZER, DATA.world.scene("test", i)) for i in (3, 5)]
    found = interventions.head_importance(asked)
    rows = found.frame.set_index(["place", "layer", "head"])
    assert len(found.heads) == len(rows) == 2 * (CONFIG.model.text.depth + CONFIG.model.vision.depth + 2)
    assert rows[["ablation", "attention x gradient"]].gt(0).all(axis=None)
    for (place, layer, head), name in (
        (("cross", 0, 0), CROSS), (("cross", 0, 1), CROSS), (("language", 0, 1), "text.layers.0.attention"),
    ):  # fmt: skip
        weight, scores = double.get_submodule(name).out.weight, []
        own, whole = slice(head * WIDTH, (head + 1) * WIDTH), weight.detach().clone()
        with torch.no_grad(), eval_mode(double):
            for factor in (1.01, 0.99, 0, 1):
                weight[:, own] = whole[:, own] * factor
                scores.append(torch.tensor([each.score() for each in asked], dtype=torch.double))
        more, less, without, before = scores
        row = rows.loc[place, layer, head]
        assert row["attention x gradient"] == pytest.approx((more - less).abs().mean().item() / 0.02, rel=1e-3)
        assert row["ablation"] == pytest.approx((without - before).abs().mean().item(), abs=1e-6)
        assert found.heads[rows.index.get_loc((place, layer, head))] == (name, head)


def test_a_mean_head_says_the_same_to_every_token(model, inputs):
    out, seen = model.get_submodule(CROSS).out, []
    hook = out.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    with eval_mode(model):
        inputs.score()
        mixed = seen[-1][0].clone()
        with interventions.ablate_heads(model, [(CROSS, 0)], "mean"):
            inputs.score()
    hook.remove()
    mixed[:, :, :WIDTH] = mixed[:, :, :WIDTH].mean(1, keepdim=True)
    torch.testing.assert_close(seen[-1][1], torch.nn.functional.linear(mixed, out.weight, out.bias))


def test_parts_of_the_input_are_taken_away(model, inputs):
    whole = torch.ones(len(inputs.patches), dtype=torch.bool)
    changes = interventions.removal_effects(inputs, whole)
    assert set(changes) == {"itm", "itc", "box x", "box y", "box width", "box height"}
    with eval_mode(model):
        masked = model.vision(inputs.patches.new_zeros(1, 3, 48, 48), whole[None])
        text = model.text.encode(inputs.pieces[None], torch.ones(1, len(inputs.pieces), dtype=torch.bool))
        expected = model_outputs(model, text, masked).itm.item() - inputs.score()
    assert changes["itm"] == pytest.approx(expected, abs=1e-5)
    assert changes == pytest.approx(interventions.removal_effects(replace(inputs, target=ITC), whole), abs=1e-5)
    assert interventions.removal_effects(inputs, words=inputs.words.words[-1:])["itm"] != 0
    with pytest.raises(ConfigError, match="word = 'lyon'"):
        interventions.removal_effects(inputs, words=["lyon"])
    with pytest.raises(ConfigError, match=r"patches.shape = \(3,\)"):
        interventions.removal_effects(inputs, whole[:3])


def test_pruning_counts_right_images_and_without_heads_every_pair_is_a_tie(model):
    scenes = [DATA.world.scene("test", i, 2) for i in range(4)]
    pairs = [[make_inputs(model, TOKENIZER, shown.image, scene.phrases[0].text) for shown in (scene, other)]
             for scene, other in zip(scenes, scenes[1:] + scenes[:1], strict=True)]  # fmt: skip
    heads = [(CROSS, h) for h in range(CONFIG.model.text.heads)]
    with eval_mode(model):
        right = sum(a.score() > b.score() for a, b in pairs) / 4
        assert interventions.pruning_curve(pairs, heads, [0, len(heads)]) == [pytest.approx(right), 0.5]


def test_states_of_the_clean_input_restore_its_answer(model):
    a, b = DATA.world.scene("test", 1), DATA.world.scene("test", 2)
    clean, corrupt = (make_inputs(model, TOKENIZER, image, a.caption.text) for image in (a.image, b.image))
    found = {p.module: p for p in activation_patching(clean, corrupt, "*")}
    whole = found["vision.norm"]
    assert whole.clean == pytest.approx(whole.patched, abs=1e-5) and whole.restored == pytest.approx(1, abs=1e-3)
    assert found["text.layers.1"].restored == pytest.approx(0, abs=1e-4)  # the texts do not differ
    assert found["fusion.layers.0"].restored == pytest.approx(1, abs=1e-3)
    assert found["vision.blocks.0.attention"].restored != 0
    (nowhere,), (some,) = (activation_patching(clean, corrupt, "vision.norm", tokens=t) for t in ([], [3, 4]))
    assert nowhere.restored == pytest.approx(0, abs=1e-6)
    assert some.patched not in (pytest.approx(some.clean), pytest.approx(some.corrupt))
    assert math.isnan(activation_patching(clean, clean, "vision.norm")[0].restored)


def test_places_that_are_not_there(model, inputs):
    longer = make_inputs(model, TOKENIZER, SCENE.image, SCENE.caption.text + " and a lion")
    faults = {
        r"pattern = 'fusion.layers.7': fits no module; did you mean": (inputs, "fusion.layers.7"),
        r"pattern = 'fusion.layers.\*.cross.key': .*computed by the module": (inputs, "fusion.layers.*.cross.key"),
        r"tokens = .99.: must be of vision.norm: 0 to 35": (inputs, "vision.norm", [99]),
        "of the corrupt one's shape": (longer, "text.layers.0"),
        "no attention 'fusion.layers.0.cros'; did you mean 'fusion.layers.0.cross'": (CROSS[:-1], 0),
        "head of fusion.layers.0.cross = 2: must be 0 to 1": (CROSS, 2),
    }
    for said, asked in faults.items():
        with pytest.raises(ConfigError, match=said):
            if isinstance(asked[0], str):
                interventions.ablate_heads(model, [asked]).__enter__()
            else:
                activation_patching(inputs, *asked)


@pytest.fixture(scope="module")
def given():
    g = seeding.generator("capture")
    side, words = CONFIG.model.vision.image_size, CONFIG.model.text.vocabulary
    ids = torch.randint(4, words, (2, 7), generator=g)
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 5:] = False
    return torch.randn(2, 3, side, side, generator=g), ids, mask


def fused(model, picture, ids, mask):
    patches = model.vision(picture)
    return model.fusion(model.text(ids, mask), mask, ImageTokens.of_pictures(patches), torch.arange(2))


def test_outputs_stay_and_weights_are_probabilities(given):
    ours = build(CONFIG).eval()
    with torch.no_grad():
        plain = fused(ours, *given)
        with capture(ours) as seen:
            torch.testing.assert_close(fused(ours, *given), plain, atol=1e-6, rtol=1e-5)
        assert torch.equal(fused(ours, *given), plain), "and afterwards it is as before"
    v, t, f = CONFIG.model.vision, CONFIG.model.text, CONFIG.model.fusion_depth
    expected = {f"vision.blocks.{i}.attention": (2, v.heads, v.patches + 1, v.patches + 1) for i in range(v.depth)}
    expected |= {f"text.layers.{i}.attention": (2, t.heads, 7, 7) for i in range(t.depth)}
    expected |= {f"fusion.layers.{i}.attention": (2, t.heads, 7, 7) for i in range(f)}
    expected |= {f"fusion.layers.{i}.cross": (2, t.heads, 7, v.patches + 1) for i in range(f)}
    assert {name: tuple(w.shape) for name, w in seen.weights.items()} == expected and set(seen.calls.values()) == {1}
    for weights in seen.weights.values():
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert seen.weights["text.layers.0.attention"][1, :, :, 5:].abs().max() == 0, "nobody looks at padding"
    with torch.no_grad(), capture(ours, "fusion.*.cross") as seen:
        fused(ours, *given)
    assert [*seen.weights] == [f"fusion.layers.{i}.cross" for i in range(f)]
    with pytest.raises(ConfigError, match=r"did you mean 'fusion.layers.0.cross'"):
        capture(ours, "fusion.layers.0.cros").__enter__()
    with pytest.raises(ConfigError, match="gradients = False"):
        _ = seen.gradients
    with pytest.raises(ZeroDivisionError), capture(ours):
        raise ZeroDivisionError
    assert all(module.tap is None for module in attentions(ours).values()), "nobody is watched after an error"


def test_gradients_are_those_of_a_change_of_the_weights(given):
    """By finite differences: a replaced weight changes the output as its gradient says."""
    name, double, picture, at = "fusion.layers.0.cross", build(CONFIG).eval().double(), given[0].double(), (0, 1, 0, 3)
    direction = torch.randn(CONFIG.model.text.width, generator=seeding.generator("direction"), dtype=torch.double)
    with capture(double, name, gradients=True) as seen:
        (fused(double, picture, *given[1:])[0, 0] @ direction).backward()
    outputs = []
    for by in (1e-5, -1e-5):
        nudge = torch.zeros_like(seen.weights[name])
        nudge[at] = by
        double.fusion.layers[0].cross.tap = nudge.add
        with torch.no_grad():
            outputs.append(fused(double, picture, *given[1:])[0, 0] @ direction)
    slope = (outputs[0] - outputs[1]).item() / 2e-5
    assert seen.gradients[name][at].item() == pytest.approx(slope, rel=1e-5) and slope != 0


@pytest.mark.parametrize("first", [True, False])
def test_torchs_own_attention_agrees_with_masks_of_every_kind(first):
    layer = nn.MultiheadAttention(16, 4, kdim=8, vdim=12, batch_first=first).eval()
    q, k, v = (torch.randn(2, *s) if first else torch.randn(2, *s).transpose(0, 1) for s in ((5, 16), (3, 8), (3, 12)))
    for mask in (None, torch.tensor([[False, False, True]] * 5), torch.randn(5, 3), torch.randn(8, 5, 3)):
        expected = layer(q, k, v, attn_mask=mask)[0]
        with capture(nn.ModuleDict({"a": layer}), "a") as seen:
            torch.testing.assert_close(layer(q, k, v, attn_mask=mask)[0], expected)
        assert seen.weights["a"].shape == (2, 4, 5, 3)


IDS = torch.tensor([[1, 5, 9, 3, 2, 0]])
PICTURE = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
TEXT = {"context_length": 6, "vocab_size": 100, "width": 32, "heads": 2, "layers": 2}
HF: Any = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}


def hf_clip(attention: str) -> nn.Module:
    text, vision = HF | {"vocab_size": 100, "eos_token_id": 2}, HF | {"image_size": 32, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision)
    return transformers.CLIPModel._from_config(config, attn_implementation=attention)


def clip(**vision: Any) -> nn.Module:
    return open_clip.model.CLIP(32, small_guests.ATTENDING | vision, TEXT)


def siglip() -> nn.Module:
    text = TEXT | small_guests.ALL_SEEN
    return open_clip.model.CustomTextCLIP(32, small_guests.SIGLIP, text, init_logit_bias=-10.0)


def unfused_timm() -> nn.Module:
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, num_classes=5)
    for block in model.blocks:
        block.attn.fused_attn = False
    return model


def score(model: nn.Module) -> Tensor:
    if isinstance(model, timm.models.VisionTransformer):
        return model(PICTURE)[0, 0]
    hf = isinstance(model, transformers.CLIPModel)
    out = model(input_ids=IDS, pixel_values=PICTURE) if hf else model(PICTURE, IDS)
    return ((out.image_embeds * out.text_embeds) if hf else (out[0] * out[1])).sum()


MODELS = {
    "HF CLIP": (lambda: hf_clip("sdpa"), 4), "HF CLIP, eager": (lambda: hf_clip("eager"), 4),
    "timm, unfused": (unfused_timm, 12), "SigLIP": (siglip, 2 + 2 + 1), "open_clip": (clip, 4),
    "open_clip, custom": (lambda: clip(block_type="custom"), 4),
    "ResNet": (lambda: clip(layers=[1, 1, 1, 1], width=8, head_width=32), 2 + 1),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_every_layer_is_recorded_with_gradients_and_nothing_changes(name: str) -> None:
    make, layers = MODELS[name]
    model = make().eval()
    with torch.no_grad():
        plain = score(model)
    with capture(model, gradients=True) as seen:
        seen.differentiate(out := score(model))
    torch.testing.assert_close(out.detach(), plain, atol=1e-5, rtol=1e-5)
    assert len(seen.weights) == layers and set(seen.calls.values()) == {1}
    for attention, weights in seen.weights.items():
        assert weights.ndim == 4, attention
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert sum(g.abs().sum().item() > 0 for g in seen.gradients.values()) == layers
    with torch.no_grad():
        assert torch.equal(score(model), plain), "and afterwards it is as before"


class Block(nn.Module):
    """An attention whose class is not called so."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(8, 24)

    def forward(self, x: Tensor, options: dict) -> Tensor:
        q, k, v = self.project(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v, **options)


EVERY = torch.tensor([[False] * 3, [True, False, True], [True] * 3])


@pytest.mark.parametrize("options", [
    {}, {"is_causal": True}, {"scale": 0.3}, {"attn_mask": EVERY}, {"attn_mask": torch.randn(2, 1, 3, 3)},
])  # fmt: skip
def test_every_option_of_torchs_function(options: dict) -> None:
    model, x = nn.ModuleDict({"block": Block()}), torch.randn(2, 3, 8)
    expected = model["block"](x, options)
    with capture(model) as seen:
        torch.testing.assert_close(model["block"](x, options), expected)
    assert seen.weights["block"].shape == (2, 2, 3, 3)
    with pytest.raises(ConfigError, match=r"ran; .*there are block"), capture(model, "block.project"):
        model["block"](x, options)

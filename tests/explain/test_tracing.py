"""A trace against the model's own outputs, its axes, and statistics of its heads; what a notebook shows of it and of
attributions: one screen of escaped HTML, and a one-line repr."""

import math
import pkgutil
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from explain.conftest import CONFIG, SCENE, TOKENIZER
from html_page import Page

from xfm import explain
from xfm.base import seeding
from xfm.base.fields import ConfigError
from xfm.base.html_card import ROWS, SIDE, card, clipped, picture, table
from xfm.explain import head_stats
from xfm.explain.method_table import attribute
from xfm.explain.prepare_inputs import make_inputs, scene_inputs
from xfm.explain.tracing import Trace, capture_attention, trace
from xfm.model.modes import eval_mode
from xfm.tasks import EvalContext


@pytest.fixture(scope="module")
def traced(model) -> Trace:
    boxes = {p.text: (o.x, o.y, o.width, o.height) for p, o in zip(SCENE.phrases, SCENE.objects, strict=True)}
    return trace(model, TOKENIZER, SCENE.image, SCENE.caption.text, "itm", boxes)


def test_scores_are_those_of_the_evaluation(model, traced):
    context = EvalContext(model, CONFIG, TOKENIZER)
    first = torch.zeros(1, dtype=torch.long)
    with eval_mode(model), torch.inference_mode():
        itm = context.match_logits([SCENE], [SCENE.caption.text], first, first)
        cosine = context.image_features([SCENE]) @ context.text_features([SCENE.caption.text]).T
    assert traced.scores == {"itm": pytest.approx(itm.item(), abs=1e-5), "itc": pytest.approx(cosine.item(), abs=1e-5)}


def test_every_map_and_state_has_its_axes(traced):
    fused = CONFIG.model.fusion_depth
    depth = {"language": CONFIG.model.text.depth, "vision": CONFIG.model.vision.depth, "fusion": fused}
    length = {"words": len(traced.words.pieces), "patches": 1 + CONFIG.model.vision.patches}
    axes = {"language": ("words", "words"), "vision": ("patches", "patches"), "fusion": ("words", "words"),
            "cross": ("words", "patches")}  # fmt: skip
    assert list(traced.maps) == list(axes)
    for name, (queries, keys) in axes.items():
        attention = traced.maps[name]
        assert attention.weights.shape == (
            depth.get(name, fused),
            CONFIG.model.text.heads,
            length[queries],
            length[keys],
        ), name
        assert (attention.queries, attention.keys) == (queries, keys)
    assert {n: len(s) for n, s in traced.states.items()} == {n: layers + 1 for n, layers in depth.items()}
    assert torch.equal(traced.states["language"][-1], traced.states["fusion"][0])


def test_words_have_gradients_of_itm_although_training_stops_them(model, traced):
    assert CONFIG.flow.text_gradient["itm"] == 0
    model.train()
    random = torch.get_rng_state()
    for name, attention in traced.maps.items():
        assert attention.gradients is not None and attention.gradients.shape == attention.weights.shape
        assert attention.gradients.abs().sum() > 0, name
    by_itc = trace(model, TOKENIZER, SCENE.image, SCENE.caption.text, "itc").maps
    assert model.training and all(p.grad is None for p in model.parameters()), "the model is left as it was"
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert by_itc["cross"].gradients.abs().sum() == 0 < by_itc["language"].gradients.abs().sum()


def test_rollout_is_the_product_with_residuals():
    weights = torch.rand(3, 2, 5, 5, generator=seeding.generator("rollout")).softmax(-1)
    found = head_stats.rollout(weights)
    expected = torch.eye(5)
    for layer in weights:
        expected = (0.5 * layer.mean(0) + 0.5 * torch.eye(5)) @ expected
    torch.testing.assert_close(found[-1], expected)
    torch.testing.assert_close(found.sum(-1), torch.ones(3, 5))


def test_heads_of_known_kinds():
    grid, n = 3, 10
    alike, one = torch.full((n, n), 1 / n), torch.eye(n)
    weights = torch.stack([alike, one])[None]
    assert head_stats.entropy(weights)[0].tolist() == pytest.approx([math.log(n), 0])
    expected = np.mean([math.dist(divmod(a, grid), divmod(b, grid)) for a in range(9) for b in range(9)])
    assert head_stats.distance(weights, grid)[0].tolist() == pytest.approx([expected, 0])
    keys = torch.zeros(n, dtype=torch.bool)
    keys[2:5] = True
    assert head_stats.mass(weights, keys)[0].tolist() == pytest.approx([0.3, 0.3])
    assert head_stats.mass(weights, keys, queries=keys)[0].tolist() == pytest.approx([0.3, 1])
    assert head_stats.specialised(head_stats.entropy(weights), 1, largest=False) == [(0, 1, 0.0)]


def test_mass_on_an_object_is_that_of_its_name(model):
    inputs = scene_inputs(model, TOKENIZER, SCENE, about=1)
    mass, chance = head_stats.object_mass(inputs)
    with eval_mode(model):
        weights = capture_attention(inputs, gradients=False)[0]["cross"].weights
    patches = inputs.object_patches()[inputs.text]
    naive = weights[:, :, inputs.name_pieces][..., 1:][..., patches].sum(-1).mean(-1)
    torch.testing.assert_close(mass, naive)
    assert chance == pytest.approx(patches.sum().item() / (1 + len(patches)))
    with pytest.raises(ConfigError, match="objects"):
        head_stats.object_mass(replace(inputs, objects={}))


# ---- cards

EVIL = "a <script>alert('x')</script> & \"b\" \u202e\n\x1b[2J lion"
LINE, SCREEN = 28, 900  # pixels of a row of a table, and of a screen


@pytest.fixture(scope="module")
def objects(model):
    scene, evil = SCENE, np.zeros((9, 9, 3), np.uint8)
    asked = [scene_inputs(model, TOKENIZER, scene), make_inputs(model, TOKENIZER, evil, EVIL)]
    credited = replace(asked[1], credit="<b>me</b>", objects={"<i>it</i>": np.ones((48, 48), bool)})
    traces = [trace(model, TOKENIZER, scene.image, scene.text, "itm"), trace(model, TOKENIZER, evil, EVIL)]
    return [*asked, credited, *traces, *(attribute(i, "input x gradient") for i in (asked[0], credited))]


def test_each_is_one_screen_of_escaped_html_and_one_line_and_says_what_it_is_of(objects):
    allowed = {"div", "img", "table", "tr", "th", "td"}
    for each in objects:
        tags, line = Page(each._repr_html_()), repr(each)
        assert {*tags.tags} <= allowed and tags.tags.count("img") == 1
        assert tags.tags.count("tr") * LINE + SIDE < SCREEN, type(each).__name__
        assert all(text.isprintable() for text in (*tags.texts, line)) and len(line) < 220
        assert line.startswith(type(each).__name__)
    inputs, _, _, traced, _, attribution, _ = objects
    said, hostile, credited, of_trace, _, of_numbers, other = (Page(each._repr_html_()).texts for each in objects)
    assert all(part in " ".join(said) for part in (clipped(inputs.text), "itm", "score", *list(inputs.objects)[:1]))
    assert "alert('x')" in " ".join(hostile) and "<i>it</i>" in credited and "<b>me</b>" in other
    assert {*traced.maps, *traced.states} <= {*of_trace}
    row, column = divmod(int(attribution.patches.abs().argmax()), 6)
    strongest, _ = max(attribution.by_word().items(), key=lambda pair: abs(pair[1]))
    assert {strongest, f"row {row}, column {column}"} <= {*of_numbers}
    both = attribution, replace(attribution, patches=-attribution.patches)
    images = [re.findall(r"base64,([\w+/=]+)", each._repr_html_())[0] for each in both]
    assert images[0] != images[1], "the sign has a colour"


def test_cards_cut_what_is_long():
    rows = table(("a",), [("x" * 500,)] * 1000)
    assert rows.count("<tr>") == ROWS + 2 and f"{1000 - ROWS} more" in rows and len(rows) < 2000
    assert len(picture(np.zeros((2000, 3000, 3), np.uint8))) < 4000 and len(card("y" * 9999)) < 500


def test_no_module_hides_a_function_of_its_name() -> None:
    modules = {module.name for module in pkgutil.iter_modules(explain.__path__)}
    assert modules & {*explain.__all__} == {"head_stats"}

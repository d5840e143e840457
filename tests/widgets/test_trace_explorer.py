"""The attention view without a browser: its numbers against the trace, what it sends, what is missing."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import traitlets
from test_plots import said

import xfm
import xfm_widgets as xw
from xfm.base.fields import ConfigError
from xfm.explain import head_stats
from xfm.explain.methods.attention_methods import bimodal_rollout
from xfm.explain.token_axes import PatchAxis, TokenAxis
from xfm.explain.tracing import AttentionMap, Trace
from xfm_widgets import trace_explorer
from xfm_widgets.traces import packed, pieces_of, size

PIECES = ("<s>", "a", "li", "on", "by", "a", "red", "car", "</s>")
WORDS = TokenAxis(PIECES, (-1, 0, 1, 1, 2, 3, 4, 5, -1), ("a", "lion", "by", "a", "red", "car"))
BOXES = {"the lion": (0.0, 0.0, 4.0, 4.0), "the red car": (4.0, 8.0, 8.0, 4.0)}


def attention(layers: int, head_stats: int, queries: int, keys: int, seed: int) -> torch.Tensor:
    return torch.randn(layers, head_stats, queries, keys, generator=torch.Generator().manual_seed(seed)).softmax(-1)


def example(seed: int = 0, pieces: int = 9, grid: int = 3, depth: int = 3, heads: int = 2) -> Trace:
    words = WORDS if pieces == 9 else TokenAxis(("x",) * pieces, tuple(range(pieces)), ("x",) * pieces)
    n, p = len(words.pieces), 1 + grid**2
    maps = {
        "language": AttentionMap(attention(depth, heads, n, n, seed), "words", "words"),
        "vision": AttentionMap(attention(depth, heads, p, p, seed + 1), "patches", "patches"),
        "fusion": AttentionMap(attention(2, heads, n, n, seed + 2), "words", "words"),
        "cross": AttentionMap(attention(2, heads, n, p, seed + 3), "words", "patches"),
    }
    image = np.random.default_rng(seed).integers(0, 256, (4 * grid, 4 * grid, 3), np.uint8)
    return Trace("a lion by a red car", image, words, PatchAxis(grid, 4), maps, {}, {}, boxes=dict(BOXES))


def test_a_page_above_what_marimo_shows_says_so_and_what_to_do(tmp_path: Path):
    base = xw.TraceExplorer(example(pieces=12, grid=14, depth=12, heads=12))
    warning = r"^TraceExplorer: 8\.\d MB .* 8 MB .* marimo shows: open the file .* MARIMO_OUTPUT_MAX_BYTES=18000000$"
    with pytest.warns(UserWarning, match=warning) as warned:
        path = base.to_html(tmp_path / "base.html")
    assert warned[0].filename == __file__ and 8_000_000 < path.stat().st_size < 9_000_000
    with pytest.warns(UserWarning, match="^TraceExplorer: "):
        base.embed()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xw.TraceExplorer(example()).to_html(tmp_path / "small.html")


def test_a_word_shows_its_row_and_a_patch_its_column():
    one = example()
    view = xw.TraceExplorer(one, layer=1, head=1, token=3)
    (side,) = view.sides()
    assert (side.title, side.kind) == ("“on” looks at", "patches")
    torch.testing.assert_close(side.weights, one.maps["cross"].weights[1, 1, 3])
    view.patch = 4
    side = view.sides()[1]
    assert (side.title, side.kind) == ("looks at patch 4", "words")
    torch.testing.assert_close(side.weights, one.maps["cross"].weights[1, 1, :, 5])
    view.patch, view.pooled, view.map = -1, True, "vision"
    torch.testing.assert_close(view.sides()[0].weights, one.maps["vision"].weights[1, 1, 0])
    assert view.sides()[1].title == "looks at whole picture"
    assert len(view.data()) == 2 * 10 and set(view.data()["side"]) == {s.title for s in view.sides()}


def test_heads_together_and_rollout():
    one = example()
    view = xw.TraceExplorer(one, map="fusion", layer=9)  # beyond the last: the last
    layer = one.maps["fusion"].weights[-1]
    rollout = bimodal_rollout(one.maps)[-1][0]
    for name, expected in {"mean": layer.mean(0), "max": layer.amax(0), "rollout": rollout}.items():
        view.heads = name
        torch.testing.assert_close(view.weights(), expected)
    view.map, view.layer = "cross", 0
    torch.testing.assert_close(view.weights(), bimodal_rollout(one.maps)[1][1])
    view.map = "vision"
    torch.testing.assert_close(view.weights(), head_stats.rollout(one.maps["vision"].weights)[0])


def test_two_traces_are_subtracted_where_they_are_of_one_size():
    one, two = example(), example(7)
    view = xw.TraceExplorer({0: one, 50: two}, shown="A−B")
    assert (view.a, view.b) == ("0", "50")
    torch.testing.assert_close(view.weights(), (one - two)["cross"].weights[0, 0])
    view.shown = "B"
    torch.testing.assert_close(view.weights(), two.maps["cross"].weights[0, 0])
    with pytest.raises(traitlets.TraitError, match="a = '51': must be one of '0', '50'"):
        view.a = "51"
    for other, size_of_it in ((example(1, pieces=4), "2 heads, 4 × 10"), (example(1, heads=4), "4 heads, 9 × 10")):
        with pytest.raises(ConfigError, match=rf"No difference: one has 2 .*; two has 2 layers of {size_of_it}"):
            xw.TraceExplorer({"one": one, "two": other}, shown="A−B").weights()


def test_runs_are_compared_in_one_call_and_saved_for_a_paper(lab: xfm.Lab):
    scene = lab.scene(0)
    view = xw.TraceExplorer.of_runs({"lab": lab, "loaded": "demo"}, scene.image, scene.text, shown="A−B", map="cross")
    assert (view.a, view.b) == ("lab", "loaded") and not view.weights().any()
    view.shown = "A"
    torch.testing.assert_close(view.weights(), lab.trace(scene.image, scene.text).maps["cross"].weights[0, 0])
    content = view.figure().sized("page").bytes("pdf")
    assert content.startswith(b"%PDF") and b"/Type3" not in content


def test_the_browser_gets_weights_to_a_510th_of_the_row_and_what_to_sort_by():
    one = example()
    sent = packed(one)["maps"]
    for name, own in one.maps.items():
        shape = sent[name]["size"]
        codes = np.frombuffer(sent[name]["codes"], np.uint8).reshape(shape)
        scale = np.frombuffer(sent[name]["scale"], "<f4").reshape(*shape[:3], 1)
        assert (np.abs(codes / 255 * scale - own.weights.numpy()) <= scale / 509).all()
        assert len(sent[name]["rollout"]["codes"]) == codes[:, :1].size
        entropy = np.frombuffer(sent[name]["entropy"], "<f4")
        np.testing.assert_allclose(entropy, head_stats.entropy(own.weights).flatten(), rtol=1e-5)
    lion, car = torch.zeros(10).bool(), torch.zeros(10).bool()
    lion[1], car[8:10] = True, True
    weights = one.maps["cross"].weights
    mass = (weights[:, :, 2:4][..., lion].sum(-1).mean(-1) + weights[:, :, 6:8][..., car].sum(-1).mean(-1)) / 2
    np.testing.assert_allclose(np.frombuffer(sent["cross"]["mass"], "<f4"), mass.flatten(), rtol=1e-5)


def test_a_phrase_is_found_whatever_its_article_and_its_neighbour():
    lion, car = [2, 3], [6, 7]
    pieces = {"the lion": lion, "red car": car, "the small lion next to the red car": lion,
              "the red car to the left of the lion": car, "the zebra below the red car": [], "": []}  # fmt: skip
    assert {phrase: pieces_of(example(), phrase) for phrase in pieces} == pieces


def test_a_base_model_stays_below_eight_megabytes_and_further_traces_wait(monkeypatch, tmp_path):
    large = example(grid=14, depth=12, heads=12)
    view = xw.TraceExplorer({"one": large, "two": example(1), "three": large})
    assert list(view.payload["traces"]) == ["one"] and size(view.payload) < 8e6
    view._handle_custom_msg({"do": "trace", "of": "three"}, [])
    assert view.sent["label"] == "three" and size(view.sent) < 8e6
    view._handle_custom_msg({"do": "trace", "of": "nothing"}, [])
    assert view.sent["label"] == "three"
    monkeypatch.setattr(trace_explorer, "LIMIT", 2 * size(packed(example())) + 10)
    few = xw.TraceExplorer({str(i): example(i) for i in range(4)}, a="2")
    assert list(few.payload["traces"]) == ["2", "3"]
    few.a = "1"
    page = few.to_html(tmp_path / "few.html").read_text("utf-8")
    assert list(few.payload["traces"]) == ["1", "3"] and '"labels": ["0", "1", "2", "3"]' in page


def test_what_is_missing_is_said(tmp_path):
    empty = xw.TraceExplorer({})
    assert empty.message.startswith("No trace") and empty.data().empty and empty.figure()
    assert "No trace" in empty.to_html(tmp_path / "empty.html").read_text("utf-8")
    one = example()
    broken = one.maps["cross"].weights.clone()
    broken[0, 0, 0] = float("nan")
    view = xw.TraceExplorer({"one": replace(one, maps=one.maps | {"cross": AttentionMap(broken, "words", "patches")})})
    assert view.message == "Weights that are not finite, shown as 0: one" and view.weights()[0].sum() == 0
    view.to_html(tmp_path / "nan.html")
    only = xw.TraceExplorer(replace(one, maps={"vision": one.maps["vision"]}), map="vision", heads="rollout")
    torch.testing.assert_close(only.weights(), head_stats.rollout(one.maps["vision"].weights)[0])
    only.map = "cross"
    with pytest.raises(ConfigError, match="rollout of cross"):
        only.weights()
    both = xw.TraceExplorer({"one": one, "only": replace(one, maps={"vision": one.maps["vision"]})})
    assert both.weights().shape == (9, 10)  # A has it, whatever B has
    both.shown = "A−B"
    assert "'only' has vision" in both.figure().texts[0].get_text()
    xw.TraceExplorer(example(pieces=1), map="language").figure()._repr_png_()


def test_python_traces_sentences_of_ones_own(lab: xfm.Lab):
    view = xw.TraceExplorer.of(lab.model, lab.tokenizer, lab.scene(7).image, "a lion", typed="two red cars")
    assert view.payload["traces"]["your own"]["pieces"] == ["<s>", "two", "red", "cars", "</s>"] and view.a == "given"
    view.typed = "a " * 90
    assert "tokens" in view.message and len(view._traces["your own"].words.pieces) == 5
    view.typed, view.a, view.credit = "a car", "your own", "drawn by someone"
    assert view.message == "" and len(view.payload["traces"]["your own"]["pieces"]) == 4
    assert view.credit in said(view.figure())
    view.show(np.zeros((50, 90, 3), np.uint8))
    assert view.credit not in said(view.figure()), "the picture is the reader's"
    plain = xw.TraceExplorer(view._traces["given"])
    plain.typed = "a car"
    assert "TraceExplorer.of" in plain.message and plain.payload["takes"] is False

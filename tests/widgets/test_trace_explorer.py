"""The attention view and the retrieval explorer without a browser: their numbers, what is sent, what is missing."""

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
from xfm.tasks.retrieval_set import OwnScores, RetrievalSet
from xfm_widgets import trace_explorer
from xfm_widgets.traces import packed, size

PIECES = ("<s>", "a", "li", "on", "by", "a", "red", "car", "</s>")
WORDS = TokenAxis(PIECES, (-1, 0, 1, 1, 2, 3, 4, 5, -1), ("a", "lion", "by", "a", "red", "car"))
BOXES = {"the lion": (0.0, 0.0, 4.0, 4.0), "the red car": (4.0, 8.0, 8.0, 4.0)}


def example(seed: int = 0, pieces: int = 9, grid: int = 3, depth: int = 3, heads: int = 2) -> Trace:
    words = WORDS if pieces == 9 else TokenAxis(("x",) * pieces, tuple(range(pieces)), ("x",) * pieces)
    places, maps = {"words": pieces, "patches": 1 + grid**2}, {}
    for i, (name, layers, *axes) in enumerate((("language", depth, "words", "words"), ("fusion", 2, "words", "words"),
            ("vision", depth, "patches", "patches"), ("cross", 2, "words", "patches"))):  # fmt: skip
        noise = torch.randn(layers, heads, *map(places.get, axes), generator=torch.Generator().manual_seed(seed + i))
        maps[name] = AttentionMap(noise.softmax(-1), *axes)
    image = np.random.default_rng(seed).integers(0, 256, (4 * grid, 4 * grid, 3), np.uint8)
    return Trace("a lion by a red car", image, words, PatchAxis(grid, 4), maps, {}, {}, boxes=dict(BOXES))


def test_a_page_above_what_marimo_shows_says_so_and_what_to_do(tmp_path: Path):
    base = xw.TraceExplorer(example(pieces=12, grid=14, depth=12, heads=12))
    warning = r"^TraceExplorer: 8\.\d MB .* 8 MB .* marimo shows: open the file .* MARIMO_OUTPUT_MAX_BYTES=18000000$"
    with pytest.warns(UserWarning, match=warning) as warned:
        path = base.to_html(tmp_path / "base.html")
    assert warned[0].filename == __file__ and 8_000_000 < path.stat().st_size < 9_000_000


def test_a_word_shows_its_row_and_a_patch_its_column():
    one = example()
    view = xw.TraceExplorer(one, layer=1, head=1, token=3, patch=4)
    row, column = view.sides()
    assert [row.title, row.kind, column.title, column.kind] == ["“on” looks at", "patches", "looks at patch 4", "words"]
    torch.testing.assert_close(row.weights, one.maps["cross"].weights[1, 1, 3])
    torch.testing.assert_close(column.weights, one.maps["cross"].weights[1, 1, :, 5])
    view.patch, view.pooled, view.map = -1, True, "vision"
    torch.testing.assert_close(view.sides()[0].weights, one.maps["vision"].weights[1, 1, 0])
    assert view.sides()[1].title == "looks at whole picture"
    assert len(view.data()) == 2 * 10 and set(view.data()["side"]) == {s.title for s in view.sides()}


def test_heads_together_and_rollout():
    one = example()
    view = xw.TraceExplorer(one, map="fusion", layer=9)  # beyond the last: the last
    layer = one.maps["fusion"].weights[-1]
    rollout = bimodal_rollout(one.maps)
    for name, expected in {"mean": layer.mean(0), "max": layer.amax(0), "rollout": rollout[-1][0]}.items():
        view.heads = name
        torch.testing.assert_close(view.weights(), expected)
    view.layer = 0
    for view.map, expected in (("cross", rollout[1][1]), ("vision", head_stats.rollout(one.maps["vision"].weights)[0])):
        torch.testing.assert_close(view.weights(), expected)


def test_two_traces_are_subtracted_where_they_are_of_one_size():
    one, two = example(), example(7)
    view = xw.TraceExplorer({0: one, 50: two}, shown="A−B")
    assert (view.a, view.b) == ("0", "50")
    torch.testing.assert_close(view.weights(), (one - two)["cross"].weights[0, 0])
    view.shown = "B"
    torch.testing.assert_close(view.weights(), two.maps["cross"].weights[0, 0])
    with pytest.raises(traitlets.TraitError, match="a = '51': must be one of '0', '50'"):
        view.a = "51"
    with pytest.raises(ConfigError, match=r"No difference: one has 2 .*; two has 2 layers of 2 heads, 4 × 10"):
        xw.TraceExplorer({"one": one, "two": example(1, pieces=4)}, shown="A−B").weights()


def test_the_browser_gets_weights_to_a_510th_of_the_row_and_what_to_sort_by():
    one = example()
    sent = packed(one)["maps"]
    for name, own in one.maps.items():
        shape = sent[name]["size"]
        codes = np.frombuffer(sent[name]["codes"], np.uint8).reshape(shape)
        scale = np.frombuffer(sent[name]["scale"], "<f4").reshape(*shape[:3], 1)
        assert (np.abs(codes / 255 * scale - own.weights.numpy()) <= scale / 509).all()
        entropy = np.frombuffer(sent[name]["entropy"], "<f4")
        np.testing.assert_allclose(entropy, head_stats.entropy(own.weights).flatten(), rtol=1e-5)
    weights = one.maps["cross"].weights  # of the lion's pieces on its patch, and of the car's on its two
    mass = (weights[:, :, 2:4, 1].mean(-1) + weights[:, :, 6:8, 8:10].sum(-1).mean(-1)) / 2
    np.testing.assert_allclose(np.frombuffer(sent["cross"]["mass"], "<f4"), mass.flatten(), rtol=1e-5)


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
    few.to_html(tmp_path / "few.html")
    assert list(few.payload["traces"]) == ["1", "3"]


def test_what_is_missing_is_said(tmp_path):
    empty = xw.TraceExplorer({})
    assert empty.message.startswith("No trace") and empty.data().empty and empty.figure()
    assert "No trace" in empty.to_html(tmp_path / "empty.html").read_text("utf-8")
    one = example()
    broken = one.maps["cross"].weights.clone()
    broken[0, 0, 0] = float("nan")
    view = xw.TraceExplorer({"one": replace(one, maps=one.maps | {"cross": AttentionMap(broken, "words", "patches")})})
    assert view.message == "Weights that are not finite, shown as 0: one" and view.weights()[0].sum() == 0
    vision = replace(one, maps={"vision": one.maps["vision"]})
    only = xw.TraceExplorer(vision, map="cross", heads="rollout")
    with pytest.raises(ConfigError, match="rollout of cross"):
        only.weights()
    both = xw.TraceExplorer({"one": one, "only": vision}, shown="A−B")
    assert "'only' has vision" in both.figure().texts[0].get_text()


def test_python_traces_sentences_of_ones_own(lab: xfm.Lab):
    view = xw.TraceExplorer.of(lab.model, lab.tokenizer, lab.scene(7).image, "a lion", typed="two red cars")
    assert view.payload["traces"]["your own"]["pieces"] == ["<s>", "two", "red", "cars", "</s>"] and view.a == "given"
    view.typed = "a " * 90
    assert "tokens" in view.message and len(view._traces["your own"].words.pieces) == 5
    view.typed, view.a, view.credit = "a car", "your own", "drawn by someone"
    assert view.message == "" and view.credit in said(view.figure())
    view.show(np.zeros((50, 90, 3), np.uint8))
    assert view.credit not in said(view.figure()), "the picture is the reader's"
    plain = xw.TraceExplorer(view._traces["given"])
    plain.typed = "a car"
    assert "TraceExplorer.of" in plain.message and plain.payload["takes"] is False


# ---- the retrieval explorer
N, K = 6, 3


def made(n: int = N) -> RetrievalSet:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, n, 4))
    images, texts = rng.integers(0, 255, (n, 20, 30, 3), np.uint8), tuple(f"text {i}" for i in range(n))
    truth, odds = np.eye(n, dtype=bool), rng.normal(size=(n, n))
    return RetrievalSet(images, texts, features[0] @ features[1].T, *features, truth, odds, K)


def test_the_table_follows_query_direction_and_order():
    pairs = made()
    view = xw.RetrievalExplorer(pairs)
    for view.direction in ("text to image", "image to text"):
        for view.query in range(N):
            for view.order in ("ITC", "ITM re-ranked"):
                table = view.data()
                itm = None if view.order == "ITC" else pairs.row(pairs.odds, view.direction, view.query)
                order = pairs.ranking(view.direction, view.query, itm)
                assert table["candidate"].tolist() == order.tolist() and table["rank"].tolist() == [*range(1, N + 1)]
                assert table.loc[table["true"], "candidate"].tolist() == [view.query]
                assert (table["rank by ITC"] == table["rank"])[0 if itm is None else K :].all()
    view.query = 99
    assert view.query == N - 1
    view.selected = [0, N + 1, N + 2]
    assert sorted(view.data().query("selected")["candidate"]) == [1, 2]
    assert "No pairs" in xw.RetrievalExplorer(made(0)).message
    with pytest.raises(ConfigError, match=r"257 pairs.*at most 256"):
        xw.RetrievalExplorer(made(257))


def score(query, direction):
    if query == "bad":
        raise RuntimeError("diverged")
    itc = np.arange(N, dtype=float)
    return OwnScores(itc, np.where(itc >= N - K, -itc, np.nan))


def test_a_sentence_of_ones_own_ranks_the_pictures():
    asked: list[object] = []
    view = xw.RetrievalExplorer(made(), score=lambda *own: asked.append(own) or score(*own))
    view.set_state({"typed": "a small cat", "own": True, "direction": "text to image"})
    assert asked == [("a small cat", "text to image")] and not view.message
    table = view.data()
    assert table["candidate"].tolist() == [3, 4, 5, 2, 1, 0] and not table["true"].any()
    assert table["rank by ITC"].tolist() == [3, 2, 1, 4, 5, 6]
    assert table["sentence"].tolist() == [made().texts[i] for i in table["candidate"]], "the query is none of them"
    view.order = "ITC"
    assert view.data()["candidate"].tolist() == [5, 4, 3, 2, 1, 0]
    assert "“a small cat”" in said(view.figure())
    view.typed = "bad"
    assert view.own_scores == {} and not view._is_own and view.message == "RuntimeError: diverged"
    assert view.data()["true"].any() and "“a small cat”" not in said(view.figure()), "the set's query stands there"
    view.typed = "a dog"
    assert view.own_scores["text to image"]["text"] == "a dog" and view._is_own


def test_without_a_model_a_query_of_ones_own_is_refused():
    view = xw.RetrievalExplorer(made())
    view.typed = "a cat"
    assert "Only the set's own queries are answered" in view.message and view.own_scores == {}
    with pytest.raises(ConfigError, match="Only the set's own queries"):
        view.show(np.zeros((60, 40, 3), np.uint8))

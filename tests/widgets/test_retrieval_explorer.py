"""The retrieval view's ranks are the retrieval set's; what cannot be shown is reported."""

import numpy as np
import pytest
from test_plots import said

import xfm_widgets as xw
from xfm.config import ConfigError
from xfm.tasks.retrieval_set import OwnScores, RetrievalSet

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
                if itm is None:
                    assert (table["rank by ITC"] == table["rank"]).all() and table["ITC"].is_monotonic_decreasing
                else:
                    assert table["ITM"][:K].is_monotonic_decreasing
                    assert (table["rank by ITC"][K:] == table["rank"][K:]).all()
    view.query = 99
    assert view.query == N - 1
    view.selected = [0, N + 1, N + 2]
    assert sorted(view.data().query("selected")["candidate"]) == [1, 2]
    with pytest.raises(ConfigError, match=r"257 pairs.*at most 256"):
        xw.RetrievalExplorer(made(257))


# ---- queries of one's own


def score(query, direction):
    """0, 1, 2, ... of the candidates."""
    if query == "bad":
        raise RuntimeError("diverged")
    itc = np.arange(N, dtype=float)
    return OwnScores(itc, np.where(itc >= N - K, -itc, np.nan))


def test_a_sentence_of_ones_own_ranks_the_pictures(tmp_path):
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
    texts = said(view.figure())
    assert "“a small cat”" in texts and "a user's query" in texts
    view.to_html(tmp_path / "view.html")
    view.own = False
    assert view.data()["true"].any() and "“a small cat”" not in said(view.figure())


def test_without_a_model_a_query_of_ones_own_is_refused_and_a_wrong_answer_is_said():
    view = xw.RetrievalExplorer(made())
    view.typed = "a cat"
    assert "No `score` was given" in view.message and view.own_scores == {}
    before = view.data()
    with pytest.raises(ConfigError, match="No `score` was given"):
        view.show(np.zeros((60, 40, 3), np.uint8))
    assert not view.own and view.data().equals(before)
    wrong = xw.RetrievalExplorer(made(), score=lambda *_: OwnScores(np.zeros(N + 1), None))
    wrong.typed, wrong.own = "a cat", True
    assert "score(...).itc.shape = (7,): must be (6,)" in wrong.message
    assert len(wrong.data()) == N and len(wrong.figure().bytes()) > 1000


def test_what_a_query_of_ones_own_has_found_goes_with_the_query():
    for after, message in (("bad", "RuntimeError: diverged"), ("", ""), (" ", "")):
        view = xw.RetrievalExplorer(made(), score=score, typed="a cat", own=True)
        assert view.own_scores["text to image"]["text"] == "a cat" and view._is_own
        view.typed = after
        assert view.own_scores == {} and not view._is_own and view.message == message
        assert view.data()["true"].any(), "the set's query stands there"
    view.typed = "a dog"
    assert view.own_scores["text to image"]["text"] == "a dog" and view._is_own

"""The retrieval view's ranks are the retrieval set's; what cannot be shown is reported."""

from __future__ import annotations

import json

import numpy as np
import pytest

import xfm_widgets as xw
from xfm.config import ConfigError
from xfm.evaluation.retrieval_set import RetrievalSet
from xfm_widgets.base import script_json

N, K = 6, 3


def made(n: int = N, **changes) -> RetrievalSet:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, n, 4))
    features /= np.linalg.norm(features, axis=-1, keepdims=True)
    arrays = {"images": rng.integers(0, 255, (n, 20, 30, 3), np.uint8), "texts": tuple(f"text {i}" for i in range(n)),
              "similarity": features[0] @ features[1].T, "image_features": features[0], "text_features": features[1],
              "truth": np.eye(n, dtype=bool), "odds": rng.normal(size=(n, n)), "reranked": K}  # fmt: skip
    return RetrievalSet(**arrays | changes)


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
    view.selected = {"pictures": [0], "sentences": [1, 2]}
    assert sorted(view.data().query("selected")["candidate"]) == [1, 2]


def test_a_callable_is_asked_once_a_query_for_the_best_alone():
    asked = []

    def rerank(direction, query, candidates):
        asked.append((direction, query, candidates.tolist()))
        return -np.arange(len(candidates))  # ITC's order stays

    pairs = made(odds=None)
    view = xw.RetrievalExplorer(pairs, rerank)
    view.query = 2
    view.direction = "image to text"
    view.query = 0
    view.direction = "text to image"
    assert asked == [
        (d, q, pairs.ranking(d, q)[:K].tolist())
        for d, q in (("text to image", 0), ("text to image", 2), ("image to text", 2), ("image to text", 0))
    ]
    table = view.data()
    assert (table["rank by ITC"] == table["rank"]).all() and table["ITM"].notna().tolist() == [True] * K + [False] * 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda *_: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda *_: [1.0], r"ConfigError: rerank(...).shape = (1,): must be (3,)"),
    ],
)
def test_what_a_callable_raises_stands_in_the_view(answer, said):
    view = xw.RetrievalExplorer(made(), answer)
    assert view.message == said and view.itm() is None
    assert (view.data()["rank"] == view.data()["rank by ITC"]).all()
    assert len(view.figure().bytes()) > 1000


def test_graceful_where_things_are_missing(tmp_path):
    features = made().text_features.copy()
    features[1] = np.nan
    broken = made(
        text_features=features, similarity=made().image_features @ features.T, odds=None, truth=np.zeros((N, N), bool)
    )
    for pairs in (made(0), made(1), broken, made(odds=np.full((N, N), np.nan))):
        view = xw.RetrievalExplorer(pairs)
        assert bool(view.message) == (not pairs.texts)
        assert len(view.data()) == len(pairs.texts)
        assert len(view.figure().bytes()) > 100
        assert view.to_html(tmp_path / "view.html").stat().st_size > 1000
    assert xw.RetrievalExplorer(broken).data()["candidate"].size == N
    with pytest.raises(ConfigError, match="257 pairs are too many"):
        xw.RetrievalExplorer(made(257))


def test_the_payload_is_little_more_than_thumbnails_and_scores(tmp_path):
    n = 64
    view = xw.RetrievalExplorer(made(n), selected={"pictures": [1], "sentences": []})
    arrays = n * 48 * 48 * 3 + 2 * 4 * n * n + n * n + 2 * 2 * 2 * n * 4
    assert sum(len(b) for b in bytes_of(view.payload)) == arrays
    size = view.to_html(tmp_path / "view.html").stat().st_size
    assert size < 4 / 3 * arrays + len(script_json({**view.payload, "sprite": 0})) + 60_000
    assert json.loads(json.dumps(view.selected)) == {"pictures": [1], "sentences": []}


def bytes_of(tree) -> list[bytes]:
    if isinstance(tree, dict):
        return [b for value in tree.values() for b in bytes_of(value)]
    return [tree] if isinstance(tree, bytes) else []

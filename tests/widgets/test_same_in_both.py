"""What Python and the browser both compute, they compute alike: a view without a kernel says what its figure says."""

import base64
from collections.abc import Iterator
from typing import Any

import javascript
import numpy as np
import PIL
import pytest
from matplotlib import colormaps
from page import coded
from PIL import Image

import xfm_widgets as xw
from xfm.base.images import prepare
from xfm.plots.curve_records import smooth
from xfm.plots.palette import DIVERGING, opacity
from xfm.tasks.finetuning.task import Item
from xfm.tasks.retrieval_set import RetrievalSet
from xfm.tasks.world.retrieval import DIRECTIONS
from xfm_widgets.pages import dense
from xfm_widgets.task_answers import Answered


def each(module: str, names: str, answer: str, data: Any) -> Any:
    """What JavaScript answers of each of the data."""
    return javascript.run(f'import {{ {names} }} from "./{module}.js";\nanswer(data.map({answer}));', data)


def curves(seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 40))
    steps = np.cumsum(rng.integers(1, (2, 9)[seed % 2], n)).astype(float)
    values = rng.normal(size=n)
    values[rng.random(n) < (0.0, 0.3)[seed % 3 > 0]] = np.nan
    values[rng.random(n) < 0.05] = np.inf
    return steps, values, float((0, 0.4, 1, 2.5, 7, 1000)[seed % 6])


def test_the_running_mean_is_over_steps_on_both_sides() -> None:
    cases = [curves(seed) for seed in range(300)]
    breaks = [[], [7.0], [0.0, 7.5, 11.0, 11.5, 1e9]]  # also outside, and two in one gap
    across = [breaks[i % 3] for i in range(len(cases))]
    sent = [{"points": np.stack([x, y], 1).ravel().tolist(), "span": span, "across": at}
            for (x, y, span), at in zip(cases, across, strict=True)]  # fmt: skip
    mean = "({ points, span, across }) => runningMean(points.map(Number), Number(span), across)"
    found = each("smoothing", "runningMean", mean, sent)
    for (steps, values, span), points, at in zip(cases, found, across, strict=True):
        means = np.array([float(y) for y in points[1::2]])
        np.testing.assert_allclose(means, smooth(steps, values, span, at), rtol=1e-9, atol=1e-12)


def retrieval_sets(seed: int) -> RetrievalSet:
    """Scores of few values, so that there are equals, and of none."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))

    def scores() -> np.ndarray:
        values = rng.integers(-2, 3, (n, n)).astype(np.float32)
        values[rng.random((n, n)) < 0.15] = np.nan
        values[rng.random((n, n)) < 0.05] = (-np.inf, np.inf)[seed % 2]
        return values

    empty = np.zeros((n, 2))
    similarity, truth, odds = scores(), rng.random((n, n)) < 0.4, scores() if seed % 4 else None
    pictures, reranked = np.zeros((n, 4, 4, 3), np.uint8), int(rng.integers(1, 10))
    return RetrievalSet(pictures, ("",) * n, similarity, empty, empty, truth, odds, reranked)


def test_candidates_have_the_same_order_on_both_sides() -> None:
    sent, expected = list[Any](), list[list[int]]()
    for pairs in map(retrieval_sets, range(100)):
        for direction in DIRECTIONS:
            for query in range(len(pairs.texts)):
                scores = {"itc": pairs.similarity, "truth": pairs.truth, "itm": pairs.odds}
                own = {n: None if x is None else pairs.row(x, direction, query) for n, x in scores.items()}
                told = {name: None if row is None else row.tolist() for name, row in own.items()}
                sent.append(told | {"reranked": pairs.reranked})
                expected.append(pairs.ranking(direction, query, own["itm"]).tolist())
    order = "({ itc, truth, itm, reranked }) => ranking(itc.map(Number), truth, itm && itm.map(Number), reranked)"
    assert each("ranking", "ranking", order, sent) == expected


def test_a_number_has_the_same_colour_on_both_sides() -> None:
    shares = np.linspace(0, 1, 41)
    drawn = np.stack([DIVERGING(shares), colormaps["cividis"](shares)], 1)[..., :3] * 255
    views = each("colour", "diverging, sequential", "(t) => [diverging(2 * t - 1), sequential(t)]", shares.tolist())
    assert np.abs(drawn - views).max((0, 2)) == pytest.approx([0, 0], abs=14), "levels of 255, at ten stops"


def test_weights_cover_a_picture_alike_in_views_and_figures() -> None:
    """In proportion to the weight, whatever its sign, and never more than the strongest."""
    weights = np.array([0, 0.1, -0.1, 0.25, 1, -1, 4, np.nan, np.inf, -np.inf])
    cases = [(most, strength) for most in (0.0, 0.25, 1.0) for strength in (0.0, 0.4, 1.0)]
    sent = [{"weights": weights.tolist(), "most": most, "strength": strength} for most, strength in cases]
    figures = [opacity(weights, most, strength) for most, strength in cases]
    answer = "({ weights, most, strength }) => weights.map((w) => opacityOf(Number(w), most, strength))"
    np.testing.assert_allclose(each("overlay", "opacityOf", answer, sent), figures, rtol=1e-12)


def test_the_same_examples_of_a_task_are_kept_on_both_sides() -> None:
    rng = np.random.default_rng(0)
    names = ["a Lion", "two cats", "ÉTÉ", "İstanbul", "ΣΑΣ", "straße", "<b>"]
    told = [names[i] for i in rng.integers(0, len(names), 40)]
    models = [Answered(name, rng.permutation(told).tolist(), rng.integers(0, 2, 40)) for name in "ab"]
    view = xw.TaskExplorer("t", lambda i: Item((names[i % 7], told[i]), (), told[-i]), models)
    sent, expected = [], []
    for show in ("all", "right", "wrong", "disagree"):
        for search in ("", "LION", " cats  two ", "été", "i", "σας", "ss", "<B>", "no such"):
            view.show, view.search = show, search
            sent.append({"items": view.payload["items"], "show": show, "search": search})
            expected.append(view.kept())
    found = each("task_items", "kept", "({ items, show, search }) => kept(items, show, search)", sent)
    assert found == expected and len({len(kept) for kept in expected}) > 5


def rgba_pictures() -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = [(1, 1), (1, 7), (48, 48), (48, 96), (49, 48), (47, 48), (5, 3), (200, 64), (333, 517), (96, 96), (31, 100)]
    for height, width in [*sizes, *rng.integers(1, 160, (40, 2)).tolist()]:
        picture = rng.integers(0, 256, (height, width, 4)).astype(np.uint8)
        if rng.random() < 0.5:  # edges, opaque
            picture[..., :3] = 255 * (picture[..., :3] > 128)
            picture[..., 3] = 255
        yield picture


def test_pictures_of_any_size_become_the_same_pixels() -> None:
    sides = [48, 32, 1, 224]
    given = [(picture, sides[i % 4]) for i, picture in enumerate(rgba_pictures())]
    if int(PIL.__version__.partition(".")[0]) < 13:  # which resize what is high in the other order
        given = [(picture, side) for picture, side in given if len(picture) <= picture.shape[1]]
    pictures = [{"rgba": coded(p.tobytes()), "width": p.shape[1], "height": p.shape[0], "side": s} for p, s in given]
    resize = """({ rgba, width, height, side }) =>
      Buffer.from(prepared(new Uint8Array(Buffer.from(rgba, "base64")), width, height, side)).toString("base64")"""
    resized = each("page_model/page_picture", "prepared", resize, pictures)
    for (picture, side), found in zip(given, resized, strict=True):
        expected = prepare(Image.fromarray(picture, "RGBA"), side)
        np.testing.assert_array_equal(np.frombuffer(base64.b64decode(found), np.uint8), expected.ravel())


def test_bytes_are_read_from_the_text_that_stands_in_a_page() -> None:
    contents = [np.random.default_rng(n).bytes(n) for n in (0, 1, 2, 12, 13, 26, 1000)] + [bytes(range(256)) * 3]
    texts = [dense(content) for content in contents]
    answer = '(texts) => Buffer.from(fromDense(...texts)).toString("base64")'
    found = each("byte_text", "fromDense", answer, [[text[:32], text[32:]] for text in texts])
    assert [base64.b64decode(read)[: len(c)] for read, c in zip(found, contents, strict=True)] == contents
    assert not {*"".join(texts)} & {*'<&"'} and texts[6].startswith(dense(contents[6][: 13 * 40]))

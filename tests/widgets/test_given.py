"""What views are given: every form of a picture is drawn alike; what is none, or is no number, is refused by name."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_plots_hostile import NUMBERS, PICTURE, found, pairs, traced

import xfm_widgets as xw
from xfm import plots
from xfm.base.fields import ConfigError
from xfm.explain.token_axes import TokenAxis
from xfm.tasks.failure_examples import Grounded, Masked, Retrieved
from xfm_widgets import figures
from xfm_widgets.json_values import compact

WORDS = TokenAxis(("<s>", "a", "lion", "</s>"), (-1, 0, 1, -1), ("a", "lion"))
BOX = {"box": (1, 1, 4, 4)}
VIEWS: dict[str, Callable[[Any], Any]] = {
    "AttributionLab": lambda image: xw.AttributionLab(image, WORDS, [found("a")]),
    "GroundingPad": lambda image: xw.GroundingPad(image, {"a": (0, 0, 1, 1)}, lambda _: BOX),
    "MaskPlayground": lambda image: xw.MaskPlayground(image, WORDS, 2, None),
    "TraceExplorer": lambda image: xw.TraceExplorer(replace(traced("a"), image=image)),
}  # fmt: skip


GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
GOOD = (
    PICTURE / 255,
    np.repeat(PICTURE, 2, 1)[:, ::2],
    PICTURE[::-1, ::-1].copy()[::-1, ::-1],
    Image.fromarray(PICTURE),
    torch.from_numpy(PICTURE),
)
BAD = (np.full((8, 8, 3), np.nan), PICTURE.transpose(2, 0, 1), PICTURE.astype(object), None, "no/such.png")  # and more
SQUARE, GUESS = (0.5, 0.5, 0.2, 0.2), (("a", 0.5),)
TAKES: dict[str, Callable[[Any], Any]] = {
    "images": lambda image: plots.images({"a": image}),
    "hidden_patches": lambda image: plots.hidden_patches([image], [np.arange(4) > 2]),
    "attributions": lambda image: plots.attributions(image, [found("a")]),
    "patch_maps": lambda image: plots.patch_maps(image, {"a": np.eye(8)}),
    "retrieval_examples": lambda image: plots.retrieval_examples([Retrieved(image, "a", 0, (("a", 0.5, True),))]),
    "grounding_examples": lambda image: plots.grounding_examples([Grounded(image, "a", SQUARE, SQUARE, 1.0)]),
    "masked_word_examples": lambda image: plots.masked_word_examples([Masked(image, image, "a", "a", GUESS, GUESS)]),
    "grounding": lambda image: figures.grounding(image, "a", attention=np.eye(2)),
    "masked_prediction": lambda image: figures.masked_prediction(image, np.arange(4) > 2, None, image, []),
}  # fmt: skip
GREYS = (GREY, GREY[..., None], np.dstack([GREY, np.full((8, 8), 255, np.uint8)]))


def drawn(made: Any) -> bytes:
    if isinstance(made, plots.Figure):
        return np.asarray(made.axes[0].images[0].get_array()).tobytes()
    first = made.payload.get("pictures") or [made.payload.get("traces", {}).get("trace", made.payload)]
    return first[0]["image"]


@pytest.mark.parametrize("name", VIEWS | TAKES)
def test_every_form_of_a_picture_is_drawn_alike(name: str) -> None:
    make = (VIEWS | TAKES)[name]
    for like, forms in ((PICTURE, GOOD), (np.stack([GREY] * 3, -1), GREYS)):
        expected = drawn(make(like))
        assert all(drawn(make(form)) == expected for form in forms)
    assert name in TAKES or drawn(make(PICTURE)) == PICTURE.tobytes()


@pytest.mark.parametrize("name", VIEWS | TAKES)
def test_what_is_no_picture_or_of_another_size_than_its_patches_is_refused_by_name(name: str) -> None:
    for form in BAD:
        with pytest.raises(ConfigError, match="image"):
            (VIEWS | TAKES)[name](form)
    if name in ("AttributionLab", "MaskPlayground", "TraceExplorer"):
        with pytest.raises(ConfigError, match=r"image.shape = "):
            VIEWS[name](PICTURE[:6])


def test_a_torn_file_is_no_picture() -> None:
    assert compact(PICTURE / 255, "it") == compact(PICTURE, "it")
    with pytest.raises(ConfigError, match="it = 12 bytes: no picture"):
        compact(b"\x89PNG\r\n\x1a\ncut!", "it")


@pytest.mark.parametrize("form", NUMBERS)
def test_what_are_no_numbers_is_refused_or_said(form: str, tmp_path: Path) -> None:
    values = NUMBERS[form]
    pad = xw.GroundingPad(PICTURE, {"a": (0, 0, 1, 1)}, lambda _: BOX | {"attention": values, "pieces": ()})
    assert ("attention" in pad.message and pad.found == {}) or form in ("none", "flat")
    with pytest.raises(ConfigError, match=r"boxes\['a'\]"):
        xw.GroundingPad(PICTURE, {"a": values}, lambda _: BOX)
    for view, named in (
        (xw.GroundingPad(PICTURE, {"a": (0, 0, 1, 1)}, lambda _: {"box": values}), "box"),
        (xw.MaskPlayground(PICTURE, WORDS, 2, lambda *_: {"agreement": values, "pixels": None}), "agreement"),
        (xw.MaskPlayground(PICTURE, WORDS, 2, lambda *_: {"pixels": values, "agreement": np.zeros(4)}), "pixels"),
        (xw.RetrievalExplorer(pairs("a"), lambda *_: (values, None), typed="a"), "score(...).itc"),
    ):
        assert named in view.message or (form == "none" and named != "box")
        view.data()
        view.figure()
        view.to_html(tmp_path / "view.html")
    with pytest.raises(ConfigError, match=r"objects\['a'\]"):
        xw.AttributionLab(PICTURE, WORDS, [found("a")], objects={"a": NUMBERS["another shape"]})
    if form in ("complex", "object", "text"):
        with pytest.raises(ConfigError, match="similarity"):
            xw.RetrievalExplorer(replace(pairs("a"), similarity=np.asarray(values)[:3, :3]))


@pytest.mark.full
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_numbers_that_are_not_finite_leave_no_view_broken(value: float, tmp_path: Path) -> None:
    answer = {"box": (value, 1, 1, 1), "attention": np.full((2, 2, 4, 5), value)}
    guess = {"guesses": [("a", value)], "truth": value}
    features = np.full((3, 4), value)
    predict: Any = lambda *_: {  # noqa: E731
        "agreement": np.full(4, value), "pixels": np.full((4, 48), value),
        "words": [{"place": 1, "piece": "a", "with": guess, "without": None}],
    }  # fmt: skip
    one = traced("a")
    weights = one.maps["cross"].weights.clone()
    weights[0, 0] = value
    spoilt = {"patches": torch.full((4,), value), "score": value, "gap": value}
    views = [
        xw.GroundingPad(PICTURE, {"a": (0, 0, 1, 1)}, lambda _: answer),
        xw.MaskPlayground(PICTURE, WORDS, 2, predict, hidden_patches=[0]),
        xw.TraceExplorer(replace(one, maps=one.maps | {"cross": replace(one.maps["cross"], weights=weights)})),
        xw.AttributionLab(PICTURE, WORDS, [replace(found("a"), **spoilt), found("b")], rescore=lambda *_: {"b": value}),
        xw.RetrievalExplorer(replace(pairs("a"), similarity=np.full((3, 3), value), image_features=features)),
        xw.RetrievalExplorer(pairs("a"), lambda *_: np.full(3, value)),
    ]
    for view in views:
        view.data()
        view.figure().bytes()
        view.to_html(tmp_path / "view.html")


@pytest.mark.parametrize("text", [None, b"a"])
def test_what_is_no_text_is_refused_by_name(text: Any) -> None:
    box = {"a": (0, 0, 1, 1)}
    for make, name in (
        (lambda: xw.GroundingPad(PICTURE, {text: (0, 0, 1, 1)}, lambda _: BOX), "boxes"),
        (lambda: xw.GroundingPad(PICTURE, box, lambda _: BOX, phrase=text), "phrase"),
        (lambda: xw.GroundingPad(PICTURE, box, lambda _: BOX, credit=text), "credit"),
        (lambda: xw.RetrievalExplorer(replace(pairs("a"), texts=("a", text, "b"))), r"pairs.texts\[1\]"),
        (lambda: TokenAxis(("<s>", text), (-1, 0), ("a",)), r"pieces\[1\]"),
        (lambda: xw.AttributionLab(PICTURE, WORDS, [found("a")], targets=[text]), "targets"),
        (lambda: xw.TraceExplorer(traced("a"), a=text), "a = "),
        (lambda: replace(traced("a"), text=text), "text"),
    ):
        with pytest.raises(ConfigError, match=name):
            make()


def test_a_trace_is_of_its_words_and_patches() -> None:
    one = traced("a")
    cross = one.maps["cross"]
    for said, changes in {
        r"weights.shape = \(1, 2, 4, 3\)": {"weights": cross.weights[..., :3]},
        r"weights.shape = \(2, 4, 5\)": {"weights": cross.weights[0]},
        "queries = 'letters'": {"queries": "letters"},
        "weights.dtype": {"weights": cross.weights + 1j},
        "gradients.shape": {"gradients": cross.weights[:, :1]},
    }.items():
        with pytest.raises(ConfigError, match=rf"maps\['cross'\].{said}"):
            replace(one, maps={"cross": replace(cross, **changes)})
    with pytest.raises(ConfigError, match=r"traces\['a'\] = 5"):
        xw.TraceExplorer({"a": 5})  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match="labels"):
        xw.TraceExplorer({1: one, "1": one})

"""Whatever a view is given, or is set in it from Python or a page: brought to what there is, or refused by name."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import offline_pages
import pytest
import torch
import traitlets
from hypothesis import given, settings
from hypothesis import strategies as st
from made_study import made
from PIL import Image
from test_plots_hostile import NUMBERS, found, pairs, traced, words
from test_plots_hostile import PICTURE as IMAGE

import xfm_widgets as xw
from xfm import plots
from xfm.base.fields import ConfigError
from xfm.explain.token_axes import TokenAxis
from xfm.tasks.failure_examples import Grounded, Masked, Retrieved
from xfm.tasks.finetuning.task import Item
from xfm_widgets import figures
from xfm_widgets.pages import script_json
from xfm_widgets.task_answers import Answered
from xfm_widgets.view import View

RECORD = {"step": 0, "norm": {"itm": {"vision": 1.0, "language layer 0": None}, "mlm": {"language layer 0": 2.0}}}
STANDARD = {"layout", "tooltip", "tabbable"}  # of every widget of Jupyter
TELLS = {*STANDARD, *"credit message payload scores answer news newest own_scores pixels sent".split()}


def lab(text: str = "itm") -> xw.AttributionLab:
    both = [(replace(found(text), method=method), None) for method in ("a", text)]
    mask = np.eye(8, dtype=bool)
    return xw.AttributionLab(IMAGE, words("a"), both, objects={text: mask}, rescore=lambda p, w: {text: 1.0})


def predict(patches: np.ndarray, pieces: np.ndarray, text: str = "lion") -> dict[str, Any]:
    guess = {"guesses": [(text, 0.5)], "truth": 0.1}
    words = [{"place": int(i), "piece": text, "with": guess, "without": None} for i in np.flatnonzero(pieces)]
    return {"words": words, "agreement": np.zeros(4), "pixels": np.zeros((4, 48)), "target": text}


def monitor(text: str = "made") -> xw.TrainingMonitor:
    live = [{"run": text, "step": i, "of": 3, "loss": 1.0, f"{text}/itc": 1.0, "seconds": 0.1} for i in range(3)]
    view = xw.TrainingMonitor(live=live)
    view.start()
    view.wait(60)
    return view


def pad(text: str = "a lion") -> xw.GroundingPad:
    answer = {"box": (1, 1, 4, 4), "attention": np.full((2, 2, 4, 5), 0.2), "pieces": ("<s>", text, "on", "</s>")}
    return xw.GroundingPad(IMAGE, {text: (0, 0, 4, 4), "a car": (4, 4, 2, 2)}, lambda _: answer)


def answers(text: str) -> xw.TaskExplorer:
    models = [Answered(text, [text, "cat"], [1, 0], [0.9, None]), Answered("other", ["cat", "cat"], [0, 1])]
    return xw.TaskExplorer(text, lambda i: Item((text,), (IMAGE,), (text, "dog")[i]), models)


MAKE: dict[str, Callable[[str], View]] = {
    "AttributionLab": lab,
    "GradientFlow": lambda text: xw.GradientFlow([RECORD, RECORD | {"step": 5, "norm": {text: {"vision": 1.0}}}]),
    "GroundingPad": pad,
    "MaskPlayground": lambda text: xw.MaskPlayground(IMAGE, TokenAxis(("<s>", text, "</s>"), (-1, 0, -1), (text,)), 2,
        lambda a, b: predict(a, b, text)),
    "RetrievalExplorer": lambda text: xw.RetrievalExplorer(pairs(text), lambda *_: np.zeros(3)),
    "TaskExplorer": answers,
    "TraceExplorer": lambda text: xw.TraceExplorer({text: traced(text), "other": traced("other")}),
    "TrainingMonitor": monitor,
}  # fmt: skip


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> dict[str, View]:
    study = made(tmp_path_factory.mktemp("study"))
    return {"AblationExplorer": xw.AblationExplorer(study)} | {name: MAKE[name]("lion") for name in MAKE}


VIEWS = sorted({*xw.__all__} - {"View", "figures"})  # every one
NESTED: list[Any] = reduce(lambda inner, _: [inner], range(500), [])
JSON: list[Any] = [  # what a page can send
    None, True, False, 0, 1, -1, 2, 10**9, -(10**9), 10**400, 0.5, -0.5, 1e308, math.nan, math.inf, -math.inf,
    "", "x", "lion", "itm", "A", "__proto__", "a\ud800", "\0\x1b[2J\u202e", "$\\frac{", "x" * 10_000,
    [], [0], [1, 0, 1], [10**9], [-1], [math.nan], [None], ["x"], [True], [[]], [0] * 10_000, ["lion"] * 9, NESTED,
    {}, {"pictures": [0, 2], "sentences": []}, {"pictures": [10**9]}, {"pictures": "ab"}, {"pictures": 5},
    {"sentences": [math.nan]}, {"x": 1}, {"lion": {}}, {"of": 1}, {"of": {"patches": 5}, "words": 7}, {"a": b"x"},
]  # fmt: skip
PYTHON: list[Any] = [
    b"x", b"", 1j, object(), np.int64(1), np.int64(10**9), np.float32("nan"), np.array([1, 2]), np.array(1), (0, 1),
    (10**9,), {1, 2}, range(3), Path("a"), len, type, {1: [0]}, {"pictures": np.array([0])}, float, Exception("x"),
]  # fmt: skip


def sound(view: View) -> None:
    """It still says what it holds, and can be sent."""
    view.data()
    script_json({n: v for n, v in view.get_state().items() if n not in STANDARD and n[0] != "_"})


@pytest.mark.parametrize("name", VIEWS)
def test_what_the_view_itself_tells_is_written_by_no_one_else(name: str, views: dict[str, View], tmp_path: Path):
    view = views[name]
    with pytest.raises(traitlets.TraitError, match="payload"):
        view.payload = {}
    payload = view.payload
    view.set_state({"payload": {}, "message": "x", "credit": "y", "_css": "</style>", "_esm": "alert(1)"})
    assert view.payload == payload and view.message != "x" and view.credit != "y"
    assert "</style>" not in str(view._css) and "alert(1)" not in str(view._esm)
    for state in (None, 5, [], "x", {}, *({trait: 1} for trait in ("constructor", "no_such", "comm", "keys"))):
        view.set_state(state)
    assert view.figure().bytes() and view.to_html(tmp_path / "view.html").exists(), "what is left is drawn and written"


@pytest.mark.full
@pytest.mark.parametrize("name", VIEWS)
@settings(max_examples=40)
@given(data=st.data())
def test_nothing_that_is_set_or_sent_breaks_a_view(name: str, data: st.DataObject, views: dict[str, View]) -> None:
    """From Python: taken, or refused by the trait's name. From a page: brought to what there is."""
    view = views[name]  # as it was left: so much the better
    told = {trait: getattr(view, trait) for trait in view.traits(sync=True) if trait not in {*view.choices(), *TELLS}}
    traits = st.sampled_from([trait for trait in view.traits(sync=True) if trait[0] != "_" and trait not in STANDARD])
    whole = st.integers() | st.lists(st.integers(-2, 6)) | st.text() | st.floats() | st.booleans() | st.none()
    for kind in data.draw(st.lists(st.sampled_from(["python", "page", "message"]), min_size=8, max_size=8)):
        trait, value = data.draw(traits), data.draw(whole | st.sampled_from(JSON))
        if kind == "page":
            view.set_state({trait: value, data.draw(traits): data.draw(whole)})
        elif kind == "message":
            acts = {"do": data.draw(st.sampled_from([1, [], "no such", "__class__", "trace", "whole"])), "of": value}
            view._handle_custom_msg(data.draw(st.sampled_from([value, acts])), [])
        else:
            before, value = getattr(view, trait), data.draw(st.just(value) | st.sampled_from(PYTHON))
            try:
                setattr(view, trait, value)
            except traitlets.TraitError as error:
                assert trait in str(error) and len(str(error)) < 2000 and getattr(view, trait) is before
        sound(view)
    assert all(getattr(view, trait) is value or getattr(view, trait) == value for trait, value in told.items())


def test_a_wrong_choice_is_named_and_what_was_chosen_stays() -> None:
    view = lab()
    view.removed_words = [0]
    for wrong, said in (([10**9], "whole numbers from 0 to 1"), (b"x" * 10**7, "a list")):
        with pytest.raises(ConfigError, match=f"removed_words = .*: must be {said}") as caught:
            view.removed_words = wrong
        assert len(str(caught.value)) < 400 and view.removed_words == [0]
    view.set_state({"removed_words": [], "removed_objects": ["a lien"]})
    assert view.removed_words == [0] and view.removed_objects == [] and "a lien" in view.message
    with pytest.raises(ConfigError, match=r"opacity = nan: must be a number from 0 to 1"):
        view.opacity = math.nan
    with pytest.raises(ConfigError, match="opacitty: no such field; did you mean 'opacity'"):
        xw.AttributionLab(IMAGE, words("a"), [], opacitty=1)


def test_a_page_hears_what_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    view, sent = lab(), []
    monkeypatch.setattr(type(view), "_send", lambda self, msg, buffers=None: sent.append(msg))
    for trait, asked, holds in (("patch", 10**9, 3), ("removed_words", [7], [])):
        view.set_state({trait: asked})
        assert [m["state"][trait] for m in sent if trait in m.get("state", {})][-1] == holds


@pytest.mark.parametrize("text", hostile.params())
def test_any_text_goes_through_every_view(text: str, tmp_path: Path) -> None:
    for name in ("GroundingPad", "MaskPlayground", "TaskExplorer", "TraceExplorer", "AttributionLab"):
        view = MAKE[name](text or "x")
        if typed := {"GroundingPad": "phrase", "TaskExplorer": "search"}.get(name):
            setattr(view, typed, text)
        page = view.to_html(tmp_path / f"{name}.html").read_text("utf-8")
        assert view.data() is not None and offline_pages.state(page) and "</script><img" not in page


# ---- what views are given: every form of a picture, numbers and texts
WORDS = TokenAxis(("<s>", "a", "lion", "</s>"), (-1, 0, 1, -1), ("a", "lion"))
BOX = {"box": (1, 1, 4, 4)}
OF_PICTURES: dict[str, Callable[[Any], Any]] = {
    "AttributionLab": lambda image: xw.AttributionLab(image, WORDS, [(found("a"), None)]),
    "GroundingPad": lambda image: xw.GroundingPad(image, {"a": (0, 0, 1, 1)}, lambda _: BOX),
    "MaskPlayground": lambda image: xw.MaskPlayground(image, WORDS, 2, None),
    "TraceExplorer": lambda image: xw.TraceExplorer(replace(traced("a"), image=image)),
}  # fmt: skip
GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
OTHERWISE = np.repeat(IMAGE, 2, 1)[:, ::2], IMAGE[::-1, ::-1].copy()[::-1, ::-1]  # strides
GOOD = IMAGE / 255, *OTHERWISE, Image.fromarray(IMAGE), torch.from_numpy(IMAGE)
BAD = np.full((8, 8, 3), np.nan), IMAGE.transpose(2, 0, 1), IMAGE.astype(object), None, "no/such.png"
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


@pytest.mark.parametrize("name", OF_PICTURES | TAKES)
def test_every_form_of_a_picture_is_drawn_alike_and_what_is_none_is_refused_by_name(name: str) -> None:
    make = (OF_PICTURES | TAKES)[name]
    for like, forms in ((IMAGE, GOOD), (np.stack([GREY] * 3, -1), GREYS)):
        expected = drawn(make(like))
        assert all(drawn(make(form)) == expected for form in forms)
    assert name in TAKES or drawn(make(IMAGE)) == IMAGE.tobytes()
    for form in BAD:
        with pytest.raises(ConfigError, match="image"):
            make(form)
    if name in ("AttributionLab", "MaskPlayground", "TraceExplorer"):  # of another size than its patches
        with pytest.raises(ConfigError, match=r"image.shape = "):
            make(IMAGE[:6])


@pytest.mark.parametrize("form", NUMBERS)
def test_what_are_no_numbers_is_refused(form: str) -> None:
    values = NUMBERS[form]
    with pytest.raises(ConfigError, match=r"boxes\['a'\]"):
        xw.GroundingPad(IMAGE, {"a": values}, lambda _: BOX)
    with pytest.raises(ConfigError, match=r"objects\['a'\]"):
        xw.AttributionLab(IMAGE, WORDS, [(found("a"), None)], objects={"a": NUMBERS["another shape"]})
    if form in ("complex", "text"):
        with pytest.raises(ConfigError, match="similarity"):
            xw.RetrievalExplorer(replace(pairs("a"), similarity=np.asarray(values)[:3, :3]))


@pytest.mark.full
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_numbers_that_are_not_finite_leave_no_view_broken(value: float, tmp_path: Path) -> None:
    answer = BOX | {"presence": value, "attention": np.full((2, 2, 4, 5), value)}
    guess = {"piece": "a", "with": {"guesses": [("a", value)], "truth": value}, "without": None, "place": 1}
    hidden: Any = {"agreement": np.full(4, value), "pixels": np.full((4, 48), value), "words": [guess], "target": None}
    spoilt = replace(found("a"), patches=torch.full((4,), value), score=value, gap=value)
    one, both = traced("a"), [(spoilt, None), (found("b"), None)]
    cross = replace(one.maps["cross"], weights=torch.full_like(one.maps["cross"].weights, value))
    equal = replace(pairs("a"), similarity=np.full((3, 3), value), image_features=np.full((3, 4), value))
    for view in (
        xw.GroundingPad(IMAGE, {"a": (0, 0, 1, 1)}, lambda _: answer),
        xw.MaskPlayground(IMAGE, WORDS, 2, lambda *_: hidden, hidden_patches=[0]),
        xw.TraceExplorer(replace(one, maps=one.maps | {"cross": cross})),
        xw.AttributionLab(IMAGE, WORDS, both, rescore=lambda *_: {"b": value}),
        xw.RetrievalExplorer(equal),
        xw.RetrievalExplorer(pairs("a"), lambda *_: np.full(3, value)),
    ):
        assert view.data() is not None and view.figure().bytes() and view.to_html(tmp_path / "view.html").exists()


@pytest.mark.parametrize("text", [None, b"a"])
def test_what_is_no_text_is_refused_by_name(text: Any) -> None:
    for make, name in (
        (lambda: xw.GroundingPad(IMAGE, {text: (0, 0, 1, 1)}, lambda _: BOX), "boxes"),
        (lambda: xw.GroundingPad(IMAGE, {"a": (0, 0, 1, 1)}, lambda _: BOX, phrase=text), "phrase"),
        (lambda: xw.RetrievalExplorer(replace(pairs("a"), texts=("a", text, "b"))), r"pairs.texts\[1\]"),
        (lambda: TokenAxis(("<s>", text), (-1, 0), ("a",)), r"pieces\[1\]"),
        (lambda: xw.AttributionLab(IMAGE, WORDS, [(found("a"), None)], targets=[text]), "targets"),
        (lambda: xw.TraceExplorer(traced("a"), a=text), "a = "),
        (lambda: replace(traced("a"), text=text), "text"),
    ):
        with pytest.raises(ConfigError, match=name):
            make()


def test_a_trace_is_of_its_words_and_patches() -> None:
    cross = traced("a").maps["cross"]
    for said, changes in {
        r"weights.shape = \(1, 2, 4, 3\)": {"weights": cross.weights[..., :3]},
        "queries = 'letters'": {"queries": "letters"},
        "weights.dtype": {"weights": cross.weights + 1j},
        "gradients.shape": {"gradients": cross.weights[:, :1]},
    }.items():
        with pytest.raises(ConfigError, match=rf"maps\['cross'\].{said}"):
            replace(traced("a"), maps={"cross": replace(cross, **changes)})

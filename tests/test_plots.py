"""The figures, from small plain inputs: what their artists say, that nothing lies over anything else or is cut off."""

import base64
import builtins
import itertools
import math
import re
import struct
import warnings
from dataclasses import replace
from io import BytesIO
from itertools import combinations
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
from explain.conftest import SCENE as PHOTO
from explain.conftest import TOKENIZER
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from xfm import plots, recipes
from xfm.base.fields import ConfigError
from xfm.data import dataset
from xfm.data.world import styles
from xfm.data.world.grammar import Caption
from xfm.data.world.scenes import Object, Scene
from xfm.explain import faithfulness, interventions
from xfm.explain.leaderboards import COLUMNS, leaderboard, leaderboard_scenes
from xfm.explain.method_table import METHODS, SLOW, attribute
from xfm.explain.prepare_inputs import scene_inputs
from xfm.explain.tracing import trace
from xfm.objectives import build
from xfm.plots.curve_records import smooth
from xfm.plots.palette import BLUE, ORANGE
from xfm.plots.probe_figures import READINGS
from xfm.plots.style import wrap
from xfm.tasks import Result
from xfm.tasks.failure_examples import Grounded, Masked, Retrieved

CREDIT = styles.credit(styles.DEFAULT)
EVIL = "<img src=x onerror=alert(1)> costs $x_ and $\\frac{1 & a_b^"
CONFIG = recipes.smoke().replace({"train.steps": 100, "data.pairs": 8, "data.regions": 6})
PICTURE = np.full((32, 32, 3), 200, np.uint8)


def texts(figure: plots.Figure) -> list[Text]:
    """All texts that are drawn: an axis has labels of places out of sight as well, which are not."""
    drawn: dict[int, Text] = {}
    draw = Text.draw

    def record(text: Text, renderer: object) -> None:
        drawn[id(text)] = text
        draw(text, renderer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", record)
        FigureCanvasAgg(figure).draw()
    return [t for t in drawn.values() if t.get_visible() and t.get_text().strip()]


def said(figure: plots.Figure) -> str:
    return "\n".join(t.get_text() for t in texts(figure))


def tidy(figure: plots.Figure, touching: float = 2.5) -> list[str]:
    """Its lines of text. No two texts overlap by more than a descender, and none leaves the figure."""
    figure.draw_without_rendering()  # the layout settles, as `savefig` lets it
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts(figure)]
    page = figure.bbox.padded(1)
    for text, box in boxes:
        assert page.contains(box.x0, box.y0) and page.contains(box.x1, box.y1), f"{text!r} is cut off"
    for (a, first), (b, second) in combinations(boxes, 2):
        wide = min(first.x1, second.x1) - max(first.x0, second.x0)
        tall = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert min(wide, tall) < touching, f"{a!r} lies over {b!r}"
    return [line for text, _ in boxes for line in text.split("\n")]


@pytest.fixture(autouse=True)
def _no_warnings() -> None:
    warnings.simplefilter("error")


# ---- curves


def records(steps: int = 100, done: int | None = None) -> list[dict]:
    out = []
    for step in range(steps if done is None else done):
        r = {"run": "smoke", "step": step, "of": steps, "loss": 1.0, "grad_norm": 1.0, "seconds": 0.1}
        r |= {"pairs/itc": 2 - step / steps, "regions/itc": 1.8 - step / steps, "pairs/itc/accuracy": step / steps}
        r |= {"texts/mlm": 7.0 - step / steps}
        if step >= 30:
            r |= {"pairs/itm": 0.7, "regions/bbp": 1.5, "regions/bbp/iou": 0.3, "regions/bbp/l1": 0.2}
        if (step + 1) % 20 == 0:
            r |= {f"validation/{k}": v for k, v in list(r.items()) if k.count("/") == 1}
            r["validation/pairs/itm"] = 0.9  # evaluated before it joins, too
        out.append(r)
    return out


def panels_of(figure: plots.Figure) -> dict:
    return {axes.get_title(loc="left").split()[0]: axes for axes in figure.axes}


def test_curves_have_a_panel_an_objective_with_its_streams() -> None:
    figure = plots.learning_curves(records())
    words, panels = tidy(figure), panels_of(figure)
    assert list(panels) == ["MLM", "ITC", "ITM", "BBP"]
    itc = panels["ITC"].lines
    raw, mean, held_out = itc[0], itc[1], itc[2]
    assert len(itc) == 6 and np.allclose(raw.get_ydata(), 2 - np.arange(100) / 100) and raw.get_alpha() < 0.5
    assert np.allclose(mean.get_ydata(), smooth(np.asarray(raw.get_xdata()), np.asarray(raw.get_ydata()), 2))
    assert held_out.get_xdata().tolist() == [20, 40, 60, 80, 100] and held_out.get_marker() == "o"
    assert [axes.get_ylabel() for axes in figure.axes] == ["nats", "nats", "nats", "L1 + (1 − GIoU)"]
    assert "joins after\nstep 30" in [t.get_text() for t in panels["ITM"].texts]
    assert min(line.get_xdata()[0] for line in panels["ITM"].lines) == 31, "and nothing from before"
    assert "smoke: step 100 of 100, 0.10 s a step" in "\n".join(words) and "to go" not in "\n".join(words)


def test_curves_with_the_config_show_chance_curriculum_and_what_will_join() -> None:
    starts = {f"objectives.{o}.start": 0.3 for o in ("itm", "imlm", "bbp")} | {"objectives.mim.start": 0.5}
    config = CONFIG.replace(starts | {"data.single_until": 0.2, "data.full_from": 0.6})
    figure = plots.learning_curves(records(done=20), config)
    words, panels = tidy(figure), panels_of(figure)
    assert list(panels) == ["MLM", "MIM", "ITC", "ITM", "IMLM", "BBP"] and "about 8 s to go" in "\n".join(words)
    assert {"chance, ln 8", "chance, ln 6", "joins after", "step 50", "step 30"} <= {*words}
    levels = sorted(line.get_ydata()[0] for line in panels["ITC"].lines[-2:])
    assert levels == pytest.approx([math.log(6), math.log(8)])
    assert len(panels["ITC"].patches) == 2  # one object; gradually more
    own = plots.learning_curves(records(done=20), config.replace({"data.sources": ["my.csv"]}))
    assert not own.axes[2].patches and "pairs show one object" not in said(own), "of drawn pairs alone"
    assert "chance" not in said(plots.learning_curves(records(), config.replace({"name": "another"})))


def test_curves_show_what_constant_predictions_reach_and_accuracies_are_curves_too() -> None:
    rows = records()
    rows[0]["levels"] = {"texts/mlm": {"value": 2.5, "name": "unigram"}}
    for row in rows:
        row |= {"images/mim": 0.3, "images/mim/constant": 0.5}
    figure = plots.learning_curves(rows)
    words, panels = tidy(figure), panels_of(figure)
    assert {"unigram", "constant"} <= {*words} and 2.5 in panels["MLM"].lines[-1].get_ydata()
    assert panels["MIM"].lines[-1].get_ydata() == pytest.approx([0.5] * len(rows))
    low, high = panels["MIM"].get_ylim()
    assert low < 0.3 < 0.5 < high and "unigram" not in said(plots.learning_curves(records()))
    figure = plots.learning_curves(records(), CONFIG, "accuracy")
    assert "chance, 1 in 8" in tidy(figure) and [*panels_of(figure)] == ["ITC", "BBP"], "MIM reports none"
    assert [axes.get_ylabel() for axes in figure.axes] == ["accuracy", "mean IoU"]


def test_smoothing_looks_back_and_counts_steps_not_points() -> None:
    steps = np.array([0.0, 10, 11, 30])
    assert smooth(steps, np.array([1.0, 3, 5, 7]), 5).tolist() == [1, 3, 4, 7]
    assert smooth(steps, np.array([math.nan, 3, math.inf, 7]), 5).tolist()[1:] == [3, 3, 7]


def test_throughput_shows_speed_and_waiting() -> None:
    timed = [r | {"seconds": 0.5 if r["step"] < 80 else 0.25, "waited": 0.05} for r in records(160)]
    figure = plots.throughput(timed, "Throughput")
    speed, wait = figure.axes
    assert (speed.lines[0].get_ydata()[0], speed.lines[0].get_ydata()[-1]) == (2, 4)
    assert np.allclose(wait.lines[0].get_ydata()[[0, -1]], (0.1, 0.2)) and speed.lines[0].get_xdata()[0] == 1.5
    assert speed.get_xlim() == wait.get_xlim() == (0, 160) and "steps per second" in tidy(figure)


# ---- evaluations


def result(task: str = "naming", condition: str = "", metric: str = "accuracy", value: float = 0.5, **other) -> Result:
    row = {"low": value - 0.05, "high": value + 0.05, "n": 400, "baseline": 0.01, "baseline_name": "chance"}
    row |= {"upper_bound": 1.0, "seed": 0, "split": "test"}
    return Result(task, condition, metric, value, **row | other)


FREE = {"upper_bound": None, "better": "lower", "unit": "nats"}
RESULTS = [
    result("image to text (random gallery)", "ITC", "R@1", 0.731, n=256, upper_bound=0.78),
    result("image to text (random gallery)", "ITC, shuffled pairs", "R@1", 0.02, n=256),
    result("masked names", "right - wrong", value=-0.02, n=207, baseline=0.0, baseline_name="no effect"),
    result("masked names", "wrong picture", value=0.25, n=208, baseline=None, baseline_name="", upper_bound=None),
    result("language", "", "loss (nats)", 6.87, baseline=6.9, baseline_name="unigram", **FREE),
]


def test_an_evaluation_shows_every_value_with_its_interval_control_and_ceiling() -> None:
    figure = plots.evaluation(RESULTS, "demo")
    expected = "demo|image to text (random gallery)|ITC, R@1|73.1\u00a0%|n = 256, × chance|−2.0\u00a0%|6.87"
    expected += "|right − wrong, accuracy (n = 207)|nats (lower is better)"
    assert {*expected.split("|")} <= {*tidy(figure)}
    shares, losses = figure.axes
    data = [(line.get_marker(), np.round(line.get_xdata(), 6).tolist()) for line in shares.lines]
    assert ("o", [0.731]) in data and ("None", [0.681, 0.781]) in data and ("|", [0.78]) in data
    assert sum(marker == "x" for marker, _ in data) == 3  # where there is a baseline
    assert sum(marker == "|" for marker, _ in data) == 1  # a upper_bound of everything is the scale's end
    dots = {line.get_xdata()[0]: line.get_markerfacecolor() for line in shares.lines if line.get_marker() == "o"}
    assert dots[0.731] != "white" and dots[0.02] == "white" == dots[0.25] == dots[-0.02]
    assert shares.get_xlim()[0] < -0.07 and losses.get_xlim()[0] > 6


@pytest.mark.full
def test_a_family_of_many_results_is_legible_and_has_pages_of_whole_tasks() -> None:
    name = "order of words in captions that say where something is"
    conditions = ["", "ITC", "right - wrong picture, with the longest condition that anybody would ever think of"]
    many = [
        result(f"{name} {i}", conditions[j % 3], f"accuracy@{j}", 0.01 * i, n=100 + j * (i % 2))
        for i, j in itertools.product(range(24), range(5))
    ]
    parts = plots.evaluation_pages(many)
    assert [r for part in parts for r in part] == many and plots.evaluation_pages([]) == []
    assert [len(part) for part in parts] == [50, 50, 20], "60 lines at most, of which a task has six"
    for part in parts:
        tidy(figure := plots.evaluation(part))
        assert sum(line.get_marker() == "o" for axes in figure.axes for line in axes.lines) == len(part)


# ---- gradients


def frame(**changes: float | None) -> pd.DataFrame:
    rows = {"mlm": [0.5, None, None], "itm": [None, 0.0213, 12.3], "mim": [None, 2.0e-5, 0.0]}
    table = pd.DataFrame(rows.values(), list(rows), ["language embeddings", "vision", "fusion"], dtype=object)
    for name, value in changes.items():
        table.loc[name, "language embeddings"] = value
    return table


def test_a_gradient_table_prints_every_norm_and_tells_no_path_from_zero() -> None:
    figure = plots.gradient_table(frame(), "Norms")
    cells = [t.get_text() for t in figure.axes[0].texts]
    assert sorted(cells) == sorted(["0.50", "–", "–", "–", "0.021", "12", "–", "2e−5", "0"])
    assert sum(bool(p.get_hatch()) for p in figure.axes[0].patches) == 4
    zero = next(p for p in figure.axes[0].patches if p.get_xy() == (2, 2))
    assert not zero.get_hatch() and zero.get_facecolor()[:3] == (1, 1, 1)
    words = tidy(figure)
    assert {"MLM", "ITM", "MIM", "language embeddings", "–  no path", "gradient norm (L2)"} <= {*words}
    assert not any("one table only" in word for word in words)
    numbers = plots.gradient_table(frame().astype(float))
    assert [t.get_text() for t in numbers.axes[0].texts] == cells  # NaN in a frame of floats is no path


def test_two_gradient_tables_frame_what_differs() -> None:
    figure = plots.gradient_table({"stop on": frame(), "stop off": frame(itm=0.7)})
    on, off = figure.axes[:2]
    assert (on.get_title(loc="left"), off.get_title(loc="left")) == ("stop on", "stop off")
    for axes in (on, off):
        (framed,) = [p for p in axes.patches if isinstance(p, Rectangle) and not p.get_fill()]
        assert (int(framed.get_x()), int(framed.get_y())) == (1, 0)
    assert "path in one table only" in "\n".join(tidy(figure)) and "0.70" in [t.get_text() for t in off.texts]
    colours = [next(p for p in axes.patches if p.get_xy() == (0, 0)).get_facecolor() for axes in (on, off)]
    assert colours[0] == colours[1], "one scale"
    with pytest.raises(ValueError, match="same objectives"):
        plots.gradient_table({"a": frame(), "b": frame().iloc[:2]})


def test_gradient_scales_mark_where_there_is_no_path() -> None:
    table = pd.DataFrame({"itm": [None, 0.5, 1.0], "bbp": [None, 0.2, 0.4]}, [0.0, 0.5, 1.0])
    figure = plots.gradient_scales(table, "language embeddings", "Scale")
    itm, bbp, cut = figure.axes[0].lines
    assert itm.get_ydata()[1:].tolist() == [0.5, 1.0] and bbp.get_linestyle() != itm.get_linestyle()
    assert cut.get_xdata().tolist() == [0.0] and cut.get_marker() == "x" and "no path" in "\n".join(tidy(figure))


# ---- pictures


def scene(text: str, count: int = 2) -> Scene:
    objects = tuple(Object(0, "dog", "big", 2 + 15 * i, 4, 10, 8, 32, 12, False) for i in range(count))
    phrases = tuple(Caption(f"the dog {i}", (), ()) for i in range(count))
    return Scene(PICTURE, objects, Caption(text, (), ()), phrases, CREDIT)


def test_scenes_show_captions_boxes_and_phrases_and_hidden_patches_are_covered() -> None:
    figure = plots.scenes([scene("two dogs"), scene("a dog that " + "really " * 30 + "barks", 1)], "Scenes")
    assert {"“two dogs”", "1 the dog 0", "2 the dog 1", "Scenes", CREDIT} <= {*tidy(figure)}
    boxes = [p for p in figure.axes[0].patches if not p.get_fill()]
    assert [p.get_bbox().bounds for p in boxes] == [(1.5, 3.5, 10, 8), (16.5, 3.5, 10, 8)]
    assert len({p.get_linestyle() for p in boxes}) == 2  # not by colour alone
    masks = np.zeros((2, 16), bool)
    masks[0, 6] = True
    figure = plots.hidden_patches([PICTURE] * 2, masks, credit="Pictures: mine")  # type: ignore[arg-type]
    assert [p.get_bbox().bounds for p in figure.axes[0].patches] == [(15.5, 7.5, 8, 8)] and not figure.axes[1].patches
    assert {"1 of 16 hidden", "0 of 16 hidden", "Pictures: mine"} <= {*tidy(figure)}


def test_examples_of_every_kind_say_what_is_right() -> None:
    top = (("a dog", 0.9, True), ("a cat", 0.4, False), ("a pig", -0.3, False))
    missed = (("a cat", 0.9, False), ("a pig", 0.8, False), ("a cow", 0.7, False))
    retrieved = [Retrieved(PICTURE, "a dog", 0, top), Retrieved(PICTURE, "a fox", 41, missed)]
    words = {*tidy(plots.retrieval_examples(retrieved, credit=CREDIT))}
    assert {"✓ right", "1. a dog (0.90)\u00a0✓", "3. a pig (−0.30)", CREDIT, "42. a fox\u00a0✓"} <= words
    grounded = Grounded(PICTURE, "the dog", (0.25, 0.5, 0.5, 0.5), (0.5, 0.5, 0.25, 0.5), 0.321)
    figure = plots.grounding_examples([grounded], credit=CREDIT)
    assert {"✗ IoU 0.32", "“the dog”", "true box", "predicted box", CREDIT} <= {*tidy(figure)}
    by_colour = {p.get_edgecolor(): p for p in figure.axes[0].patches}
    true, predicted = (by_colour[matplotlib.colors.to_rgba(colour)] for colour in (BLUE, ORANGE))
    assert true.get_bbox().bounds == (11.5, 7.5, 8, 16) and true.get_linestyle() in ("-", "solid")
    assert predicted.get_bbox().bounds == (-0.5, 7.5, 16, 16) and predicted.get_linestyle() not in ("-", "solid")
    right, wrong = (("dog", 0.71), ("cat", 0.2), ("\x01", 0.001)), (("pig", 0.5), ("cow", 0.2), ("hen", 0.1))
    masked = Masked(PICTURE, PICTURE, "a small ____ beside a tree", "dog", right, wrong)
    figure = plots.masked_word_examples([masked] * 3, credit=CREDIT)
    told = tidy(figure)
    assert len(figure.axes) == 6 and told.count("its picture") == told.count("another") == 3
    assert {"dog 71\u00a0%\u00a0✓", "cat 20\u00a0%", "� <1\u00a0%", "pig 50\u00a0%", "(dog)", CREDIT} <= {*told}
    assert " ".join(told).split().count("____") == 3


# ---- on a page, in a notebook, in a paper


def test_on_a_page_a_figure_takes_the_pages_colours_but_for_what_lies_on_its_own() -> None:
    figures = {
        "curves": plots.learning_curves(records(), CONFIG),
        "evaluation": plots.evaluation(RESULTS),
        "gradients": plots.gradient_table({"on": frame(), "off": frame(itm=0.7)}),
        "grounding": plots.grounding_examples([Grounded(PICTURE, "it", (0.5, 0.5, 0.2, 0.2), (0.4, 0.5, 0.2, 0.2), 0)]),
        "bars": plots.bars({"a": 0.5, "b": -0.25}, "share"),
    }
    own, ids = {}, []
    for name, figure in figures.items():
        root = ElementTree.fromstring(figure.svg(name, EVIL))
        assert (root.get("role"), root.get("aria-label")) == ("img", EVIL)
        assert [root.get("width"), root.get("height")] == [f"{96 * x:.0f}" for x in figure.get_size_inches()]
        drawn = {"svg", "g", "defs", "path", "use", "rect", "clipPath", "image", "pattern"}
        assert {e.tag.split("}")[1] for e in root.iter()} <= drawn
        assert not any((e.text or "").strip() or (e.tail or "").strip() for e in root.iter())
        text = ElementTree.tostring(root, "unicode")
        assert "var(--ink, #000000)" in text
        own[name] = set(re.findall("#[0-9a-f]{6}", re.sub(r"var\(--[a-z]+, #[0-9a-f]{6}\)", "", text)))
        found = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
        values = [value for e in root.iter() for key, value in e.attrib.items() if key != "aria-label"]
        assert set(re.findall(r"(?:url\(|href=\")#([\w-]+)", text)) <= set(found) and found
        assert not any("http" in value for value in values)
        ids += found
    assert len(ids) == len(set(ids)) and all(i.split("-")[0] in figures for i in ids)
    assert own["curves"] == own["evaluation"] == own["bars"] == set()
    assert own["grounding"] == {"#000000", "#ffffff", BLUE, ORANGE}  # over a picture, that is light or dark
    assert len(own["gradients"]) > 4  # the colours of the scale, and what is written on them
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    svg = plots.retrieval_examples([Retrieved(noise, "a dog", 0, (("a dog", 0.9, True),))]).svg("retrieval", "one")
    (image,) = [e for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("image")]
    data = base64.b64decode(image.attrib["href"].removeprefix("data:image/png;base64,"))
    shown = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
    assert "pixelated" in image.attrib["style"] and shown.shape == noise.shape, "a picture has its own pixels"
    assert (shown == noise).all() or (shown[::-1] == noise).all()


def test_a_figure_follows_a_dark_notebook_unless_it_shows_a_picture(monkeypatch) -> None:
    """Its second output; JupyterLab's pixels: tests/browser/test_hosts.py."""
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(builtins, "display", lambda bundle, **options: shown.append(bundle), raising=False)
    for figure in (plots.bars({"a": 0.5}, "share"), plots.images({"grey": np.full((48, 48, 3), 200, np.uint8)})):
        figure._ipython_display_()
    chart, style, picture = shown
    assert base64.b64decode(chart["image/png"]).startswith(b"\x89PNG") and "text/html" not in chart
    assert style["text/html"].startswith("<style") and len(style["text/html"]) < 250, "notebooks do not grow"
    assert set(picture) == {"image/png", "text/plain"}


@pytest.mark.full
def test_a_figure_is_sharp_the_same_every_time_and_embeds_its_fonts(tmp_path) -> None:
    figure = plots.bars({"a": 0.5, "b": -0.25}, "share")
    png, size = figure._repr_png_()
    wide, tall = struct.unpack(">II", png[16:24])
    assert size == {"width": 730, "height": 116} and wide > 1.5 * size["width"] and abs(wide / tall - 7.6 / 1.21) < 0.05
    for kind in ("png", "pdf", "svg"):
        assert figure.bytes(kind) == plots.bars({"a": 0.5, "b": -0.25}, "share").bytes(kind)
    for kind in ("pdf", "ps"):  # outside of the style, too
        figure.savefig(path := tmp_path / f"a.{kind}")
        figure.savefig(buffer := BytesIO(), format=kind)
        for content in (path.read_bytes(), buffer.getvalue()):
            assert re.search(rb"/FontType 42|/CIDFontType2", content) and not re.search(rb"/Type3|/FontType 3", content)
    plain = plots.gradient_table(frame()).bytes()
    dark = {"figure.facecolor": "black", "savefig.facecolor": "black", "text.color": "white", "font.size": 30}
    with matplotlib.rc_context(dark):  # the user's settings neither matter nor change
        assert plots.gradient_table(frame()).bytes() == plain
        assert matplotlib.rcParams["font.size"] == 30 and matplotlib.rcParams["text.parse_math"]


@pytest.mark.parametrize(("width", "mm"), [("column", 85), ("page", 178)])
def test_a_figure_is_sized_for_a_paper(width, mm: int) -> None:
    title = "Accuracy of the probes of the first three layers, of the text encoder and of the picture encoder"
    figure = plots.bars({"language encoder": 0.5, "b": -0.25}, "share of the gap", title).sized(width)
    assert 25.4 * figure.get_figwidth() == pytest.approx(mm) and {t.get_fontsize() for t in texts(figure)} == {8}
    tidy(figure)
    panels = {name: np.ones((2, 2)) for name in "abc"}
    plots.scatter(panels, "layer", "entropy").sized("page")
    with pytest.raises(ConfigError, match=r"width = 'column': 3 panels do not fit 85 mm. Draw fewer."):
        plots.scatter(panels, "layer", "entropy").sized("column")
    with pytest.raises(ConfigError, match="width = 'text'"):
        plots.bars({"a": 1.0}, "x").sized("text")  # type: ignore[arg-type]


def test_nothing_to_draw_is_said() -> None:
    losses, unguided = [{"run": "r", "step": 0, "of": 1, "loss": 1.0, "pairs/mim": 1.0}], runs(1, guided=False)
    for draw, *given in (
        (plots.learning_curves, []), (plots.learning_curves, losses, None, "accuracy"), (plots.evaluation, []),
        (plots.throughput, []), (plots.gradient_table, {}), (plots.gradient_table, pd.DataFrame()), (plots.scenes, []),
        (plots.gradient_scales, pd.DataFrame()), (plots.hidden_patches, [], []), (plots.retrieval_examples, []),
        (plots.grounding_examples, []), (plots.masked_word_examples, []), (plots.attributions, PHOTO.image, []),
        (plots.cosines, {"cosine": {"language": {}, "vision": {}}}), (plots.probes, unguided, [*READINGS][-1:]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"^(no |.*cosines|.*probes)"):
            draw(*given)
    with pytest.raises(ValueError, match=r"readings: 'drift' is none of .*'language: drift from the start'"):
        plots.probes(runs(1), ["drift"])


@pytest.mark.parametrize("text", ["a dog and a tree", f"x {'Donaudampfschiff' * 5} y", "a\u00a0b " * 9])
def test_lines_fit_and_lose_nothing(text: str) -> None:
    figure = plots.Figure(dpi=72)
    lines = wrap(text, 1.5, 9, indent="    ").split("\n")
    widths = [figure.text(0, 0, line, fontsize=9).get_window_extent().width / 72 for line in lines if line]
    assert all(width <= 1.5 for width in widths) and all(line.startswith("    ") for line in lines[1:])
    assert "".join("".join(lines).split(" ")) == "".join(text.split(" "))


# ---- probes


def record(step: int, shift: float = 0.0, guided: bool = True) -> dict:
    language = {"itc mlm": 0.1 + shift, "itm mlm": -0.05 + shift, "imlm mlm": 0.2, "bbp mlm": None}
    guidance = {"agreement": 0.5 + shift, "agreement_of_mean": 0.4, "target_std": 1.0, "target_rank": 20.0 + shift}
    return {
        "step": step,
        "norm": {"mlm": {"language layer 0": 3.0 + shift, "language embeddings": 4.0, "fusion": None}},
        "held_back": {"itm": 3.0, "imlm": 4.0},
        "cosine": {"language": language, "vision": {"itc mim": 0.9}},
        "drift": {"language": 0.01 * step, "vision": 0.02 * step + shift},
        "cka": {"language": [1.0, 0.9], "vision": [1.0, 0.8 - shift]},
        "guidance": guidance if guided else None,
    }


def runs(seeds: int, guided: bool = True) -> dict:
    shifts = np.linspace(-0.02, 0.02, seeds)
    return {
        v: [[record(step, shift + more, guided) for step in (0, 50, 100)] for shift in shifts]
        for v, more in (("xfm", 0.0), ("no_stop_gradient", 0.03))
    }


def test_every_reading_has_its_panel_with_a_line_a_variant() -> None:
    figure = plots.probes(runs(3), title="probes")
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title(loc="left").replace("\n", ": ") for axes in panels] == [*READINGS]
    norm = panels[0].lines[0]
    assert norm.get_xdata().tolist() == [0, 50, 100] and norm.get_ydata()[0] == pytest.approx(5, rel=1e-3)
    assert panels[1].lines[0].get_ydata().tolist() == [5, 5, 5], "3 and 4 at right angles"
    assert all(len(axes.lines) == 3 and len(axes.collections) == 2 for axes in panels), "two, and one at 0"
    assert "no_stop_gradient" in tidy(figure)


def test_what_a_run_lacks_has_no_panel_no_line_and_no_point() -> None:
    alone = [axes for axes in plots.probes(runs(1, guided=False)).axes if axes.axison]
    assert len(alone) == sum(not name.startswith("guidance") for name in READINGS), "what nobody has has no panel"
    assert not any(axes.collections for axes in alone), "one seed has no interval"
    both, names = runs(2), ["language: drift from the start", "vision: drift from the start"]
    del both["xfm"][1][1]  # a step that a seed lacks
    assert plots.probes(both, names).axes[0].lines[0].get_xdata().tolist() == [0, 100]
    for variant, without in (("xfm", "vision"), ("no_stop_gradient", "language")):  # as a specialist's
        for one in itertools.chain(*both[variant]):
            del one["cka"][without]
    figure = plots.probes(both, names)
    assert [len(axes.lines) - 1 for axes in figure.axes] == [1, 1]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["xfm", "no_stop_gradient"]


# ---- explanations


@pytest.fixture(scope="module")
def inputs():
    return scene_inputs(build(CONFIG), TOKENIZER, PHOTO, about=1)


def test_attributions_show_every_method_and_every_word(inputs):
    quick = [method for method in METHODS if method not in SLOW]
    found = [attribute(inputs, method) for method in quick]
    text = "\n".join(tidy(plots.attributions(PHOTO.image, found, inputs.truth, "ITM")))
    assert all(method in text for method in quick)
    assert all(text.count(word) >= len(found) for word in found[0].by_word() if len(word) < 12)
    one = next(a for a in found if a.signed)
    for a in (one, replace(one, text=one.text / 10, patches=one.patches / 10)):  # each panel has a scale of its own
        most = f"most {max(a.patches.tolist(), key=abs):+.2g} (patches)".replace("-", "−")
        assert most in said(plots.attributions(PHOTO.image, [a])).replace("\n  ", " ")


def test_attributions_are_drawn_where_they_are_with_the_truth_that_is_their_own(inputs):
    one, left = attribute(inputs, "random"), np.zeros((48, 48), bool)
    left[:, :9] = True
    figure = plots.attributions(PHOTO.image, [one] * 3, [left, None, ~left])
    edges = [[c.get_paths()[0].get_extents().x1 for c in axes.collections] for axes in figure.axes[:3]]
    assert edges[0] and not edges[1] and edges[0] == edges[2], "one edge, seen from both sides"
    assert edges[0] == pytest.approx([8.5] * 2, abs=0.3)
    with pytest.raises(ValueError, match="zip"):
        plots.attributions(PHOTO.image, [one], [left, left])
    figure = plots.attributions(np.full_like(PHOTO.image, 128), [one])
    shown = figure.axes[0].images[0].get_array()
    most, least = (one.grid.rectangle(int(patch)) for patch in (one.patches.argmax(), one.patches.argmin()))
    bright, dark = (shown[y : y + h, x : x + w].mean((0, 1)) for x, y, w, h in (most, least))
    assert bright[0] > dark[0] + 0.1 and bright[2] < dark[2] - 0.1  # viridis: yellow for the most
    values = np.array([*one.by_word().values()])
    np.testing.assert_allclose([bar.get_width() for bar in figure.axes[1].patches], values / values.max(), rtol=1e-5)


@pytest.mark.parametrize("name", ["language", "vision", "fusion", "cross"])
def test_attention_is_a_picture_or_a_matrix_a_head(inputs, name):
    traced = trace(inputs.model, TOKENIZER, PHOTO.image, inputs.text, "itm")
    layers, heads = traced.maps[name].weights.shape[:2]
    by_words = name in ("language", "fusion")
    with pytest.raises(ConfigError, match=f"map = '{name}'"):
        (plots.attention if by_words else plots.attention_matrices)(traced, name)
    if by_words:
        tidy(figure := plots.attention_matrices(traced, name))
        np.testing.assert_allclose(figure.axes[1].images[0].get_array(), traced.maps[name].weights[-1, 1])
        assert len(figure.axes) == heads
    else:
        words = "\n".join(tidy(plots.attention(traced, name, 2, credit=PHOTO.credit)))
        assert words.count("head ") == layers * heads and PHOTO.credit in words


@pytest.mark.full
def test_curves_and_the_leaderboard(inputs):
    methods = ["saliency", "edges"]
    found = {m: faithfulness.perturbation_curves(inputs, attribute(inputs, m)) for m in methods}
    tidy(figure := plots.insertion_deletion(found, "log-odds"))
    for axes, name in zip(figure.axes, found["saliency"], strict=True):
        assert axes.get_title(loc="left").startswith(name)
        np.testing.assert_allclose(axes.lines[0].get_ydata(), found["saliency"][name].scores)
    table = leaderboard(inputs.model, TOKENIZER, leaderboard_scenes(dataset(CONFIG).world, 2), methods).table()
    assert {*methods} <= {*tidy(plots.leaderboard(table, COLUMNS[:6]))}
    others = plots.leaderboard(table, ["weights drawn anew, image", "milliseconds", "pointing game"])
    asides = [axes.get_xlabel() for axes in others.axes]
    assert asides == ["0: changes with the model's weights", "left is better", "right is better"]


def test_charts_draw_their_numbers(inputs):
    values = np.zeros(PHOTO.image.shape[:2])
    values[:4] = 1.0
    figure = plots.patch_maps(PHOTO.image, {"first": values, "second": -values}, "Maps", columns=3, signed=True)
    shown = [axes.images[0].get_array() for axes in figure.axes[:2]]
    assert np.abs(shown[0][:4] - shown[1][:4]).min() > 0 and (shown[0][4:] == shown[1][4:]).all()
    assert "first" in tidy(figure)
    heads = tidy(plots.heads(interventions.head_importance([inputs]).frame))
    assert "\n".join(heads).count("attention x gradient") == 1
    blocks = {"vision.blocks.0": 0.2, "vision.blocks.1": -0.1}
    tidy(figure := plots.bars(blocks, "share restored", "Patching", reference=(0, 1)))
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.2, -0.1]
    table = pd.DataFrame({"a": [0.5, -1.0], "b": [np.nan, 0.25]}, ["x", "y"])
    tidy(figure := plots.heatmap(table, "Map", digits=1))
    assert [t.get_text() for t in figure.axes[0].texts] == ["0.5", "–", "−1.0", "0.2"]
    tidy(figure := plots.lines(table, "heads", "right (%)", "Lines", reference=0.5))
    assert [line.get_ydata()[-1] for line in figure.axes[0].lines] == [-1.0, 0.25, 0.5]
    panels = {"one": np.ones((2, 3)), "two": np.zeros((2, 3))}
    tidy(figure := plots.scatter(panels, "layer", "distance", reference={"two": 0.3}))
    one, two = figure.axes
    assert len(one.lines) == 3 and len(two.lines) == 4 and two.lines[-1].get_ydata()[0] == 0.3
    tidy(plots.images({f"{i}. a part of a printed page, bottom row, far right": PHOTO.image for i in range(8)}))
    figure = plots.images({"left": PHOTO.image, "right": PHOTO.image[:, ::-1]}, credit="Pictures: mine")
    assert (figure.axes[1].images[0].get_array() == PHOTO.image[:, ::-1]).all() and "Pictures: mine" in tidy(figure)

"""The figures, from small plain inputs: what their artists say, that nothing lies over anything else or is cut off."""

import base64
import builtins
import math
import re
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
from xfm.data.world import styles
from xfm.data.world.grammar import Caption
from xfm.data.world.scenes import Object, Scene
from xfm.explain.method_table import METHODS, SLOW, attribute
from xfm.explain.prepare_inputs import scene_inputs
from xfm.explain.tracing import trace
from xfm.objectives import build
from xfm.plots.curve_records import smooth
from xfm.plots.palette import BLUE, ORANGE, PALETTE
from xfm.plots.probe_figures import READINGS
from xfm.tasks import Result
from xfm.tasks.failure_examples import Grounded, Masked, Retrieved

CREDIT = styles.credit(styles.DEFAULT)
EVIL = "<img src=x onerror=alert(1)> costs $x_ and $\\frac{1 & a_b^"
CONFIG = recipes.smoke().replace({"train.steps": 100, "data.pairs": 8, "data.regions": 6})
PICTURE = np.full((32, 32, 3), 200, np.uint8)


def said(figure: plots.Figure) -> str:
    return "\n".join(t.get_text() for t in texts(figure))


def tidy(figure: plots.Figure, touching: float = 2.5) -> list[str]:
    """Its lines of text, of which no two overlap by more than a descender and none leaves the figure."""
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


def texts(figure: plots.Figure) -> list[Text]:
    """All texts that are drawn: an axis has labels of places out of sight as well, which are not."""
    drawn: list[Text] = []
    draw = Text.draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", lambda text, renderer: drawn.append(text) or draw(text, renderer))
        FigureCanvasAgg(figure).draw()
    return [t for t in dict.fromkeys(drawn) if t.get_visible() and t.get_text().strip()]


pytestmark = pytest.mark.filterwarnings("error")


def records(steps: int = 100, done: int | None = None) -> list[dict]:
    out = []
    for step in range(done or steps):
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


def test_curves_with_the_config_show_chance_curriculum_what_will_join_and_what_constants_reach() -> None:
    starts = {f"objectives.{o}.start": 0.3 for o in ("itm", "imlm", "bbp")} | {"objectives.mim.start": 0.5}
    config = CONFIG.replace(starts | {"data.single_until": 0.2, "data.full_from": 0.6})
    figure = plots.learning_curves(records(done=20), config)
    words, panels = tidy(figure), panels_of(figure)
    assert list(panels) == ["MLM", "MIM", "ITC", "ITM", "IMLM", "BBP"] and "about 8 s to go" in "\n".join(words)
    assert {"chance, ln 8", "chance, ln 6", "joins after", "step 50", "step 30"} <= {*words}
    levels = sorted(line.get_ydata()[0] for line in panels["ITC"].lines[-2:])
    assert levels == pytest.approx([math.log(6), math.log(8)])
    assert len(panels["ITC"].patches) == 2  # one object; gradually more
    rows = [r | {"images/mim": 0.3, "images/mim/constant": 0.5} for r in records()]
    rows[0]["levels"] = {"texts/mlm": {"value": 2.5, "name": "unigram"}}
    words, panels = tidy(figure := plots.learning_curves(rows)), panels_of(figure)
    assert {"unigram", "constant"} <= {*words} and 2.5 in panels["MLM"].lines[-1].get_ydata()
    figure = plots.learning_curves(records(), CONFIG, "accuracy")
    assert "chance, 1 in 8" in tidy(figure) and [*panels_of(figure)] == ["ITC", "BBP"], "MIM reports none"


def test_smoothing_looks_back_and_counts_steps_and_throughput_shows_speed_and_waiting() -> None:
    assert smooth(np.array([0.0, 10, 11, 30]), np.array([1.0, 3, 5, 7]), 5).tolist() == [1, 3, 4, 7]
    timed = [r | {"seconds": 0.5 if r["step"] < 80 else 0.25, "waited": 0.05} for r in records(160)]
    speed, wait = (figure := plots.throughput(timed, "Throughput")).axes
    assert speed.lines[0].get_ydata()[[0, -1]].tolist() == [2, 4] and "steps per second" in tidy(figure)
    assert np.allclose(wait.lines[0].get_ydata()[[0, -1]], (0.1, 0.2))


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
    shares, losses = (figure := plots.evaluation(RESULTS, "demo")).axes
    expected = "image to text (random gallery)|ITC, R@1|73.1\u00a0%|−2.0\u00a0%|6.87|nats (lower is better)"
    assert {*expected.split("|")} <= {*tidy(figure)}
    data = [(line.get_marker(), np.round(line.get_xdata(), 6).tolist()) for line in shares.lines]
    assert ("o", [0.731]) in data and ("None", [0.681, 0.781]) in data and ("|", [0.78]) in data
    assert sum(marker == "x" for marker, _ in data) == 3  # where there is a baseline
    dots = {line.get_xdata()[0]: line.get_markerfacecolor() for line in shares.lines if line.get_marker() == "o"}
    assert dots[0.731] != "white" and dots[0.02] == "white" == dots[0.25] == dots[-0.02]
    assert shares.get_xlim()[0] < -0.07 and losses.get_xlim()[0] > 6


def frame(**changes: float | None) -> pd.DataFrame:
    rows = {"mlm": [0.5, None, None], "itm": [None, 0.0213, 12.3], "mim": [None, 2.0e-5, 0.0]}
    rows |= {name: [value, *rows[name][1:]] for name, value in changes.items()}
    return pd.DataFrame(rows.values(), list(rows), ["language embeddings", "vision", "fusion"], dtype=object)


def test_a_gradient_table_prints_every_norm_and_tells_no_path_from_zero() -> None:
    figure = plots.gradient_table(frame(), "Norms")
    cells = [t.get_text() for t in figure.axes[0].texts]
    assert sorted(cells) == sorted(["0.50", "–", "–", "–", "0.021", "12", "–", "2e−5", "0"])
    assert sum(bool(p.get_hatch()) for p in figure.axes[0].patches) == 4
    assert {"MLM", "ITM", "MIM", "language embeddings", "–  no path", "gradient norm (L2)"} <= {*tidy(figure)}
    numbers = plots.gradient_table(frame().astype(float))
    assert [t.get_text() for t in numbers.axes[0].texts] == cells  # NaN in a frame of floats is no path


def test_two_gradient_tables_frame_what_differs_and_scales_mark_no_path() -> None:
    figure = plots.gradient_table({"stop on": frame(), "stop off": frame(itm=0.7)})
    for axes in figure.axes[:2]:
        (framed,) = [p for p in axes.patches if isinstance(p, Rectangle) and not p.get_fill()]
        assert (int(framed.get_x()), int(framed.get_y())) == (1, 0)
    assert {"stop on", "stop off", "0.70"} <= {*tidy(figure)}
    table = pd.DataFrame({"itm": [None, 0.5, 1.0], "bbp": [None, 0.2, 0.4]}, [0.0, 0.5, 1.0])
    itm, bbp, cut = (figure := plots.gradient_scales(table, "language embeddings", "Scale")).axes[0].lines
    assert itm.get_ydata()[1:].tolist() == [0.5, 1.0] and bbp.get_linestyle() != itm.get_linestyle()
    assert cut.get_xdata().tolist() == [0.0] and cut.get_marker() == "x" and "no path" in "\n".join(tidy(figure))


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
    figure = plots.hidden_patches([PICTURE] * 2, [np.arange(16) == 6, np.zeros(16, bool)], credit="Pictures: mine")
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
    boxes = {p.get_edgecolor(): p.get_bbox().bounds for p in figure.axes[0].patches}
    true, predicted = (boxes[matplotlib.colors.to_rgba(colour)] for colour in (BLUE, ORANGE))
    assert true == (11.5, 7.5, 8, 16) and predicted == (-0.5, 7.5, 16, 16)
    right, wrong = (("dog", 0.71), ("cat", 0.2), ("\x01", 0.001)), (("pig", 0.5), ("cow", 0.2), ("hen", 0.1))
    masked = Masked(PICTURE, PICTURE, "a small ____ beside a tree", "dog", right, wrong)
    told = tidy(plots.masked_word_examples([masked] * 3, credit=CREDIT))
    assert told.count("its picture") == told.count("another") == " ".join(told).split().count("____") == 3
    assert {"dog 71\u00a0%\u00a0✓", "cat 20\u00a0%", "� <1\u00a0%", "pig 50\u00a0%", "(dog)", CREDIT} <= {*told}


def test_on_a_page_a_figure_takes_the_pages_colours_but_for_what_lies_on_its_own() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    figures = {
        "curves": plots.learning_curves(records(), CONFIG),
        "gradients": plots.gradient_table({"on": frame(), "off": frame(itm=0.7)}),
        "grounding": plots.grounding_examples([Grounded(noise, "it", (0.5, 0.5, 0.2, 0.2), (0.4, 0.5, 0.2, 0.2), 0)]),
    }
    own, ids = {}, []
    for name, figure in figures.items():
        root = ElementTree.fromstring(figure.svg(name, EVIL))
        assert (root.get("role"), root.get("aria-label")) == ("img", EVIL)
        assert not {e.tag.split("}")[1] for e in root.iter()} & {"script", "foreignObject", "a", "text", "style"}
        text = ElementTree.tostring(root, "unicode")
        own[name] = set(re.findall("#[0-9a-f]{6}", re.sub(r"var\(--[a-z]+, #[0-9a-f]{6}\)", "", text)))
        found = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
        assert set(re.findall(r"(?:url\(|href=\")#([\w-]+)", text)) <= set(found) and "var(--ink, #000000)" in text
        ids += found
    assert len(ids) == len(set(ids)) and all(i.split("-")[0] in figures for i in ids)
    assert own["curves"] == set() and own["grounding"] == {"#000000", "#ffffff", BLUE, ORANGE}  # over a picture
    (image,) = [e for e in root.iter() if e.tag.endswith("image")]
    data = base64.b64decode(image.attrib["href"].removeprefix("data:image/png;base64,"))
    shown = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
    assert any(np.array_equal(pixels, noise) for pixels in (shown, shown[::-1])), "a picture has its own pixels"


def test_a_figure_follows_a_dark_notebook_unless_it_shows_a_picture(monkeypatch) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(builtins, "display", lambda bundle, **options: shown.append(bundle), raising=False)
    for figure in (plots.bars({"a": 0.5}, "share"), plots.images({"grey": np.full((48, 48, 3), 200, np.uint8)})):
        figure._ipython_display_()
    chart, style, picture = shown
    assert base64.b64decode(chart["image/png"]).startswith(b"\x89PNG") and "text/html" not in chart
    assert style["text/html"].startswith("<style") and len(style["text/html"]) < 250, "notebooks do not grow"
    assert set(picture) == {"image/png", "text/plain"}


@pytest.mark.full
def test_a_figure_is_the_same_every_time_and_embeds_its_fonts(tmp_path) -> None:
    figure = plots.bars({"a": 0.5, "b": -0.25}, "share")
    for kind in ("png", "pdf", "svg"):
        assert figure.bytes(kind) == plots.bars({"a": 0.5, "b": -0.25}, "share").bytes(kind)
    for kind in ("pdf", "ps"):  # outside of the style, too
        figure.savefig(path := tmp_path / f"a.{kind}")
        content = path.read_bytes()
        assert re.search(rb"/FontType 42|/CIDFontType2", content) and not re.search(rb"/Type3|/FontType 3", content)
    plain = plots.gradient_table(frame()).bytes()
    with matplotlib.rc_context({"figure.facecolor": "black", "text.color": "white", "font.size": 30}):
        assert plots.gradient_table(frame()).bytes() == plain, "the user's settings do not matter"
        assert matplotlib.rcParams["font.size"] == 30, "nor change"


def test_a_figure_is_sized_for_a_paper() -> None:
    title = "Accuracy of the probes of the first three layers, of the text encoder and of the picture encoder"
    for width, mm in (("column", 85), ("page", 178)):
        figure = plots.bars({"language encoder": 0.5, "b": -0.25}, "share of the gap", title).sized(width)
        assert 25.4 * figure.get_figwidth() == pytest.approx(mm) and {t.get_fontsize() for t in texts(figure)} == {8}
        tidy(figure)
    with pytest.raises(ConfigError, match=r"width = 'column': 3 panels do not fit 85 mm. Draw fewer."):
        plots.scatter({name: np.ones((2, 2)) for name in "abc"}, "layer", "entropy").sized("column")


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


def record(step: int, shift: float = 0.0, guided: bool = True) -> dict:
    language = {"itc mlm": 0.1 + shift, "itm mlm": -0.05 + shift, "imlm mlm": 0.2, "bbp mlm": None}
    guidance = {"agreement": 0.5 + shift, "agreement_of_mean": 0.4, "target_std": 1.0, "target_rank": 20.0 + shift}
    return {
        "step": step, "held_back": {"itm": 3.0, "imlm": 4.0}, "guidance": guidance if guided else None,
        "norm": {"mlm": {"language layer 0": 3.0 + shift, "language embeddings": 4.0, "fusion": None}},
        "cosine": {"language": language, "vision": {"itc mim": 0.9}},
        "drift": {"language": 0.01 * step, "vision": 0.02 * step + shift},
        "cka": {"language": [1.0, 0.9], "vision": [1.0, 0.8 - shift]},
    }  # fmt: skip


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
    alone = [axes for axes in plots.probes(runs(1, guided=False)).axes if axes.axison]
    assert len(alone) == sum(not name.startswith("guidance") for name in READINGS), "what nobody has has no panel"
    assert not any(axes.collections for axes in alone), "one seed has no interval"
    both = runs(2)
    del both["xfm"][1][1]  # a step that a seed lacks
    assert plots.probes(both, ["vision: drift from the start"]).axes[0].lines[0].get_xdata().tolist() == [0, 100]


@pytest.fixture(scope="module")
def inputs():
    return scene_inputs(build(CONFIG), TOKENIZER, PHOTO, about=1)


def test_attributions_show_every_method_and_word_where_they_are_with_the_truth_that_is_their_own(inputs):
    found = [attribute(inputs, method) for method in METHODS if method not in SLOW]
    text = "\n".join(tidy(plots.attributions(PHOTO.image, found, inputs.truth, "ITM")))
    assert all(one.method in text for one in found)
    assert all(text.count(word) >= len(found) for word in found[0].by_word() if len(word) < 12)
    one, left = attribute(inputs, "random"), np.tile(np.arange(48) < 9, (48, 1))
    figure = plots.attributions(np.full_like(PHOTO.image, 128), [one] * 3, [left, None, ~left])
    edges = [[c.get_paths()[0].get_extents().x1 for c in axes.collections] for axes in figure.axes[:3]]
    assert edges[0] == edges[2] == pytest.approx([8.5] * 2, abs=0.3) and not edges[1], "one edge, seen from both sides"
    shown = plots.attributions(np.full_like(PHOTO.image, 128), [one]).axes[0].images[0].get_array()
    most, least = (one.grid.rectangle(int(patch)) for patch in (one.patches.argmax(), one.patches.argmin()))
    bright, dark = (shown[y : y + h, x : x + w].mean((0, 1)) for x, y, w, h in (most, least))
    assert bright[0] > dark[0] + 0.1 and bright[2] < dark[2] - 0.1  # viridis: yellow for the most


def test_attention_is_a_picture_or_a_matrix_a_head(inputs):
    traced = trace(inputs.model, TOKENIZER, PHOTO.image, inputs.text, "itm")
    for name in ("language", "fusion"):
        with pytest.raises(ConfigError, match=f"map = '{name}'"):
            plots.attention(traced, name)
    tidy(figure := plots.attention_matrices(traced))
    np.testing.assert_allclose(figure.axes[1].images[0].get_array(), traced.maps["language"].weights[-1, 1])
    for name in ("vision", "cross"):
        layers, heads = traced.maps[name].weights.shape[:2]
        words = "\n".join(tidy(plots.attention(traced, name, 2, credit=PHOTO.credit)))
        assert words.count("head ") == layers * heads and PHOTO.credit in words


def test_charts_draw_their_numbers(inputs):
    values = np.arange(48)[:, None] < np.full(48, 4.0)
    figure = plots.patch_maps(PHOTO.image, {"first": 1.0 * values, "second": -1.0 * values}, columns=3, signed=True)
    shown = [axes.images[0].get_array() for axes in figure.axes[:2]]
    assert np.abs(shown[0][:4] - shown[1][:4]).min() > 0 and (shown[0][4:] == shown[1][4:]).all()
    tidy(figure := plots.bars({"vision.blocks.0": 0.2, "vision.blocks.1": -0.1}, "share", reference=(0, 1)))
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.2, -0.1]
    table = pd.DataFrame({"a": [0.5, -1.0], "b": [np.nan, 0.25]}, ["x", "y"])
    tidy(figure := plots.heatmap(table, "Map", digits=1))
    assert [t.get_text() for t in figure.axes[0].texts] == ["0.5", "–", "−1.0", "0.2"]
    tidy(figure := plots.lines(table.reset_index(drop=True), "heads", "right (%)", "Lines", reference=0.5))
    assert [line.get_ydata()[-1] for line in figure.axes[0].lines] == [-1.0, 0.25, 0.5]
    figure = plots.images({"left": PHOTO.image, "right": PHOTO.image[:, ::-1]}, credit="Pictures: mine")
    assert (figure.axes[1].images[0].get_array() == PHOTO.image[:, ::-1]).all() and "Pictures: mine" in tidy(figure)


# ---- colour-blind eyes distinguish the six losses' colours, on light and on dark pages
LOSSES = ("blue", "green", "purple", "orange", "gold", "text")
SEEN = {  # Machado, Oliveira and Fernandes (2009), in linear RGB
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}  # fmt: skip
LEAST = 9.0  # CIELAB: several times what can just be seen


def linear(colour: str) -> np.ndarray:
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def cielab(rgb: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(rgb, 0, 1)
    f = np.cbrt(np.maximum(xyz / [0.9505, 1, 1.089], 1e-6))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("page", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", SEEN)
def test_losses_have_colours_of_their_own(page: int, eyes: str) -> None:
    seen = {name: cielab(np.array(SEEN[eyes]) @ linear(PALETTE[name][page])) for name in LOSSES}
    near = {(a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in combinations(LOSSES, 2)}
    assert {pair: distance for pair, distance in near.items() if distance < LEAST} == {}


@pytest.mark.parametrize("page", [0, 1], ids=["light", "dark"])
def test_losses_and_text_stand_out_from_the_page(page: int) -> None:
    seen = {name: luminance(pair[page]) for name, pair in PALETTE.items()}
    text = ("ink", "text", "grey", "dark", "blue", "orange", "green", "purple")
    least = [*((name, "paper", 3) for name in LOSSES), *((name, "paper", 4.5) for name in text)]
    for name, ground, contrast in [*least, *((name, "shade", 4.5) for name in ("ink", "text", "blue"))]:
        high, low = sorted((seen[name], seen[ground]), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= contrast, (name, ground)

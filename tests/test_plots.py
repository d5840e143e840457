"""The figures, from small plain inputs: what their artists say, that nothing lies over anything else or is cut off."""

import base64
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


def assert_tidy(figure: plots.Figure, touching: float = 2.5) -> None:
    """No two texts overlap by more than a descender, and none leaves the figure."""
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts(figure)]
    page = figure.bbox.padded(1)
    for text, box in boxes:
        assert page.contains(box.x0, box.y0) and page.contains(box.x1, box.y1), f"{text!r} is cut off"
    for (a, first), (b, second) in combinations(boxes, 2):
        wide = min(first.x1, second.x1) - max(first.x0, second.x0)
        tall = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert min(wide, tall) < touching, f"{a!r} lies over {b!r}"


@pytest.fixture(autouse=True)
def _no_warnings() -> None:
    warnings.simplefilter("error")


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


def test_curves_have_a_panel_an_objective_with_its_streams() -> None:
    figure = plots.learning_curves(records())
    panels = {axes.get_title(loc="left").split()[0]: axes for axes in figure.axes}
    assert list(panels) == ["MLM", "ITC", "ITM", "BBP"]
    itc = panels["ITC"].lines
    raw, mean, held_out = itc[0], itc[1], itc[2]
    assert len(itc) == 6 and np.allclose(raw.get_ydata(), 2 - np.arange(100) / 100) and raw.get_alpha() < 0.5
    assert np.allclose(mean.get_ydata(), smooth(np.asarray(raw.get_xdata()), np.asarray(raw.get_ydata()), 2))
    assert held_out.get_xdata().tolist() == [20, 40, 60, 80, 100] and held_out.get_marker() == "o"
    assert {(line.get_linestyle(), line.get_color()) for line in (itc[1], itc[4])} == {("-", BLUE), ("--", ORANGE)}
    assert [axes.get_ylabel() for axes in figure.axes] == ["nats", "nats", "nats", "L1 + (1 − GIoU)"]
    assert "joins after\nstep 30" in [t.get_text() for t in panels["ITM"].texts]
    assert min(line.get_xdata()[0] for line in panels["ITM"].lines) == 31, "and nothing from before"
    assert "smoke: step 100 of 100, 0.10 s a step" in said(figure) and "to go" not in said(figure)
    assert_tidy(figure)


def test_curves_with_the_config_show_chance_curriculum_and_what_will_join() -> None:
    starts = {f"objectives.{o}.start": 0.3 for o in ("itm", "imlm", "bbp")} | {"objectives.mim.start": 0.5}
    config = CONFIG.replace(starts | {"data.single_until": 0.2, "data.full_from": 0.6})
    figure = plots.learning_curves(records(done=20), config)
    assert [a.get_title(loc="left").split()[0] for a in figure.axes] == ["MLM", "MIM", "ITC", "ITM", "IMLM", "BBP"]
    words = {t.get_text() for t in texts(figure)}
    assert {"chance, ln 8", "chance, ln 6", "joins after\nstep 50", "joins after\nstep 30"} <= words
    itc = figure.axes[2]
    assert {round(line.get_ydata()[0], 6) for line in itc.lines[-2:]} == {round(math.log(8), 6), round(math.log(6), 6)}
    assert len(itc.patches) == 2  # one object; gradually more
    own = plots.learning_curves(records(done=20), config.replace({"data.sources": ["my.csv"]}))
    assert not own.axes[2].patches and "pairs show one object" not in said(own), "of drawn pairs alone"
    assert "about 8 s to go" in said(figure)
    assert_tidy(figure)
    assert "chance" not in said(plots.learning_curves(records(), config.replace({"name": "another"})))


def test_curves_show_what_constant_predictions_reach_where_the_records_tell_it() -> None:
    rows = records()
    rows[0]["levels"] = {"texts/mlm": {"value": 2.5, "name": "unigram"}}
    for row in rows:
        row |= {"images/mim": 0.3, "images/mim/constant": 0.5}
    figure = plots.learning_curves(rows)
    panels = {axes.get_title(loc="left").split()[0]: axes for axes in figure.axes}
    assert "unigram" in [t.get_text() for t in panels["MLM"].texts] and 2.5 in panels["MLM"].lines[-1].get_ydata()
    assert "constant" in [t.get_text() for t in panels["MIM"].texts]
    assert panels["MIM"].lines[-1].get_ydata() == pytest.approx([0.5] * len(rows))
    low, high = panels["MIM"].get_ylim()
    assert low < 0.3 < 0.5 < high
    assert_tidy(figure)
    assert "unigram" not in said(plots.learning_curves(records()))
    figure = plots.learning_curves(records(), CONFIG, "accuracy")
    assert [axes.get_title(loc="left") for axes in figure.axes][1][:3] == "BBP", "MIM reports no accuracy"
    assert [axes.get_ylabel() for axes in figure.axes] == ["accuracy", "mean IoU"] and "chance, 1 in 8" in said(figure)
    assert_tidy(figure)


def test_smoothing_looks_back_and_counts_steps_not_points() -> None:
    assert smooth(np.arange(4.0), np.array([1.0, 3, 5, 7]), 2).tolist() == [1, 2, 4, 6]
    assert smooth(np.arange(2.0), np.array([1.0, 3]), 0).tolist() == [1, 3]
    steps, values = np.array([0.0, 10, 11, 30]), np.array([1.0, 3, 5, 7])
    assert smooth(steps, values, 5).tolist() == [1, 3, 4, 7]
    assert smooth(steps, values, 11).tolist() == [1, 2, 4, 7]
    assert smooth(steps, np.array([math.nan, 3, math.inf, 7]), 5).tolist()[1:] == [3, 3, 7]


def result(task: str = "naming", condition: str = "", metric: str = "accuracy", value: float = 0.5, **other) -> Result:
    row = {"low": value - 0.05, "high": value + 0.05, "n": 400, "baseline": 0.01, "baseline_name": "chance"}
    row |= {"upper_bound": 1.0, "seed": 0, "split": "test"}
    return Result(task, condition, metric, value, **row | other)


RESULTS = [
    result("image to text (random gallery)", "ITC", "R@1", 0.731, n=256, upper_bound=0.78),
    result("image to text (random gallery)", "ITC, shuffled pairs", "R@1", 0.02, n=256),
    result("masked names", "right - wrong", value=-0.02, n=207, baseline=0.0, baseline_name="no effect"),
    result("masked names", "wrong picture", value=0.25, n=208, baseline=None, baseline_name="", upper_bound=None),
    result("language", "", "loss (nats)", 6.87, **{"baseline": 6.9, "baseline_name": "unigram", "upper_bound": None}
           | {"better": "lower", "unit": "nats"}),
]  # fmt: skip


def test_an_evaluation_shows_every_value_with_its_interval_control_and_ceiling() -> None:
    figure = plots.evaluation(RESULTS, "demo")
    words = [t.get_text() for t in texts(figure)]
    expected = "demo|image to text (random gallery)|ITC, R@1|73.1\u00a0%|n = 256, × chance|−2.0\u00a0%|6.87"
    expected += "|right − wrong, accuracy (n = 207)|nats (lower is better)"
    assert {*expected.split("|")} <= {*words}
    shares, losses = figure.axes
    data = [(line.get_marker(), np.round(line.get_xdata(), 6).tolist()) for line in shares.lines]
    assert ("o", [0.731]) in data and ("None", [0.681, 0.781]) in data and ("|", [0.78]) in data
    assert sum(marker == "x" for marker, _ in data) == 3  # where there is a baseline
    assert sum(marker == "|" for marker, _ in data) == 1  # a upper_bound of everything is the scale's end
    dots = {line.get_xdata()[0]: line.get_markerfacecolor() for line in shares.lines if line.get_marker() == "o"}
    assert dots[0.731] != "white" and dots[0.02] == "white" == dots[0.25] == dots[-0.02]
    assert shares.get_xlim()[0] < -0.07 and losses.get_xlim()[0] > 6
    assert_tidy(figure)


def test_a_family_of_many_results_is_legible_and_has_pages_of_whole_tasks() -> None:
    names = ["naming", "order of words in captions that say where something is", "minimal pairs (agreement)"]
    conditions = ["", "ITC", "right - wrong picture, with the longest condition that anybody would ever think of"]
    baselines = ("chance", "the same probe on an untrained model")
    many = [
        result(f"{names[i % 3]} {i}", conditions[j % 3], f"accuracy@{j}", 0.01 * i, n=100 + j * (i % 2),
               baseline_name=baselines[j % 2])
        for i in range(24) for j in range(5)
    ] + RESULTS[-1:]  # fmt: skip
    parts = plots.evaluation_pages(many)
    assert [r for part in parts for r in part] == many and len(parts) > 1
    tasks = [{r.task for r in part} for part in parts]
    assert all(not a & b for a, b in combinations(tasks, 2))
    lines = [len(part) + len(task) for part, task in zip(parts, tasks, strict=True)]
    assert max(lines) <= 60 and all(n + 6 > 60 for n in lines[:-1])  # a task has six
    for part in parts:
        figure = plots.evaluation(part)
        assert_tidy(figure)
        assert sum(line.get_marker() == "o" for axes in figure.axes for line in axes.lines) == len(part)
    assert plots.evaluation_pages([]) == []


def test_throughput_shows_speed_and_waiting() -> None:
    timed = [r | {"seconds": 0.5 if r["step"] < 80 else 0.25, "waited": 0.05} for r in records(160)]
    figure = plots.throughput(timed, "Throughput")
    speed, wait = figure.axes
    assert (speed.lines[0].get_ydata()[0], speed.lines[0].get_ydata()[-1]) == (2, 4)
    assert np.allclose(wait.lines[0].get_ydata()[[0, -1]], (0.1, 0.2)) and speed.lines[0].get_xdata()[0] == 1.5
    assert speed.get_xlim() == wait.get_xlim() == (0, 160) and "steps per second" in said(figure)
    assert_tidy(figure)


def frame(**changes: float | None) -> pd.DataFrame:
    """Objectives x modules."""
    rows = {"mlm": [0.5, None, None], "itm": [None, 0.0213, 12.3], "mim": [None, 2.0e-5, 0.0]}
    table = pd.DataFrame(rows.values(), list(rows), ["language embeddings", "vision", "fusion"], dtype=object)
    for name, value in changes.items():
        table.loc[name, "language embeddings"] = value
    return table


def test_a_gradient_table_prints_every_norm_and_tells_no_path_from_zero() -> None:
    figure = plots.gradient_table(frame(), "Norms")
    cells = [t.get_text() for t in figure.axes[0].texts]
    assert sorted(cells) == sorted(["0.50", "–", "–", "–", "0.021", "12", "–", "2e−5", "0"])
    hatched = [p for p in figure.axes[0].patches if p.get_hatch()]
    assert len(hatched) == 4
    zero = next(p for p in figure.axes[0].patches if p.get_xy() == (2, 2))
    assert not zero.get_hatch() and zero.get_facecolor()[:3] == (1, 1, 1)
    assert {"MLM", "ITM", "MIM", "language embeddings", "–  no path", "gradient norm (L2)"} <= {
        t.get_text() for t in texts(figure)
    }
    assert "one table only" not in said(figure)
    assert_tidy(figure)
    numbers = plots.gradient_table(frame().astype(float))
    assert [t.get_text() for t in numbers.axes[0].texts] == cells  # NaN in a frame of floats is no path


def test_two_gradient_tables_frame_what_differs() -> None:
    figure = plots.gradient_table({"stop on": frame(), "stop off": frame(itm=0.7)})
    on, off = figure.axes[:2]
    assert (on.get_title(loc="left"), off.get_title(loc="left")) == ("stop on", "stop off")
    for axes in (on, off):
        framed = [p for p in axes.patches if isinstance(p, Rectangle) and not p.get_fill()]
        assert len(framed) == 1 and (int(framed[0].get_x()), int(framed[0].get_y())) == (1, 0)
    assert "0.70" in [t.get_text() for t in off.texts] and "path in one table only" in said(figure)
    colour = {axes: next(p for p in axes.patches if p.get_xy() == (0, 0)).get_facecolor() for axes in (on, off)}
    assert colour[on] == colour[off]  # one scale
    assert_tidy(figure)
    with pytest.raises(ValueError, match="same objectives"):
        plots.gradient_table({"a": frame(), "b": frame().iloc[:2]})


def test_gradient_norms_are_printed_with_two_digits() -> None:
    numbers = [0, 0.00123, 0.021, 0.5, 1.5, 12.3, 120, 9999, 12345, 2.1e-5, math.nan]
    figure = plots.gradient_table(pd.DataFrame([numbers], ["mlm"], list("abcdefghijk"), dtype=object))
    printed = [t.get_text() for t in figure.axes[0].texts]
    assert printed == ["0", "0.0012", "0.021", "0.50", "1.5", "12", "120", "9999", "1e4", "2e−5", "nan"]
    for value in (None, 0.0, 3.0):  # all or none may vanish
        assert_tidy(plots.gradient_table(pd.DataFrame([[value]], ["mlm"], ["vision"], dtype=object)))


def test_gradient_scales_mark_where_there_is_no_path() -> None:
    table = pd.DataFrame({"itm": [None, 0.5, 1.0], "bbp": [None, 0.2, 0.4]}, [0.0, 0.5, 1.0])
    figure = plots.gradient_scales(table, "language embeddings", "Scale")
    itm, bbp, cut = figure.axes[0].lines
    assert itm.get_ydata()[1:].tolist() == [0.5, 1.0] and bbp.get_linestyle() != itm.get_linestyle()
    assert cut.get_xdata().tolist() == [0.0] and cut.get_marker() == "x" and "no path" in said(figure)
    assert_tidy(figure)


def scene(text: str, count: int = 2) -> Scene:
    objects = tuple(Object(0, "dog", "big", 2 + 15 * i, 4, 10, 8, 32, 12, False) for i in range(count))
    return Scene(
        PICTURE, objects, Caption(text, (), ()), tuple(Caption(f"the dog {i}", (), ()) for i in range(count)), CREDIT
    )


def test_scenes_show_captions_boxes_and_phrases() -> None:
    figure = plots.scenes([scene("two dogs"), scene("a dog that " + "really " * 30 + "barks", 1)], "Scenes")
    words = said(figure)
    assert {"“two dogs”", "1 the dog 0", "2 the dog 1", "Scenes", CREDIT} <= set(words.split("\n"))
    boxes = [p for p in figure.axes[0].patches if not p.get_fill()]
    assert [p.get_bbox().bounds for p in boxes] == [(1.5, 3.5, 10, 8), (16.5, 3.5, 10, 8)]
    assert len({p.get_linestyle() for p in boxes}) == 2  # not by colour alone
    assert_tidy(figure)


def test_hidden_patches_are_covered() -> None:
    masks = np.zeros((2, 16), bool)
    masks[0, 6] = True
    figure = plots.hidden_patches([PICTURE] * 2, masks, credit="Pictures: mine")  # type: ignore[arg-type]
    assert [p.get_bbox().bounds for p in figure.axes[0].patches] == [(15.5, 7.5, 8, 8)] and not figure.axes[1].patches
    assert {"1 of 16 hidden", "0 of 16 hidden", "Pictures: mine"} <= {t.get_text() for t in texts(figure)}


def test_retrieval_shows_the_right_caption_wherever_it_comes() -> None:
    top = (("a dog", 0.9, True), ("a cat", 0.4, False), ("a pig", -0.3, False))
    missed = (("a cat", 0.9, False), ("a pig", 0.8, False), ("a cow", 0.7, False))
    figure = plots.retrieval_examples(
        [Retrieved(PICTURE, "a dog", 0, top), Retrieved(PICTURE, "a fox", 41, missed)], credit=CREDIT
    )
    words = {t.get_text() for t in texts(figure)}
    assert {"✓ right", "1. a dog (0.90)\u00a0✓", "3. a pig (−0.30)", CREDIT} <= words
    assert {"✗ its caption has rank 42", "1. a cat (0.90)", "42. a fox\u00a0✓"} <= words
    assert_tidy(figure)


def test_grounding_shows_both_boxes() -> None:
    box = (0.5, 0.5, 0.25, 0.5)
    figure = plots.grounding_examples([Grounded(PICTURE, "the dog", (0.25, 0.5, 0.5, 0.5), box, 0.321)], credit=CREDIT)
    by_colour = {p.get_edgecolor(): p for p in figure.axes[0].patches}
    true = by_colour[matplotlib.colors.to_rgba(BLUE)]
    assert true.get_bbox().bounds == (11.5, 7.5, 8, 16) and true.get_linestyle() in ("-", "solid")
    predicted = by_colour[matplotlib.colors.to_rgba(ORANGE)]
    assert predicted.get_bbox().bounds == (-0.5, 7.5, 16, 16) and predicted.get_linestyle() not in ("-", "solid")
    words = {t.get_text() for t in texts(figure)}
    assert {"✗ IoU 0.32", "“the dog”", "true box", "predicted box", CREDIT} <= words
    assert_tidy(figure)


def test_masked_words_are_guessed_beside_both_pictures() -> None:
    right, wrong = (("dog", 0.71), ("cat", 0.2), ("\x01", 0.001)), (("pig", 0.5), ("cow", 0.2), ("hen", 0.1))
    figure = plots.masked_word_examples(
        [Masked(PICTURE, PICTURE, "a small ____ beside a tree", "dog", right, wrong)] * 3, credit=CREDIT
    )
    words = [t.get_text() for t in texts(figure)]
    assert len(figure.axes) == 6 and words.count("its picture") == words.count("another") == 3
    assert {"dog 71\u00a0%\u00a0✓", "cat 20\u00a0%", "� <1\u00a0%", "pig 50\u00a0%", "(dog)", CREDIT} <= {*words}
    assert " ".join(words).split().count("____") == 3
    assert_tidy(figure)


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
    first, second = (plots.bars({"a": 0.5}, "share").svg("a", "bars") for _ in range(2))
    assert first == second


def test_a_picture_on_a_page_has_its_own_pixels() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    svg = plots.retrieval_examples([Retrieved(noise, "a dog", 0, (("a dog", 0.9, True),))]).svg("retrieval", "one")
    (image,) = [e for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("image")]
    assert "pixelated" in image.attrib["style"]
    data = base64.b64decode(image.attrib["href"].removeprefix("data:image/png;base64,"))
    shown = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
    assert shown.shape == noise.shape and ((shown == noise).all() or (shown[::-1] == noise).all())


def test_a_figure_shows_itself_sharp_and_the_same_every_time() -> None:
    figure = plots.bars({"a": 0.5, "b": -0.25}, "share")
    png, size = figure._repr_png_()
    wide, tall = struct.unpack(">II", png[16:24])
    assert size == {"width": 730, "height": 116} and wide > 1.5 * size["width"] and abs(wide / tall - 7.6 / 1.21) < 0.05
    for kind in ("png", "pdf", "svg"):
        assert figure.bytes(kind) == plots.bars({"a": 0.5, "b": -0.25}, "share").bytes(kind)


@pytest.mark.parametrize("kind", ["pdf", "ps"])
def test_saved_figures_embed_truetype_fonts_outside_of_the_style_too(kind: str, tmp_path) -> None:
    figure, path = plots.bars({"a": 0.5}, "share"), tmp_path / f"a.{kind}"
    figure.savefig(path)
    buffer = BytesIO()
    figure.savefig(buffer, format=kind)
    for content in (path.read_bytes(), buffer.getvalue()):
        assert re.search(rb"/FontType 42|/CIDFontType2", content)
        assert not re.search(rb"/Type3|/FontType 3", content)


@pytest.mark.parametrize(("width", "mm"), [("column", 85), ("page", 178)])
def test_a_figure_is_sized_for_a_paper(width, mm: int) -> None:
    title = "Accuracy of the probes of the first three layers, of the text encoder and of the picture encoder"
    figure = plots.bars({"language encoder": 0.5, "b": -0.25}, "share of the gap", title).sized(width)
    assert 25.4 * figure.get_figwidth() == pytest.approx(mm) and {t.get_fontsize() for t in texts(figure)} == {8}
    assert_tidy(figure)
    table = pd.DataFrame({"language": [1.0, 2.0], "vision": [2.0, 1.0], "fusion": [2.0, 3.0]})
    assert_tidy(plots.lines(table, "layer", "accuracy", title).sized(width))


def test_a_figure_with_more_panels_than_a_column_holds_says_so() -> None:
    panels = {name: np.ones((2, 2)) for name in "abc"}
    plots.scatter(panels, "layer", "entropy").sized("page")
    with pytest.raises(ConfigError, match=r"width = 'column': 3 panels do not fit 85 mm. Draw fewer."):
        plots.scatter(panels, "layer", "entropy").sized("column")
    with pytest.raises(ConfigError, match="width = 'text'"):
        plots.bars({"a": 1.0}, "x").sized("text")  # type: ignore[arg-type]


def test_the_users_settings_neither_matter_nor_change() -> None:
    plain = plots.gradient_table(frame()).bytes()
    dark = {"figure.facecolor": "black", "savefig.facecolor": "black", "text.color": "white", "font.size": 30}
    with matplotlib.rc_context(dark):
        assert plots.gradient_table(frame()).bytes() == plain
        assert matplotlib.rcParams["font.size"] == 30 and matplotlib.rcParams["text.parse_math"]


NOTHING = {
    "no records of training": lambda: plots.learning_curves([]),
    "no loss in the records": lambda: plots.learning_curves([{"run": "r", "step": 0, "of": 1, "loss": 1.0}]),
    "no accuracy": lambda: plots.learning_curves([{"run": "r", "step": 0, "pairs/mim": 1.0}], None, "accuracy"),
    "no results": lambda: plots.evaluation([]),
    "no records with times": lambda: plots.throughput([]),
    "no gradient tables": lambda: plots.gradient_table({}),
    "no gradients": lambda: plots.gradient_table(pd.DataFrame()),
    "no gradients$": lambda: plots.gradient_scales(pd.DataFrame()),
    "no scenes": lambda: plots.scenes([]),
    "no pictures": lambda: plots.hidden_patches([], []),
    "no examples of retrieval": lambda: plots.retrieval_examples([]),
    "no examples of grounding": lambda: plots.grounding_examples([]),
    "no examples of masked words": lambda: plots.masked_word_examples([]),
}


def test_nothing_to_draw_is_said() -> None:
    for message, draw in NOTHING.items():
        with pytest.raises(ValueError, match=message):
            draw()


@pytest.mark.parametrize("text", ["a dog and a tree", f"x {'Donaudampfschiff' * 5} y", "", "a\u00a0b " * 9, "\x01中"])
def test_lines_fit_and_lose_nothing(text: str) -> None:
    figure = plots.Figure(dpi=72)
    lines = wrap(text, 1.5, 9, indent="    ").split("\n")
    widths = [figure.text(0, 0, line, fontsize=9).get_window_extent().width / 72 for line in lines if line]
    assert all(width <= 1.5 for width in widths)
    kept = text.replace("\x01", "�").replace("中", "�")
    assert "".join("".join(lines).split(" ")) == "".join(kept.split(" "))
    assert all(line.startswith("    ") for line in lines[1:])


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
    assert_tidy(figure)
    assert "no_stop_gradient" in said(figure)


def test_many_variants_are_all_drawn_and_no_two_look_the_same() -> None:
    many = {f"variant {i}": runs(1)["xfm"] for i in range(24)}
    figure = plots.probes(many, ["language: drift from the start"])
    lines = [line for line in figure.axes[0].lines if line.get_label() in many]
    looks = [(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines]
    assert len(looks) == len({*looks}) == 24
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {*many}


def test_one_seed_has_no_interval_and_what_nobody_has_no_panel() -> None:
    figure = plots.probes(runs(1, guided=False))
    panels = [axes for axes in figure.axes if axes.axison]
    assert len(panels) == sum(not name.startswith("guidance") for name in READINGS)
    assert not any(axes.collections for axes in panels)
    with pytest.raises(ValueError, match=r"readings: 'drift' is none of .*'language: drift from the start'"):
        plots.probes(runs(1), ["drift"])
    with pytest.raises(ValueError, match="probes"):
        plots.probes(runs(1, guided=False), ["guidance: agreement of prediction and target"])


def test_cosines_are_a_triangle_and_no_path_is_no_zero() -> None:
    figure = plots.cosines(record(50), "after 50 steps")
    texts = said(figure).splitlines()
    assert {"0.10", "−0.05", "0.20", "0.90", "language encoder", "vision encoder", "after 50 steps"} <= {*texts}
    assert texts.count("–") >= 1
    assert_tidy(figure)
    with pytest.raises(ValueError, match="cosines"):
        plots.cosines({"cosine": {"language": {}, "vision": {}}})


def test_a_specialist_has_no_line_where_it_has_no_encoder_and_all_are_in_the_legend() -> None:
    both = runs(3)
    for variant, without in (("xfm", "vision"), ("no_stop_gradient", "language")):
        for one in itertools.chain(*both[variant]):
            del one["cka"][without]
    for names in ([*READINGS], ["language: drift from the start", "vision: drift from the start"]):
        figure = plots.probes(both, names)
        lines = {name: len(axes.lines) - 1 for name, axes in zip(names, figure.axes, strict=True)}
        moved = [n for name, n in lines.items() if name.endswith("the start")]
        assert moved == [1] * len(moved) and len(moved) in (2, 4)
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["xfm", "no_stop_gradient"]


@pytest.fixture(scope="module")
def inputs():
    return scene_inputs(build(CONFIG), TOKENIZER, PHOTO, about=1)


def test_attributions_show_every_method_and_every_word(inputs):
    found = [attribute(inputs, method) for method in METHODS if method not in SLOW]
    figure = plots.attributions(PHOTO.image, found, inputs.truth, "ITM")
    text = said(figure)
    assert all(method in text for method in METHODS if method not in SLOW)
    assert all(text.count(word) >= len(found) for word in found[0].by_word() if len(word) < 12)
    assert_tidy(figure)
    assert_tidy(plots.attributions(PHOTO.image, found[:1]))
    names = ["box height: generic attention", "box height: occlusion", "word elephantine: integrated gradients", "x"]
    assert_tidy(plots.attributions(PHOTO.image, [replace(found[0], method=name) for name in names]))
    one = next(a for a in found if a.signed)
    tenth = replace(one, text=one.text / 10, patches=one.patches / 10)
    scales = [said(plots.attributions(PHOTO.image, [a])) for a in (one, tenth)]
    for told, a in zip(scales, (one, tenth), strict=True):  # each panel has a scale of its own, and says which
        most = max(a.patches.tolist(), key=abs)
        assert f"most {most:+.2g} (patches)".replace("-", "−") in told.replace("\n  ", " ")
    with pytest.raises(ValueError, match="no attributions"):
        plots.attributions(PHOTO.image, [])


def test_each_panel_has_the_truth_that_is_its_own(inputs):
    one, left = attribute(inputs, "random"), np.zeros((48, 48), bool)
    left[:, :9] = True
    figure = plots.attributions(PHOTO.image, [one] * 3, [left, None, ~left])
    edges = [[c.get_paths()[0].get_extents().x1 for c in axes.collections] for axes in figure.axes[:3]]
    assert edges[0] and not edges[1] and edges[0] == edges[2], "one edge, seen from both sides"
    assert edges[0] == pytest.approx([8.5] * 2, abs=0.3)
    with pytest.raises(ValueError, match="zip"):
        plots.attributions(PHOTO.image, [one], [left, left])


def test_numbers_are_drawn_where_they_are(inputs):
    one = attribute(inputs, "random")
    figure = plots.attributions(np.full_like(PHOTO.image, 128), [one])
    shown = figure.axes[0].images[0].get_array()
    most, least = (one.grid.rectangle(int(patch)) for patch in (one.patches.argmax(), one.patches.argmin()))
    bright, dark = (shown[y : y + h, x : x + w].mean((0, 1)) for x, y, w, h in (most, least))
    assert bright[0] > dark[0] + 0.1 and bright[2] < dark[2] - 0.1  # viridis: yellow for the most
    widths = [bar.get_width() for bar in figure.axes[1].patches]
    values = list(one.by_word().values())
    np.testing.assert_allclose(widths, np.array(values) / max(values), rtol=1e-5)


@pytest.mark.parametrize("name", ["language", "vision", "fusion", "cross"])
def test_attention_is_a_picture_or_a_matrix_a_head(inputs, name):
    traced = trace(inputs.model, TOKENIZER, PHOTO.image, inputs.text, "itm")
    layers, heads = traced.maps[name].weights.shape[:2]
    by_words = name in ("language", "fusion")
    with pytest.raises(ConfigError, match=f"map = '{name}'"):
        (plots.attention if by_words else plots.attention_matrices)(traced, name)
    if by_words:
        figure = plots.attention_matrices(traced, name)
        np.testing.assert_allclose(figure.axes[1].images[0].get_array(), traced.maps[name].weights[-1, 1])
        assert len(figure.axes) == heads
    else:
        figure = plots.attention(traced, name, 2, credit=PHOTO.credit)
        assert said(figure).count("head ") == layers * heads and PHOTO.credit in said(figure)
    assert_tidy(figure)


def test_maps_over_a_picture_have_a_panel_each(inputs):
    values = np.zeros(PHOTO.image.shape[:2])
    values[:4] = 1.0
    figure = plots.patch_maps(PHOTO.image, {"first": values, "second": -values}, "Maps", columns=3, signed=True)
    shown = [axes.images[0].get_array() for axes in figure.axes[:2]]
    assert np.abs(shown[0][:4] - shown[1][:4]).min() > 0 and (shown[0][4:] == shown[1][4:]).all()
    assert "first" in said(figure)
    assert_tidy(figure)


def test_curves_and_the_leaderboard(inputs):
    methods = ["saliency", "ablation", "edges"]
    found = {m: faithfulness.perturbation_curves(inputs, attribute(inputs, m)) for m in methods}
    figure = plots.insertion_deletion(found, "log-odds")
    assert_tidy(figure)
    for axes, name in zip(figure.axes, found["saliency"], strict=True):
        assert axes.get_title(loc="left").startswith(name)
        np.testing.assert_allclose(axes.lines[0].get_ydata(), found["saliency"][name].scores)
    board = leaderboard(inputs.model, TOKENIZER, leaderboard_scenes(dataset(CONFIG).world, 3), methods)
    figure = plots.leaderboard(board.table(), COLUMNS[:6])
    assert_tidy(figure)
    assert all(method in said(figure) for method in methods)
    assert "left is better" in said(figure)
    others = ["weights drawn anew, image", "milliseconds", "pointing game"]
    asides = [axes.get_xlabel() for axes in plots.leaderboard(board.table(), others).axes]
    assert asides == ["0: changes with the model's weights", "left is better", "right is better"]


def test_heads_and_bars(inputs):
    frame = interventions.head_importance([inputs]).frame
    figure = plots.heads(frame)
    assert_tidy(figure)
    assert said(figure).count("attention x gradient") == 1
    values = {"vision.blocks.0": 0.2, "vision.blocks.1": -0.1}
    figure = plots.bars(values, "share restored", "Patching", reference=(0, 1))
    assert_tidy(figure)
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.2, -0.1]


def test_charts_draw_their_numbers():
    table = pd.DataFrame({"a": [0.5, -1.0], "b": [np.nan, 0.25]}, ["x", "y"])
    figure = plots.heatmap(table, "Map", digits=1)
    assert [t.get_text() for t in figure.axes[0].texts] == ["0.5", "–", "−1.0", "0.2"]
    assert_tidy(figure)
    figure = plots.lines(table, "heads", "right (%)", "Lines", reference=0.5)
    assert [line.get_ydata()[-1] for line in figure.axes[0].lines] == [-1.0, 0.25, 0.5]
    assert_tidy(figure)
    panels = {"one": np.ones((2, 3)), "two": np.zeros((2, 3))}
    figure = plots.scatter(panels, "layer", "distance", reference={"two": 0.3})
    one, two = figure.axes
    assert len(one.lines) == 3 and len(two.lines) == 4 and two.lines[-1].get_ydata()[0] == 0.3
    assert_tidy(figure)
    assert_tidy(plots.images({f"{i}. a part of a printed page, bottom row, far right": PHOTO.image for i in range(8)}))
    figure = plots.images({"left": PHOTO.image, "right": PHOTO.image[:, ::-1]}, credit="Pictures: mine")
    assert (figure.axes[1].images[0].get_array() == PHOTO.image[:, ::-1]).all() and "Pictures: mine" in said(figure)
    assert_tidy(figure)

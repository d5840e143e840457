"""The figures, from small plain inputs: what their artists say, that nothing lies over anything else or is cut off."""

from __future__ import annotations

import base64
import math
import re
import struct
import warnings
from io import BytesIO
from itertools import combinations
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from xfm import plots, recipes
from xfm.data.world import styles
from xfm.data.world.grammar import Caption
from xfm.data.world.scenes import Object, Scene
from xfm.plots.curve_records import smooth
from xfm.plots.palette import BLUE, ORANGE
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


# -- learning curves


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
    assert {(line.get_linestyle(), line.get_color()) for line in (itc[1], itc[4])} == {
        ("-", BLUE),
        ("--", ORANGE),
    }
    assert [axes.get_ylabel() for axes in figure.axes] == ["nats", "nats", "nats", "L1 + (1 − GIoU)"]
    assert "smoke: step 100 of 100, 0.10 s a step" in said(figure) and "to go" not in said(figure)
    assert_tidy(figure)


def test_curves_show_when_an_objective_joined_and_nothing_of_it_before() -> None:
    figure = plots.learning_curves(records())
    itm = next(axes for axes in figure.axes if axes.get_title(loc="left").startswith("ITM"))
    assert "joins after\nstep 30" in [t.get_text() for t in itm.texts]
    assert min(line.get_xdata()[0] for line in itm.lines) == 31
    assert all(line.get_xdata()[0] > 30 for line in itm.lines)


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
    assert not own.axes[2].patches and "pairs show one object" not in said(own) + str(texts(own)), (
        "of drawn pairs alone"
    )
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


def test_accuracies_are_curves_too() -> None:
    figure = plots.learning_curves(records(), CONFIG, "accuracy")
    assert [axes.get_title(loc="left").split()[0] for axes in figure.axes] == ["ITC", "BBP"], "MIM reports none"
    assert [axes.get_ylabel() for axes in figure.axes] == ["accuracy", "mean IoU"]
    assert "chance, 1 in 8" in said(figure)
    assert_tidy(figure)


def test_an_objective_that_nobody_knew_has_its_panel() -> None:
    added = [r | {"pairs/uniformity": 0.5, "sounds/uniformity": 0.4} for r in records()]
    figure = plots.learning_curves(added, CONFIG)
    last = figure.axes[-1]
    assert last.get_title(loc="left") == "UNIFORMITY" and last.get_ylabel() == "loss" and len(last.lines) == 4
    assert_tidy(figure)


def test_of_a_warm_start_the_last_run_is_drawn() -> None:
    first = [r | {"run": "smoke.stage1-abc", "images/mim": 3.0} for r in records(50)]
    figure = plots.learning_curves(first + records())
    assert "MIM" not in said(figure) and figure.axes[0].get_xlim()[1] == 100


def test_smoothing_looks_back() -> None:
    assert smooth(np.arange(4.0), np.array([1.0, 3, 5, 7]), 2).tolist() == [1, 2, 4, 6]
    assert smooth(np.arange(2.0), np.array([1.0, 3]), 0).tolist() == [1, 3]


def test_smoothing_counts_steps_not_points() -> None:
    steps, values = np.array([0.0, 10, 11, 30]), np.array([1.0, 3, 5, 7])
    assert smooth(steps, values, 5).tolist() == [1, 3, 4, 7]
    assert smooth(steps, values, 11).tolist() == [1, 2, 4, 7]
    assert smooth(steps, np.array([math.nan, 3, math.inf, 7]), 5).tolist()[1:] == [3, 3, 7]


# -- evaluation


def result(task: str = "naming", condition: str = "", metric: str = "accuracy", value: float = 0.5, **other) -> Result:
    row = {
        "low": value - 0.05,
        "high": value + 0.05,
        "n": 400,
        "baseline": 0.01,
        "baseline_name": "chance",
        "upper_bound": 1.0,
    }
    return Result(task, condition, metric, value, **{**row, "seed": 0, "split": "test", **other})


RESULTS = [
    result("image to text (random gallery)", "ITC", "R@1", 0.731, n=256, upper_bound=0.78),
    result("image to text (random gallery)", "ITC, shuffled pairs", "R@1", 0.02, n=256),
    result("masked names", "right - wrong", value=-0.02, n=207, baseline=0.0, baseline_name="no effect"),
    result("masked names", "wrong picture", value=0.25, n=208, baseline=None, baseline_name="", upper_bound=None),
    result(
        "language",
        metric="loss (nats)",
        value=6.87,
        baseline=6.9,
        baseline_name="unigram",
        upper_bound=None,
        better="lower",
        unit="nats",
    ),
]


def test_an_evaluation_shows_every_value_with_its_interval_control_and_ceiling() -> None:
    figure = plots.evaluation(RESULTS, "demo")
    words = [t.get_text() for t in texts(figure)]
    assert {
        "demo",
        "image to text (random gallery)",
        "ITC, R@1",
        "73.1\u00a0%",
        "n = 256, × chance",
        "−2.0\u00a0%",
        "6.87",
    } <= set(words)
    assert "right − wrong, accuracy (n = 207)" in words and "nats (lower is better)" in words
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
    many = [
        result(
            f"{names[i % 3]} {i}",
            conditions[j % 3],
            f"accuracy@{j}",
            0.01 * i,
            n=100 + (j if i % 2 else 0),
            baseline_name=("chance", "the same probe on an untrained model")[j % 2],
        )
        for i in range(30)
        for j in range(5)
    ] + RESULTS[-1:]
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


# -- gradients


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


def test_all_or_none_of_the_gradients_may_vanish() -> None:
    for value in (None, 0.0, 3.0):
        assert_tidy(plots.gradient_table(pd.DataFrame([[value]], ["mlm"], ["vision"], dtype=object)))


def test_gradient_scales_mark_where_there_is_no_path() -> None:
    table = pd.DataFrame({"itm": [None, 0.5, 1.0], "bbp": [None, 0.2, 0.4]}, [0.0, 0.5, 1.0])
    figure = plots.gradient_scales(table, "language embeddings", "Scale")
    itm, bbp, cut = figure.axes[0].lines
    assert itm.get_ydata()[1:].tolist() == [0.5, 1.0] and bbp.get_linestyle() != itm.get_linestyle()
    assert cut.get_xdata().tolist() == [0.0] and cut.get_marker() == "x" and "no path" in said(figure)
    assert_tidy(figure)


# -- pictures


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
    assert {"✗ its caption comes 42nd", "1. a cat (0.90)", "42. a fox\u00a0✓"} <= words
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
    assert {
        "dog 71\u00a0%\u00a0✓",
        "cat 20\u00a0%",
        "� <1\u00a0%",
        "pig 50\u00a0%",
        "(dog)",
        CREDIT,
    } <= set(words)
    assert " ".join(words).split().count("____") == 3
    assert_tidy(figure)


# -- on a page of HTML


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


# -- for all


def test_what_data_say_is_shown_as_it_is() -> None:
    """No mathematics of a caption's $ and _, no markup of its <, whatever the file."""
    figures = [
        plots.scenes([scene(EVIL)], EVIL),
        plots.retrieval_examples([Retrieved(PICTURE, EVIL, 3, ((EVIL, 0.1, False),))]),
        plots.grounding_examples([Grounded(PICTURE, EVIL, (0.5, 0.5, 0.2, 0.2), (0.5, 0.5, 0.2, 0.2), 1.0)]),
        plots.masked_word_examples([Masked(PICTURE, PICTURE, EVIL, "$x_", (("$x_", 0.5),), (("$$", 0.5),))]),
        plots.evaluation([result("a $x_ $y_", "<b>$", "$m_$")], EVIL),
        plots.learning_curves([r | {"run": EVIL, "$p_/$o_$": 1.0} for r in records()]),
        plots.gradient_table({EVIL: pd.DataFrame([[1.0]], ["$o_$"], ["$m_1$"])}, EVIL),
        plots.gradient_scales(pd.DataFrame({"$o_$": [1.0, 2.0]}, [0.0, 1.0]), "$m_1$", EVIL),
        plots.bars({"$a_$": 1.0}, "$x_$", EVIL),
    ]
    for figure in figures:
        found = texts(figure)
        odd = [t for t in found if "$" in t.get_text()]
        assert odd and not any(t.get_parse_math() for t in odd)
        svg = figure.bytes("svg").decode()
        assert svg.rstrip().endswith("</svg>") and "<img" not in svg
    assert "".join(f"“{EVIL}”".split()) in "".join(said(figures[0]).split())
    assert figures[0].bytes("png").startswith(b"\x89PNG") and figures[4].bytes("pdf").startswith(b"%PDF")


def test_a_figure_shows_itself_sharp_and_the_same_every_time() -> None:
    figure = plots.bars({"a": 0.5, "b": -0.25}, "share")
    png, size = figure._repr_png_()
    wide, tall = struct.unpack(">II", png[16:24])
    assert size == {"width": 730, "height": 116} and wide > 1.5 * size["width"] and abs(wide / tall - 7.6 / 1.21) < 0.05
    for kind in ("png", "pdf", "svg"):
        assert figure.bytes(kind) == plots.bars({"a": 0.5, "b": -0.25}, "share").bytes(kind)


def test_the_users_settings_neither_matter_nor_change() -> None:
    plain = plots.gradient_table(frame()).bytes()
    dark = {"figure.facecolor": "black", "savefig.facecolor": "black", "text.color": "white", "font.size": 30}
    with matplotlib.rc_context(dark):
        assert plots.gradient_table(frame()).bytes() == plain
        assert matplotlib.rcParams["font.size"] == 30 and matplotlib.rcParams["text.parse_math"]


def test_pyplot_and_ipython_are_not_needed() -> None:
    import subprocess
    import sys

    code = "import sys, xfm.plots; assert not {'matplotlib.pyplot', 'IPython', 'ipywidgets'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.learning_curves([]), "no records of training"),
        (lambda: plots.learning_curves([{"run": "r", "step": 0, "of": 1, "loss": 1.0}]), "no loss in the records"),
        (lambda: plots.learning_curves([{"run": "r", "step": 0, "pairs/mim": 1.0}], None, "accuracy"), "no accuracy"),
        (lambda: plots.evaluation([]), "no results"),
        (lambda: plots.throughput(records()[:0]), "no records with times"),
        (lambda: plots.gradient_table({}), "no gradient tables"),
        (lambda: plots.gradient_table(pd.DataFrame()), "no gradients"),
        (lambda: plots.gradient_scales(pd.DataFrame()), "no gradients"),
        (lambda: plots.scenes([]), "no scenes"),
        (lambda: plots.hidden_patches([], []), "no pictures"),
        (lambda: plots.retrieval_examples([]), "no examples of retrieval"),
        (lambda: plots.grounding_examples([]), "no examples of grounding"),
        (lambda: plots.masked_word_examples([]), "no examples of masked words"),
    ],
)
def test_nothing_to_draw_is_said(draw, message: str) -> None:
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


def test_long_names_of_pictures_do_not_meet() -> None:
    """As captions of one's own data are: a name above its picture would run into the next one's."""
    picture = np.zeros((8, 8, 3), np.uint8)
    drawn = plots.images({f"{i}. a part of a printed page, bottom row, far right": picture for i in range(8)})
    renderer = FigureCanvasAgg(drawn).get_renderer()
    drawn.draw(renderer)
    boxes = [t.get_window_extent(renderer) for axes in drawn.axes for t in (axes.title, *axes.texts) if t.get_text()]
    assert len(boxes) == 8 and not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])

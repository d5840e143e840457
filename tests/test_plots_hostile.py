"""Figures of texts, pictures and numbers that nobody expected: drawn in every format, or refused by name."""

import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from xml.etree import ElementTree

import hostile
import numpy as np
import pandas as pd
import pytest
import test_plots
import torch
from fontTools import subset
from PIL import Image

from xfm import plots
from xfm.base.fields import ConfigError
from xfm.base.files import FileError
from xfm.explain.attribution import Attribution
from xfm.explain.token_axes import PatchAxis, TokenAxis
from xfm.explain.tracing import AttentionMap, Trace
from xfm.plots.labels import clip, drawable, wrap
from xfm.tasks.failure_examples import Grounded, Masked, Retrieved
from xfm.tasks.retrieval_set import RetrievalSet
from xfm_widgets import figures

PICTURE = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
WORST = "a\ud800 \x00\x1b[31m $\\frac{ \u202e\u200b\ufffe\r\n<b> " + "e\u0301\u0301\u0301\u0301\u0301"
LONGEST = WORST + "</script>$_{" * 9000
Draw = Callable[[str], plots.Figure]


def words(text: str) -> TokenAxis:
    return TokenAxis(("<s>", text or "x", text or "x", "</s>"), (-1, 0, 1, -1), (text or "x", "lion"))


def found(text: str) -> Attribution:
    numbers = torch.tensor([0.0, 1.0, -0.5, 0.0]), torch.tensor([1.0, -1.0, 0.0, 0.5])
    return Attribution(text, text, *numbers, words(text), PatchAxis(2, 4), True, 0.1, 1, 2.0)


def traced(text: str) -> Trace:
    sizes, maps = {"words": 4, "patches": 5}, {}
    for name, kinds in (("language", "words words"), ("vision", "patches patches"), ("fusion", "words words"),
                        ("cross", "words patches")):  # fmt: skip
        queries, keys = kinds.split()
        weights = torch.full((1, 2, sizes[queries], sizes[keys]), 1 / sizes[keys])
        maps[name] = AttentionMap(weights, queries, keys)
    return Trace(text, PICTURE, words(text), PatchAxis(2, 4), maps, {}, {})


def pairs(text: str) -> RetrievalSet:
    features = np.eye(3, 4)
    return RetrievalSet(np.stack([PICTURE] * 3), (text,) * 3, np.eye(3), features, features, np.eye(3, dtype=bool))


def effects(text: str) -> pd.DataFrame:
    numbers = {"effect": 0.1, "low": 0.05, "high": 0.2, "mean": 0.5, "mean_against": 0.4, "baseline": 0.1, "ngram": 0.3,
               "n": 2, "step_0": 0.2, "margin": 0.05, "role": "primary", "unit": "%", "better": "higher",
               "verdict": "better", "judged_by": "Holm", "against": text + "0"}  # fmt: skip
    named = dict.fromkeys(("metric", "baseline_name", "y", "columns", "rows"), text)
    return pd.DataFrame([numbers | named | {"variant": text + v, "x": x} for v, x in (("1", 0), ("2", text))])


def seeds(text: str) -> pd.DataFrame:
    rows = [(text, text + str(i), s, 0.1 * s, 0.1, False) for i in range(3) for s in range(2)]
    return pd.DataFrame(rows, columns=["metric", "variant", "seed", "value", "difference", "failed"])


NAMES = ("insertion, image", "deletion, image", "insertion, text", "deletion, text")
CURVE = SimpleNamespace(shares=np.linspace(0, 1, 3), scores=np.linspace(0, 1, 3))


GUESS = {"guesses": [("lion", 0.9)], "truth": 0.5}


def probed(text: str) -> pd.DataFrame:
    """Probes of relations at two layers, at a position of that name."""
    row = {"condition": "relation", "encoder": "fusion", "position": text, "value": 0.6, "low": 0.5, "high": 0.7}
    return pd.DataFrame([row | {"layer": layer} for layer in (0, 1)])


FIGURES: dict[str, Draw] = {
    "attention": lambda t: plots.attention(traced(t), piece=1, title=t, credit=t),
    "attention_matrices": lambda t: plots.attention_matrices(traced(t)),
    "attributions": lambda t: plots.attributions(PICTURE, [found(t), found(t)], title=t, credit=t),
    "bars": lambda t: plots.bars({t: 1.0, t + "b": -0.5}, t, t),
    "cosines": lambda t: plots.cosines(test_plots.record(0), t),
    "evaluation": lambda t: plots.evaluation([test_plots.result(t, t, t, baseline_name=t, unit=u) for u in "%x"], t),
    "forest": lambda t: plots.forest(effects(t), seeds(t), [t + "1", t + "2"], t),
    "gradient_scales": lambda t: plots.gradient_scales(pd.DataFrame({t: [0.5, 1.0]}, [0.0, 1.0]), t, t),
    "gradient_table": lambda t: plots.gradient_table({t: pd.DataFrame([[0.5]], [t], [t])}, t),
    "grounding_examples": lambda t: plots.grounding_examples([Grounded(PICTURE, t, (0.5, 0.5, 0.2, 0.2), (0.4, 0.4, 0.2,
        0.2), 0.4)], t, credit=t),
    "heads": lambda t: plots.heads(pd.DataFrame({"place": [t], "layer": [0], "head": [0], t + "x": [0.5]}), t),
    "heatmap": lambda t: plots.heatmap(pd.DataFrame([[0.5, 0.1]], [t], [t, t + "b"]), t),
    "hidden_patches": lambda t: plots.hidden_patches([PICTURE], [np.arange(4) > 2], t, credit=t),
    "images": lambda t: plots.images({t: PICTURE, t + "b": PICTURE}, t, credit=t),
    "insertion_deletion": lambda t: plots.insertion_deletion({t: dict.fromkeys(NAMES, CURVE)}, t, t),
    "leaderboard": lambda t: plots.leaderboard(pd.DataFrame({"method": [t], "score": [t], "mean": [0.5], "low": [0.4],
        "high": [0.6]}), [t], t),
    "learning_curves": lambda t: plots.learning_curves([{"run": t, "step": i, "of": 2,
        f"{t.replace('/', '|')}/{t.replace('/', '|')}": 1.0} for i in (0, 1)]),
    "lines": lambda t: plots.lines(pd.DataFrame({t: [1.0, 2]}), t, t, t),
    "masked_word_examples": lambda t: plots.masked_word_examples([Masked(PICTURE, PICTURE, t, t, ((t, 0.5),), (("lion",
        0.5),))], t, credit=t),
    "paired_seeds": lambda t: plots.paired_seeds(effects(t), seeds(t), [t + "0", t + "1"], t),
    "patch_maps": lambda t: plots.patch_maps(PICTURE, {t: np.eye(8)}, t, credit=t),
    "probes": lambda t: plots.probes(dict(zip((t, t + "b"), test_plots.runs(1).values(), strict=True)),
        [*plots.READINGS][:1], t),
    "retrieval_examples": lambda t: plots.retrieval_examples([Retrieved(PICTURE, t, 7, ((t, 0.5, False), ("lion", 0.4,
        False)))], t, credit=t),
    "scatter": lambda t: plots.scatter({t: np.eye(2)}, t, t, t, {t: 0.5}),
    "scenes": lambda t: plots.scenes([test_plots.scene(t)], t),
    "throughput": lambda t: plots.throughput([{"step": 0, "seconds": 1.0, "waited": 0.1}], t),
    "message_figure": lambda t: plots.style.message_figure(t),
    "compare_runs": lambda t: figures.compare_runs({t: figures.CurvePanel({t: (np.arange(3.0), np.arange(1.0, 4))},
        unit=t)}, logarithmic=True, title=t),
    "flow_diagram": lambda t: figures.flow_diagram(test_plots.CONFIG.flow, t),
    "grounding": lambda t: figures.grounding(PICTURE, t, {"predicted": (1, 1, 4, 4)}, np.eye(2), t, (), t),
    "masked_prediction": lambda t: figures.masked_prediction(PICTURE, np.arange(4) > 2, None, None, [{"piece": t,
        "with": {"guesses": [(t, 0.5)], "truth": None}, "without": GUESS}], t, t),
    "plot_attention": lambda t: figures.plot_attention([figures.AttentionSide(t, "words", torch.ones(4)),
        figures.AttentionSide(t, "patches", torch.ones(5))], traced(t), title=t, credit=t),
    "plot_answers": lambda t: figures.plot_answers(t, (t, t), figures.Said(t, t, True, None, (0.4, 0.4, 0.2, 0.2)),
        [figures.Said(t, t, True, 0.5, (0.5, 0.5, 0.2, 0.2)), figures.Said(t, t, False)], [PICTURE] * 2,
        {t: [{"low": 0.0, "high": 1.0, "n": 4, "right": 0.5}]}, t),
    "plot_retrieval": lambda t: figures.plot_retrieval(pairs(t), "image to text", 0, credit=t),
    "plot_retrieval, pictures": lambda t: figures.plot_retrieval(pairs(t), "text to image", 0, credit=t),
    "forced_choices": lambda t: plots.forced_choices(probed(t).assign(condition=t, group=[t, t + "b"]), t),
    "probe_layers": lambda t: plots.probe_layers(probed(t), t),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_warnings() -> Iterator[None]:
    """And tables that hold any text: Arrow's, which pandas 3 takes where it is installed, hold no lone surrogates."""
    warnings.simplefilter("ignore")  # of pandas, about the option
    with pd.option_context("future.infer_string", False):
        warnings.simplefilter("error")
        yield
        warnings.simplefilter("ignore")


@pytest.fixture(scope="module", autouse=True)
def _quick_fonts() -> Iterator[None]:
    """A PDF's fonts without their tables of ligatures and kerning, which no text in it asks and which take long."""
    with pytest.MonkeyPatch.context() as patch:
        dropped = [*subset.Options._drop_tables_default, "GDEF", "GPOS", "GSUB"]
        patch.setattr(subset.Options, "_drop_tables_default", dropped)
        yield


def test_every_figure_is_here() -> None:
    public = {*plots.__all__, *figures.__all__}
    assert {n for n in public if n[0].islower()} - {"evaluation_pages"} <= FIGURES.keys()


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.full
def test_no_text_breaks_a_figure(name: str) -> None:
    figure = FIGURES[name](LONGEST)
    with Image.open(BytesIO(figure.bytes("png"))) as png:
        assert max(png.size) < 5000 and np.ptp(np.asarray(png.convert("L"))) > 100
    assert figure.bytes("pdf").startswith(b"%PDF")
    svg = figure.svg("one", LONGEST)
    assert ElementTree.fromstring(svg).tag.endswith("svg") and "<script" not in svg and "</script" not in svg


@pytest.mark.parametrize("text", hostile.params())
def test_texts_become_drawable_and_short(text: str) -> None:
    assert drawable(drawable(text)) == drawable(text) and len(clip(text, 20)) <= 20 and "\n" not in clip(text, 20)
    assert len(wrap(text, 2.0)) < 600 and drawable(text).encode() is not None
    assert ElementTree.fromstring(plots.bars({f"0 {text}": 1.0}, "x").bytes("svg")) is not None


NUMBERS = {
    "complex": np.eye(8) + 1j, "text": np.full((8, 8), "a"), "another shape": np.eye(7), "none": None,
    "ragged": [[1.0], [1.0, 2.0]], "graph": torch.ones(8, 8, requires_grad=True),
}  # fmt: skip


@pytest.mark.parametrize("form", NUMBERS)
def test_what_are_no_numbers_is_refused_by_name(form: str) -> None:
    values: Any = NUMBERS[form]
    refused = {
        r"maps\['a'\]": lambda: plots.patch_maps(PICTURE, {"a": values}),
        r"masks\[0\]": lambda: plots.hidden_patches([PICTURE], [values]),
        "predicted": lambda: figures.grounding(PICTURE, "a", boxes={"predicted": [1, 2] if values is None else values}),
    }
    if values is not None:
        refused["agreement"] = lambda: figures.masked_prediction(PICTURE, np.arange(4) > 2, values, None, [])
    for said, draw in refused.items():
        with pytest.raises(ConfigError, match=said):
            draw()


def test_a_saved_figure_is_whole_or_the_old_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure, path = plots.bars({"a": 1.0}, "x"), tmp_path / "one.png"
    figure.savefig(path)
    old = path.read_bytes()
    monkeypatch.setattr("xfm.base.files.os.replace", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(FileError, match=r"one.png: cannot be written \(No space left"):
        figure.savefig(path)
    assert path.read_bytes() == old and [p.name for p in tmp_path.iterdir()] == ["one.png"]

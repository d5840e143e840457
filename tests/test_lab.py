"""One handle on a trained model, what the checkpoint of the package promises, and the public face."""

import inspect
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from html_page import Page

import xfm
from xfm import explain, recipes
from xfm.config import ConfigError
from xfm.data.source import CaptionedImage
from xfm.study import Study
from xfm.tasks import Evaluation, evaluate, evaluate_run, find_result
from xfm.train import RunError


@pytest.fixture(scope="module")
def lab() -> xfm.Lab:
    return xfm.load("demo")


def test_it_is_the_run_with_all_that_belongs_to_it(lab: xfm.Lab) -> None:
    assert lab.config == lab.run.config and lab.tokenizer.vocabulary == lab.config.model.text.vocabulary
    assert not lab.model.training and lab.scene(9).text == lab.data.world.scene("test", 9).text
    assert len(lab.scene(3, "validation", objects=2).objects) == 2 and lab.evaluate() == evaluate_run(lab.run.folder)


def test_it_traces_and_attributes_like_the_functions(lab: xfm.Lab) -> None:
    scene = lab.scene(9)
    seen = lab.trace(scene.image, scene.text, target="itm")
    expected = explain.trace(lab.model, lab.tokenizer, scene.image, scene.text, target="itm")
    assert torch.equal(seen.maps["cross"].weights, expected.maps["cross"].weights) and seen.scores == expected.scores
    inputs = explain.scene_inputs(lab.model, lab.tokenizer, scene, "itm", 0)
    own = lab.attribute(scene, method="ablation", about=0)
    assert torch.equal(own.patches, explain.attribute(inputs, "ablation").patches)
    assert own.target == "itm" and own.method == "ablation"


def test_what_is_neither_checkpoint_nor_folder_nor_a_scenes_number_is_refused(lab: xfm.Lab, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"demmo.* is neither a run folder nor a bundled checkpoint .*mean .demo."):
        xfm.load("demmo")
    with pytest.raises(RunError, match=r"no run here \(no config.json\)"):
        xfm.load(tmp_path)
    for wrong in (None, b"demo", Path("nowhere"), "x" * 10_000_000, "a\0b", "\ud800"):
        with pytest.raises(ConfigError) as error:
            xfm.load(wrong)  # type: ignore[arg-type]
        assert len(str(error.value)) < 500 and str(error.value).isprintable()
    for given in ({"index": -1}, {"index": -(10**400)}, {"index": 1.0}, {"index": 9, "seed": None}):
        with pytest.raises(ConfigError, match=r"^(index|seed) = .*: must be a whole number"):
            lab.scene(**given)  # type: ignore[arg-type]


# ---- the checkpoint that comes with the package: what its files promise, measured again in part
# task, condition, metric: at least so much is promised of it
PROMISED = {
    ("image to text", "ITC", "R@1"): 0.99,
    ("text to image", "ITC", "R@1"): 0.99,
    ("grounding", "", "acc@0.5"): 0.97,
    ("masked names", "right picture", "accuracy"): 0.68,
}


def test_it_is_a_finished_run_of_its_recipe_that_has_learnt_what_was_promised_and_passes_a_bag_of_words(lab):
    run = lab.run
    assert run.done and run.config == recipes.pretrained() and not (run.folder / "state.pt").exists()
    assert (run.folder / "model.safetensors").stat().st_size <= 12_000_000
    assert run.metrics()[-1]["step"] == run.config.train.steps - 1
    stored = lab.evaluate()
    for (task, condition, metric), least in PROMISED.items():
        assert find_result(stored, task, metric, condition).value >= least, task
    assert (find_result(stored, "masked names", "accuracy", "right picture").baseline or 0) <= 0.05
    loss = find_result(stored, "language", "loss (nats)")
    assert loss.baseline_name == "unigram" and loss.value < (loss.baseline or 0) - 3
    for task in ("lexicographer files", "same synset", "hypernym"):
        probes = "linear probe", "fine-tuned", "bag of words"
        *found, known = (find_result(stored, task, "accuracy", probe).value for probe in probes)
        assert min(found) > known, task


@pytest.mark.full
def test_a_part_of_its_evaluation_is_measured_again(lab):
    """Another CPU may round otherwise, so a sample or two may fall on the other side."""
    stored = lab.evaluate()
    for result in evaluate(lab.model, lab.config, lab.tokenizer, tasks=["retrieval"]):
        told = find_result(stored, result.task, result.metric, result.condition)
        assert result.n == told.n and result.value == pytest.approx(told.value, abs=0.012), told


# ---- what `xfm.<TAB>` offers and what ends a cell
ROOMS = ("xfm", "xfm.explain", "xfm.plots", "xfm.recipes", "xfm.report", "xfm.study", "xfm.tasks", "xfm_widgets")
OFFERED = {"plots", "explain", "study", "evaluate", "report", "recipes", "load", "pretrain"}


def test_public_names_are_few_and_each_is_explained() -> None:
    offered = {name for name in dir(xfm) if name[0] != "_"}
    assert OFFERED <= offered <= OFFERED | {"Lab", "Run", "Study"}, "a name that nobody calls"
    rooms = {room: import_module(room) for room in ROOMS}
    values = {f"{room}.{name}": getattr(module, name) for room, module in rooms.items() for name in module.__all__}
    asked = {name: value for name, value in values.items() if inspect.isroutine(value) or inspect.isclass(value)}
    assert [name for name, value in asked.items() if not inspect.getdoc(value)] == []
    assert 80 < len(values) <= 160, "\n".join(values)
    with pytest.raises(AttributeError, match=r"no attribute 'plot'; it has Lab, .*plots"):
        _ = xfm.plot  # type: ignore[attr-defined]


def test_what_ends_a_cell_is_one_screen_and_one_line(lab: xfm.Lab) -> None:
    study = Study.load(Path(__file__).parents[1] / "studies" / "insulation")
    evaluation, scene = Evaluation(lab.evaluate(), {"x": "<b>no</b>"}), lab.scene(9)
    hostile = CaptionedImage(np.zeros((8, 8, 3), np.uint8), "<script>alert(1)</script>", credit="<b>me</b>")
    shown = {each: Page(each._repr_html_()) for each in (lab, lab.run, scene, hostile, study)}
    table = Page(evaluation._repr_html_())
    for each, html in [*shown.items(), (evaluation, table)]:
        assert {*html.tags} <= {"div", "img", "svg", "polyline", "table", "tr", "th", "td"}, "text has become HTML"
        assert html.tags.count("tr") * 28 + 168 < 900, f"{type(each).__name__}: more than a screen"
        line = repr(each)
        assert "\n" not in line and len(line) < 220 and line.startswith(type(each).__name__)
    assert scene.text in shown[scene].text() and scene.phrases[0].text in shown[scene].text()
    assert shown[lab.run].tags.count("svg") == 1 and "Why does the stop-gradient" in shown[study].text()
    assert table.text().count("chance") == 4 and "<b>no</b>" in table.text()

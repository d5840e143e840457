"""The attribution lab and the task explorer in a real JupyterLab: parts go with a click or a key, tasks are asked."""

import pytest
from playwright.sync_api import expect
from views import HOSTILE, press, says

pytestmark = pytest.mark.browser
CELL = f"""
import numpy as np, torch, xfm_widgets as xw
from xfm.explain.attribution import Attribution
from xfm.explain.token_axes import PatchAxis, TokenAxis
from xfm.explain.faithfulness import FaithfulnessReport
HOSTILE = {HOSTILE!r}
words = TokenAxis(("<s>", "li", "on", HOSTILE, "</s>"), (-1, 0, 0, 1, -1), ("lion", HOSTILE))
image = np.full((8, 8, 3), 220, np.uint8)
image[:4, :4] = (250, 160, 60)
lion, car = np.zeros((2, 8, 8), bool)
lion[:4, :4] = car[4:, 2:] = True
def found(method, target, signed, *patches):
    text = torch.tensor([0, 0.5, 0.25, -0.5 if signed else 0.1, 0])
    return Attribution(method, target, text, torch.tensor(patches), words, PatchAxis(2, 4), signed, 0, 1, 2.0)
some = [found(m, t, s, 0.9, -0.6 if s else 0.6, 0.1, 0.0)
        for t in ("itm", "itc") for m, s in (("gradients", True), ("attention", False))]
trust = FaithfulnessReport("gradients", {{"mass in mask": 0.8, "infidelity": 0.4}},
                           {{"random": {{"mass in mask": 0.3}}, "centre": {{"mass in mask": 0.9}}}}, 0.01)
def rescore(patches, pieces):
    if patches.all():
        raise RuntimeError("nothing is left of " + HOSTILE)
    return {{"itm": 2.0 - patches.sum() - 10 * pieces.sum(), "itc": 0.5 - 0.1 * pieces.sum()}}
pairs = [*zip(some, [trust, None, None, None])]
view = xw.AttributionLab(image, words, pairs, {{"the lion": lion, "a car": car}}, rescore)
view
"""


def scores(shown, target: str, *texts: str) -> None:
    expect(shown.locator(f"tr[data-target={target}] td.xfm-number")).to_have_text([*texts])


def test_objects_and_words_go_with_a_click_or_a_key_and_the_scores_change(notebook, offline):
    book = notebook(CELL)
    shown = book.view()
    picture = shown.get_by_role("group", name="gradients, for itc").locator("canvas[role=application]")
    picture.click(position={"x": 60, "y": 60})
    book.until("view.removed_objects", ["the lion"])
    scores(shown, "itm", "2", "1", "−1")
    scores(shown, "itc", "0.5", "0.5", "0")
    picture.focus()
    press(book.page, "ArrowDown", "ArrowRight", "Enter")  # the last patch shows the car
    book.until("[view.removed_objects, view.patch]", [["a car", "the lion"], 3])
    shown.get_by_role("button", name="Put all back").click()
    shown.get_by_label("a click on a picture removes").select_option("its patch")
    box = picture.bounding_box()
    picture.click(position={"x": 0.75 * box["width"], "y": 0.25 * box["height"]})
    book.until("(view.removed_objects, view.removed_patches)", [[], [1]])
    shown.get_by_role("group", name="Words", exact=True).get_by_role("button", name="lion").focus()
    press(book.page, "Enter")
    book.until("view.scores['after']['itm']", 2.0 - 1 - 20)
    assert book.python("(view.removed_words, view.token)") == [[0], 1]
    shown.get_by_role("checkbox", name="attention").uncheck()
    expect(shown.locator(".xfm-panel h4")).to_have_text(["gradients", "gradients"])
    says(shown.get_by_role("group", name="gradients, for itm"), "With care", "in a unit of its own")
    expect(shown.locator("[data-word='1']").first).to_have_text(f"−{HOSTILE}")
    book.python("setattr(view, 'removed_patches', [0, 1, 2, 3])")
    alert = shown.get_by_role("alert").filter(has_text="RuntimeError: nothing is left of <img")
    alert.wait_for()
    scores(shown, "itm", "2", "–", "–")
    book.python("setattr(view, 'removed_patches', [1]) or setattr(view, 'methods', ['gradients', 'attention'])")
    alert.wait_for(state="detached")

    page = offline(book.python("str(view.to_html('lab.html').resolve())"))
    scores(page, "itm", "2", "−19", "−21")
    page.get_by_role("button", name="Put all back").click()
    page.get_by_role("button", name="a car").click()
    scores(page, "itm", "2", "0", "−2")
    page.get_by_role("button", name="the lion").click()
    says(page.locator(".xfm-scores"), "need Python")


TASKS = f"""
import xfm_widgets as xw
from xfm.lab import CHECKPOINTS
from xfm.tasks.finetuning.config import recipe
from xfm.tasks.finetuning.finetuned_model import start
from xfm.tasks.finetuning.task import Item
from xfm_widgets.task_answers import Answered
tuned = start(recipe("vqa", CHECKPOINTS / "demo")).eval()
asked = [tuned.task.item("test", i) for i in range(3)]
asked[1] = Item(({HOSTILE!r},), asked[1].images, "yes")
models = [Answered("mine", ["yes", "no", "2"], [1, 0, 1], [0.9, 0.6, 0.3]),
          Answered("control", ["yes", "yes", "no"], [1, 1, 0], [0.5, None, 0.3])]
tasks = xw.TaskExplorer("question answering", lambda i: asked[i], models, lambda k: tuned)
tasks
"""


@pytest.mark.full
def test_examples_are_kept_chosen_asked_traced_and_attributed(notebook):
    book = notebook(TASKS)
    shown = book.view()
    examples = shown.get_by_role("listbox").get_by_role("option")
    shown.get_by_role("button", name="✗ wrong 1").click()
    book.until("[tasks.show, tasks.item, tasks.kept()]", ["wrong", 1, [1]])
    expect(examples).to_have_count(1)
    expect(shown.locator(".xfm-asked").first).to_have_text(HOSTILE)
    shown.get_by_role("button", name="≠ disagree 2").click()
    book.until("tasks.kept()", [1, 2])
    examples.nth(1).click()
    book.until("tasks.item", 2)
    shown.get_by_role("listbox").focus()
    press(book.page, "ArrowUp")
    book.until("tasks.item", 1)
    shown.get_by_role("textbox", name="Search").fill("no such word")
    book.until("tasks.kept()", [])
    shown.get_by_text("No example matches “no such word”.").wait_for()
    shown.get_by_role("button", name="Reset").click()
    book.until("[tasks.show, tasks.search, tasks.item]", ["all", "", 0])

    question = shown.get_by_role("textbox", name="A question of your own")
    question.fill("<b>how many</b> lions?")
    question.press("Enter")
    book.until("tasks.answered.get('text')", "<b>how many</b> lions?")
    answers = shown.locator(".xfm-own-text .xfm-answer")
    expect(answers).to_have_count(5)
    assert answers.locator("b").all_text_contents() == book.python("[a['answer'] for a in tasks.answered['answers']]")
    for name, view in (("Trace", "trace-explorer"), ("Attribute", "attribution-lab")):
        shown.get_by_role("button", name=name).click()
        shown.frame_locator("iframe").locator(f".xfm-{view}").wait_for(timeout=60_000)
        expect(shown.locator("iframe")).to_have_attribute("sandbox", "allow-scripts")

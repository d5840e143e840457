"""The task explorer in a real JupyterLab: examples are kept, chosen, asked a question, traced and attributed."""

import pytest
from playwright.sync_api import expect
from views import HOSTILE, press

pytestmark = pytest.mark.browser
CELL = f"""
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
    book = notebook(CELL)
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
    shown.get_by_text("0 examples kept.").wait_for()
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
    shown.get_by_role("button", name="Close").click()
    expect(shown.locator("iframe")).to_have_count(0)

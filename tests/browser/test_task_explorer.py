"""The task explorer in a real JupyterLab: what is asked of Python leaves the keyboard where it is."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser
CELL = """
import time, numpy as np, xfm_widgets as xw
from xfm.tasks.finetuning.task import Item
from xfm_widgets.task_answers import Answered
def tuned(_):
    time.sleep(1)
    raise ValueError("no model here")
image = np.zeros((8, 8, 3), np.uint8)
models = [Answered("one", ["lion", "cat"], [1, 0], [0.9, 0.5])]
xw.TaskExplorer("made", lambda i: Item(("a picture",), (image,), "lion"), models, tuned)
"""


def test_a_button_that_asks_python_keeps_the_focus(notebook):
    book = notebook(CELL)
    shown = book.view()
    trace = shown.get_by_role("button", name="Trace")
    trace.focus()
    book.page.keyboard.press("Enter")
    expect(shown.get_by_text("Python computes")).to_be_visible()
    expect(trace).to_be_disabled()
    expect(trace).to_be_focused()
    shown.get_by_text("ValueError: no model here").wait_for()
    expect(trace).to_be_enabled()
    expect(trace).to_be_focused()
    book.page.keyboard.press("Tab")
    expect(shown.get_by_role("button", name="Attribute")).to_be_focused()

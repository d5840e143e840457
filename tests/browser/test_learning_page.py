"""The page that learns, opened from disk with the network off: it learns, and answers keys."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import BrowserContext, Page, expect
from views import accessible, press, quiet

from xfm_widgets.learning_page import MEASURED, learning_page

pytestmark = pytest.mark.browser
ENOUGH, LIMIT = 0.8, 60  # R@1 of 16, and seconds of one core in which it must be reached
BOXES = 1.5  # IoU, as a multiple of that of the best constant box, in the same time
SHOWN = ("recall", "iou", "constant")
NO_WORKER = "delete globalThis.Worker;"
NO_WASM = "delete globalThis.WebAssembly;"


@pytest.fixture
def learn(alone: BrowserContext, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """learn(state, script): the page after the script. It may ask for nothing but its file and the worker it makes."""
    path = tmp_path / "learn.html"
    path.write_text(learning_page(), "utf-8")
    with quiet(alone, "file:", "blob:") as new_page:

        def opened(state: str = "", script: str = "", shown: str = "#page[data-steps='0']") -> Page:
            page = new_page()
            page.add_init_script(script)
            page.goto(f"{path.as_uri()}{state}")
            page.locator(shown).wait_for()
            return page

        yield opened


def work() -> float:
    """Seconds of processor time that the browser's pages have taken: other work on the machine does not count."""
    spent = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended meanwhile
            spent += sum(process.cpu_times()[:2]) if "--type=renderer" in process.cmdline() else 0
    return spent


@pytest.mark.full
def test_it_learns_to_find_pictures_and_drawings(learn: Callable[..., Page]) -> None:
    page, begin, recall, iou = learn(), work(), 0.0, 0.0
    page.get_by_role("button", name="Start").click()
    while (recall < ENOUGH or iou < BOXES) and work() < begin + LIMIT:
        page.wait_for_timeout(500)
        found, own, constant = (float(page.locator("#page").get_attribute(f"data-{n}") or 0) for n in SHOWN)
        recall, iou = max(recall, found), max(iou, own / constant)
    assert recall >= ENOUGH and iou >= BOXES, f"R@1 {recall}, {iou} times the IoU"


def test_every_screen_answers_keys_and_is_accessible(learn: Callable[..., Page]) -> None:
    page = learn()
    expect(page.locator(".xfm-now")).to_contain_text("Before the first step")
    page.get_by_role("button", name="Step").click()
    expect(page.locator(".xfm-now")).to_contain_text("After 1 step ")
    page.get_by_role("tab", name="Retrieval").focus()
    for title in ("Where does each loss", "What does each loss", "Does the stop protect", "Which picture"):
        accessible(page)
        press(page, "ArrowRight")
        expect(page.get_by_role("heading", level=2)).to_contain_text(title)
    page.get_by_role("button", name="small").first.focus()
    press(page, "ArrowRight", "Enter")
    assert "pair=1" in page.url


@pytest.mark.full
def test_it_trains_without_a_worker_and_says_where_it_cannot(learn: Callable[..., Page]) -> None:
    expect(learn(script=NO_WASM, shown="[role=alert]").locator("#page")).to_contain_text("open its file in Chrome 91")
    page = learn(script=NO_WORKER)
    expect(page.locator(".learn-status")).to_contain_text("one step a frame")
    page.get_by_role("button", name="Start").click()
    page.wait_for_function("() => +document.querySelector('#page').dataset.steps >= 2", timeout=60_000)


@pytest.mark.full
def test_the_stop_lets_nothing_through_and_the_class_runs_the_experiment(learn: Callable[..., Page]) -> None:
    page = learn("#screen=gradients")
    page.get_by_role("button", name="Step").click()
    expect(page.locator(".xfm-now")).to_contain_text("the stop lets 0 through")
    assert [page.locator(f"[data-{kind}=itm-language]").count() for kind in ("ghost", "edge")] == [1, 0]
    page.get_by_role("switch").click()
    expect(page.locator(".xfm-now")).to_contain_text("nothing stops it")  # at once, without another step
    assert float(page.locator("[data-edge=itm-language]").get_attribute("data-norm") or 0) > 0
    page = learn("#screen=stop")
    measured = json.loads(MEASURED.read_text("utf-8"))
    expect(page.locator(".learn-notes")).to_contain_text(f"{measured['two_phases']['n']} seeds")
    page.get_by_role("button", name="Run one seed").click()
    expect(page.locator(".xfm-now")).to_contain_text("One seed", timeout=180_000)
    expect(page.locator(".xfm-big")).to_contain_text("nats")

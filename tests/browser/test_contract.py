"""What every view promises on a phone, on a projector and to a screen reader, as pages of the bundled checkpoint."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import make_screenshots
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page
from views import CHECKS

import xfm_widgets as xw

pytestmark = [pytest.mark.browser, pytest.mark.full]
VIEWS = sorted({*xw.__all__} - {"View", "figures"})
SMALLEST = 43.5  # CSS pixels of what a finger is to meet, as they are laid out
SETTLED = "() => new Promise((done) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), 300))"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder, make = tmp_path_factory.mktemp("pages"), make_screenshots.views()
    assert sorted(make) == VIEWS
    return cache(lambda name: make[name]().to_html(folder / f"{name}.html"))


@pytest.fixture
def shown(pages: Callable[[str], Path], alone: BrowserContext) -> Iterator[Any]:
    """shown(name, **context): the view's page in a new context of these options."""
    contexts: list[BrowserContext] = []

    def make(name: str, **options: Any) -> Page:
        contexts.append(alone.browser.new_context(offline=True, **options))
        page = contexts[-1].new_page()
        page.goto(pages(name).as_uri())
        page.locator(".xfm-view").wait_for()
        page.evaluate(SETTLED)
        return page

    yield make
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", VIEWS)
def test_on_a_phone_nothing_is_cut_controls_fit_a_finger_and_a_swipe_scrolls(name, shown):
    page = shown(name, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(CHECKS + "targets", SMALLEST) == []
    actions = "[...document.querySelectorAll('.xfm-view *')].map((e) => getComputedStyle(e).touchAction)"
    assert {*page.evaluate(actions)} <= {"auto", "manipulation"}, "a swipe scrolls the page, wherever it began"
    answer = page.locator(".xfm-body").bounding_box()
    assert answer and answer["y"] < 844 / 2, "the answer begins in the upper half of the first screen"
    assert len(page.locator(".xfm-now").inner_text()) > 20, "a sentence says what is seen"


@pytest.mark.parametrize("name", VIEWS)
def test_presented_a_view_fits_a_projector(name, shown):
    page = shown(name, viewport={"width": 1920, "height": 1080})
    page.get_by_role("button", name="Present").click()
    page.wait_for_function("() => document.fullscreenElement?.matches('.xfm-view.xfm-present')")
    page.evaluate(SETTLED)
    assert page.evaluate(CHECKS + "presented") == []
    page.get_by_role("button", name="Present").click()
    page.wait_for_function("() => !document.fullscreenElement && !document.querySelector('.xfm-present')")


@pytest.mark.parametrize("name", VIEWS)
def test_axe_finds_nothing_and_a_page_has_one_heading_of_the_first_order(name, shown):
    page = shown(name, viewport={"width": 1280, "height": 900})
    assert page.locator("h1").count() == 1
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.evaluate(SETTLED)
        found = Axe().run(page).response["violations"]
        assert not found, [(v["id"], v["help"], [n["html"][:160] for n in v["nodes"][:4]]) for v in found]

"""The explorable on every screen, by eye: it fits, can be read, moves no more than is wanted, and fills a projector."""

import re
from typing import Any

import pytest
from explorable_screens import SCREENS, STATES, address, at, on
from playwright.sync_api import Page, expect
from views import CHECKS, accessible, press

pytestmark = [pytest.mark.browser, pytest.mark.full]
HEIGHTS = {320: 640, 390: 844, 1024: 768, 1920: 1080}


def test_a_switch_moves_what_it_changes_and_nothing_where_motion_is_unwanted(explorable: Any) -> None:
    page = explorable("#routing", ready=False)
    page.evaluate(CHECKS + "watchMotion")
    stop, free = (page.get_by_role("button", name=f"stop {state}") for state in ("on", "off"))
    itc = page.get_by_role("button", name="R@1 by ITC", exact=True)
    for state, button in (("#routing", free), ("#price", itc)):
        at(page, state)
        page.evaluate("window.moved.length = 0")
        button.click()
        moved = page.evaluate("window.moved")
        assert moved and all(150 <= duration <= 250 for duration in moved), state
    page.emulate_media(reduced_motion="reduce")
    at(page, "#routing")
    page.evaluate("window.moved.length = 0")
    stop.click()
    free.click()
    assert page.evaluate("window.moved") == []


def test_no_box_of_figure_1_covers_a_word(explorable: Any) -> None:
    covered = CHECKS + "covered"
    for width in (360, 390, 1024):
        page = explorable("#routing", ready=False)
        page.set_viewport_size({"width": width, "height": 800})
        for stop in ("on", "off"):
            at(page, f"#routing?stop={stop}")
            assert page.evaluate(covered) == [], (width, stop)
        page.get_by_role("button", name="Present").click()
        assert page.evaluate(covered) == [], width
        page.locator("[data-loss=mlm] rect").evaluate("(box) => box.setAttribute('y', +box.getAttribute('y') + 40)")
        assert width > 400 or "stop-gradient:" in page.evaluate(covered), "a box that is moved there would be seen"


def test_a_swipe_turns_the_screen_a_tap_does_not_and_present_fills_it(explorable: Any) -> None:
    page = explorable("#routing")
    for by, expected in ((-10, "routing"), (-120, "stop"), (120, "routing")):
        page.evaluate(CHECKS + "swipe", by)
        on(page, expected)
    at(page, "#seeds")
    page.set_viewport_size({"width": 1920, "height": 1080})
    page.get_by_role("button", name="Present").click()
    expect(page.locator(".xfm-present")).to_be_visible()
    press(page, "ArrowRight")
    on(page, "price")
    fills(page)
    page.get_by_role("button", name="Leave").click()
    expect(page.locator(".xfm-present")).to_have_count(0)


def fills(page: Page) -> None:
    """The picture has more than half of the screen."""
    box, screen = page.locator(".ex-place").bounding_box(), page.viewport_size
    assert box and screen and box["width"] * box["height"] >= 0.6 * screen["width"] * screen["height"], address(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", HEIGHTS)
def test_every_screen_fits_and_can_be_read(explorable: Any, width: int, scheme: Any) -> None:
    page, screens = explorable(), [f"#{name}" for name in SCREENS]
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
    for state in screens + STATES:
        at(page, state)
        page.wait_for_timeout(50)
        least = {320: 10, 1920: 16}.get(width, 11.9)
        assert page.evaluate(CHECKS + "explorable", [least, width <= 700]) == [], state
        if width > 700:
            fills(page)
        if state in screens:
            accessible(page)
    dark = page.evaluate("getComputedStyle(document.querySelector('.xfm-explorable')).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", dark)[:3])) < 200) == (scheme == "dark")

"""The explorable's screens and states, in tests."""

from playwright.sync_api import Page, expect

SCREENS = "pair zoom losses routing stop seeds price guidance try quiz".split()
STATES = [
    "#pair?loss=bbp", "#pair?loss=imlm&word=7", "#pair?loss=mim", "#pair?loss=itc", "#pair?loss=itm",
    "#zoom?enc=fusion&layer=1", "#zoom?enc=vision&layer=2&head=1&query=14",
    "#zoom?enc=language&layer=1&query=2", "#zoom?enc=fusion&layer=1&query=2&key=14",
    "#losses?word=4", "#routing?stop=off&step=2", "#stop?step=5", "#seeds?seed=110",
    "#price?row=boxes", "#guidance?step=3&patch=14", "#guidance?map=yours&hidden=0.7.14",
    "#try?gone=crab", "#try?text=the+snake", "#try?word=1",
    "#try?text=a+crab+to+the+right+of+a+snake", "#quiz?q=4&a=1---2-",
]  # fmt: skip
SAID = "() => [document.querySelector('h1').textContent, document.querySelector('.ex-now').textContent]"


def at(page: Page, state: str) -> list[str]:
    page.evaluate("(state) => { location.hash = state; }", state)
    on(page, state[1:].split("?")[0])
    return page.evaluate(SAID)


def on(page: Page, screen: str) -> None:
    expect(page.locator(".xfm-explorable")).to_have_attribute("data-screen", screen)


def tells(page: Page, text: str) -> None:
    expect(page.locator(".ex-now")).to_contain_text(text)


def address(page: Page) -> str:
    return page.evaluate("location.hash")

"""What `make site` builds: without a warning, light, whole, from disk, without a request."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from views import accessible, quiet

pytestmark = pytest.mark.full
ROOT = Path(__file__).resolve().parents[2]
IN_STYLE = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


class Page(HTMLParser):
    """Ids of a page, what it links to, and what it loads by itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.links = set[str](), list[str]()
        self.loads = [max(url) for url in IN_STYLE.findall("".join(re.findall(r"<style.*?</style>", text, re.S)))]
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        self.links += [given["href"]] if tag == "a" and "href" in given else []
        loaded = {"src", "srcset", "poster", "data", *(["href"] if tag == "link" else [])}
        self.loads += [value for name, value in given.items() if name in loaded]


def faults(site: Path) -> list[str]:
    """What a folder of pages asks of other hosts, and its links that lead nowhere."""
    pages, found = {path.resolve(): Page(path.read_text("utf-8")) for path in site.rglob("*.html")}, []
    for path, page in pages.items():
        found += [f"{path} loads {url}" for url in page.loads if re.match("(?:https?:)?//", url)]
        for url in page.links + page.loads:
            parts = urlsplit(url)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if parts.scheme or parts.netloc:
                continue
            if not target.is_file():
                found.append(f"{path}: {url} is not there")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                found.append(f"{path}: {url} has no such heading")
    styles = ((style, match) for style in site.rglob("*.css") for match in IN_STYLE.findall(style.read_text("utf-8")))
    return found + [f"{style} loads {url}" for style, match in styles if (url := max(match)).startswith(("http", "//"))]


def test_what_is_outside_or_missing_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<style>@import "https://x.y/z.css";</style><script src="//x.y/z.js"></script><a href="https://x.y">fine</a>'
        '<a href="b.html">missing</a><a href="#here">missing</a><p id="there"></p><a href="a.html#there">fine</a>'
    )
    (tmp_path / "a.css").write_text("p { background: url(https://x.y/z.png) } b { background: url(data:,) }")
    assert len(faults(tmp_path)) == 5


def build(folder: Path) -> None:
    """As `make site`, into folder/site. Warnings are errors."""
    environment = {**os.environ, "XFM_SCALE": "demo", "OMP_NUM_THREADS": "1"}
    sphinx = ["-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-c", "docs", "-d", folder / "tree", "."]
    for command in (["docs/course/live_pages.py", "build/extra"], [*sphinx, folder / "site"]):
        ran = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-6000:]


@pytest.fixture
def site(once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    return once("site", build) / "site"


def test_the_site_is_light_and_whole_and_asks_nobody(site: Path) -> None:
    sizes = {path.relative_to(site): path.stat().st_size for path in site.rglob("*") if path.is_file()}
    assert sum(sizes.values()) <= 25e6, sorted((size, str(path)) for path, size in sizes.items())[-8:]
    assert faults(site) == []
    written = (*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("docs/*.md"))
    named = {f"{page.parent.name}/{page.stem}.html" for page in written}
    assert named | {"index.html", "studies/README.html", "docs/course/teaching.html"} <= set(map(str, sizes))
    lesson = (site / "notebooks" / "07_attribution.html").read_text("utf-8")
    live = r'<iframe[^>]* src="../live/07-AttributionLab.html"[^>]* loading="lazy" sandbox="allow-scripts">'
    assert re.search(live, lesson)
    assert "lab.inputs" in lesson and "xfm.explain.attribute" in (site / "docs" / "api.html").read_text("utf-8")


@pytest.fixture
def opened(alone: Any, site: Path) -> Iterator[Callable[[str], Any]]:
    """opened(page): from disk, without a network; afterwards axe finds nothing in it."""
    pages = []
    with quiet(alone, "file:") as new_page:

        def show(name: str) -> Any:
            pages.append(page := new_page())
            page.goto((site / name).as_uri())
            return page

        yield show
        for page in pages:
            accessible(page, None, preload=False)


@pytest.mark.browser
def test_the_front_page_shows_a_live_view_and_one_in_a_notebook_asks_the_model(opened: Callable[[str], Any]) -> None:
    page = opened("index.html")
    page.wait_for_url("**/docs/index.html")
    frame = page.frame_locator("iframe.live")
    frame.locator(".xfm-view").wait_for()
    page.wait_for_function("() => parseFloat(document.querySelector('iframe.live').style.height) > 100")
    for theme in ("dark", "light"):
        page.evaluate("theme => { document.body.dataset.theme = theme; }", theme)
        frame.locator(f"body[data-theme={theme}]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page = opened("notebooks/07_attribution.html")
    page.locator("iframe.live").first.scroll_into_view_if_needed()
    frame = page.frame_locator("iframe.live").first
    before = frame.locator("tr[data-target] td").first.inner_text()
    frame.get_by_role("group", name="Words").get_by_role("button").first.click()
    frame.locator(f"tr[data-target] td:nth-of-type(2):not(:text-is('{before}'))").first.wait_for()
    # each height is answered by the theme: where that is no news, nothing is drawn anew
    assert frame.locator(".xfm-methods").evaluate("(m) => new Promise((f) => setTimeout(() => f(m.isConnected), 500))")


@pytest.mark.browser
@pytest.mark.parametrize("name", ["quiz", "quiz-key"])
def test_a_form_is_one_page_of_paper(name: str, opened: Callable[[str], Any]) -> None:
    paper = opened(f"docs/course/{name}.html").pdf(format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", paper)) == 1

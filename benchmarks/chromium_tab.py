"""What Chromium tells of a page, by the clock and by the time that the page's own thread worked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import spread
from playwright.sync_api import Browser

REST = 2000  # ms that a browser gets after its start
MARK = "xfm: the model answers"  # of offline.js
EMPTY = "an empty page"
SEEN = """new Promise((done) => {{
  const look = () => {{
    const entry = performance.getEntriesByName("{name}")[0];
    if (entry) done(entry.startTime);
  }};
  new PerformanceObserver(look).observe({{ entryTypes: ["paint", "mark"] }});
  look();
}})"""


class Tab:
    """A tab that is asked over the browser's protocol alone: what else Playwright sends would run in the page."""

    def __init__(self, browser: Browser) -> None:
        self.page = browser.new_context().new_page()
        self.session = self.page.context.new_cdp_session(self.page)
        self.session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def worked(self) -> float:
        """Milliseconds for which its main thread had the core so far."""
        metrics = self.session.send("Performance.getMetrics")["metrics"]
        return next(1000 * one["value"] for one in metrics if one["name"] == "TaskDuration")

    def evaluate(self, code: str) -> Any:
        call = {"expression": code, "awaitPromise": True, "returnByValue": True}
        answer = self.session.send("Runtime.evaluate", call)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")


def opening(start: Callable[[], Browser], paths: dict[str, Path], openings: int) -> dict[str, Any]:
    """Each in a browser of its own, which has no code of the page left from before."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, path in [*paths.items()] * openings:
        browser = start()
        browser.new_page().wait_for_timeout(REST)
        tab, times = Tab(browser), found.setdefault(name, {})
        tab.page.goto(path.as_uri(), wait_until="commit")
        marks = {"first paint": "first-contentful-paint"} | ({} if name == EMPTY else {"model ready": MARK})
        for what, mark in marks.items():
            times.setdefault(what, []).append(tab.evaluate(SEEN.format(name=mark)))
        times.setdefault("main thread", []).append(tab.worked())
        browser.close()
    return {name: {what: spread(times) for what, times in by.items()} for name, by in found.items()}

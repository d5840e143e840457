"""What the tests of all views ask."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page


def accessible(page: Page) -> None:
    """axe-core has no serious finding in any view."""
    found = Axe().run(page, context=".xfm-view")
    serious = [v for v in found.response["violations"] if v["impact"] in ("serious", "critical")]
    said = [
        f"{v['id']}: {v['help']}\n  "
        + "\n  ".join(n["html"][:200] + " " + n.get("failureSummary", "") for n in v["nodes"][:3])
        for v in serious
    ]
    assert not serious, "\n".join(said)

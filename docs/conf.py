"""Settings of Sphinx for `make site`: pages and notebooks as they stand in the repository, built into build/site."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(ROOT / "widgets"), str(HERE / "course")]
from site_sources import resolved  # noqa: E402

project, author, copyright = "X-FM Lab", "The X-FM Lab authors", "the X-FM Lab authors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
include_patterns = ["docs/*.md", "docs/course/*.md", "notebooks/*.ipynb", "studies/**.md", "studies/*/*.md",
                    "studies/*/*/*.md", "xfm/pretrained/*/README.md", "CONTRIBUTING.md",
                    "THIRD_PARTY_NOTICES.md"]  # fmt: skip
exclude_patterns = [".*", "build", "runs", "tests", "widgets", "studies/make_leaderboards.md"]
root_doc = "docs/index"

html_theme, html_title = "furo", "X-FM Lab"
html_static_path = ["../xfm/plots/tokens.css", "course/site.css", "course/site.js"]
html_css_files, html_js_files = ["tokens.css", "site.css"], ["site.js"]
html_extra_path = ["course/root", "../build/extra"]  # what leads to docs/index.html; what live_pages.py makes
html_copy_source = html_show_sourcelink = False

nb_execution_mode, nb_ipywidgets_js = "off", {}  # outputs as they were saved; by default pages ask a CDN for scripts
myst_enable_extensions = ["colon_fence"]
nb_custom_formats = {".ipynb": "site_sources.notebook"}
myst_heading_anchors = 4
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints, autodoc_member_order = "none", "bysource"


def _page(app: Any, name: str, source: list[str]) -> None:
    path = Path(app.env.doc2path(name))
    if path.suffix == ".md":
        source[0] = resolved(source[0], path.parent)


def _docstring(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings have Markdown's code and plain bars, which reStructuredText reads as other things."""
    lines[:] = [re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line).replace("|", r"\|") for line in lines]


def _levels(app: Any, name: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Captions of the sidebar are headings without a level, which no screen reader takes."""
    context["furo_navigation_tree"] = context["furo_navigation_tree"].replace(
        'role="heading"', 'role="heading" aria-level="2"'
    )


def _drawings(app: Any, tree: Any) -> None:
    """Studies' figures show no pictures of the data: they follow the theme (site.css)."""
    for image in tree.findall(nodes.image):
        if "/figures/" in image["uri"]:
            image["classes"].append("drawing")


def setup(app: Any) -> None:
    app.connect("source-read", _page)
    app.connect("doctree-read", _drawings)
    app.connect("html-page-context", _levels, priority=900)  # after furo's
    app.connect("autodoc-process-docstring", _docstring)

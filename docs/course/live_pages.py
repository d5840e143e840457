"""Live views for the site, made by the cells of its notebooks: `python docs/course/live_pages.py build/extra`.

A file a view, and the model's weights once, in weights.js: the page around a view (site.js) hands them to its frame.
So a view weighs little, and its frame stays in its sandbox, from disk too.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import sys
from pathlib import Path

from notebook_cells import code_cells, in_notebooks, needed, run

from xfm.base.fields import ConfigError
from xfm_widgets.pages import page_of

# Calls whose views are live on the site, by notebook: those that train nothing before.
LIVE = {
    "00": ("GradientFlow", "AblationExplorer", "MaskPlayground.of", "TraceExplorer", "AttributionLab.of", "GroundingPad.of"),
    "04": ("AblationExplorer", "GradientFlow"),
    "05": ("MaskPlayground.of", "AblationExplorer"),
    "06": ("TraceExplorer",),
    "07": ("AttributionLab.of",),
    "10": ('TaskExplorer.of(lab.task("vqa")',),
}  # fmt: skip
WEIGHTS = re.compile(r'"([A-Za-z0-9+/=]{1000000,})"')  # a text in the page's script
FIGURE = re.compile(r"xfm-figure-[0-9a-f]{8}")  # a name that is drawn for each view
ASKING = """<script>
const told = new Promise((tell) => addEventListener("message", ({ data }) => {
  if (data.theme) document.body.dataset.theme = data.theme;
  if (data.weights) tell(data.weights);
}));
const weights = () => (parent.postMessage({ want: "weights" }, "*"), told);
addEventListener("load", () => new ResizeObserver(() => {
  parent.postMessage({ height: document.documentElement.scrollHeight }, "*");
}).observe(document.querySelector("main")));
</script>
"""


def frame(page: str) -> str:
    """HTML of the frame that shows a page of `write`."""
    title = page.removesuffix(".html").partition("-")[2]
    return f'<iframe class="live" src="../live/{page}" title="{title}, live" loading="lazy" sandbox="allow-scripts"></iframe>'


def write(folder: Path) -> None:
    """Writes folder/live/: a page for each different view, which of them a cell shows (cells.json), and weights.js.
    ValueError where a cell of LIVE is not there once, and where two pages have other weights."""
    live = folder / "live"
    shutil.rmtree(live, ignore_errors=True)
    live.mkdir(parents=True)
    pages: dict[str, str] = {}  # what a page holds -> its name
    cells, weights = {}, set()
    for number, calls in LIVE.items():
        notebook = code_cells(number)
        for call in calls:
            at = [i for i, cell in enumerate(notebook) if f"xw.{call}" in cell.source]
            if len(at) != 1:
                raise ValueError(f"notebook {number}: {len(at)} cells have xw.{call}, not one: adapt LIVE")
            page = _page([cell.source for cell in notebook[: at[0] + 1]], has_model=".of(lab.task" not in call)
            weights |= {*WEIGHTS.findall(page)}
            text = WEIGHTS.sub("await weights()", page).replace('<main id="view">', f'{ASKING}<main id="view">')
            text = FIGURE.sub("xfm-figure", text)
            name = pages.setdefault(text, f"{number}-{call.partition('.of')[0]}.html")
            (live / name).write_text(text, "utf-8")
            cells[notebook[at[0]].id] = name
    if len(weights) != 1:
        raise ValueError(f"{live}: the pages have {len(weights)} models, and weights.js holds one")
    (live / "weights.js").write_text(f"window.xfmWeights = {json.dumps(weights.pop())};\n", "utf-8")
    (live / "cells.json").write_text(json.dumps(cells, indent=2) + "\n", "utf-8")


def _page(sources: list[str], has_model: bool) -> str:
    """What `to_html` writes of the view that the last of these cells shows; with its model where it has one."""
    *before, last = sources
    cell = ast.parse(last)
    names = run([*needed(before, last), ast.Module(cell.body[:-1], [])], {})
    shown = cell.body[-1]
    assert isinstance(shown, ast.Expr)
    with in_notebooks():
        view = eval(compile(ast.Expression(shown.value), "<notebook>", "eval"), names)
    try:
        return page_of(view, has_model)
    except ConfigError:  # it answers from its own numbers
        return page_of(view)


if __name__ == "__main__":
    write(Path(sys.argv[1]))

"""Live views for the site, made by the cells of its notebooks: `python docs/course/live_pages.py build/extra`.

A file a view, without the model's weights, which start/model.js has once: the page around a view (site.js) hands them
to its frame. So a view weighs little, and its frame stays in its sandbox, from disk too.
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
from xfm_widgets.pages import page_of, script_text
from xfm_widgets.site import MODEL, write_site

# Calls whose views are live on the site, by notebook: those that train nothing before.
LIVE = {
    "00": ("GradientFlow", "AblationExplorer", "MaskPlayground.of", "TraceExplorer", "AttributionLab.of",
           "GroundingPad.of"),
    "04": ("AblationExplorer", "GradientFlow"),
    "05": ("MaskPlayground.of", "AblationExplorer"),
    "06": ("TraceExplorer",),
    "07": ("AttributionLab.of",),
    "10": ('TaskExplorer.of(lab.task("vqa")',),
}  # fmt: skip
WEIGHTS = re.compile(r'(?<=<script type="text/plain" class="xfm-weights">)[^<]+(?=</script>)')
BROUGHT = re.compile(r'await (\S+\("xfm-model", "\.xfm-weights"\))')  # reads them
FIGURE = re.compile(r"xfm-figure-[0-9a-f]{8}")  # a name that is drawn for each view
ASKING = """<script>
const told = new Promise((tell) => addEventListener("message", ({ data }) => {
  if (data.theme) document.body.dataset.theme = data.theme;
  if (data.weights) tell(data.weights);
}));
const whole = new Promise((ready) => addEventListener("DOMContentLoaded", ready));
const weights = async () => {
  parent.postMessage({ want: "weights" }, "*");
  const [text] = await Promise.all([told, whole]);
  document.querySelector(".xfm-weights").textContent = text;
};
addEventListener("load", () => new ResizeObserver(() => {
  parent.postMessage({ height: document.documentElement.scrollHeight }, "*");
}).observe(document.querySelector("main")));
</script>
"""


def frame(page: str) -> str:
    """HTML of the frame that shows a page of `write`."""
    title = page.removesuffix(".html").partition("-")[2]
    how = 'loading="lazy" sandbox="allow-scripts"'
    return f'<iframe class="live" src="../live/{page}" title="{title}, live" {how}></iframe>'


def write(folder: Path) -> None:
    """Writes folder/start/ (see `xfm_widgets.site`) and folder/live/: a page for each different view, and which of them
    a cell shows (cells.json). ValueError where a cell of LIVE is not there once, and for a page of another model."""
    live, start = folder / "live", folder / "start"
    for made in (live, start):
        shutil.rmtree(made, ignore_errors=True)
    write_site(start)
    live.mkdir(parents=True)
    model = (start / MODEL).read_text("utf-8")
    pages: dict[str, str] = {}  # what a page holds -> its name
    cells = {}
    for number, calls in LIVE.items():
        notebook = code_cells(number)
        for call in calls:
            at = [i for i, cell in enumerate(notebook) if f"xw.{call}" in cell.source]
            if len(at) != 1:
                raise ValueError(f"notebook {number}: {len(at)} cells have xw.{call}, not one: adapt LIVE")
            text = light(_page([cell.source for cell in notebook[: at[0] + 1]]), model)
            name = pages.setdefault(text, f"{number}-{call.partition('.of')[0]}.html")
            (live / name).write_text(text, "utf-8")
            cells[notebook[at[0]].id] = name
    (live / "cells.json").write_text(json.dumps(cells, indent=2) + "\n", "utf-8")


def light(page: str, model: str) -> str:
    """A page that asks the page around it for its weights, which the script `model` holds. ValueError for others."""
    page = FIGURE.sub("xfm-figure", page).replace('<main id="view">', f'{ASKING}<main id="view">')
    if weights := "".join(WEIGHTS.findall(page)):
        page, count = BROUGHT.subn(r"await weights().then(() => \1)", WEIGHTS.sub("", page))
        known = script_text(json.dumps(weights))[1:-1] in model
        if count != 1 or not known:
            raise ValueError(f"a page reads its weights {count} times, not once; in {MODEL}: {known}")
    return page


def _page(sources: list[str]) -> str:
    """What `to_html` writes of the view that the last of these cells shows; with its model where it has one."""
    *before, last = sources
    cell = ast.parse(last)
    names = run([*needed(before, last), ast.Module(cell.body[:-1], [])], {})
    shown = cell.body[-1]
    assert isinstance(shown, ast.Expr)
    with in_notebooks():
        view = eval(compile(ast.Expression(shown.value), "<notebook>", "eval"), names)
    try:
        return page_of(view, model=True)
    except ConfigError:  # it answers from its own numbers
        return page_of(view)


if __name__ == "__main__":
    write(Path(sys.argv[1]))

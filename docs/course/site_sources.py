"""Pages and notebooks as Sphinx reads them: links that lead to pages, live views in the place of their figures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
from live_pages import frame

ROOT = Path(__file__).resolve().parents[2]
VIEW = "application/vnd.jupyter.widget-view+json"
LIVE = json.loads((ROOT / "build" / "extra" / "live" / "cells.json").read_text("utf-8"))  # of live_pages.py
COMMENT = re.compile(r"<!--.*?-->", re.S)
LINK = re.compile(r"(?<!!)\[([^\]\n]*)\]\(([^)#:\s]+)\)")
QUESTION = re.compile(r"^\| \[`([\w-]+)`\]\([\w-]+\) .*\]\(#([\w-]+)\)", re.M)  # in the table of studies/README.md
ANCHORS = dict(QUESTION.findall((ROOT / "studies" / "README.md").read_text("utf-8")))


def resolved(text: str, folder: Path) -> str:
    """Markdown without comments, whose links to folders lead to a page: a study's to its section or its plan. Where a
    folder has no page, the label stays."""

    def link(found: re.Match[str]) -> str:
        label, target = found.groups()
        path = (folder / target).resolve()
        if not path.is_dir():
            return found[0]
        up = "../" * len(folder.relative_to(ROOT).parts)
        pages = [path / "README.md", path / "spec.json"]
        if path.name in ANCHORS and folder.name != "studies":
            return f"[{label}]({up}studies/README.md#{ANCHORS[path.name]})"
        page = next((page for page in pages if page.exists()), None)
        return f"[{label}]({up}{page.relative_to(ROOT).as_posix()})" if page else label

    return LINK.sub(link, COMMENT.sub("", text))


def notebook(text: str) -> nbformat.NotebookNode:
    """A notebook whose links lead to pages, with live views in the place of their figures."""
    made = nbformat.reads(text, as_version=4)
    for cell in made.cells:
        if cell.cell_type == "markdown":
            cell.source = resolved(cell.source, ROOT / "notebooks")
            continue
        outputs = [output for output in cell.outputs if VIEW not in output.get("data", {})]
        if cell.id in LIVE:
            live = nbformat.v4.new_output("display_data", {"text/html": frame(LIVE[cell.id])})
            outputs = [output for output in outputs if output.output_type == "stream"] + [live]
        cell.outputs = outputs
    return made

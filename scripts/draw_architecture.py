"""Draws docs/architecture.png: the rooms of `xfm`, bottom to top in the order of imports, and what each imports.

    python scripts/draw_architecture.py

Rooms and imports are read from the source; only their places and captions are written here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from xfm.base.files import write_atomically

ROOT = Path(__file__).resolve().parents[1]
LAYERS: list[dict[str, tuple[float, str]]] = [  # bottom to top; room: its place from left to right, what it is
    {"text": (0.74, "what others\nwrote, shown"), "config": (2.25, "dataclasses,\nno torch"),
     "seeding": (3.75, "randomness\nby key"), "files": (5.26, "atomic writes,\nJSON lines"),
     "images": (6.76, "any picture\nto uint8"), "batch": (8.27, "the four streams'\ntensors"),
     "masking": (9.78, "spans and\nblocks"),
     "progress": (11.28, "a bar, or a\nline a tenth")},
    {"kernels": (4, "torch's operations,\nfaster on a CPU"),
     "peers": (9, "who computes the rest of\na batch")},
    {"model": (4, "vision, text and fusion\nencoders on one attention")},
    {"passes": (2.2, "one pass of an encoder,\nseveral streams' made one"),
     "interventions": (6, "on the gradient, and\nMIM's teachers"),
     "interop": (9.8, "others' files: the published\none, RoBERTa, BEiT, CLIP")},
    {"flow": (4, "THE PAPER: which tensor feeds which loss;\nstop-gradient and guidance")},
    {"objectives": (4, "one loss a file:\nMLM MIM ITC ITM IMLM BBP")},
    {"ablations": (4, "named changes\nof a config"),
     "specialists": (9, "baselines of equal size:\nclip_like, bert_like, ...")},
    {"recipes": (4, "whole configs"),
     "workers": (9, "batches made ahead, calls\nside by side on all cores")},
    {"data": (4, "sources by key: the drawn\nworld, WordNet, your own"),
     "prior_runs": (9, "what a run needs first:\nwarm start, teacher")},
    {"diagnostics": (4, "gradient table,\ntraining probe")},
    {"train": (4, "the loop, run folders,\nexact resume"),
     "explain": (9, "traces, attributions,\nfaithfulness, patching")},
    {"evaluation": (6, "one task a file:\nbaseline and interval")},
    {"downstream": (2.2, "fine-tuning: one task a file,\nheads, decoder, ranking"),
     "plots": (6, "figures from\narrays and tables"), "guests": (9.8, "open_clip's models,\nHugging Face's CLIP")},
    {"report": (6, "report.html\nof a run"), "lab": (9.8, "one handle:\nxfm.load")},
    {"study": (4, "paired runs,\neffects")},
    {"cli": (4, "the command xfm"), "xfm_widgets": (9, "interactive views\nand their static figures")},
]  # fmt: skip
COLOURS = {"flow": "#f6d9a8", "model": "#cfe3f3", "objectives": "#cfe3f3", "recipes": "#cfe3f3", "train": "#cfe3f3"}
OTHER, LINE, TEXT = "#f0efec", "#8a8880", "#22211f"
MERGED = {"config_utils": "config"}  # drawn as one


def imports() -> dict[str, set[str]]:
    """Room -> the rooms that it imports."""
    found: dict[str, set[str]] = {}
    for package, folder in (("xfm", ROOT / "xfm"), ("xfm_widgets", ROOT / "widgets" / "xfm_widgets")):
        for path in folder.rglob("*.py"):
            parts = (package, *path.relative_to(folder).with_suffix("").parts)
            if parts != ("xfm", "__init__"):
                found.setdefault(room(parts), set()).update(map(room, imported(path, parts)))
    return {name: others - {name, "xfm", "__init__"} for name, others in found.items()}


def reached(graph: dict[str, set[str]], start: str) -> set[str]:
    """What a room imports, and what that imports, and so on."""
    own = graph.get(start, set())
    return own.union(*(reached(graph, name) for name in own))


def room(parts: tuple[str, ...]) -> str:
    name = "xfm_widgets" if parts[0] == "xfm_widgets" else parts[min(1, len(parts) - 1)]
    return MERGED.get(name, name)


def imported(path: Path, parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The dotted names of both packages that a file imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base: tuple[str, ...] = parts[: len(parts) - node.level] if node.level else ()
            module = (*base, *(node.module or "").split(".")) if node.module else base
            names = [(*module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        yield from (name for name in names if name and name[0] in ("xfm", "xfm_widgets"))


def draw() -> Figure:
    figure = Figure(figsize=(11, 16.8), dpi=110, layout="constrained")
    axes = figure.subplots()
    places: dict[str, tuple[float, float, float, float]] = {}
    for level, rooms in enumerate(LAYERS):
        width = 1.4 if level == 0 else 3.4
        places |= {name: (x, 1.75 * level, width, 1.02) for name, (x, _) in rooms.items()}
    graph = imports()
    if lacking := graph.keys() - places.keys() - {"pretrained"}:
        raise SystemExit(f"give {sorted(lacking)} a place in LAYERS")
    level_of = {name: level for level, rooms in enumerate(LAYERS) for name in rooms}
    for name, others in sorted(graph.items()):
        for other in sorted(others & places.keys()):  # what follows from other arrows, and the bottom row, is left out
            implied = any(other in reached(graph, middle) for middle in others - {other})
            if level_of[other] and level_of[other] >= level_of[name]:
                raise SystemExit(f"{name} imports {other}: put it into a level above that one")
            if level_of[other] and not implied:
                arrow(axes, places[name], places[other])
    for rooms in LAYERS:
        for name, (_, caption) in rooms.items():
            x, y, width, height = places[name]
            box = FancyBboxPatch((x - width / 2, y - height / 2), width, height, "round,pad=0.02,rounding_size=0.12",
                                 facecolor=COLOURS.get(name, OTHER), edgecolor=LINE, zorder=3)  # fmt: skip
            axes.add_patch(box)
            look: dict[str, Any] = {"ha": "center", "va": "center", "color": TEXT, "zorder": 4}
            axes.text(x, y + 0.29, name, fontsize=11, weight="bold", **look)
            axes.text(x, y - 0.16, caption, fontsize=8, linespacing=1.15, **look)
    axes.set(xlim=(-0.1, 12.1), ylim=(-1.1, 1.75 * (len(LAYERS) - 1) + 0.8))
    axes.set_axis_off()
    axes.text(12, -0.8, "the bottom row: imported by all", ha="right", va="top", fontsize=9, color=TEXT, style="italic")
    figure.suptitle("Arrows: imports, without those that others imply. Blue, yellow: read first.", fontsize=11)
    return figure


def arrow(axes: Axes, start: tuple[float, float, float, float], end: tuple[float, float, float, float]) -> None:
    reach = min(start[2], end[2]) * 0.44
    shift = max(-reach, min(reach, (end[0] - start[0]) * 0.3))
    tail, head = (start[0] + shift, start[1] - start[3] / 2 - 0.03), (end[0] - shift, end[1] + end[3] / 2 + 0.05)
    axes.add_patch(FancyArrowPatch(tail, head, arrowstyle="-|>", mutation_scale=9, color=LINE, linewidth=0.9, zorder=1))


if __name__ == "__main__":
    target = ROOT / "docs" / "architecture.png"
    buffer = BytesIO()
    draw().savefig(buffer, metadata={"Software": None})
    write_atomically(target, buffer.getvalue())
    print(target.relative_to(ROOT))

"""Executes notebooks, one after the other, and saves them with their outputs, as they are committed.

    python scripts/run_notebooks.py                 # all, at demo scale
    python scripts/run_notebooks.py 04 07           # some, by the beginning of their names
    XFM_SCALE=smoke python scripts/run_notebooks.py --to /tmp/executed 06

A notebook is saved without widget state: each view is followed by its static figure, which is what GitHub shows.
Pictures become palette PNGs. An error stops the script and leaves that notebook as it was.
"""

from __future__ import annotations

import argparse
import base64
import os
import re
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbclient import NotebookClient
from PIL import Image
from scipy.spatial import KDTree

from xfm.base.files import write_atomically

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
TIMEOUT = 3600  # seconds a cell
KEPT = ("kernelspec", "language_info")  # of a notebook's metadata
ERROR = 19  # of 255, of a palette, in all but a thousandth of the pixels


def small(picture: bytes) -> bytes:
    """The smallest PNG of the same size that looks the same: with a palette, but for photographs."""
    image = Image.open(BytesIO(picture)).convert("RGB")
    pixels = np.asarray(image)
    colours, places = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    # charts have 256 colours, most of them of their letters' edges; else half are the frequent, half the rare ones
    coverage, median = Image.Quantize.MAXCOVERAGE, Image.Quantize.MEDIANCUT
    ways = [{coverage: n} for n in (16, 24, 32, 64, 128, 256)] if len(colours) <= 256 else [{median: 160, coverage: 96}]
    for counts in ways:
        made = [image.quantize(n, method, kmeans=3, dither=Image.Dither.NONE) for method, n in counts.items()]
        parts = [(part.getpalette() or [])[: 3 * n] for part, n in zip(made, counts.values(), strict=True)]
        palette = np.concatenate([np.array(part, np.uint8).reshape(-1, 3) for part in parts])
        nearest = np.asarray(KDTree(palette).query(colours)[1])[places].reshape(pixels.shape[:2])
        error = np.abs(palette[nearest].astype(int) - pixels).max(-1)
        if np.quantile(error, 0.999) <= ERROR:
            image = Image.fromarray(nearest.astype(np.uint8), "P")
            image.putpalette(palette.tobytes())
            break
    else:
        image = Image.fromarray(np.rint(np.rint(pixels / 255 * 63) / 63 * 255).astype(np.uint8))  # six bits a channel
    image.save(buffer := BytesIO(), "png", optimize=True)
    return buffer.getvalue()


def lighten(output: nbformat.NotebookNode) -> None:
    """Makes an output's picture small; a view's still and a table, which are there twice, stay once, a table without
    its style sheet: pages have their own."""
    data = output.get("data", {})
    if "<style scoped>" in data.get("text/html", ""):
        data["text/html"] = re.sub(r"<style scoped>.*?</style>\n", "", data["text/html"], flags=re.DOTALL)
    if data.get("text/html", "").lstrip().startswith(("<div>", "<table")):
        data.pop("text/plain", None)
    if "image/png" not in data:
        return
    still = data.get("text/html", "")
    if still.startswith('<img class="xfm-figure-'):  # only a view that is alive needs it, to hide it
        width = re.search(r'width="(\d+)"', still)
        output.metadata["image/png"] = {"width": int(width[1])} if width else {}
        del data["text/html"]
    data["image/png"] = base64.b64encode(small(base64.b64decode(data["image/png"]))).decode()


def save(notebook: nbformat.NotebookNode, path: Path) -> None:
    for cell in notebook.cells:
        if "remove-output" in cell.metadata.get("tags", ()):  # an exercise, which nobody has solved yet
            cell.outputs, cell.execution_count = [], None
        if cell.cell_type == "code":  # how far something was is not what came out
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.get("outputs", ()):
            lighten(output)
    notebook.metadata = {name: value for name, value in notebook.metadata.items() if name in KEPT}
    path.parent.mkdir(parents=True, exist_ok=True)
    text = nbformat.writes(notebook)
    write_atomically(path, text + "\n" * (not text.endswith("\n")))


def execute(path: Path, target: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    settings: Any = {"store_widget_state": False, "coalesce_streams": True, "record_timing": False}
    settings["resources"] = {"metadata": {"path": str(FOLDER)}}
    client = NotebookClient(notebook, timeout=TIMEOUT, kernel_name="python3", **settings)
    if any("live=" in cell.source for cell in notebook.cells):  # else a view of a training is saved as it began
        notebook.cells.append(nbformat.v4.new_code_cell("monitor.wait()"))
        client.execute()
        notebook.cells.pop()
    client.execute()
    save(notebook, target / path.name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="beginnings of notebooks' names; none: all")
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder that they are saved in")
    args = parser.parse_args()
    os.environ.setdefault("XFM_SCALE", "demo")
    paths = sorted(FOLDER.glob("*.ipynb"))
    for name in args.names:
        if not any(path.name.startswith(name) for path in paths):
            parser.error(f"no notebook begins with {name!r}; there are {', '.join(p.stem for p in paths)}")
    for path in paths:
        if args.names and not path.name.startswith(tuple(args.names)):
            continue
        start = time.perf_counter()
        print(f"{path.name} at scale {os.environ['XFM_SCALE']} ...", end=" ", flush=True)
        execute(path, args.to)
        print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()

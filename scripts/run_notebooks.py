"""Executes notebooks, one after the other, and saves them with their outputs, as they are committed.

    python scripts/run_notebooks.py                 # all, at demo scale
    python scripts/run_notebooks.py 04 07           # some, by the beginning of their names
    XFM_SCALE=smoke python scripts/run_notebooks.py --to /tmp/executed 06

A notebook is saved without widget state: each view is followed by its static figure, which is what GitHub shows. An
error stops the script and leaves that notebook as it was.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from xfm.base.files import write_atomically

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
TIMEOUT = 3600  # seconds a cell
KEPT = ("kernelspec", "language_info")  # of a notebook's metadata


def execute(path: Path, target: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        store_widget_state=False,
        coalesce_streams=True,
        record_timing=False,
        resources={"metadata": {"path": str(FOLDER)}},
    )
    if any("live=" in cell.source for cell in notebook.cells):  # else a view of a training is saved as it began
        notebook.cells.append(nbformat.v4.new_code_cell("monitor.wait()"))
        client.execute()
        notebook.cells.pop()
    client.execute()
    notebook.metadata = {name: value for name, value in notebook.metadata.items() if name in KEPT}
    target.mkdir(parents=True, exist_ok=True)
    text = nbformat.writes(notebook)
    write_atomically(target / path.name, text + "\n" * (not text.endswith("\n")))


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
        if not args.names or path.name.startswith(tuple(args.names)):
            start = time.perf_counter()
            print(f"{path.name} at scale {os.environ['XFM_SCALE']} ...", end=" ", flush=True)
            execute(path, args.to)
            print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()

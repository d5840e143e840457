"""Cells of the course's notebooks, and which of them a piece of code needs."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import nbformat

ROOMS = ("xfm.lab", "xfm.plots", "xfm.diagnostics.gradient_table")  # that cells left out have loaded on their way
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def path_of(number: str) -> Path:
    """Of "07": notebooks/07_attribution.ipynb. ValueError where not one notebook begins so."""
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    return path


def code_cells(number: str) -> list[nbformat.NotebookNode]:
    """Code cells in their order, without exercises."""
    cells = nbformat.read(path_of(number), as_version=4).cells
    return [c for c in cells if c.cell_type == "code" and "exercise" not in c.metadata.get("tags", ())]


def needed(cells: list[str], code: str) -> list[ast.Module]:
    """Cells that define the names that `code` uses, and the names that they use in turn, in their order. Without
    statements that are an expression: those only show something."""
    wanted, chosen = _names(ast.parse(code))[1], []
    for tree in map(ast.parse, reversed(cells)):
        tree.body = [node for node in tree.body if not isinstance(node, ast.Expr)]
        made, used = _names(tree)
        if made & wanted:
            wanted = (wanted - made) | used
            chosen.append(tree)
    return chosen[::-1]


def _names(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Names that a cell defines, and those that it must be given."""
    made: set[str] = set()
    used: set[str] = set()
    for statement in tree.body:
        nodes = [*ast.walk(statement)]
        names = [node for node in nodes if isinstance(node, ast.Name)]
        stored = {name.id for name in names if isinstance(name.ctx, ast.Store)}
        bound = {node.arg for node in nodes if isinstance(node, ast.arg)}
        loops = [node.target for node in nodes if isinstance(node, ast.comprehension | ast.For)]
        bound |= {name.id for target in loops for name in ast.walk(target) if isinstance(name, ast.Name)}
        if isinstance(statement, ast.FunctionDef):
            bound, stored = bound | stored, {statement.name}
        used |= {name.id for name in names if isinstance(name.ctx, ast.Load)} - bound - made
        made |= stored
        for node in nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                made |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return made, used


@contextmanager
def in_notebooks() -> Iterator[None]:
    """Notebooks run in their folder: they read ../studies."""
    before = Path.cwd()
    os.chdir(NOTEBOOKS)
    try:
        yield
    finally:
        os.chdir(before)


def run(cells: list[ast.Module], names: dict[str, Any]) -> dict[str, Any]:
    """Runs cells in the folder of the notebooks; `names` with what they define."""
    for room in ROOMS:
        import_module(room)
    with in_notebooks():
        for tree in cells:
            exec(compile(tree, "<notebook>", "exec"), names)
    return names

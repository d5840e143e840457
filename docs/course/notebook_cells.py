"""Cells of the course's notebooks, and which of them a piece of code needs."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

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
        made, used = _names(tree)
        if made & wanted:
            wanted = (wanted - made) | used
            chosen.append(ast.Module([node for node in tree.body if not isinstance(node, ast.Expr)], []))
    return chosen[::-1]


def _names(tree: ast.AST) -> tuple[set[str], set[str]]:
    """Names that code binds, and names that it reads."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    imported = [alias for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
    made = {(alias.asname or alias.name).partition(".")[0] for alias in imported}
    made |= {name.id for name in names if isinstance(name.ctx, ast.Store)}
    return made, {name.id for name in names if isinstance(name.ctx, ast.Load)}


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
    with in_notebooks():
        for tree in cells:
            exec(compile(tree, "<notebook>", "exec"), names)
    return names

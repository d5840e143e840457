"""Writes the exercises of exercises.toml into the notebooks.

python docs/course/exercises.py                      # students' cells, into notebooks/
python docs/course/exercises.py --solved FOLDER      # instructors' copies of these notebooks, into FOLDER
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import Any

import nbformat
from notebook_cells import path_of

from xfm.base.files import write_atomically

SOURCE = Path(__file__).with_name("exercises.toml")
TAGS = ["exercise", "raises-exception", "remove-output"]  # a failing check does not stop *Run all*
WORDS = """### In code

Four exercises that check themselves: write in the place of the first lines, and run the cell. Answers are in the
[instructors' version](../docs/course/teaching.md#exercises)."""


def exercises() -> list[dict[str, Any]]:
    """All, in their order: notebook, ask, given, stub, solution, check, wrong."""
    return tomllib.loads(SOURCE.read_text("utf-8"))["exercise"]


def code(exercise: dict[str, Any], answer: str) -> str:
    """Source of a cell: what is given, an answer, the check."""
    parts = (exercise["given"], answer, exercise["check"])
    blank = "\n\n\n" if answer.strip().startswith("def ") else "\n\n"  # as ruff has it
    return blank.join(part.strip("\n") for part in parts if part.strip())


def cells(number: str, solved: bool) -> list[nbformat.NotebookNode]:
    """Cells of a notebook's exercises."""
    made = [nbformat.v4.new_markdown_cell(WORDS, id="exercises-code")]
    for i, exercise in enumerate((e for e in exercises() if e["notebook"] == number), 1):
        made.append(nbformat.v4.new_markdown_cell(f"**C{i}.** {exercise['ask']}", id=f"exercise-{i}-words"))
        source = code(exercise, exercise["solution" if solved else "stub"])
        made.append(nbformat.v4.new_code_cell(source, id=f"exercise-{i}", metadata={"tags": TAGS}))
    return made


def with_exercises(number: str, solved: bool = False) -> str:
    """A notebook with its exercises as its last cells, as text."""
    notebook = nbformat.read(path_of(number), as_version=4)
    others = [cell for cell in notebook.cells if not cell.id.startswith(("exercise-", "exercises-code"))]
    notebook.cells = others + cells(number, solved)
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--solved", type=Path, metavar="FOLDER")
    folder = parser.parse_args().solved
    for number in dict.fromkeys(exercise["notebook"] for exercise in exercises()):
        path = path_of(number) if folder is None else folder / path_of(number).name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, with_exercises(number, solved=folder is not None))
        print(path)


if __name__ == "__main__":
    main()

"""The notebooks' exercises: each check accepts the solution, and refuses the stub and three typical answers."""

import ast
import functools
import json
from pathlib import Path
from typing import Any

import exercises
import notebook_cells
import pytest

ALL = exercises.exercises()
NUMBERS = [*dict.fromkeys(exercise["notebook"] for exercise in ALL)]


@functools.cache
def names_of(number: str) -> dict[str, Any]:
    """What the notebook's cells define of what its exercises use; its scale is smoke's."""
    code = "\n".join(exercises.code(e, answer) for e in ALL if e["notebook"] == number
                     for answer in (e["solution"], *e["wrong"]))  # fmt: skip
    cells = [cell.source for cell in notebook_cells.code_cells(number)]
    return notebook_cells.run(notebook_cells.needed(cells, code), {})


def refused(exercise: dict[str, Any], answer: str) -> str:
    """What the check says against an answer; "" where it accepts it."""
    cell = ast.parse(exercises.code(exercise, answer))
    try:
        notebook_cells.run([cell], dict(names_of(exercise["notebook"])))
    except AssertionError as error:
        assert str(error), "a check without a hint"
        return str(error)
    return ""


@pytest.fixture(autouse=True)
def smoke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XFM_SCALE", "smoke")


@pytest.mark.full
@pytest.mark.parametrize("exercise", ALL, ids=[f"{e['notebook']}-{e['ask'][:24]}" for e in ALL])
def test_a_check_accepts_the_solution_alone(exercise: dict[str, Any], capsys: pytest.CaptureFixture) -> None:
    assert refused(exercise, exercise["solution"]) == ""
    assert capsys.readouterr().out.splitlines()[-1].startswith("Right") and len(exercise["wrong"]) == 3
    hints = [refused(exercise, answer) for answer in (exercise["stub"], *exercise["wrong"])]
    assert all(hints), hints


@pytest.mark.parametrize("number", NUMBERS)
def test_notebooks_have_the_students_version(number: str, tmp_path: Path) -> None:
    assert len(NUMBERS) == 3 and sum(exercise["notebook"] == number for exercise in ALL) == 4
    text = notebook_cells.path_of(number).read_text("utf-8")
    assert text == exercises.with_exercises(number), "run python docs/course/exercises.py"
    solved = json.loads(exercises.with_exercises(number, solved=True))
    cells = {cell["id"]: "".join(cell["source"]) for cell in solved["cells"]}
    for i, exercise in enumerate((e for e in ALL if e["notebook"] == number), 1):
        assert exercise["solution"].strip() in cells[f"exercise-{i}"]
        assert exercise["solution"].strip() not in text and exercise["stub"].strip() not in cells[f"exercise-{i}"]

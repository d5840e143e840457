"""docs/add-a-model.md at its word."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "add-a-model.md"


def test_the_example_runs() -> None:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found
    exec(compile(found[1], PAGE.name, "exec"), {"__name__": "example"})

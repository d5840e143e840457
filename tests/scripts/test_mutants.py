"""Scripts: every fault of mutants.txt can be made; the data card counts what the code counts."""

from pathlib import Path

import data_card as card
import mutants as faults
import pytest

from xfm import recipes
from xfm.data.world import styles

ROOT = Path(__file__).resolve().parents[2]
BLOCK = "xfm/flow.py: a reason\n- {old}\n+ {new}\n? {test}\n"


def test_every_edit_applies_once_every_test_is_there_and_every_room_has_a_mutant() -> None:
    table = faults.mutants(faults.TABLE.read_text("utf-8"))
    said = faults.problems(table)
    assert not said, "\n".join(said)
    paths = [path.relative_to(ROOT) for path in (ROOT / "xfm").rglob("*.py")]
    rooms = {path.parts[1] for path in paths if path.name != "__init__.py"}
    found = {mutant.file.split("/")[1] for mutant in table if mutant.file.startswith("xfm/")}
    assert {"flow.py", "objectives", "train"} <= rooms and len(table) >= 60
    assert not rooms - found, f"no mutant of {rooms - found}"


LINE, OTHER, FLOW = "return stopped if", "return states if", "tests/test_flow.py"


@pytest.mark.parametrize(("old", "new", "test", "said"), [
    (LINE, OTHER, FLOW, ""), ("no such line", "another", FLOW, "has 'no such line' 0 times"),
    (LINE, LINE, FLOW, "not once"), ("def mask_tokens(", "def f(", FLOW, "it is in xfm/"),
    (LINE, OTHER, "tests/test_nowhere.py", "no test tests/test_nowhere.py"),
    (LINE, OTHER, f"{FLOW}::test_no", f"no test {FLOW}::test_no"),
    (LINE, "x", "tests/test_cli.py::test_an_ascii_terminal", "is marked full: mend"),
    (LINE, "x", "tests/test_base.py::test_deep_json_is_a_value_error\n! why", "is not marked full"),
])  # fmt: skip
def test_what_no_longer_applies_is_named(old: str, new: str, test: str, said: str) -> None:
    found = faults.problems(faults.mutants(BLOCK.format(old=old, new=new, test=test)))
    assert bool(found) == bool(said)
    assert said in "".join(found)
    with pytest.raises(ValueError, match=r"no mutant: .xfm/flow\.py: a reason"):
        faults.mutants("xfm/flow.py: a reason\n- old\n")


def test_the_committed_page_counts_what_the_code_counts_in_recipes_and_styles() -> None:
    text = (ROOT / "docs/data-card.md").read_text("utf-8")
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    found = {cells[0].strip("| "): [cell.strip(" |") for cell in cells[1:]] for cells in lines}
    columns = [(i, card.counted(recipes.get(name))) for i, name in enumerate(found[""])]
    for column, counts in [*columns, *((i, card.of_style(style)) for i, style in enumerate(styles.STYLES))]:
        for label, value in counts.items():
            assert found[label][column] == value, f"make docs/data-card.md again, as it says: {label}"
    assert found["sentences in two splits"] == found["contents in two splits"] == ["0", "0"]

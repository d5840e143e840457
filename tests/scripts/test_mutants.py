"""scripts/mutants.txt: every fault can still be made, and there is one of every room."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = "xfm/flow.py: a reason\n- {old}\n+ {new}\n? {test}\n"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = spec_from_file_location("mutants", ROOT / "scripts" / "mutants.py")
    assert spec and spec.loader
    sys.modules["mutants"] = module = module_from_spec(spec)  # where typing looks for what its classes name
    spec.loader.exec_module(module)
    return module


def test_every_edit_applies_once_and_every_test_is_there(script: ModuleType) -> None:
    table = script.mutants(script.TABLE.read_text("utf-8"))
    said = script.problems(table)
    assert not said, "\n".join(said)
    assert len(table) >= 60


def test_every_room_has_a_mutant(script: ModuleType) -> None:
    paths = [path.relative_to(ROOT) for path in (ROOT / "xfm").rglob("*.py")]
    rooms = {path.parts[1] for path in paths if path.name != "__init__.py"}
    files = [mutant.file for mutant in script.mutants(script.TABLE.read_text("utf-8"))]
    found = {file.split("/")[1] for file in files if file.startswith("xfm/")}
    assert {"flow.py", "objectives", "train"} <= rooms
    assert not rooms - found, f"no mutant of {rooms - found}"


@pytest.mark.parametrize(
    ("old", "new", "test", "said"),
    [
        ("return stopped if", "return states if", "tests/test_flow.py", ""),
        ("no such line", "another", "tests/test_flow.py", "has 'no such line' 0 times"),
        ("return", "yield", "tests/test_flow.py", "has 'return' "),
        ("return stopped if", "return stopped if", "tests/test_flow.py", "not once"),
        ("def mask_tokens(", "def f(", "tests/test_flow.py", "it is in xfm/"),
        ("return stopped if", "return states if", "tests/test_nowhere.py", "no test tests/test_nowhere.py"),
        ("return stopped if", "return states if", "tests/test_flow.py::test_no", "no test tests/test_flow.py::test_no"),
        ("return stopped if", "x", "tests/test_robust.py::test_an_ascii_terminal", "is marked full: mend"),
        ("return stopped if", "x", "tests/test_text.py::test_deep_json_is_a_value_error\n! why", "is not marked full"),
    ],
)
def test_what_no_longer_applies_is_named(script: ModuleType, old: str, new: str, test: str, said: str) -> None:
    found = script.problems(script.mutants(BLOCK.format(old=old, new=new, test=test)))
    assert bool(found) == bool(said)
    assert said in "".join(found)


def test_a_block_of_another_form_is_refused(script: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"no mutant: .xfm/flow\.py: a reason"):
        script.mutants("xfm/flow.py: a reason\n- old\n")

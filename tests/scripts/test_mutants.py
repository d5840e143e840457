"""Scripts: every fault of mutants.txt can be made; the data card counts what the code counts; times are added up."""

import re
import runpy
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from xfm import recipes
from xfm.data.world import styles
from xfm.data.world.scenes import World

ROOT = Path(__file__).resolve().parents[2]
BLOCK = "xfm/flow.py: a reason\n- {old}\n+ {new}\n? {test}\n"


def script(name: str) -> ModuleType:
    spec = spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    sys.modules[name] = module = module_from_spec(spec)  # where typing looks for what its classes name
    spec.loader.exec_module(module)
    return module


faults = script("mutants")


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
    (LINE, "x", "tests/test_robust.py::test_an_ascii_terminal", "is marked full: mend"),
    (LINE, "x", "tests/test_text.py::test_deep_json_is_a_value_error\n! why", "is not marked full"),
])  # fmt: skip
def test_what_no_longer_applies_is_named(old: str, new: str, test: str, said: str) -> None:
    found = faults.problems(faults.mutants(BLOCK.format(old=old, new=new, test=test)))
    assert bool(found) == bool(said)
    assert said in "".join(found)
    with pytest.raises(ValueError, match=r"no mutant: .xfm/flow\.py: a reason"):
        faults.mutants("xfm/flow.py: a reason\n- old\n")


PAGE, card = ROOT / "docs" / "data-card.md", script("data_card")


def test_the_committed_page_counts_what_the_code_counts_in_recipes_and_styles() -> None:
    text = PAGE.read_text("utf-8")
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    found = {cells[0].strip("| "): [cell.strip(" |") for cell in cells[1:]] for cells in lines}
    assert found[""] == ["demo", "demo+full_world+hard+rich"]
    columns = [(i, card.counted(recipes.get(name))) for i, name in enumerate(found[""])]
    for column, counts in [*columns, *((i, card.of_style(style)) for i, style in enumerate(styles.STYLES))]:
        for label, value in counts.items():
            assert found[label][column] == value, f"make docs/data-card.md again, as it says: {label}"
    assert found["concepts missing"] == ["0"] * 4
    assert found["sentences in two splits"] == found["contents in two splits"] == ["0", "0"]
    for words in (
        "CC BY-SA 4.0",
        "WordNet",
        "photographs",
        "python scripts/data_card.py demo demo+full_world+hard+rich",
    ):
        assert words in text
    assert "{" not in text


def test_shares_of_a_few_scenes_by_hand() -> None:
    world = World(16)
    scenes = {split: [world.scene(split, i, 1) for i in range(40)] for split in ("train", "test")}
    found = card.of_repeats(scenes)
    texts = {split: [s.caption.text for s in some] for split, some in scenes.items()}
    shared = sum(text in texts["train"] for text in texts["test"]) / 40
    assert found["captions of test that occur in train"] == f"{shared:.1%}" and 0 < shared < 1
    assert found["contents in two splits"] == "0"
    names = [s.objects[0].name for s in scenes["test"]]
    sizes = [s.caption.things[0].size for s in scenes["test"]]
    shown = [s.objects[0].size for s in scenes["test"]]
    pairs = [(i, j) for i in range(40) for j in range(40) if i != j]
    ambiguous = len({i for i, j in pairs if names[i] == names[j] and sizes[i] in (None, shown[j])})
    label = f"captions true of another picture too, among {card.GALLERY} of test"
    assert found[label] == f"{ambiguous / 40:.1%}"
    pairs = [world.scene("train", i, 2) for i in range(60)]
    alike = sum(s.objects[0].name == s.objects[1].name for s in pairs)
    assert card.of_pictures(pairs)["scenes of several objects that repeat a concept"] == f"{alike / 60:.1%}"


def test_naive_bayes_learns_what_the_text_gives_away() -> None:
    known = [("is the apple red", "yes"), ("is the pear red", "no")] * 5
    assert card.text_only_accuracy(known, [("is an apple red", "yes"), ("a pear", "no")]) == 1
    assert card.text_only_accuracy(known, [("a pear", "yes")]) == 0


TIMES = runpy.run_path(str(ROOT / "scripts" / "time_tests.py"))


def test_steps_are_those_of_test_all_and_every_test_has_a_group() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    needed = re.findall(r"^(?:test|test-all|static): ?(.+)$", makefile, re.M)
    called = {*" ".join(needed).split()} | {*re.findall(r"\$\(MAKE\) \S+ (\w+)", makefile)}
    steps = {name for names in TIMES["STEPS"].values() for name in names}
    assert steps == called - {"test", "static", "$(VENV)/dev.stamp"}
    tests = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")]
    assert {TIMES["group"](f"{test}::test_it") for test in [*tests, "notebooks/01_tour.ipynb"]} == {*TIMES["GROUPS"]}


def test_a_group_has_its_tests_and_seconds_the_dearest_first() -> None:
    seconds = {"study/test_a.py::one": 1.0, "train/test_b.py::two": 4.0, "study/test_c.py::three": 2.0}
    seconds = {f"tests/{name}": took for name, took in seconds.items()}
    summed = TIMES["sums"](seconds, TIMES["group"])
    assert [*summed.items()] == [("training", {"tests": 1, "seconds": 4.0}), ("study", {"tests": 2, "seconds": 3.0})]

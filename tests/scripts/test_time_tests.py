"""What the times of the tests are added up by."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "time_tests.py"))


def test_steps_are_those_of_test_all_and_every_test_has_a_group() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    needed = re.findall(r"^(?:test|test-all|static): ?(.+)$", makefile, re.M)
    called = {*" ".join(needed).split()} | {*re.findall(r"\$\(MAKE\) \S+ (\w+)", makefile)}
    steps = {name for names in SCRIPT["STEPS"].values() for name in names}
    assert steps == called - {"test", "static", "$(VENV)/dev.stamp"}
    tests = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")]
    assert {SCRIPT["group"](f"{test}::test_it") for test in [*tests, "notebooks/01_tour.ipynb"]} == {*SCRIPT["GROUPS"]}


def test_a_group_has_its_tests_and_seconds_the_dearest_first() -> None:
    seconds = {
        "tests/study/test_a.py::one": 1.0,
        "tests/train/test_b.py::two": 4.0,
        "tests/study/test_c.py::three": 2.0,
    }
    summed = SCRIPT["sums"](seconds, SCRIPT["group"])
    assert [*summed.items()] == [("training", {"tests": 1, "seconds": 4.0}), ("study", {"tests": 2, "seconds": 3.0})]

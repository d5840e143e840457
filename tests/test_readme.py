"""What the README claims and shows, done. Its tables are tested with those of docs/, in test_docs.py."""

import re
import subprocess
from pathlib import Path

import child
import pytest

import xfm_widgets

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(after: str) -> str:
    found = re.search(r"```python\n(.*?)```", README[README.index(after) :], re.S)
    assert found
    return found[1]


def test_it_is_read_in_minutes() -> None:
    assert len(re.sub(r"<!--.*?-->", "", README).split()) <= 1200


def test_the_tree_is_that_of_the_repository() -> None:
    tree = README[README.index("## The repository") : README.index("Read first:")]
    shown = set(re.findall(r"^(\w+)/ ", tree, re.M))
    assert shown == {"xfm", "widgets", "notebooks", "studies", "benchmarks", "docs", "scripts", "tests"}
    assert [name for name in shown if not (ROOT / name).is_dir()] == []
    rooms = re.findall(r"\b(\w+(?:/|\.py))", tree[: tree.index("widgets/")])
    assert [room for room in rooms if not (ROOT / "xfm" / room).exists() and room != "xfm/"] == []


@pytest.mark.full
def test_five_lines(tmp_path: Path) -> None:
    source = block("## Five lines").replace('"demo+', '"smoke+').replace("500", "2")
    source = source.replace('"seed": 3', '"seed": 3, "train.warmup": 1')
    ran = child.run(source, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert [line.split()[0] for line in ran.stdout.splitlines()] == ["0", "1"]


def test_looking_inside(tmp_path: Path) -> None:
    done = child.run(block("## Look inside"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("generic attention: pointing game ")


def test_seeing_and_touching(tmp_path: Path) -> None:
    """The table has every view."""
    code = block("## See it, touch it") + "\nprint(view.figure(), len(view.data()), view.payload.keys())"
    done = child.run(code, tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "attention.html").read_text("utf-8")
    assert page.startswith("<!doctype html>") and "CC BY-SA 4.0" in page
    rows = re.findall(r"^\| `(\w+)` \| ", README[README.index("## See it, touch it") :], re.M)
    assert sorted(rows) == sorted(set(xfm_widgets.__all__) - {"View", "figures"})


def test_make_has_what_the_readme_calls() -> None:
    targets = ["demo", "test", "lab", "gallery"]
    assert all(f"make {target}" in README for target in targets)
    subprocess.run(["make", "-n", *targets], capture_output=True, check=True, cwd=ROOT)

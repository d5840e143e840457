"""The pages of docs/ are true: generated pages are up to date, examples run, numbers are those of committed results."""

import ast
import contextlib
import functools
import json
import os
import pickle
import pkgutil
import re
import shutil
import subprocess
import sys
from itertools import combinations, product
from pathlib import Path
from typing import Any

import doc_tables
import exercises
import notebook_cells
import page_values
import pytest
from photographs import photograph

import xfm_widgets
from xfm import recipes
from xfm.config import LATER
from xfm.files.readers import READERS, collected

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text("utf-8")
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "course").glob("*.md"), ROOT / "CONTRIBUTING.md"])


# ---- tables and numbers
NUMBER = r"[+−-]?\d+(?:\.\d+)?"
INTERVAL = re.compile(rf"{NUMBER}(?:\s?%| [a-z]+)? \({NUMBER}(?:\s?%)? to {NUMBER}")


@pytest.mark.full
@pytest.mark.parametrize("path", doc_tables.PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_tables_and_numbers_are_those_of_the_results_and_recipes(path: Path) -> None:
    text = path.read_text("utf-8")
    assert doc_tables.MARKED.search(text) or page_values.VALUE.search(text)
    assert text == doc_tables.filled(text), "run python scripts/doc_tables.py"
    by_hand = page_values.VALUE.sub("", doc_tables.MARKED.sub("", text))
    if path.stem != "downstream":  # its tables are of runs that nothing keeps
        assert not INTERVAL.findall(by_hand), "an interval that no table fills"


@pytest.mark.full
@pytest.mark.parametrize("name", [name for name in doc_tables.ANSWERED if name != "negatives"])  # of another table
def test_the_intervals_of_an_answer_are_those_of_its_study(name: str) -> None:
    study, found = page_values.study(name), [(row.low, row.high) for row in page_values.effects(name).itertuples()]
    for (one, other), metric in product(combinations(study.spec.variants, 2), study.spec.primary):
        found += study.contrast({one: 1, other: -1}, metric)[["low", "high"]].itertuples(index=False)
    if "no stop" in study.spec.variants:
        loss, gap = study.spec.primary[0], {"no stop": 1, "xfm": -1}
        found += study.recovered("no stop", "xfm", loss)[["low", "high"]].itertuples(index=False)
        for free, held in doc_tables.ROWS["still-does"].values() if name == "mends" else ():
            found += study.share({free: 1, held: -1}, gap, loss)[["low", "high"]].itertuples(index=False)
    ends = [(scale * low, scale * high) for low, high in found for scale in (1, 100, -1, -100)]
    text = " ".join(why for *_, why in study.answers().itertuples(index=False))
    for asked in re.findall(r"([+−]?\d[\d.]*) to ([+−]?\d[\d.]*\d)", text):
        written = ([page_values._as_written(a, x) for a, x in zip(asked, sorted(pair), strict=True)] for pair in ends)
        assert [*asked] in written, asked


def test_every_loss_of_the_demo_has_learnt_and_firm_verdicts_of_views_are_true_where_they_are_given() -> None:
    demo, found = doc_tables.benchmark("demo"), doc_tables.benchmark("presence")
    held_out = [row for row in demo["held_out"] if row["loss"] != "validation/texts/mlm"]  # of too few texts
    assert demo["fingerprint"] == recipes.demo().fingerprint
    assert len(held_out) == 9 and all(row["value"] < row["level"] for row in held_out)
    firm = [r for r in found["verdicts"] if r["verdict"] in ("likely there", "likely not there", "rejected by ITM")]
    forms = {f"{form}, OpenMoji" for form in ("the", "a", "no article")}
    assert {row["where"] for row in firm} == forms | {"a true or a false caption"}
    assert all(row["low"] >= 0.95 for row in firm)
    script = ROOT / "widgets/xfm_widgets/static/trust_verdict.js"
    assert f"const AGREED = {found['halves']['19 of 20 above']};" in script.read_text("utf-8")


# ---- examples
BLOCKS = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)
EXTENSIONS = re.split(r"^## ", (ROOT / "docs/extend.md").read_text("utf-8"), flags=re.M)[1:]


def extended(section: str, root: Path) -> str:
    """Makes the section's files and changes in a copy of both packages; returns the code of its examples."""
    code = ""
    for language, path, block in BLOCKS.findall(section):
        if language == "diff":  # lines that begin with a space, - or +; a line may be the end of the file's
            lines, source = block.splitlines(), (root / path).read_text("utf-8")
            old, new = ("\n".join(line[1:] for line in lines if line[:1] != mark) for mark in "+-")
            assert source.count(old) == 1, f"{path} has changed: adapt docs/extend.md"
            (root / path).write_text(source.replace(old, new), "utf-8")
        elif path:
            assert not (root / path).exists(), f"{path} is there already"
            (root / path).write_text(block, "utf-8")
        else:
            code += block
    return code


def run(code: str, cwd: Path) -> str:
    """What Python says to code in a folder, which holds the packages that are not to be the checkout's."""
    paths = os.pathsep.join(map(str, (cwd, cwd / "widgets", ROOT, ROOT / "widgets")))
    environment = os.environ | {"PYTHONPATH": f"{paths}{os.pathsep}{os.environ['PYTHONPATH']}"}
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True)
    assert code and done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.full
@pytest.mark.parametrize("section", EXTENSIONS, ids=[s.split("\n")[0] for s in EXTENSIONS])
def test_an_extension_works_as_the_page_says(section: str, tmp_path: Path) -> None:
    for folder in ("xfm", "widgets/xfm_widgets"):
        shutil.copytree(ROOT / folder, tmp_path / folder)  # compiled once, for all copies
    run(extended(section, tmp_path), tmp_path)


# ---- links and terms
@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    for target, heading in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", text):
        path = page.parent / target if target else page
        assert path.exists(), f"{page.name}: {target}"
        if heading:
            headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.M)
            anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
            assert heading in anchors, f"{page.name}: {target}#{heading}"


def test_hand_written_pages_are_read_in_an_hour_and_the_readme_in_minutes() -> None:
    """Words of prose: what is no code, table or comment, nor written by a script."""
    pages = [path for folder in ("docs", "studies") for path in (ROOT / folder).rglob("*.md")]
    words = 0
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *pages]:
        if not {"data-card.md", "leaderboard"} & {*page.relative_to(ROOT).parts}:
            text = doc_tables.MARKED.sub("", page.read_text("utf-8"))
            text = re.sub(r"^```.*?^```$|<!--.*?-->|^ *\|.*?$", "", text, flags=re.M | re.S)
            words += sum(bool(re.search(r"\w", word)) for word in text.split())
    assert 10_000 < words <= 16_000 and len(re.sub(r"<!--.*?-->", "", README).split()) <= 1200


# ---- names of modules and files
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMING = ["README.md", "Makefile", "studies/README.md", "studies/decision_rules.md", "studies/relations/README.md"]
FOLDERS = ("xfm", "widgets", "notebooks", "studies", "benchmarks", "docs", "scripts", "tests")
DOTTED = re.compile(r"(?<![\w./@-])xfm(?:_widgets)?(?:\.[A-Za-z_]\w*)+")
PATHS = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]*\w")
FILES = re.compile(r"`([\w/]+\.(?:py|js))`")
SCRIPTS = [f.as_posix() for name in FOLDERS for kind in ("*.py", "*.js") for f in (ROOT / name).rglob(kind)]
MADE = {"benchmarks/results/gpu.json", "widgets/node_modules"}  # by commands, where there is a GPU or node


@functools.cache
def resolves(name: str) -> bool:
    """Whether a dotted name leads to a module of either package, or to what one defines."""
    with contextlib.suppress(ImportError, AttributeError):
        return pkgutil.resolve_name(name) is not None
    return False


@pytest.mark.parametrize("path", [*PAGES, *(ROOT / name for name in NAMING), *NOTEBOOKS], ids=lambda path: path.name)
def test_modules_and_files_that_a_page_names_are_there(path: Path) -> None:
    text = re.sub(r"<!--.*?-->", "", path.read_text("utf-8"))
    if path.suffix == ".ipynb":
        text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    made = MADE | {file for _, file, _ in BLOCKS.findall(text)}  # by the page's own examples
    wrong = [name for name in DOTTED.findall(text) if not resolves(name)]
    wrong += [name for name in PATHS.findall(text) if not (ROOT / name).exists() and name not in made]
    wrong += [n for n in FILES.findall(text) if n not in made and not any(f.endswith(f"/{n}") for f in SCRIPTS)]
    labels = re.findall(r"\[`([^`\]]+\.(?:py|js))`\]\(([^)#]+)\)", text)
    assert wrong + [label for label, target in labels if not f"/{target}".endswith(f"/{label}")] == []


# ---- notebooks
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_text_and_short_calls_with_a_place_for_each_scale(path: Path) -> None:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    texts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    lesson = [cell for cell in cells if "exercise" not in cell["metadata"].get("tags", ())]
    code = ["".join(cell["source"]) for cell in lesson if cell["cell_type"] == "code"]
    statements = re.compile(r"^\s*(def|class|if|elif|while|try)\b", re.M)
    assert len(code) <= 25 and not [cell for cell in code if len(cell.splitlines()) > 12 or statements.search(cell)]
    named = re.findall(r'(?:"name": |Study\()(f?"[^"]*")', "\n".join(code))
    assert not [name for name in named if "{" not in name], "whoever ran it at smoke scale opens it at demo scale"
    said = "\n".join(text for kind, text in texts if kind == "markdown")
    assert "docs/glossary.md" in said and 2 <= said.count("<details>") == said.count("</details>") <= 4
    if path.name[:2] != "00":  # a lesson asks first, says what was found and what to try
        asked = [i for i, (kind, text) in enumerate(texts) if kind == "markdown" and "**Predict first.**" in text]
        assert asked and all(texts[i + 1][0] == "code" and cells[i + 1]["outputs"] for i in asked), "the answer follows"
        marks = ("**Predict first.**", "\n## What we found", "**Try next.**", "## Exercises")
        assert [*map(said.index, marks)] == sorted(map(said.index, marks))


# ---- exercises: each check accepts the solution, and refuses the stub and three typical answers
ALL = exercises.exercises()
NUMBERS = [*dict.fromkeys(exercise["notebook"] for exercise in ALL)]


@functools.cache
def names_of(number: str) -> dict[str, Any]:
    """What the notebook's cells define of what its exercises use; its scale is smoke's."""
    of = [e for e in ALL if e["notebook"] == number]
    code = "\n".join(exercises.code(e, answer) for e in of for answer in (e["solution"], *e["wrong"]))
    cells = [cell.source for cell in notebook_cells.code_cells(number)]
    return notebook_cells.run(notebook_cells.needed(cells, code), {})


@pytest.mark.full
@pytest.mark.parametrize("exercise", ALL, ids=[f"{e['notebook']}-{e['ask'][:24]}" for e in ALL])
def test_a_check_accepts_the_solution_alone(exercise: dict[str, Any], capsys, monkeypatch) -> None:
    monkeypatch.setenv("XFM_SCALE", "smoke")
    names = names_of(exercise["notebook"])
    notebook_cells.run([ast.parse(exercises.code(exercise, exercise["solution"]))], dict(names))
    assert capsys.readouterr().out.splitlines()[-1].startswith("Right") and len(exercise["wrong"]) == 3
    for answer in (exercise["stub"], *exercise["wrong"]):
        with pytest.raises(AssertionError, match=r"."):  # a hint
            notebook_cells.run([ast.parse(exercises.code(exercise, answer))], dict(names))


@pytest.mark.parametrize("number", NUMBERS)
def test_notebooks_have_the_students_version(number: str) -> None:
    text = notebook_cells.path_of(number).read_text("utf-8")
    assert text == exercises.with_exercises(number), "run python docs/course/exercises.py"
    solved = json.loads(exercises.with_exercises(number, solved=True))
    cells = {cell["id"]: "".join(cell["source"]) for cell in solved["cells"]}
    for i, exercise in enumerate((e for e in ALL if e["notebook"] == number), 1):
        assert exercise["solution"].strip() in cells[f"exercise-{i}"] and exercise["solution"].strip() not in text


# ---- the README
def block(after: str) -> str:
    return re.findall(r"```python\n(.*?)```", README[README.index(after) :], re.S)[0]


@pytest.mark.full
def test_the_readmes_five_lines(tmp_path: Path) -> None:
    source = block("## Five lines").replace('"demo+', '"smoke+').replace("500", "2")
    printed = run(source.replace('"seed": 3', '"seed": 3, "train.warmup": 1'), tmp_path)
    assert [line.split()[0] for line in printed.splitlines()] == ["0", "1"]


def test_the_readmes_look_inside_and_its_views(tmp_path: Path) -> None:
    views = block("## See it, touch it") + "\nprint(view.figure(), len(view.data()), view.payload.keys())"
    assert run(block("## Look inside") + views, tmp_path).startswith("generic attention: pointing game ")
    page = (tmp_path / "attention.html").read_text("utf-8")
    assert page.startswith("<!doctype html>") and "CC BY-SA 4.0" in page
    rows = re.findall(r"^\| `(\w+)` \| ", README[README.index("## See it, touch it") :], re.M)
    assert sorted(rows) == sorted(set(xfm_widgets.__all__) - {"View", "figures"}), "the table has every view"


# ---- every example of docs/your-own-data.md is read as it stands, in the order of the page
OWN_DATA = (ROOT / "docs/your-own-data.md").read_text("utf-8")
SECTIONS = [s for s in re.split(r"^## ", OWN_DATA, flags=re.M)[1:] if "xfm data check" in s and "```" in s]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    for i, name in enumerate(dict.fromkeys(re.findall(r"[\w/]+/\d\.(?:jpg|png)", OWN_DATA))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        photograph(i).resize((120, 80)).save(folder / name)
    return folder


@pytest.mark.parametrize("section", SECTIONS, ids=[s.split("\n")[0] for s in SECTIONS])
def test_an_example_is_read_without_a_complaint(section: str, pictures: Path, monkeypatch) -> None:
    monkeypatch.chdir(pictures)
    specs = []
    for language, path, block in BLOCKS.findall(section):
        if path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(block, "utf-8")
        elif language == "python":
            if "datasets" in block:
                pytest.importorskip("datasets")
            try:
                exec(block, {})
            except pickle.PicklingError:  # of a fingerprint, where datasets 5.2 does not know the Python or the pyarrow
                monkeypatch.setattr("datasets.fingerprint.Hasher.hash", lambda *_: "0" * 16)
                exec(block, {})
        else:
            specs += re.findall(r"^xfm data check (\S+)$", block, re.M)
    assert len(specs) == 1
    records, problems, _ = collected(specs[0])
    assert records and not problems and all(record.captions or record.phrases or record.picture for record in records)
    assert all(record.picture is None or record.picture.read() for record in records)


def test_every_format_has_an_example_and_every_field_a_place() -> None:
    specs = re.findall(r"^xfm data check (\S+)$", OWN_DATA, re.M)
    shown = {spec.split(":")[0] if ":" in spec else spec.split(".")[-1] for spec in specs}
    assert shown - {"tar"} | {"shards", "tsv"} == set(READERS) and "tar" in shown, "a TSV reads as a CSV"
    of_the_drawn_world = {"styles", "relation_negatives"}
    assert all(f"`data.{field}`" in OWN_DATA for field in {*LATER["data"]} - of_the_drawn_world)

"""The pages of docs/ are true: generated pages are up to date, examples run, numbers are those of committed results."""

import functools
import json
import pkgutil
import re
import runpy
import shutil
from itertools import combinations, product
from pathlib import Path

import child
import doc_tables
import page_values
import pytest

from xfm import recipes
from xfm.tasks import find_result

ROOT = Path(__file__).resolve().parents[1]
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


def test_a_number_keeps_its_digits_and_its_sign() -> None:
    """A sentence with another count of numbers is refused, not filled with the wrong ones."""
    mark = '<!-- value benchmarks/load "seconds" "{}" value -->{}<!-- /value -->'
    seconds = page_values.benchmark("load")["seconds"]
    for kind, written, made in (("", "9.99 s", f"{seconds:.2f} s"), ("%", "R@1 +9", f"R@1 {100 * seconds:+.0f}")):
        assert page_values.valued(mark.format(kind, written)) == mark.format(kind, made)
    with pytest.raises(ValueError, match="not equally many numbers"):
        page_values.valued(mark.format("", "1 of 2"))


@pytest.mark.full
@pytest.mark.parametrize("name", [name for name in doc_tables.ANSWERED if name != "negatives"])  # of another table
def test_the_intervals_of_an_answer_are_those_of_its_study(name: str) -> None:
    """Of an arm's difference, of two arms', of the fraction of a gap, or of a ratio of differences."""
    study, rows = page_values.study(name), page_values.effects(name)
    found = [(row.low, row.high) for row in rows.itertuples()]
    for one, other in combinations(study.spec.variants, 2):
        for metric in study.spec.primary:
            found += study.contrast({one: 1, other: -1}, metric)[["low", "high"]].itertuples(index=False)
    if "no stop" in study.spec.variants:
        loss, gap = study.spec.primary[0], {"no stop": 1, "xfm": -1}
        found += study.recovered("no stop", "xfm", loss)[["low", "high"]].itertuples(index=False)
        for free, held in doc_tables.ROWS["still-does"].values() if name == "mends" else ():
            found += study.share({free: 1, held: -1}, gap, loss)[["low", "high"]].itertuples(index=False)
    ends = [(scale * low, scale * high) for low, high in found for scale in (1, 100)]
    text = " ".join(why for *_, why in study.answers().itertuples(index=False))
    for low, high in re.findall(r"([+−]?\d[\d.]*) to ([+−]?\d[\d.]*\d)", text):
        asked = [(low, high, a, b) for pair in ends for a, b in (pair, (-pair[1], -pair[0]))]
        assert any(page_values._as_written(x, a) == x and page_values._as_written(y, b) == y for x, y, a, b in asked), (
            f"{low} to {high}"
        )


def test_every_loss_of_the_demo_has_learnt_also_beside_other_work() -> None:
    free, busy = doc_tables.benchmark("demo"), doc_tables.benchmark("demo_busy")
    assert free["fingerprint"] == recipes.demo().fingerprint and free["evaluation"] == busy["evaluation"]
    held_out = {row["loss"]: row for row in free["held_out"]}
    assert held_out.pop("validation/texts/mlm")["n"] < 200, "of too few sentences: the evaluation's is asked"
    assert len(held_out) == 9 and all(row["value"] < row["level"] for row in held_out.values())
    mlm = find_result(doc_tables.demo_results(), "language", "loss (nats)")
    assert mlm.high < (mlm.baseline or 0)


def test_firm_verdicts_of_views_are_true_where_they_are_given() -> None:
    found = doc_tables.benchmark("presence")
    rows = {(row["verdict"], row["where"]): row for row in found["verdicts"]}
    likely = {where for verdict, where in rows if verdict in ("likely there", "likely not there")}
    forms = {f"{form}, OpenMoji" for form in ("the", "a", "no article")}
    assert likely == forms, "of other words and pictures there is no firm verdict"
    firm = product(("likely there", "likely not there"), forms)
    for key in (*firm, ("rejected by ITM", "a true or a false caption")):
        assert rows[key]["low"] >= 0.95, key
    shows = rows["likely shows what the model used", "own caption"]
    assert shows["true"] >= 0.9 and shows["low"] > rows["with care", "own caption"]["high"], "soft words"
    script = ROOT / "widgets/xfm_widgets/static/trust_verdict.js"
    assert f"const AGREED = {found['halves']['19 of 20 above']};" in script.read_text("utf-8")


# ---- examples


BLOCKS = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)
EXTENSIONS = re.split(r"^## ", (ROOT / "docs/extend.md").read_text("utf-8"), flags=re.M)[1:]


def extended(section: str, root: Path) -> str:
    """Makes the section's files and changes in a copy of both packages; returns the code of its examples."""
    code = ""
    for language, path, block in BLOCKS.findall(section):
        if language == "diff":
            change(root / path, block)
        elif path:
            assert not (root / path).exists(), f"{path} is there already"
            (root / path).write_text(block, "utf-8")
        else:
            code += block
    return code


def copied(root: Path) -> Path:
    for folder in ("xfm", "widgets/xfm_widgets"):
        shutil.copytree(ROOT / folder, root / folder)  # compiled once, for all copies
    return root


def change(path: Path, diff: str) -> None:
    """Applies lines that begin with a space, - or +; a line may be the end of the file's."""
    lines = diff.splitlines()
    old, new = ("\n".join(line[1:] for line in lines if line[:1] != mark) for mark in "+-")
    source = path.read_text("utf-8")
    assert source.count(old) == 1, f"{path.name} has changed: adapt docs/extend.md"
    path.write_text(source.replace(old, new), "utf-8")


@pytest.mark.full
@pytest.mark.parametrize("section", EXTENSIONS, ids=[s.split("\n")[0] for s in EXTENSIONS])
def test_an_extension_works_as_the_page_says(section: str, tmp_path: Path) -> None:
    code = extended(section, copied(tmp_path))
    ran = child.run(code, tmp_path, tmp_path / "widgets")
    assert code and ran.returncode == 0, ran.stderr


REPORTED = """
from xfm import pretrain, recipes, report, tasks
from xfm.train import Run

config = recipes.get("smoke").replace({"name": "run", "train.steps": 1, "train.warmup": 1, **CHANGES})
list(pretrain(config))
run = Run.of(config, "runs")
results = tasks.evaluate_run(run.folder, ["caption_length", "language"])
run.write({"evaluation.json": tasks.to_json(results)})  # two tasks are all: time
page = report.write_report(run).read_text("utf-8")
assert all(("whole or half caption" in page, ("which of two images" in page) == bool(CHANGES)))
"""
ON = {"objectives.uniformity.weight": 0.1, "objectives.which_of_two.weight": 0.5}


@pytest.mark.full
@pytest.mark.parametrize("changes", [pytest.param({}, id="off"), pytest.param(ON, id="on")])
def test_a_run_has_its_report_where_every_extension_of_the_page_is_there(changes: dict, tmp_path: Path) -> None:
    """All at once; a loss, an encoder, a source and an ablation are off until they are asked for."""
    copied(tmp_path)
    for section in EXTENSIONS:
        extended(section, tmp_path)
    ran = child.run(f"CHANGES = {changes}\n{REPORTED}", tmp_path, tmp_path / "widgets")
    assert ran.returncode == 0, ran.stderr


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


def test_the_map_shows_every_room_in_its_order() -> None:
    rooms = re.findall(r"^\| `(\w+)(?:\.py|/)` \|", (ROOT / "docs/architecture.md").read_text("utf-8"), re.M)
    assert rooms == runpy.run_path(str(ROOT / "scripts" / "house.py"))["ROOMS"]


def test_hand_written_pages_are_read_in_an_hour() -> None:
    """Words of prose: what is no code, table or comment, nor written by a script."""
    pages = [path for folder in ("docs", "studies") for path in (ROOT / folder).rglob("*.md")]
    words = 0
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *pages]:
        if not {"data-card.md", "leaderboard"} & {*page.relative_to(ROOT).parts}:
            text = doc_tables.MARKED.sub("", page.read_text("utf-8"))
            text = re.sub(r"^```.*?^```$|<!--.*?-->|^ *\|.*?$", "", text, flags=re.M | re.S)
            words += sum(bool(re.search(r"\w", word)) for word in text.split())
    assert 10_000 < words <= 16_000


# ---- names of modules and files


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMING = ["README.md", "Makefile", "studies/README.md", "studies/decision_rules.md", "studies/relations/README.md"]
FOLDERS = ("xfm", "widgets", "notebooks", "studies", "benchmarks", "docs", "scripts", "tests")
DOTTED = re.compile(r"(?<![\w./@-])xfm(?:_widgets)?(?:\.[A-Za-z_]\w*)+")
PATHS = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]*\w")
FILES = re.compile(r"`([\w/]+\.(?:py|js))`")
MADE = {"benchmarks/results/gpu.json", "widgets/node_modules"}  # by commands, where there is a GPU or node


@functools.cache
def resolves(name: str) -> bool:
    """Whether a dotted name leads to a module of either package, or to what one defines."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


@pytest.fixture(scope="module")
def tree() -> list[str]:
    """Every module and script, as a path with a slash before it."""
    files = (file for folder in FOLDERS for kind in ("*.py", "*.js") for file in (ROOT / folder).rglob(kind))
    return [f"/{file.relative_to(ROOT).as_posix()}" for file in files if "node_modules" not in file.parts]


@pytest.mark.parametrize("path", [*PAGES, *(ROOT / name for name in NAMING), *NOTEBOOKS], ids=lambda path: path.name)
def test_modules_and_files_that_a_page_names_are_there(path: Path, tree: list[str]) -> None:
    text = re.sub(r"<!--.*?-->", "", path.read_text("utf-8"))
    if path.suffix == ".ipynb":
        text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    made = MADE | {file for _, file, _ in BLOCKS.findall(text)}  # by the page's own examples
    wrong = [name for name in DOTTED.findall(text) if not resolves(name)]
    wrong += [name for name in PATHS.findall(text) if not (ROOT / name).exists() and name not in made]
    wrong += [n for n in FILES.findall(text) if n not in made and not any(f.endswith(f"/{n}") for f in tree)]
    labels = re.findall(r"\[`([^`\]]+\.(?:py|js))`\]\(([^)#]+)\)", text)
    wrong += [label for label, target in labels if not f"/{target}".endswith(f"/{label}")]
    assert wrong == []


# ---- notebooks


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_text_and_short_calls_with_a_place_for_each_scale(path: Path) -> None:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    texts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    lesson = [cell for cell in cells if "exercise" not in cell["metadata"].get("tags", ())]  # test_exercises.py
    code = ["".join(cell["source"]) for cell in lesson if cell["cell_type"] == "code"]
    prose = [text for kind, text in texts if kind == "markdown"]
    statements = re.compile(r"^\s*(def|class|if|elif|while|try)\b", re.M)
    assert len(code) <= 25 and not [cell for cell in code if len(cell.splitlines()) > 12 or statements.search(cell)]
    source, said = "\n".join(code), "\n".join(prose)
    named = re.findall(r'(?:"name": |Study\()(f?"[^"]*")', source)
    assert not [name for name in named if "{" not in name], "whoever ran it at smoke scale opens it at demo scale"
    assert "docs/glossary.md" in said and 2 <= said.count("<details>") == said.count("</details>") <= 4
    if path.name[:2] != "00":  # a lesson asks first, says what was found and what to try
        asked = [i for i, (kind, text) in enumerate(texts) if kind == "markdown" and "**Predict first.**" in text]
        assert asked and all("?" in texts[i][1] or "Order" in texts[i][1] for i in asked)
        assert all(texts[i + 1][0] == "code" and cells[i + 1]["outputs"] for i in asked), "the answer comes next"
        marks = ("**Predict first.**", "\n## What we found", "**Try next.**", "## Exercises")
        assert [*map(said.index, marks)] == sorted(map(said.index, marks))

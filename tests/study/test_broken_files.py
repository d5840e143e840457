"""Whatever is in a study's files, or written as one, ends in an error that names it; any label is text."""

import itertools
import json
import re
import shutil
import warnings
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import pytest
from html_page import Page
from hypothesis import given
from hypothesis import strategies as st
from study.conftest import made_up, measurements

from xfm.base.files import FileError
from xfm.config import ConfigError
from xfm.report import text_tables
from xfm.report.study_figures import StudyFigures
from xfm.study import Spec, Study, StudyError, code_pin, command, store
from xfm.study.effects import effects
from xfm.study.preregistration import require_fresh
from xfm.study.study_metrics import Measured, Metric

NAMED = (ConfigError, StudyError, FileError)
DEEP = "[" * 100_000
LONG, HUGE = "x" * 1_000_000, 10**400
FILES = ["spec.json", "results.csv", "metrics.json", "failed.json", "probes.csv", "curves.csv", "machines.csv",
         "answers.json"]  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    root = tmp_path_factory.mktemp("broken")
    study = Study("s", "smoke+stage1", ["xfm", "no_mim"], range(3), root=root, runs=root / "runs")
    return made_up(study, {})


@pytest.fixture
def study(base, tmp_path):
    return Study.load(shutil.copytree(base.folder, tmp_path / "s"), tmp_path / "runs")


def refused(study, *words: str) -> None:
    with warnings.catch_warnings(), pytest.raises(NAMED) as error:
        warnings.simplefilter("ignore")
        loaded = Study.load(study.folder, study.runs)
        for read in (loaded.effects, loaded.probes, loaded.curves, loaded.answers):
            read()
        loaded.figure("probes")
        code_pin.precisions(loaded.spec, loaded.folder, [])
        require_fresh(Spec("t", "smoke", {"xfm": {}}, (9,), explored=("s",)), study.folder.parent)
    told = str(error.value)
    assert len(told) < 3000 and all(word in told for word in words), told


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["a folder", "a loop of links", "no text"])
def test_a_file_that_cannot_be_read_is_named(study, name, kind):
    path = study.folder / name
    path.unlink(missing_ok=True)
    {"a folder": path.mkdir, "no text": lambda: path.write_bytes(b"\xff\xfe\x00\n1\n"),
     "a loop of links": lambda: path.symlink_to(path.name)}[kind]()  # fmt: skip
    refused(study, name)


@pytest.mark.parametrize("name", FILES[:-1])  # the last is written by who reads
def test_what_cannot_be_written_is_named_before_anything_is_trained(tmp_path, name):
    study = Study("s", "smoke+stage1", ["xfm", "no_mim"], range(2), root=tmp_path, runs=tmp_path / "runs")
    (study.folder / name).mkdir(parents=True)
    with pytest.raises(NAMED, match=name):
        study.run()
    assert not (tmp_path / "runs").exists()


ROW = {"variant": "xfm", "seed": 0, "fingerprint": "0", "why": "x"}
KNOWN = {"better": "higher", "unit": "%", "baseline": 0.5, "baseline_name": "chance", "family": "vision", "n": 9}
PIN = {"files": {}, "spec": {"hash": "0", "confirmatory": False, "split": "test", "tasks": []}}
HINT = "Put a good copy back"
FAULTS = [  # file, content, what the error says beside the file's name
    *(("spec.json", text, "") for text in ("", "[]", DEEP, "{}", "\x00")),
    *(("failed.json", text, HINT) for text in (DEEP, "1", "[null]")),
    *(("failed.json", [ROW | {field: 1.5}], f"{field} = ") for field in ROW),
    *(("metrics.json", {"naming, accuracy": row}, HINT) for row in (None, [], {}, KNOWN | {"more": 1})),
    *(("metrics.json", {"m": KNOWN | {"baseline": v}}, "baseline = ") for v in ("x", HUGE, float("inf"))),
    *(("metrics.json", {"m": KNOWN | {name: 5}}, f"{name} = ") for name in ("baseline_name", "unit", "better")),
    *((name, text, message) for name in ("probes.csv", "curves.csv") for text, message in (
        ("variant,seed,step\nxfm,x,1", "seed = 'x'"), ("variant,seed,step\nxfm,0,1.5", "step = 1.5"),
        ("seed,step\n0,1", "variant = None"), ("variant,seed,step\nxfm,0", "must be of 3 cells"))),
    ("probes.csv", "variant,seed,step,norm\nxfm,0,1,1", "object"),
    ("probes.csv", "variant,seed,step,norm,norm/mlm\nxfm,0,1,1,2", "paths in a record"),
    ("curves.csv", f"variant,seed,step,loss\nxfm,0,1,{'9' * 500}", "a number or nothing"),
    ("machines.csv", "variant,seed,precision\nxfm,0,16", "precision = 16"),
    ("code.json", "[]", "must have files"), ("code.json", {"files": {}}, "must have files"),
    *(("code.json", PIN | {field: value}, "must have files") for field, value in (
        ("files", {"a": 1}), ("unpinned", "x"), ("accepted", [{"old": 1}]), ("more", 1), ("found", [["xfm", "1"]]))),
    *(("results.csv", text, HINT) for text in ("a,b\n1,2", "variant,seed\nxfm,0", f'"{LONG}"')),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), FAULTS, ids=map(str, range(len(FAULTS))))
def test_a_file_of_another_content_is_refused(study, name, content, message):
    text = content if isinstance(content, str) else json.dumps(content)
    (study.folder / name).write_text(f"{text}\n" if name.endswith(".csv") else text)
    refused(study, name, message)


NAMES = ["x" * 300, "é" * 150, "a/b", "..", "", "a\nb", "\x1b[2J", "\ud800", "-x", " a", LONG, 1]


@pytest.mark.parametrize("name", NAMES, ids=map(str, range(len(NAMES))))
def test_a_name_that_is_no_folders_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=r"name = .*: must be (a folder's name|of type str)") as error:
        Study(name, "smoke", ["xfm"], root=tmp_path)
    assert len(str(error.value)) < 500
    if isinstance(name, str) and name not in ("", ".."):
        with pytest.raises(NAMED) as error:
            command(name, 0, tmp_path)
        assert len(str(error.value)) < 3000 or name == LONG
    with pytest.raises(ConfigError, match=r"explored\[0\] = "):
        Spec("s", "smoke", {"xfm": {}}, (0,), explored=(name,))


@pytest.mark.parametrize("field", ["variants", "seeds", "primary", "tasks", "explored", "hypotheses", "changes"])
@pytest.mark.parametrize("value", [1, object(), [None]])
def test_a_study_written_wrongly_is_a_config_error(tmp_path, field, value):
    with pytest.raises(ConfigError):
        Study(**{"name": "s", "recipe": "smoke", "variants": ["xfm"], "root": tmp_path} | {field: value})


NASTY = [
    "a|b", "a\\|b", "|:---|", "\\", "a\\", "*bold*", "**b**", "_i_", "no_mim", "`code`", "[x](y)", "~~s~~", "&lt;",
    "<script>alert(1)</script>", "</table>", "<!-- x", "-->", "a & b", "100 %", "$x^2$", "#1", "{", "}", "}{",
    r"\input{x}", r"\\", "~", "^", "'", "'=1", "''=1", '"', 'a"b', "a,b", "a;b", "[opt]", "*", "=1+1", "+1", "-1", "@x",
    "-0.5", "nan", "NA", "<NA>", "é", "日本", "🦁", "a  b", "{{ 7 * 7 }}", "data.texts=[1], train.lr=NaN", "x={}, y={}",
]  # fmt: skip
REFUSED = ["", "a ", "a\nb", "\x00", "\x1b[31m", "\u202egnp", "\ud800", "\u2028", "x" * 1001, "x" * 10_000_000]
TEXT = re.compile(r"(?:[^\\&%$#_{}~^<>|\[\]*]|\\[&%$#_{}]|\\text[a-z]+\{\}|\$-\$|\{[\[\]*]\})*")
WORDS = {"backslash": "\\", "asciitilde": "~", "asciicircum": "^", "less": "<", "greater": ">", "bar": "|"}
LABELS = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=20)


def spec(*labels: str) -> Spec:
    lrs = [{"train.lr": 1e-3 + i * 1e-5} for i in range(len(labels))]
    return Spec("s", "smoke", dict(zip(labels, lrs, strict=True)), (0, 1))


def table(made: Spec, *metrics: str):
    metrics = metrics or ("m",)
    places = itertools.product(metrics, enumerate(made.variants), (0, 1))
    rows = [(metric, "language", v, seed, float(seed + i)) for metric, (i, v), seed in places]
    frame = pd.DataFrame(rows, columns=["metric", "family", "variant", "seed", "value"])
    data = measurements(made, frame, dict.fromkeys(metrics, Metric("lower", "nats")))
    return effects(data, next(iter(made.variants))).assign(role="primary")  # results.csv may hold what no spec may name


def markdown_cells(line: str) -> list[str]:
    cells = re.findall(r"\|((?:\\.|[^|\\])*)(?=\|)", line)
    assert "|" + "".join(f"{cell}|" for cell in cells) == line
    return [re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cell.strip()) for cell in cells]


def latex_text(cell: str) -> str:
    cell = re.sub(r"^\\textbf\{(.*)\}$", r"\1", cell)
    assert TEXT.fullmatch(cell), cell
    word = re.compile(r"\\text([a-z]+)\{\}|\\([&%$#_{}])|(\$-\$)|\{([\[\]*])\}")
    return word.sub(lambda m: WORDS[m[1]] if m[1] else m[2] or ("−" if m[3] else m[4]), cell)


def round_trips(made: Spec, *metrics: str) -> None:
    first, *others = made.variants
    effects_table, expected = table(made, *metrics), [*itertools.product(metrics or ("m",), others)]
    cells = text_tables.cells(effects_table)
    assert first in cells.columns and [*zip(cells["metric"], cells["variant"], strict=True)] == expected
    head, _, *rows = map(markdown_cells, text_tables.to_markdown(effects_table).splitlines())
    lines = [line.removesuffix(r" \\") for line in text_tables.to_latex(effects_table).splitlines()]
    latex = [[latex_text(c.strip()) for c in re.split(r"(?<!\\)&", line)] for line in (lines[2], *lines[4:-2])]
    for names, told, bold in ((head, rows, "**"), (latex[0], latex[1:], "")):
        told = [dict(zip(names, row, strict=True)) for row in told]
        assert first in names
        assert [(at["metric"], at["variant"]) for at in told] == [(f"{bold}{m}{bold}", v) for m, v in expected]


def page_of(root: Path, *labels: str) -> Page:
    made = spec(*labels)
    round_trips(made)
    study = Study(made.name, made.recipe, made.variants, made.seeds, root=root, runs=root)
    study.table.unlink(missing_ok=True)
    study.folder.mkdir(exist_ok=True)
    for key in [key for key in study.measurements.runs if key != (labels[0], 0)]:
        store.add_results(study.folder, made, key, [Measured("language", "m", 0.5, 3)], 1.0)
    with patch.object(StudyFigures, "sections", lambda _: dict.fromkeys(("effects", "seeds", "probes"), ())):
        return Page(study.report().read_text("utf-8"))


def csv_round_trips(folder: Path, made: Spec, metric: str) -> None:
    for path in (folder / "results.csv", folder / "metrics.json"):
        path.unlink(missing_ok=True)
    for label in made.variants:
        store.add_results(folder, made, (label, 0), [Measured("language", metric, -0.5, 3)], 1.0)
    found, _ = store.read_results(folder, made, store.read_metrics(folder))
    assert found["variant"].tolist() == [*made.variants] and set(found["metric"]) == {metric}
    assert found["value"].tolist() == [-0.5] * len(made.variants)


@given(LABELS, LABELS)
def test_a_label_is_the_same_in_every_table(tmp_path_factory, label, metric):
    with suppress(ConfigError):
        made = spec(label, "other")
        round_trips(made)
        csv_round_trips(tmp_path_factory.getbasetemp(), made, metric)


@pytest.mark.full
def test_labels_of_markup_are_labels(tmp_path):
    nasty, plain = (page_of(tmp_path, "first", *names) for names in (NASTY, [f"plain {i}" for i in range(len(NASTY))]))
    assert nasty.tags == plain.tags and {*map(str.strip, NASTY)} <= {*map(str.strip, nasty.texts)}
    round_trips(spec("a", "b"), *NASTY)
    csv_round_trips(tmp_path, spec(*NASTY), "m")


@pytest.mark.parametrize("label", REFUSED)
def test_what_is_no_line_of_text_is_no_label(label):
    with pytest.raises(ConfigError, match=r"variants: label = .*one printable line") as error:
        spec(label, "other")
    assert len(str(error.value)) < 500 and str(error.value).isprintable()

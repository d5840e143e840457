"""Whatever label a spec takes is the same in results.csv, Markdown, LaTeX and the page, and breaks none of them."""

import itertools
import re
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import pandas as pd
import pytest
from html_page import Page
from hypothesis import given
from hypothesis import strategies as st
from study.conftest import measurements

from xfm.config import ConfigError
from xfm.report import text_tables
from xfm.report.study_figures import StudyFigures
from xfm.study import Spec, Study, store
from xfm.study.effects import effects
from xfm.study.study_metrics import Measured, Metric

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

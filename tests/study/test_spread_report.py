"""A study that asks how much runs vary is told by standard deviations: there are no effects to speak of."""

import html
import re
from pathlib import Path
from typing import Any

import pytest
from study.conftest import METRICS, made_up

from xfm.report.sentences import spread
from xfm.study import Study

ALONE = ("vary_data", "vary_masks")
TOLD = [metric for metric in METRICS if not metric.startswith("validation/")]  # whose batches are of the seed


def of_sources(root: Path, shift: float = 0.0, **other: Any) -> Study:
    asked: dict[str, Any] = {"variants": ["xfm", *ALONE], "split": "validation", "root": root, "runs": root} | other
    return made_up(Study("sources", **asked), dict.fromkeys(["xfm", *ALONE], shift), 1.0)


def words(study: Study) -> str:
    text = re.sub(r"<(style|script|svg)\b.*?</\1>|<[^>]+>", " ", study.report().read_text("utf-8"), flags=re.S)
    return " ".join(html.unescape(text).split())


@pytest.mark.parametrize(("variants", "asks"), [
    (["xfm", *ALONE], True), (["xfm"], False), (["xfm", "vary_data", "no_mim"], False),
    ({"xfm": {}, "both": {"seed_of.data": 7, "seed_of.masks": 7}}, True),
    ({"xfm": {}, "more": {"seed_of.data": 7, "train.steps": 9}}, False),
    ({"a": {"seed_of.data": 1}, "b": {"seed_of.masks": 1}}, False),
])  # fmt: skip
def test_which_studies_ask_that(variants, asks, tmp_path):
    assert Study("sources", variants=variants, root=tmp_path, runs=tmp_path).spec.of_spread is asks


def test_its_tables_are_standard_deviations(tmp_path):
    study = of_sources(tmp_path)
    values = study.results().set_index(["metric", "variant", "seed"])["value"].unstack()
    head, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in study.to_markdown().splitlines()]
    assert len(rows) == 3 * len(TOLD)
    for row in (dict(zip(head, row, strict=True)) for row in rows):
        own, whole = (values.loc[(row["metric"], v)].to_numpy() for v in (row["variant"].replace("\\", ""), "xfm"))
        digits, scale = (2, 100) if row["unit"] == "points" else (4, 1)
        assert row["sd"] == f"{scale * own.std(ddof=1):.{digits}f}" and row["n"] == "10"
        share = f"{100 * own.var(ddof=1) / whole.var(ddof=1):.0f}" if row["variant"] != "xfm" else ""
        assert row["share"] == share and (" to " in row["95 % interval of the share"]) == bool(share)
    assert study.to_latex().count(r"\\") == 1 + len(rows)
    assert (study.save() and (study.folder / "figures/effects.md").read_text("utf-8")) == study.to_markdown()


def test_its_report_says_how_much_and_compares_nothing(tmp_path):
    study = of_sources(tmp_path, question="Which source do results vary by?")
    text, table, medians = words(study), study.spread(TOLD), study.median_shares()
    for sentence in spread(table, medians, "xfm"):
        assert text.count(sentence.replace("\u00a0", " ")) == 2, "in the abstract and in the results"
    row = medians.set_index(["family", "variant"]).loc[("vision-language", "vary_data")]
    own: Any = table[(table["variant"] == "vary_data") & table["metric"].isin(TOLD[1:])]
    share, low, high = (f"{100 * x:.0f}" for x in (own["share"].median(), row["share_low"], row["share_high"]))
    size = f"{share} % of xfm’s variance (95 % CI {low} % to {high} %)"
    assert f"vary_data has {size} in the median metric of vision-language." in text
    assert "1 of language and 2 of vision-language; runs: 10 of xfm, 10 of vary_data and 10 of vary_masks" in text
    assert "In xfm every source of randomness follows the seed" in text and "shares need not sum to 100" in text
    for wrong in ("compared seed by seed", "Mean difference to", "effects with an interval", "Mean ranks", "sign-flip"):
        assert wrong not in text, wrong
    drawn = [path.name for path in study.save() if path.suffix == ".png"]
    assert drawn == ["spread.png", "seeds.png"]

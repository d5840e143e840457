"""The paper's main table, of a study: every number is that of its runs."""

from __future__ import annotations

import re

import pytest
from scipy import stats
from study.conftest import METRICS, PRIMARY, without

ARMS = {"no_stop_gradient": 0.7, "neither": -0.4}


def test_cells_are_means_with_t_intervals_beside_the_baseline(invented) -> None:
    study = invented(ARMS)
    table = study.by_field(PRIMARY)
    assert list(table.columns) == ["field", "metric", "baseline", "xfm", *ARMS]
    runs = study.results()
    for metric in PRIMARY:
        (row,) = table[table["metric"] == metric].to_dict("records")
        own = runs[runs["metric"] == metric]
        assert {row["field"]} == set(own["family"])
        known = study.metrics()[metric]
        scale = 100 if known.unit == "%" else 1
        assert (row["baseline"] != "") == (known.baseline is not None) and known.baseline_name in row["baseline"]
        for variant in ("xfm", *ARMS):
            x = own[own["variant"] == variant]["value"].to_numpy() * scale
            low, high = stats.ttest_1samp(x, 0).confidence_interval(0.95)
            told = [float(n.replace("−", "-")) for n in re.findall(r"[−\d.]+", row[variant])]
            assert told == pytest.approx([x.mean(), low, high], abs=0.051 if scale == 100 else 0.0051)


def test_each_field_ends_with_its_mean_ranks(invented) -> None:
    study = invented(ARMS)
    table, ranks = study.by_field(list(METRICS)), study.mean_ranks()
    assert set(ranks["family"]) == {"language", "vision-language"}, "held-out losses are not ranked"
    for family, rows in table[table["field"] != "vision"].groupby("field", sort=False):
        last = rows.iloc[-1]
        assert last["metric"].startswith("mean rank") and last["baseline"] == ""
        of = ranks[ranks["family"] == family].set_index("variant")["rank"]
        for variant, rank in of.items():
            assert last[variant].startswith(f"{rank:.2f} (")


def test_a_specialist_has_no_cell_where_it_has_no_metric(invented) -> None:
    study = invented(ARMS)
    lost = PRIMARY[0]
    without(study, "neither", lost)
    table = study.by_field(PRIMARY).set_index("metric")
    assert table.loc[lost, "neither"] == "" and table.loc[lost, "xfm"] != ""
    assert all(table.loc[metric, "neither"] != "" for metric in PRIMARY[1:])
    ranks = study.mean_ranks(PRIMARY).set_index("family")
    assert set(ranks.loc[[table.loc[lost, "field"]], "variant"]) == {"xfm", "no_stop_gradient"}


def test_the_report_of_a_study_with_specialists_has_it(invented) -> None:
    study = invented(ARMS)
    assert "By field" not in study.report().read_text("utf-8"), "all variants have all metrics"
    without(study, "neither", PRIMARY[0])
    page = study.report().read_text("utf-8")
    assert "By field" in page and study.by_field()["xfm"].iloc[0] in page

"""The paper's main table, of a study: every number is that of its runs."""

import re

import pytest
from scipy import stats
from study.conftest import METRICS, PRIMARY, without


def test_cells_are_means_with_t_intervals_beside_the_baseline_and_each_field_ends_with_its_mean_ranks(invented):
    study = invented({"no_stop_gradient": 0.7, "neither": -0.4})
    table, ranks = study.by_field(list(METRICS)), study.mean_ranks()
    assert list(table.columns) == ["field", "metric", "baseline", *study.spec.variants]
    assert "By field" not in study.report().read_text("utf-8"), "all variants have all metrics"
    for (metric, family), own in study.results().groupby(["metric", "family"]):
        (row,) = table[table["metric"] == metric].to_dict("records")
        known, scale = study.metrics()[metric], 100 if study.metrics()[metric].unit == "%" else 1
        assert row["field"] == family
        assert (row["baseline"] != "") == (known.baseline is not None) and known.baseline_name in row["baseline"]
        for variant in study.spec.variants:
            x = own[own["variant"] == variant]["value"].to_numpy() * scale
            low, high = stats.ttest_1samp(x, 0).confidence_interval(0.95)
            told = [float(n.replace("−", "-")) for n in re.findall(r"[−\d.]+", row[variant])]
            assert told == pytest.approx([x.mean(), low, high], abs=0.051 if scale == 100 else 0.0051)
    assert set(ranks["family"]) == {"language", "vision-language"}, "held-out losses are not ranked"
    for family, rows in ranks.groupby("family"):
        last = table[table["field"] == family].iloc[-1]
        assert last["metric"].startswith("mean rank") and last["baseline"] == ""
        assert all(last[row.variant].startswith(f"{row.rank:.2f} (") for row in rows.itertuples())


def test_a_specialist_has_no_cell_where_it_has_no_metric(invented):
    study, lost = invented({"no_stop_gradient": 0.7, "neither": -0.4}), PRIMARY[0]
    without(study, "neither", lost)
    table = study.by_field(PRIMARY).set_index("metric")
    assert table.loc[lost, "neither"] == "" and table.loc[lost, "xfm"] != ""
    assert all(table.loc[metric, "neither"] != "" for metric in PRIMARY[1:])
    ranks = study.mean_ranks(PRIMARY).set_index("family")
    assert set(ranks.loc[[table.loc[lost, "field"]], "variant"]) == {"xfm", "no_stop_gradient"}
    page = study.report().read_text("utf-8")
    assert "By field" in page and study.by_field()["xfm"].iloc[0] in page

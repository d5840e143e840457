"""The page of a study: complete, self-contained, and its sentences true to the table."""

import re

from study.conftest import TINY, tiny

from xfm.report import sentences
from xfm.study import run_records

SHIFT = {"no_stop_gradient": 0.7, "no_guidance": 0.0}
NAMING = "naming, accuracy"


def test_a_sentence_says_the_way_the_size_and_the_interval(invented, tmp_path):
    """Conclusions are of the primary metrics, and count the rest."""
    table = invented(SHIFT).effects()
    rows = {key: rows.iloc[0] for key, rows in table.groupby(["variant", "metric"])}
    row = rows["no_stop_gradient", NAMING]
    size = f"{100 * row['effect']:+.2f} points (95 % CI {100 * row['low']:+.2f} to {100 * row['high']:+.2f}, 10 seeds)"
    start = f"no_stop_gradient is better than xfm on {NAMING}: {size}; p = {row['p']:.4f}, Holm "
    assert sentences.effect(row).startswith(start)
    said = sentences.effect(rows["no_stop_gradient", "language, loss (nats)"])
    assert " is worse than xfm on " in said and " nats (95 % CI" in said, "a loss that grows"
    row = rows["no_guidance", NAMING]
    assert row["low"] < 0 < row["high"] and ": no difference shown, " in sentences.effect(row)
    detectable = f"{100 * row['detectable']:.2f} points would be detected in 80 % of such studies."
    assert sentences.effect(row).endswith(f". {detectable}")
    said = sentences.conclusions(table)
    assert said[0].endswith("the baseline (unigram) is 4.0500 nats.") and len(said) == 2 + 6 + 1, "baselines come first"
    assert " of 2 secondary effects have an uncorrected interval without zero; about 0 would by chance" in said[-1]
    explored = sentences.conclusions(invented(SHIFT, root=tmp_path / "explored", primary=()).effects())
    assert all("no difference" not in one for one in explored), "of an exploration what stands out"


def test_the_page_has_everything_and_needs_no_other(invented):
    study = invented(
        {"<b>evil</b>": 0.7}, variants={"xfm": "xfm", "<b>evil</b>": "no_stop_gradient"}, lost=(("xfm", 2),)
    )
    page = study.report().read_text("utf-8")
    assert "<b>evil" not in page and "&lt;b&gt;evil" in page
    for text in (*sentences.design(study.spec), *sentences.conclusions(study.effects())):
        assert text.replace("<", "&lt;").replace(">", "&gt;") in page
    assert "xfm, seed 2: not run yet" in page and page.count("<svg") == 4
    assert not re.search(r"(src|href)=[\"'](?!#|https://(openmoji|creativecommons|wordnet|doi))", page)
    assert "What happened inside" not in page, "nothing was probed"
    first = page[page.index("<h1") : page.index('class="abstract"')]
    assert study.spec.question.split("?")[0] in first and 'class="lead"' in first and 'id="figure-effects"' in first
    assert page.count("<h1") == 1 and not re.search(r"<th[^>]*></th>", page)
    assert "<table" not in page[: page.index("<details>")] and page.count("<details>") == page.count("<table"), "folded"


def test_probes_are_kept_short_and_a_torn_line_costs_nothing(invented):
    study = invented(SHIFT)
    path = study.folder / "probes.csv"
    record = {"step": 5, "drift": {"language": 0.123456789, "vision": None}, "cka": {"language": [1.0, 0.98765432]}}
    run_records.add_records(path, ("xfm", 3), [{**record, "step": 0}, record])
    with path.open("a") as file:
        file.write("xfm,4,")
    run_records.add_records(path, ("xfm", 4), [record])
    run_records.add_records(path, ("no_guidance", 4), [])
    found = study.probes()
    assert found.keys() == {"xfm"} and [[r["step"] for r in seed] for seed in found["xfm"]] == [[0, 5], [5]]
    assert found["xfm"][1][0]["drift"] == {"language": 0.1235, "vision": None}
    assert path.read_text().startswith(
        "variant,seed,step,drift/language,drift/vision,cka/language\nxfm,3,0,0.1235,null,"
    )


def test_a_probed_study_shows_what_happened_inside(tmp_path):
    study = tiny("probed", tmp_path, changes=TINY | {"train.probe_every": 2})
    study.run()
    records = study.probes()
    steps = {v: [[r["step"] for r in seed] for seed in seeds] for v, seeds in records.items()}
    assert steps == {"xfm": [[0, 2, 4]], "no_stop_gradient": [[0, 2, 4]]}
    held = [records[v][0][-1]["held_back"]["itm"] for v in records]
    assert held[0] > 0 == held[1]
    page = study.report().read_text("utf-8")
    assert "What happened inside" in page and 'id="figure-probes"' in page

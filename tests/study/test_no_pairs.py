"""A study before its first pair: everything is written, shows what there is, and says that there are no pairs yet."""

from __future__ import annotations

import pytest
from study.conftest import PRIMARY, made_up

from xfm.config import ConfigError
from xfm.study import Study, StudyError, grid

SAID = "no pairs yet"
SEEDS = range(3)
VARIANTS = ("xfm", "no_mim")
GRID = grid({"data.texts": [4, 8], "train.lr": [1e-3, 3e-3]}, VARIANTS)
LACKING = {  # variants, and the runs without results
    "one variant alone": (["xfm"], []),
    "only the reference has run": (VARIANTS, [("no_mim", seed) for seed in SEEDS]),
    "never at one seed": (VARIANTS, [("xfm", 0), ("no_mim", 1), ("xfm", 2), ("no_mim", 2)]),
    "nothing has run": (VARIANTS, [(variant, seed) for variant in VARIANTS for seed in SEEDS]),
    "a grid": (GRID, [(variant, seed) for variant in GRID for seed in SEEDS if variant.startswith("no_mim")]),
}


@pytest.fixture(params=LACKING)
def unpaired(request, tmp_path):
    variants, lost = LACKING[request.param]
    primary = PRIMARY if request.param != "never at one seed" else ()
    study = Study("early", "smoke+stage1", variants, SEEDS, primary, root=tmp_path, runs=tmp_path / "runs")
    return made_up(study, {}, lost=tuple(lost))


def test_tables_say_so_and_have_the_means_that_there_are(unpaired):
    assert not len(unpaired.pairs())
    effects = unpaired.effects()
    assert (effects["n"] == 0).all() and effects["note"].str.startswith(SAID).all()
    ran = unpaired.results()["variant"].unique()
    for text in (unpaired.to_markdown("all"), unpaired.to_latex("all")):
        first, *table = text.splitlines()
        assert SAID in first.lower()
        assert all(any(variant in line.replace("\\", "") for line in table) for variant in ran), "a column a variant"
    mean = unpaired.results().query("metric == 'naming, accuracy' and variant == 'xfm'")["value"].mean()
    assert mean != mean or f"{100 * mean:.1f}" in unpaired.to_markdown()


def test_figures_of_every_kind_are_drawn(unpaired):
    for kind in ("effects", "seeds", "map", "probes"):
        figure = unpaired.figure(kind)
        words = " ".join(text.get_text().replace("\n", " ") for text in figure.texts).lower()
        assert ("no probes yet" if kind == "probes" else SAID) in words
        assert figure.bytes().startswith(b"\x89PNG")


def test_the_report_and_all_files_are_written(unpaired):
    files = unpaired.save()
    assert all(path.stat().st_size for path in files)
    assert {"report.html", "effects.md", "effects.tex"} <= {path.name for path in files}
    page = (unpaired.folder / "report.html").read_text("utf-8")
    assert page.lower().count(SAID) >= 2 and " nan" not in page.lower()
    for row in unpaired.missing().itertuples():
        assert f"{row.variant}, seed {row.seed}: not run yet" in page


def test_equivalence_says_so(unpaired):
    with pytest.raises(StudyError, match="No pairs yet"):
        unpaired.equivalence(PRIMARY[0], 0.1)


@pytest.mark.parametrize("pairs", [1, 2])
def test_of_fewer_than_three_pairs_equivalence_is_not_shown(tmp_path, pairs):
    study = Study("few", "smoke+stage1", VARIANTS, range(pairs), root=tmp_path, runs=tmp_path / "runs")
    found = made_up(study, {}).equivalence(PRIMARY[0], 100.0).loc["no_mim"]
    assert found["n"] == pairs and not found["equivalent"] and found["p"] != found["p"]


@pytest.mark.parametrize("margin", [0, -1.0, float("nan"), float("inf"), "1", None])
def test_a_margin_is_a_positive_number(invented, margin):
    with pytest.raises(ConfigError, match=r"margin = .*positive number"):
        invented({"no_mim": 0.0}).equivalence(PRIMARY[0], margin)

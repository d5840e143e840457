"""What a study says where things are not as usual: before its first pair, and of odd metrics, labels, arguments."""

import dataclasses

import pytest
from study.conftest import KNOWN, METRICS, PRIMARY, made_up

from xfm.config import ConfigError
from xfm.report import sentences
from xfm.study import Study, StudyError, grid
from xfm.study.admission import admissions
from xfm.study.study_metrics import Metric
from xfm.study.variants import changes

LOSS, NAMING = PRIMARY[0], PRIMARY[2]


def test_a_primary_metric_of_which_no_direction_is_better_has_no_front_and_the_page_is_made(tmp_path, monkeypatch):
    mim = "validation/images/mim"
    monkeypatch.setitem(METRICS, mim, ("vision", 0.5, 0.02))
    monkeypatch.setitem(KNOWN, mim, Metric("lower", "MSE", 1.0, "constant", "vision", 400))
    asked = {"primary": [LOSS, mim], "split": "validation", "seeds": range(4), "root": tmp_path, "runs": tmp_path}
    study = made_up(Study("own", variants=["xfm", "no_mim"], **asked), {"no_mim": 1.0})
    text = study.report().read_text("utf-8")
    assert mim in text and "Pareto front" not in text and not sentences.front(study.measurements)
    _, of_mim, *_ = admissions(dataclasses.replace(study.spec, explored=("own",)), tmp_path)
    assert of_mim.why == "has no baseline, or no better direction"


def test_a_study_is_loaded_from_within_its_folder_and_a_text_alone_is_a_list_of_one(invented, monkeypatch, tmp_path):
    study = invented({"no_mim": 0.5})
    monkeypatch.chdir(study.folder)
    for path in (".", "spec.json", "../invented", study.folder / "spec.json"):
        assert Study.load(path).spec == study.spec
    given = {"primary": LOSS, "explored": "first", "hypotheses": "It does.", "tasks": "naming"}
    spec = Study("s", "smoke", ["xfm", "no_mim"], seeds=range(4), root=tmp_path, **given).spec
    assert (spec.primary, spec.explored, spec.hypotheses) == ((LOSS,), ("first",), ("It does.",))
    assert changes("name=+clip_like") == {"name": "+clip_like"}
    assert changes("name=a+no_mim") == {"name": "a"} | changes("no_mim")


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


def test_tables_figures_and_pages_say_so_and_have_the_means_that_there_are(unpaired):
    assert not len(unpaired.pairs())
    effects = unpaired.effects()
    assert (effects["n"] == 0).all() and effects["note"].str.startswith(SAID).all()
    for text in (unpaired.to_markdown("all"), unpaired.to_latex("all")):
        assert SAID in text.splitlines()[0].lower()
    mean = unpaired.results().query("metric == 'naming, accuracy' and variant == 'xfm'")["value"].mean()
    assert mean != mean or f"{100 * mean:.1f}" in unpaired.to_markdown()
    for kind in ("effects", "seeds", "steps", "probes"):
        words = " ".join(text.get_text().replace("\n", " ") for text in unpaired.figure(kind).texts).lower()
        assert ("no probes yet" if kind == "probes" else SAID) in words
    with pytest.raises(StudyError, match="No pairs yet"):
        unpaired.equivalence(PRIMARY[0], 0.1)
    assert all(path.stat().st_size for path in unpaired.save())
    page = (unpaired.folder / "report.html").read_text("utf-8")
    assert page.lower().count(SAID) >= 2 and " nan" not in page.lower()
    for row in unpaired.missing().itertuples():
        assert f"{row.variant}, seed {row.seed}: not run yet" in page


def test_of_fewer_than_three_pairs_equivalence_is_not_shown(tmp_path, invented):
    for pairs in (1, 2):
        study = Study("few", "smoke+stage1", VARIANTS, range(pairs), root=tmp_path / str(pairs), runs=tmp_path / "runs")
        found = made_up(study, {}).equivalence(PRIMARY[0], 100.0).loc["no_mim"]
        assert found["n"] == pairs and not found["equivalent"] and found["p"] != found["p"]
    study = invented({"no_mim": 0.0})
    for margin in (0, float("nan"), "1", None):
        with pytest.raises(ConfigError, match=r"margin = .*positive number"):
            study.equivalence(PRIMARY[0], margin)

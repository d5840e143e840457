"""docs/studies.md: its examples run in the order of the page, with trainings played; its numbers are the studies'."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xfm import prior_runs
from xfm.cli import main, parse
from xfm.cli.results import Study as Command
from xfm.study import Study, plan, runner, untrained
from xfm.study.admission import admissions
from xfm.study.job import Outcome
from xfm.study.metrics import Measured, Metric
from xfm.study.statistics import can_reach, smallest_p
from xfm.study.untrained import Untrained
from xfm.train.estimate import estimate

from .conftest import told

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/studies.md").read_text("utf-8")
TEXT = " ".join(PAGE.split())
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S)
LOSS, NAMING, PROBE = "language, loss (nats)", "naming, accuracy", "concept, pooled, linear probe, accuracy"
ITM = "validation/pairs/itm"
KNOWN = {LOSS: Metric("lower", "nats", 6.9, "unigram"), NAMING: Metric("higher", "%", 0.01, "chance")}
FAMILY = {LOSS: "language", NAMING: "vision-language"}


def rows(seed: int, shift: float) -> list[Measured]:
    noise = np.random.default_rng([seed, round(100 * shift)]).normal(0, 0.05, 2)
    values = {LOSS: 5.5 + shift + noise[0], NAMING: 0.5 - shift / 10 + noise[1]}
    return [Measured(FAMILY[key], key, value, 400, KNOWN[key]) for key, value in values.items()]


def played(config: str, root: str, tasks, progress: str, *how: object) -> Outcome:
    tree = json.loads(config)
    return Outcome(rows(tree["seed"], 0.2 * tree["flow"]["text_gradient"]["itm"]) if tasks else [], 60.0, [], [], 9.0)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "measure", played)
    monkeypatch.setattr(untrained, "measure", lambda *_: Untrained(rows(0, 1.0), 9.0))
    monkeypatch.setattr(plan, "timed_steps", lambda config, root, steps: ([{"seconds": 0.4}] * (steps - 1), None))
    return tmp_path


def test_its_examples_run(world, capsys):
    names: dict = {}
    for language, block in BLOCKS:
        if language == "python":
            exec(compile(block, "docs/studies.md", "exec"), names)
    confirm, made = names["confirm"], names["plan"]
    assert len(confirm.missing()) == 0 and confirm.spec.kind == "confirmatory"
    assert (
        made.detectable["pairs"].tolist() == [6] and (made.detectable["at_most"] > made.detectable["detectable"]).all()
    )
    assert confirm.effects()["verdict"].tolist()[0] == "worse"
    commands = [shlex.split(line) for language, block in BLOCKS if language == "sh" for line in block.splitlines()]
    assert len(commands) == 5 and all(words[:3] == ["xfm", "study", "stop"] for words in commands)
    for words in commands:
        parsed = parse(words[1:])
        assert isinstance(parsed, Command)
        if "--slurm" in words:
            assert (
                parsed.slurm == ("partition=cpu", "timeout_min=240", "cpus_per_task=1", "mem_gb=4")
                and parsed.workers == 40
            )
        elif "--workers" not in words or "--plan" in words:  # two workers would be processes, and train
            main(words[1:])
    said = capsys.readouterr().out
    assert "2 workers on this machine" in said and "nothing to accept" in said and "report.html" in said


def test_its_numbers_are_those_of_the_studies():
    two, which = (Study.load(ROOT / "studies" / name) for name in ("two-by-two", "which-loss"))
    table = two.effects().set_index(["variant", "metric"])
    stop, guidance = table.loc[("no_stop_gradient", LOSS)], table.loc[("no_guidance", LOSS)]
    assert (
        f"{stop['mean_against']:.4f} nats with the stop, {stop['mean']:.4f} without, unigram {stop['baseline']:.4f}"
        in TEXT
    )
    assert f"The effect, {stop['effect']:.4f} nats" in TEXT
    itm = table.loc[("no_stop_gradient", "validation/pairs/itm")]
    assert f"held-out ITM {itm['mean_against']:.4f} nats, the entropy of its labels {itm['baseline']:.4f}" in TEXT
    tests, seeds = which.spec.tests, len(which.spec.seeds)
    assert not can_reach(tests, seeds)
    least = smallest_p(seeds)
    assert f"{tests} tests on {seeds} seeds; the smallest p is {least:.3f}, {tests * least:.2f} after Holm's" in TEXT
    found = [100 * table.loc[("no_guidance", metric), "detectable"] for metric in (PROBE, NAMING)]
    assert f"could have found {found[0]:.1f} and {found[1]:.1f} points" in TEXT
    assert f"{guidance['effect']:.4f} nats, detectable {guidance['detectable']:.4f}" in TEXT
    assert guidance["p_holm"] <= 0.05 and guidance["effect"] < guidance["detectable"]
    for name in ("regime", "regime-short"):
        assert Study.load(ROOT / "studies" / name).pairs().groupby(["variant", "metric"]).size().max() == 1


def test_the_old_mistakes_are_told_by_the_plan_today(world):
    for name in ("two-by-two", "regime", "regime-short"):
        (world / "studies" / name).mkdir(parents=True)
        for file in ("spec.json", "results.csv", "baselines.json"):
            (world / "studies" / name / file).write_bytes((ROOT / "studies" / name / file).read_bytes())
    known = [*rows(0, 1.0), Measured("vision-language", ITM, 0.7, 9, Metric("lower", "nats"))]
    which = Study.load(ROOT / "studies/which-loss").spec
    again = Study("again", which.recipe, which.variants, range(50, 56), which.primary, which.changes, ["mlm", "naming"])
    assert "0.25 after Holm's correction: nothing can be confirmed" in str(again.plan())

    def planned(name: str, primary: list[str], explored: str, variants: list[str]) -> pd.DataFrame:
        untrained.measure = lambda *_: Untrained(known, 9.0)  # restored with `world`
        of = Study.load(ROOT / "studies" / explored).spec
        study = Study(name, of.recipe, variants, range(50, 60), primary, of.changes, explored=[explored])
        return study.plan().detectable

    at_floor = planned("next", [LOSS, ITM], "two-by-two", ["xfm", "no_stop_gradient"]).set_index("metric")
    assert at_floor.loc[ITM, "note"] == "the reference is at the baseline: harm to what is not learnt cannot be seen"
    gain = at_floor.loc[LOSS, "baseline"] - at_floor.loc[LOSS, "reference"]
    assert at_floor.loc[LOSS, "note"] == "" and f"Its gain, {gain:.4f} nats" in TEXT
    one_seed = planned("turned", [LOSS], "regime", ["xfm", "no_stop_gradient"])
    assert "takes two pairs" in one_seed["note"][0]


def test_what_is_said_of_the_specialists_is_in_their_results() -> None:
    text = " ".join((ROOT / "studies/README.md").read_text("utf-8").split())
    study = Study.load(ROOT / "studies/general")
    assert not len(study.missing()) and len(study.spec.seeds) == 12
    rows = study.effects().set_index(["variant", "metric"])
    synset, concept, recall = study.spec.primary

    def said(variant: str, metric: str, form: str, scale: float = 100, sign: int = 1) -> bool:
        return told(rows.loc[(variant, metric)], form, scale, sign) in text

    assert said("bert_like", synset, "of 2 points ({:+.2f} points, {:+.2f} to {:+.2f}, TOST p <tost>)")
    assert said("beit_like", concept, "concepts {:.2f} points worse ({:.2f} to {:.2f}, Holm <holm>)", sign=-1)
    assert said("clip_like", concept, "`clip_like` {:.2f} points better ({:.2f} to {:.2f}, Holm <holm>)")
    assert said("clip_like", recall, "By {:.2f} points ({:.2f} to {:.2f}, Holm <holm>)")
    assert said("fused", synset, "definitions ({:+.2f} points, {:+.2f} to {:+.2f}, TOST p <tost>)")
    assert said("fused", concept, "concepts ({:+.2f} points, {:+.2f} to {:+.2f}, TOST p <tost>)")
    assert said("fused", recall, "worse in retrieval, by {:.2f} points ({:.2f} to {:.2f}, Holm <holm>)", sign=-1)
    alike = [(variant, metric) for variant, metric in rows.index if rows.loc[(variant, metric), "equivalent"] == "yes"]
    assert alike == [("fused", synset), ("bert_like", synset), ("fused", concept)]
    found = [rows.xs(m, level="metric")["detectable"].max() for m in study.spec.primary]
    looked_for = [round(100 * study.spec.detectable[m]) for m in study.spec.primary]
    assert "Looked for were {}, {} and {} points".format(*looked_for) in text
    assert "these seeds find {:.2f}, {:.2f} and {:.2f} in 80 %".format(*(100 * d for d in found)) in text
    assert said("fused", LOSS, "lower by {:.4f} nats ({:.4f} to {:.4f})", 1)
    assert said("fused", NAMING, "{:.2f} points of naming ({:.2f} to {:.2f})", sign=-1)
    grounding = "grounding (several objects), acc@0.5"
    assert said("fused", grounding, "{:.2f} points of grounding of several objects ({:.2f} to {:.2f})")
    imlm, pairs = "validation/pairs/imlm", "minimal pairs, MLM, accuracy"
    assert said("fused", imlm, "{:.4f} nats on words masked beside a picture ({:.4f} to {:.4f})", 1, -1)
    assert said("fused", pairs, "{:.2f} points of minimal pairs ({:.2f} to {:.2f})")
    assert said("fused", "image to text, ITC + ITM, R@1", "(image to text {:+.2f}, {:+.2f} to {:+.2f})")
    lexname = "lexicographer file of a gloss, accuracy"
    assert said("bert_like", lexname, "encoder (in lexicographer files {:.2f} points, {:.2f} to {:.2f}, uncorrected)")
    assert told(rows.loc[("bert_like", lexname)], "`bert_like` has those {:.2f} points more") in text
    assert said("bert_like", LOSS, "higher by {:.4f} nats, {:.4f} to {:.4f}", 1)
    best = study.by_field([lexname]).iloc[0]
    assert max(float(best[v].split(" ")[0]) for v in study.spec.variants if best[v]) < float(best["baseline"][:5])
    shares = study.pareto().drop_duplicates("variant").set_index("variant")["probability"]
    assert shares.map("{:.0%}".format).to_dict() == {
        "xfm": "100%", "fused": "2%", "bert_like": "39%", "beit_like": "0%", "clip_like": "100%"}  # fmt: skip
    assert "`bert_like` in 39 %, `fused` in 2 %, `beit_like` in none" in text


def test_what_the_general_study_names_beforehand_can_be_admitted() -> None:
    study = Study.load(ROOT / "studies/general")
    found = admissions(study.spec, study.folder.parent)
    assert [each.admitted for each in found] == [True] * 3 and len(study.spec.seeds) == 12
    assert [each.variant for each in found] == ["bert_like", "beit_like", "xfm"]


@pytest.mark.slow
def test_the_general_studys_models_have_as_much_computing() -> None:
    configs = Study.load(ROOT / "studies/general").spec.configs
    share = {name: estimate(config).run_flops for name, config in configs.items() if name != "fused"}
    budget = share.pop("xfm") + estimate(prior_runs.stage1(configs["xfm"])).run_flops
    assert {*share} == {"bert_like", "beit_like", "clip_like"}
    assert all(0.95 <= flops / budget <= 1.05 for flops in share.values()), "they are counted of one batch"

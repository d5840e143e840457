"""What a spec says beforehand, that it stays said, and what is made of it."""

import dataclasses
import json

import pytest
from study.conftest import PRIMARY, TINY, edited, tiny, without

from xfm.config import ConfigError
from xfm.report import sentences
from xfm.study import Spec, Study, grid, runner, worker
from xfm.study.statistics import gatekeeping
from xfm.study.study_metrics import FLOOR, SHUT, Measured
from xfm.study.worker import Outcome

LOSS, NAMING = PRIMARY[0], PRIMARY[2]
PLAN = {
    **{"gatekeeping": True, "margins": {NAMING: 0.02}, "detectable": {LOSS: 0.01}, "admission": {LOSS: "no_mim"}},
    **{"question": "Does it?", "hypotheses": ["It does.", "It does not."], "would_change": "A reversal."},
}
SHIFT = {"no_stop_gradient": 0.7, "no_guidance": 0.0}


def planned(**other) -> Spec:
    return Study("s", "smoke", ["xfm", "no_mim"], range(4), PRIMARY, **PLAN | other).spec


def test_a_plan_goes_to_json_and_back_and_its_hash_is_of_what_is_said():
    spec = planned()
    assert Spec.from_json(spec.to_json()) == spec and spec.hypotheses == ("It does.", "It does not.")
    other = {"changes": {"train.lr": 1e-3}, "tasks": ("mlm",), "confirmatory": True, "explored": ("insulation",)}
    made = Study("s", "smoke", grid({"flow.text_gradient.{itm,imlm,bbp}": [0, 1]}), primary=PRIMARY[:1], **other).spec
    assert Spec.from_json(made.to_json()) == made
    assert Spec.from_json(json.dumps(dict(reversed(json.loads(spec.to_json()).items())))).hash == spec.hash
    others = {"margins": {}, "question": "Did it?", "gatekeeping": False, "hypotheses": [], "admission": {}}
    others |= {"detectable": {LOSS: 0.02}, "would_change": "", "split": "validation"}
    changed = [planned(**{name: value}).hash for name, value in others.items()]
    assert len({spec.hash, dataclasses.replace(spec, seeds=(7, 8)).hash, *changed}) == 10


@pytest.fixture
def measuring(monkeypatch):
    def measure(config: str, root, tasks, progress, split="test", step_0=False) -> Outcome:
        known = json.loads(config)
        value = known["seed"] + known["flow"]["text_gradient"]["itm"]
        return Outcome([Measured("vision", "acc", value, 1)], 1.0, [], [], 0.0, rows * step_0)

    rows = [Measured("vision", "acc", 0.5, 1)]
    monkeypatch.setattr(runner, "measure", measure)
    monkeypatch.setattr(runner, "require_admitted", lambda *_: None)
    monkeypatch.setattr(worker, "measure_untrained", lambda *_: worker.Untrained(rows, 1.0))


def test_what_the_results_are_of_is_no_longer_what_an_edited_spec_says(tmp_path, measuring):
    """spec.json cannot be held against itself; results of another split are not mixed."""
    study = tiny("s", tmp_path, seeds=[3, 4], confirmatory=True, primary=["acc"])
    study.run()
    path = study.folder / "spec.json"
    before = path.read_text()
    for field, value in {"split": "validation", "tasks": ["naming", "mlm"], "margins": {"acc": 0.5}}.items():
        path.write_text(json.dumps(json.loads(before) | {field: value, "confirmatory": field != "split"}))
        with pytest.raises(ConfigError, match=r"spec.json: (split|tasks|hash) = .*: the results are of .* \(code.json"):
            Study.load(study.folder, study.runs)
        with pytest.raises(ConfigError):
            study.run()
    path.write_text(before)
    assert not len(Study.load(study.folder, study.runs).missing())
    tiny("explores", tmp_path).run()
    with pytest.raises(ConfigError, match="has results on split = 'test'; give the other split its own study"):
        tiny("explores", tmp_path, split="validation")


def test_step_0_is_kept_of_what_others_are_compared_with(tmp_path, measuring):
    study = tiny("s", tmp_path, seeds=[3, 4, 5])
    study.run()
    levels = study.levels().query("level == 'step 0'")[["variant", "seed", "value"]]
    assert levels.to_numpy().tolist() == [["xfm", seed, 0.5] for seed in (3, 4, 5)]
    assert study.effects()["step_0"].tolist() == [0.5] and len(study.results()) == 6, "no rows of theirs"


@pytest.mark.full
def test_the_untrained_model_is_measured_as_the_trained_one(tmp_path):
    """What a training at no rate ends with is what it began with, warm start and all."""
    study = tiny("still", tmp_path, variants=["xfm"], changes=TINY | {"train.lr": 1e-12, "train.muon_lr": 0.0})
    study.run()
    began = study.levels().query("level == 'step 0'").set_index("metric")["value"]
    ended = study.results().set_index("metric")["value"]
    assert set(began.index) == set(ended.index) and len(ended) > 8
    assert began.to_dict() == pytest.approx(ended.to_dict(), rel=1e-4)


def test_gates_are_in_the_order_of_the_primary_metrics_and_behind_one_that_is_shut_nothing_is_tested(invented):
    """However large the difference there: 0.7 standard deviations here, where the first metric's is none."""
    study = invented({"no_stop_gradient": 0.7, "no_guidance": 0.7}, gatekeeping=True, margins={NAMING: 0.1})
    of_xfm = study.results().query("variant == 'xfm' and metric == @LOSS").set_index("seed")["value"]

    def alike(row):
        moved = {LOSS: of_xfm[row["seed"]] + 0.01 * (-1.0) ** row["seed"]}
        return row | moved if row["variant"] == "no_guidance" and "level" not in row else row

    edited(study, alike)
    first = study.effects().query("role == 'primary'")
    p, adjusted = (first[name].to_numpy().reshape(3, 2).T for name in ("p", "p_holm"))
    assert pytest.approx(gatekeeping(p)) == adjusted and study.spec.tests == 2
    assert ((first["p_holm"] <= 0.05) == first["verdict"].isin(["better", "worse"])).all()
    verdicts = first.set_index(["variant", "metric"])["verdict"]
    assert [*verdicts["no_guidance"][[*PRIMARY]]] == ["no difference shown", SHUT, SHUT]
    assert verdicts["no_stop_gradient", NAMING] == "better"
    (said,) = [s for s in sentences.conclusions(study.effects()) if s.startswith(f"no_guidance − xfm on {NAMING}")]
    assert SHUT in said and "would be detected" not in said and SHUT in study.to_markdown()
    without(study, "no_stop_gradient", LOSS)  # as a specialist that is not asked it
    verdicts = study.effects().set_index(["variant", "metric"])["verdict"]
    assert ("no_stop_gradient", LOSS) not in verdicts and verdicts["no_stop_gradient", NAMING] == SHUT


def test_margins_are_tested_and_said(invented):
    study = invented(SHIFT, margins={NAMING: 0.01}, detectable={NAMING: 0.02})
    table = study.effects().set_index(["metric", "variant"])
    rows, alone = table.loc[NAMING], study.equivalence(NAMING).loc[table.loc[NAMING].index]
    assert rows["p_equivalent"].tolist() == pytest.approx(alone["p"].tolist())
    assert (rows["equivalent"] == "yes").tolist() == alone["equivalent"].tolist()
    assert (rows[["margin", "stated"]] == [0.01, 0.02]).all(axis=None) and {*table.loc[LOSS, "equivalent"]} == {""}
    said = [s for s in sentences.conclusions(study.effects()) if "TOST" in s]
    assert len(said) == 2 and sum(" Equivalent within ±1.00 points (TOST, p " in one for one in said) == 1


def test_at_the_floor_no_effect_is_claimed(invented, tmp_path):
    study = invented({"no_stop_gradient": 4.0, "xfm": 1.5}, variants=["xfm", "no_stop_gradient"])
    table = study.effects().set_index("metric")
    assert table.loc[LOSS, "p_holm"] <= 0.05 and table.loc[LOSS, "low"] > 0, "it would be an effect"
    assert table.loc[LOSS, "verdict"] == FLOOR and table.loc[NAMING, "verdict"] == "better"
    said = [s for s in sentences.conclusions(study.effects()) if FLOOR in s]
    assert said == [f"{LOSS}: {FLOOR} (unigram, 4.0500 nats), so no effect is claimed."]
    one = invented({"no_stop_gradient": -4.0, "xfm": 1.5}, variants=["xfm", "no_stop_gradient"], root=tmp_path / "one")
    assert one.effects().set_index("metric").loc[LOSS, "verdict"] == "better", "one variant has left it"

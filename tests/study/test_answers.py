"""What is written before and after a study: metrics that explorations admit, and answers to its hypotheses."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats
from study.conftest import METRICS, PRIMARY, made_up

from xfm.base.files import FileError
from xfm.config import ConfigError
from xfm.study import Study, StudyError, runner, store, worker
from xfm.study.conclusions import HELD, digest, read
from xfm.study.study_metrics import Measured
from xfm.study.worker import Outcome

ASKED = ("H1: without the stop the loss is higher.", "H2: X-FM names more.")
WORDS = [("holds", "It is higher by <b>2</b> nats."), ("not decided", "The interval has both signs.")]
SHIPPED = (Path(__file__).parents[2] / "studies").glob("*/spec.json")
ASKING = sorted(path for path in SHIPPED if json.loads(path.read_text("utf-8")).get("hypotheses"))
SUM = "The stop helps language & nothing else."


@pytest.fixture
def confirmed(invented) -> Study:
    shift = {"no_stop_gradient": 1.0}
    return invented(shift, seeds=range(12), hypotheses=ASKED, question="Does it help?", confirmatory=True)


def report(study: Study) -> str:
    text = re.sub(r"<(script|style).*?</\1>", "", study.report().read_text("utf-8"), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_the_report_says_what_became_of_each_hypothesis(confirmed) -> None:
    assert "No answers yet: study.answer" in report(confirmed) and not len(confirmed.answers())
    confirmed.answer(SUM, WORDS)
    again = Study.load(confirmed.folder)
    assert again.answers().to_numpy().tolist() == [[a, *w] for a, w in zip(ASKED, WORDS, strict=True)]
    text = report(again)
    assert text.count(SUM) == 2, "first in the abstract, and in its section"
    for asked, (held, why) in zip(ASKED, WORDS, strict=True):
        assert f"{asked} {held.capitalize()} . {why}".replace(" .", ".") in text.replace(" .", ".")
    assert "No answers yet" not in text and "The results have changed" not in text
    results = confirmed.results()
    assert digest(results.sample(frac=1, random_state=0)) == digest(results), "in whatever order runs finished"
    text, value = confirmed.table.read_text("utf-8"), float(results["value"].iloc[0])
    confirmed.table.write_text(text.replace(repr(value), repr(value + 1e-9), 1), "utf-8")
    assert "The results have changed since this was written" in report(confirmed)


def test_what_confirms_is_read_when_it_is_whole(invented) -> None:
    lost = (("no_stop_gradient", 7),)
    study = invented({"no_stop_gradient": 1.0}, seeds=range(12), lost=lost, hypotheses=ASKED, confirmatory=True)
    with pytest.raises(StudyError, match=r"runs to do: 1\. A study that confirms is read when it is whole"):
        study.answer(SUM, WORDS)
    assert not (study.folder / "answers.json").exists()
    assert "No answers yet: a confirmatory study is read when it is whole (1 run to do)." in report(study)
    store.write_failed(study.folder, study.spec, {lost[0]: "diverged"})
    study.answer(SUM, WORDS)  # a run that failed twice is a result
    assert len(study.answers()) == 2


@pytest.mark.parametrize(("question", "words", "named"), [
    ("", WORDS, "question"), ("two\nlines", WORDS, "question"), (SUM, WORDS[:1], "hypotheses"),
    (SUM, [*WORDS, WORDS[0]], "hypotheses"), (SUM, [("hold", "x"), WORDS[1]], "hypothesis 1: held.*one of 'holds'"),
    (SUM, [WORDS[0], ("holds", "")], "hypothesis 2: why"),
])  # fmt: skip
def test_anything_else_is_refused(confirmed, question, words, named) -> None:
    with pytest.raises(ConfigError, match=named):
        confirmed.answer(question, words)
    assert not (confirmed.folder / "answers.json").exists()


def test_a_file_of_another_content_is_named(confirmed) -> None:
    confirmed.answer(SUM, WORDS)
    path = confirmed.folder / "answers.json"
    tree = json.loads(path.read_text("utf-8"))
    for field, value in [("hypotheses", tree["hypotheses"][:1]), ("hypotheses", [{"held": HELD[0]}] * 2),
                         ("hypotheses", 1), ("question", 1), ("results", None), ("more", 1)]:  # fmt: skip
        path.write_text(json.dumps(tree | {field: value}), "utf-8")
        with pytest.raises(StudyError, match=r"answers\.json: must have question.*Put a good copy back"):
            confirmed.report()
    path.unlink()
    path.mkdir()
    with pytest.raises(FileError, match=r"answers\.json"):
        confirmed.answer(SUM, WORDS)


@pytest.mark.parametrize("path", ASKING, ids=lambda path: path.parent.name)
def test_shipped_studies_that_confirm_say_what_came_of_their_hypotheses(path) -> None:
    study = Study.load(path)
    if len(study.missing()):
        assert not (study.folder / "answers.json").exists(), "read before it is whole"
        return
    found = read(study.folder, study.spec.hypotheses)
    assert found is not None and found.results == digest(study.results())


LOSS, NAMING = PRIMARY[0], PRIMARY[2]
VARIANTS = ("xfm", "no_mim")


@pytest.fixture
def look(tmp_path):
    def make(shift=None, seeds=range(5), split="validation", **other) -> Study:
        study = Study("look", "smoke+stage1", VARIANTS, seeds, root=tmp_path, runs=tmp_path, split=split, **other)
        return made_up(study, shift or {})

    return make


@pytest.fixture
def confirm(tmp_path, monkeypatch):
    def measure(config: str, *_) -> Outcome:
        return Outcome(rows, json.loads(config)["seed"], [], [])

    rows = [Measured(family, metric, mean, 9) for metric, (family, mean, _) in METRICS.items()]
    monkeypatch.setattr(runner, "measure", measure)
    monkeypatch.setattr(worker, "measure_untrained", lambda *_: worker.Untrained(rows, 1.0))  # which names there are

    def make(primary=NAMING, explored=("look",), **other) -> Study:
        given = {"primary": [primary], "explored": explored, "confirmatory": True, "root": tmp_path, "runs": tmp_path}
        return Study("confirm", "smoke+stage1", VARIANTS, range(20, 28), **given | other)

    return make


def refused(study: Study, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        study.run()
    assert not study.table.exists(), "before anything is trained"


def test_a_metric_that_was_learnt_is_admitted(look, confirm):
    values = look().results().query("metric == @NAMING and variant == 'xfm'")["value"]
    study = confirm()
    (row,) = study.admission().itertuples()
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (row.metric, row.variant, row.n, row.baseline, row.admitted, row.why) == (NAMING, "xfm", 5, 0.01, True, "")
    assert (row.mean, row.low, row.high) == pytest.approx((values.mean(), low, high))
    study.run()
    assert not len(study.missing())


def test_a_metric_at_its_baseline_is_refused_with_its_numbers(look, confirm):
    values = look({"xfm": 2}).results().query("metric == @LOSS and variant == 'xfm'")["value"]
    assert values.mean() > 4.05, "a loss above the unigram"
    study = confirm(LOSS)
    found = re.escape(f"primary = '{LOSS}': xfm has {values.mean():.4f} nats (")
    refused(study, rf"{found}.* to .*, 5 seeds\), and the baseline \(unigram\) is 4.0500 nats; lower")
    row = study.admission().iloc[0]
    assert row["low"] < row["mean"] < row["high"] and not row["admitted"]
    confirm(NAMING).run()


@pytest.mark.parametrize(("explored", "asked", "said"), [
    ({"seeds": [3, 4]}, {}, "xfm has 2 seeds in look; an interval needs 3"),
    ({"split": "test"}, {}, r"no study explored it \(of look none has split = 'validation'\)"),
    ({}, {"explored": ()}, r"no study explored it \(there is none\)"),
    ({"changes": {"train.lr": 1e-5}}, {}, "look has no run of xfm's config"),
    ({}, {"primary": "grounding, acc@0.5"}, "has no baseline, or no better direction"),
    ({}, {"primary": "naming, acuracy"}, "was not measured in look"),
])  # fmt: skip
def test_what_no_exploration_admits_is_refused(explored, asked, said, look, confirm):
    look(**explored)
    refused(confirm(**asked), said)


def test_an_admitted_report_shows_mean_interval_and_baseline(look, confirm):
    look()
    study = confirm(detectable={NAMING: 0.01}, margins={NAMING: 0.02}, question="<i>Does</i> it?", would_change="That.")
    study.run()
    row = study.admission().iloc[0]
    page = study.report().read_text("utf-8")
    for text in (f"{100 * row['mean']:.2f} %", f"{100 * row['low']:.2f} to {100 * row['high']:.2f}", "1.00 % chance"):
        assert text in page
    assert "Not admitted" not in page and "&lt;i&gt;Does" in page and "<i>Does" not in page
    order = [page.index(f'id="{name}"') for name in
             ("question", "design", "admission", "effects", "change", "limits")]  # fmt: skip
    assert order == sorted(order)
    assert isinstance(study.admission(), pd.DataFrame)

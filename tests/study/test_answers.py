"""What explorations admit, answers to hypotheses, the pages of studies: examples run, the data say the same."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from html_page import Page
from scipy import stats
from study.conftest import METRICS, PRIMARY, made_up

from xfm import recipes
from xfm.cli import main, parse
from xfm.cli.results import Study as Command
from xfm.config import ConfigError
from xfm.study import Study, StudyError, admission, plan, runner, store, worker
from xfm.study.conclusions import digest, read
from xfm.study.preregistration import read_spec
from xfm.study.store import read_metrics, read_ngram
from xfm.study.study_metrics import Measured, Metric, has_ngram
from xfm.study.worker import Outcome

STUDIES = Path(__file__).parents[2] / "studies"
ASKED = ("H1: without the stop the loss is higher.", "H2: X-FM names more.")
WORDS = [("holds", "It is higher by <b>2</b> nats."), ("not decided", "The interval has both signs.")]
ASKING = sorted(p for p in STUDIES.glob("*/spec.json") if json.loads(p.read_text("utf-8")).get("hypotheses"))
SUM = "The stop helps language & nothing else."


def report(study: Study) -> str:
    return " ".join(Page(study.report().read_text("utf-8")).text().split())


@pytest.mark.full
def test_a_confirmation_is_answered_when_it_is_whole_and_reported_and_a_broken_file_is_named(invented):
    shift, lost = {"no_stop_gradient": 1.0}, (("no_stop_gradient", 7),)
    confirmed = invented(shift, seeds=range(12), lost=lost, hypotheses=ASKED, question="Helps it?", confirmatory=True)
    with pytest.raises(StudyError, match=r"runs to do: 1\. A study that confirms is read when it is whole"):
        confirmed.answer(SUM, WORDS)
    assert "Incomplete: 23 of 24 runs." in report(confirmed)
    store.write_failed(confirmed.folder, confirmed.spec, {lost[0]: "diverged"})  # which is a result
    for question, words, named in (
        ("", WORDS, "question"), ("two\nlines", WORDS, "question"), (SUM, WORDS[:1], "hypotheses"),
        (SUM, [("hold", "x"), WORDS[1]], "hypothesis 1: held.*one of 'holds'"),
        (SUM, [WORDS[0], ("holds", "")], "hypothesis 2: why"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=named):
            confirmed.answer(question, words)
    path = confirmed.folder / "answers.json"
    assert "No answers yet: study.answer" in report(confirmed) and not path.exists()
    confirmed.answer(SUM, WORDS)
    answers, text = Study.load(confirmed.folder).answers(), report(confirmed)
    assert answers.to_numpy().tolist() == [[a, *w] for a, w in zip(ASKED, WORDS, strict=True)]
    assert text.count(SUM) == 2 and all(told in text for told in (*ASKED, WORDS[0][1], WORDS[1][1]))
    results = confirmed.results()
    assert digest(results.sample(frac=1, random_state=0)) == digest(results), "in whatever order runs finished"
    text, value = confirmed.table.read_text("utf-8"), float(results["value"].iloc[0])
    confirmed.table.write_text(text.replace(repr(value), repr(value + 1e-9), 1), "utf-8")
    assert "The results have changed since this was written" in report(confirmed)
    tree = json.loads(path.read_text("utf-8"))
    for field, value in [("hypotheses", tree["hypotheses"][:1]), ("hypotheses", 1), ("results", None), ("more", 1)]:
        path.write_text(json.dumps(tree | {field: value}), "utf-8")
        with pytest.raises(StudyError, match=r"answers\.json: must have question.*Put a good copy back"):
            confirmed.report()


@pytest.mark.full
@pytest.mark.parametrize("path", ASKING, ids=lambda path: path.parent.name)
def test_shipped_studies_that_confirm_say_what_came_of_their_hypotheses(path):
    study = Study.load(path)
    found = read(study.folder, study.spec.hypotheses)
    assert (found is None) if len(study.missing()) else found and found.results == digest(study.results())


LOSS, NAMING = PRIMARY[0], PRIMARY[2]
VARIANTS = ("xfm", "no_mim")


@pytest.fixture
def look(tmp_path):
    def make(shift=None, seeds=range(5), split="validation", lengths=({}, {"train.steps": 77}), **other) -> Study:
        studies = []
        for name, steps in zip(("look", "longer"), lengths, strict=False):
            given = {"root": tmp_path, "runs": tmp_path, "split": split, "changes": other.get("changes", {}) | steps}
            studies.append(made_up(Study(name, "smoke+stage1", VARIANTS, seeds, **given), shift or {}))
            store.write_ngram(studies[-1].folder, {LOSS: 4.2})
        return studies[0]

    return make


@pytest.fixture
def confirm(tmp_path, monkeypatch):
    def measure(config: str, *_) -> Outcome:
        return Outcome(rows, json.loads(config)["seed"], [], [])

    rows = [Measured(family, metric, mean, 9) for metric, (family, mean, _) in METRICS.items()]
    monkeypatch.setattr(runner, "measure", measure)
    monkeypatch.setattr(worker, "measure_untrained", lambda *_: worker.Untrained(rows, 1.0))  # which names there are
    monkeypatch.setattr(admission, "_ASKED", {"itc": NAMING})

    def make(primary=NAMING, explored=("look", "longer"), **other) -> Study:
        given = {"primary": [primary], "explored": explored, "confirmatory": True, "root": tmp_path, "runs": tmp_path}
        return Study("confirm", "smoke+stage1", VARIANTS, range(20, 28), **given | other)

    return make


def refused(study: Study, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        study.run()
    assert not study.table.exists(), "before anything is trained"


@pytest.mark.parametrize(("explored", "asked", "said"), [  # explored arms, the study to confirm, the error
    ({"seeds": [3, 4]}, {}, "xfm has 2 seeds in look; an interval needs 3"),
    ({"split": "test"}, {}, r"no study explored it \(of look, longer none has split = 'validation'\)"),
    ({}, {"explored": ()}, r"no study explored it \(there is none\)"),
    ({"changes": {"train.lr": 1e-5}}, {}, "no run of xfm's config in look and longer"),
    ({}, {"primary": "grounding, acc@0.5"}, "has no baseline, or no better direction"),
    ({}, {"primary": "naming, acuracy"}, "was not measured in look"),
    ({"lengths": ({},)}, {"explored": ["look"]}, "xfm: ends at 12 steps; show the effect at 2 numbers"),
])  # fmt: skip
def test_what_no_exploration_has_shown_is_refused(explored, asked, said, look, confirm):
    look(**explored)
    refused(confirm(**asked), said)
    assert admission.require_admitted(confirm(**asked | {"confirmatory": False}).spec, Path()) is None


def test_a_metric_that_was_learnt_is_admitted(look, confirm):
    explored = look()
    values = explored.results().query("metric == @NAMING and variant == 'xfm'")["value"]
    study = confirm(question="<i>Does</i> it?")
    row, *arms = study.admission().itertuples()
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (row.metric, row.variant, row.n, row.baseline, row.admitted, row.why) == (NAMING, "xfm", 5, 0.01, True, "")
    assert (row.mean, row.low, row.high) == pytest.approx((values.mean(), low, high))
    assert [(arm.part, arm.variant) for arm in arms] == [(p, v) for p in ("learnt", "horizons") for v in VARIANTS]
    assert all(arm.admitted and arm.n == 5 for arm in arms) and arms[2].metric == "12 and 77 steps"
    study.run()
    page = study.report().read_text("utf-8")
    assert not len(study.missing()) and "&lt;i&gt;Does" in page and "<i>Does" not in page
    assert f"{100 * row.low:.2f} to {100 * row.high:.2f}" in page and "1.00 % chance" in page


@pytest.mark.parametrize(("explored", "seeds"), [(range(5), 5), ([3, 4], 8)])  # of eight of its own
def test_own_results_stand_in_for_too_few_explored_seeds_and_are_never_pooled(
    explored, seeds, look, confirm, monkeypatch
):
    look(seeds=explored)
    study = confirm(confirmatory=False)
    study.run()
    assert study.admission().query("part == 'horizons'")["n"].tolist() == [seeds] * 2
    (study.folder / "untrained.json").unlink(missing_ok=True)
    monkeypatch.setattr(worker, "measure_untrained", lambda *_: pytest.fail("of a complete study nothing is measured"))
    assert study.plan().lines()["runs"] == "0 of 16 to do"


def test_the_strongest_baseline_counts_and_must_be_known(look, confirm):
    study = look({"xfm": -4})
    store.write_ngram(study.folder, {LOSS: 3.7})
    refused(confirm(LOSS), rf"primary = '{LOSS[:8]}.*the baseline \(n-gram\) is 3.7000 nats; lower is better")
    assert confirm(LOSS).admission().iloc[0]["baseline_name"] == "n-gram"
    (study.folder / "baselines.json").unlink()
    refused(confirm(LOSS), "its n-gram is not known: xfm study look --metrics")
    (study.folder / "baselines.json").write_text('{"x": "y"}')
    with pytest.raises(StudyError, match=r"baselines\.json: must have a finite number for each metric"):
        confirm(LOSS).admission()


def test_each_arm_must_have_learnt_what_it_trains(look, confirm, monkeypatch):
    look({"no_mim": 5})
    monkeypatch.setattr(admission, "_ASKED", {"mlm": LOSS})
    said = rf"{re.escape(LOSS)}: no_mim has 4.2.* nats .* baseline \(unigram\) is 4.05"
    refused(confirm(), rf"variants = .*no_mim: {said}")
    monkeypatch.setattr(admission, "_ASKED", {})
    refused(confirm(), "no_mim: no run of its config has measured what it trains")


def test_a_plan_says_what_fails_before_anything_is_trained(look, confirm, monkeypatch):
    look(lengths=({},))
    monkeypatch.setattr(plan, "timed_steps", lambda config, root, steps: ([{"seconds": 0.1}] * (steps - 1), None))
    made = confirm(LOSS, explored=["look"]).plan()
    assert [check.part for check in made.admission if not check.admitted] == ["baseline", "horizons", "horizons"]
    assert re.search(r"admission +3 of 5 checks fail", str(made)) and "(unigram) is 4.0500" in made._repr_html_()
    text = str(confirm(LOSS, explored=[]).plan())  # which no exploration precedes: nothing has failed
    assert re.search(r"admission +none of 5 checks fails, 5 cannot be made before an exploration", text)


def test_every_run_is_compared_with_its_own_baseline(look, confirm):
    study = look(seeds=range(3))
    study.table.unlink()
    (study.folder / "metrics.json").unlink()
    for seed, level in enumerate((0.45, 0.55, 0.65)):
        known = Metric("higher", "%", level, "bag")
        rows = [Measured("vision-language", NAMING, level + 0.05 + 0.001 * seed, 9, known)]
        store.add_results(study.folder, study.spec, ("xfm", seed), rows, 1.0)
    row = next(confirm().admission().itertuples())
    assert row.admitted and row.baseline == pytest.approx(0.55) and row.low > 0.55, "the seeds differ by more"


BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (STUDIES.parent / "docs/studies.md").read_text("utf-8"), re.M | re.S)


def rows(seed: int, shift: float) -> list[Measured]:
    noise, unigram = np.random.default_rng([seed, round(100 * shift)]).normal(0, 0.05, 2), ("nats", 6.9, "unigram")
    return [
        Measured("language", LOSS, 5.5 + shift + noise[0], 400, Metric("lower", *unigram)),
        Measured("vision-language", NAMING, 0.5 - shift / 10 + noise[1], 400, Metric("higher", "%", 0.01, "chance")),
        Measured("language", "language, n-gram, loss (nats)", 5.9, 400, Metric("", *unigram)),
    ]


def played(config: str, root: str, tasks, progress: str, *how: object) -> Outcome:
    tree = json.loads(config)
    return Outcome(rows(tree["seed"], 0.2 * tree["flow"]["text_gradient"]["itm"]) if tasks else [], 60.0, [], [], 9.0)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner, "measure", played)
    monkeypatch.setattr(worker, "measure_untrained", lambda *_: worker.Untrained(rows(0, 1.0), 9.0))
    monkeypatch.setattr(plan, "timed_steps", lambda config, root, steps: ([{"seconds": 0.4}] * (steps - 1), None))
    return tmp_path


@pytest.mark.full
def test_its_examples_run(world, capsys):
    names: dict = {}
    for language, block in BLOCKS:
        if language == "python":
            exec(compile(block, "docs/studies.md", "exec"), names)
    confirm, detectable = names["confirm"], names["plan"].detectable
    assert len(confirm.missing()) == 0 and confirm.spec.kind == "confirmatory"
    assert detectable["pairs"].tolist() == [6] and (detectable["at_most"] > detectable["detectable"]).all()
    for words in (shlex.split(line) for language, block in BLOCKS if language == "sh" for line in block.splitlines()):
        assert words[:3] == ["xfm", "study", "stop"] and isinstance(parsed := parse(words[1:]), Command)
        if "--slurm" in words:
            options = ("partition=cpu", "timeout_min=240", "cpus_per_task=1", "mem_gb=4")
            assert (parsed.slurm, parsed.workers) == (options, 40)
        elif "--workers" not in words or "--plan" in words:  # two workers would be processes, and train
            main(words[1:])
    assert "nothing to accept" in (said := capsys.readouterr().out) and "report.html" in said


@pytest.mark.full
def test_what_the_page_says_of_recipes_and_baselines_is_in_the_studies():
    runs = json.loads((STUDIES / "warm_start.json").read_text("utf-8"))["runs"]
    assert recipes.pretrained() == recipes.get("pretrained").replace(runs[-1]["changes"])
    (regime,) = (run["changes"] for run in runs if run["changes"].get("train.steps") == 1500)
    assert recipes.study().fingerprint == recipes.get("demo+adamw").replace(regime | {"train.steps": 1200}).fingerprint
    made = json.loads((STUDIES / "ngram.json").read_text("utf-8"))
    for folder in (path.parent for path in STUDIES.glob("*/baselines.json")):
        split = made[read_spec(folder).split]
        assert {*(levels := read_ngram(folder))} == {*filter(has_ngram, read_metrics(folder))} and levels
        assert levels == pytest.approx({key: split[key] for key in levels}, abs=1e-4)


def test_the_index_has_every_study_with_its_seeds_and_a_section_for_every_question():
    specs = {path.parent.name: Study.load(path.parent).spec for path in STUDIES.glob("*/spec.json")}
    confirm, index = {n for n, spec in specs.items() if spec.confirmatory}, (STUDIES / "README.md").read_text("utf-8")
    assert confirm == {"insulation", "general", "negatives", "guidance", "mends", "elsewhere"}
    for name, spec in specs.items():
        seeds = f"{min(spec.seeds)}–{max(spec.seeds)}"
        assert re.search(rf"^\| \[`{name}`\]\({name}\) \| {spec.kind} \| {seeds}\W", index, re.M), name
    headings = re.findall(r"^#+ (.+)$", index, re.M)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert {*re.findall(r"\]\(#([^)]+)\)", index)} <= anchors
    assert {*re.findall(r"^\*\*\[`[\w-]+`\]\(([\w-]+)\)", index, re.M)} >= confirm

"""docs/studies.md and studies/README.md: examples run, with trainings played; what they say is in the studies' data."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from xfm import recipes
from xfm.cli import main, parse
from xfm.cli.results import Study as Command
from xfm.study import Study, plan, runner, worker
from xfm.study.admission import admissions
from xfm.study.preregistration import read_spec
from xfm.study.store import read_metrics, read_ngram
from xfm.study.study_metrics import Measured, Metric, has_ngram
from xfm.study.worker import Outcome

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "studies"
PAGE = (ROOT / "docs/studies.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S)
LOSS, NAMING = "language, loss (nats)", "naming, accuracy"


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
    insulation, general = (Study.load(STUDIES / name) for name in ("insulation", "general"))
    assert insulation.admission().query("part == 'baseline'")["admitted"].tolist() == [False, True, True]
    found = [each for each in admissions(general.spec, general.folder.parent) if each.part == "baseline"]
    assert [(each.admitted, each.variant) for each in found] == [(True, v) for v in ("bert_like", "beit_like", "xfm")]
    made = json.loads((STUDIES / "ngram.json").read_text("utf-8"))
    for folder in (path.parent for path in STUDIES.glob("*/baselines.json")):
        split = made[read_spec(folder).split]
        assert {*(levels := read_ngram(folder))} == {*filter(has_ngram, read_metrics(folder))} and levels
        assert levels == pytest.approx({key: split[key] for key in levels}, abs=1e-4)


INDEX = (STUDIES / "README.md").read_text("utf-8")
CONFIRM = {"insulation", "general", "negatives", "guidance", "mends", "elsewhere"}


def test_the_index_has_every_study_with_its_seeds_and_a_section_for_every_question():
    specs = {path.parent.name: Study.load(path.parent).spec for path in STUDIES.glob("*/spec.json")}
    assert {name for name, spec in specs.items() if spec.kind == "confirmatory"} == CONFIRM
    for name, spec in specs.items():
        seeds = f"{min(spec.seeds)}–{max(spec.seeds)}"
        assert re.search(rf"^\| \[`{name}`\]\({name}\) \| {spec.kind} \| {seeds}\W", INDEX, re.M), name
    headings = re.findall(r"^#+ (.+)$", INDEX, re.M)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert {*re.findall(r"\]\(#([^)]+)\)", INDEX)} <= anchors
    assert {*re.findall(r"^\*\*\[`[\w-]+`\]\(([\w-]+)\)", INDEX, re.M)} >= CONFIRM

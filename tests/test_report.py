"""The report of a finished run: self-contained, complete, safe, legible, and what it says of the run."""

import base64
import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from html_page import Page
from playwright.sync_api import Browser, sync_playwright
from train.conftest import vouch

from xfm import Run, pretrain, recipes, report
from xfm.base.files import FileError
from xfm.cli import parse
from xfm.data.streams import Streams
from xfm.explain.interventions import objective_effects
from xfm.objectives import build
from xfm.plots.palette import PALETTE
from xfm.report import gradient_tables, write_report
from xfm.report.run_sentences import abstract, command, departures, losses
from xfm.tasks import Result
from xfm.tasks.failure_examples import Examples, Grounded, Masked, Retrieved

EVIL = "<img src=x onerror=alert(1)> & {{ 7 * 7 }} </script><script>alert(2)</script>"
NAME = EVIL.replace("/", "")  # that a folder may have
LOOK = """() => [document.documentElement, document.querySelector("#figure-curves svg g path")].map(
  (element, i) => getComputedStyle(element)[["backgroundColor", "fill"][i]])"""


def rows() -> list[Result]:
    out = []
    for family, tasks in (("language", 2), ("vision", 3), ("vision-language", 22)):
        for i, j in product(range(tasks), range(5)):
            x = (i * 5 + j + 0.123456789) / 200
            baseline = (None, "") if j == 4 else (x / 3, "chance")
            numbers = x, x - 0.01, x + 0.02, 100 + i, *baseline, 0.9 if j == 1 else None
            out.append(Result(f"{family} task {i}", f"condition {j}", "accuracy", *numbers, 0, "test", family))
    loss = {"metric": "loss (nats)", "value": 6.54321, "low": 6.4, "high": 6.7, "baseline": 7.0}
    return [*out, replace(out[0], condition=EVIL, better="lower", unit="nats", **loss)]


@pytest.fixture(scope="module")
def run(once: Callable[..., Path]) -> Run:
    """A short training of the smoke recipe with made-up results and its report, once a session."""
    config = recipes.smoke().replace({"train.steps": 4, "train.validate_every": 2, "train.warmup": 1})

    def make(root: Path) -> None:
        torch.set_num_threads(1)
        list(pretrain(config, root))
        done = Run.of(config, root)
        (done.folder / "evaluation.json").write_text(json.dumps([asdict(r) for r in rows()]))
        vouch(done)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(report, "_QUESTIONS", (8,))
            assert write_report(done) == done.folder / "report.html"

    return Run.of(config, once("reported", make))


@pytest.fixture(scope="module")
def html(run: Run) -> str:
    return (run.folder / "report.html").read_text("utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.mark.full
def test_the_file_needs_no_other_and_only_its_one_script_may_run(html: str, page: Page) -> None:
    for tag, attributes, _ in page.elements:
        for name in ("src", "href", "data", "srcset", "action", "poster"):
            if (link := attributes.get(name)) is not None and not link.startswith(("#", "data:image/png;base64,")):
                assert tag == "a" and link.startswith("https://"), f"<{tag} {name}={link[:80]!r}>"
    assert not page.all("link", "iframe", "object", "embed", "base", "form") and not page.open
    assert "@import" not in html and re.findall(r"url\((?!#)", html) == [] and len(html) < 2_000_000
    (policy,) = [a["content"] for _, a, _ in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    ((_, _, source),) = page.all("script")
    digest = base64.b64encode(hashlib.sha256("".join(source).encode()).digest()).decode()
    nothing = dict.fromkeys(("default-src", "base-uri", "form-action"), "'none'")
    some = {"img-src": "data:", "style-src": "'unsafe-inline'", "script-src": f"'sha256-{digest}'"}
    assert dict(rule.strip().split(" ", 1) for rule in policy.split(";")) == nothing | some


def test_every_number_of_the_evaluation_is_in_its_table(run: Run, page: Page) -> None:
    written, words = json.loads((run.folder / "evaluation.json").read_text()), page.text()
    expected = [r[k] for r in written for k in ("value", "low", "high", "n", "baseline", "upper_bound", "seed")]
    assert sorted(float(a["value"]) for _, a, _ in page.all("data")) == sorted(x for x in expected if x is not None)
    assert all(r[k] in words for r in written for k in ("task", "condition", "metric", "baseline_name", "split"))


def test_sections_figures_and_tables_can_be_found_and_heard(run: Run, page: Page) -> None:
    ids = [a["id"] for _, a, _ in page.elements if "id" in a]
    pointed = {a["href"][1:] for _, a, _ in page.elements if a.get("href", "").startswith("#")}
    pointed |= {found for _, a, _ in page.elements for v in a.values() for found in re.findall(r"url\(#([\w-]+)\)", v)}
    assert len(ids) == len(set(ids)) and pointed and pointed <= set(ids)
    measured = [f"evaluation-{name}" for name in ("language", "vision", *(f"vision-language-{i}" for i in (1, 2, 3)))]
    others = {"curves", "accuracies", "throughput", "retrieval", "grounding", "words", "gradients"}
    assert {a["id"].removeprefix("figure-") for _, a, _ in page.all("figure")} == {*measured, *others}
    files = {p.name: p.read_bytes()[:4] for p in (run.folder / "figures").iterdir()}  # the same beside it
    assert {"curves.pdf", "evaluation-vision-language-2.pdf", "gradients.pdf"} <= files.keys()
    assert all((start == b"%PDF") == name.endswith(".pdf") for name, start in files.items())
    assert all(a.get("role") == "img" and len(a["aria-label"]) > 15 for _, a, _ in page.all("svg"))
    assert all(a.get("scope") in ("col", "row", "rowgroup") for _, a, _ in page.all("th"))


def test_the_first_screen_says_what_was_done_what_was_learnt_and_what_failed(run: Run, page: Page, html: str) -> None:
    assert "".join(page.all("h1")[0][2]) == "smoke: X-FM trained on openmoji and wordnet for 4 steps"
    (lead,) = ["".join(text) for tag, a, text in page.all("p") if a.get("class") == "lead"]
    assert lead.startswith("At or below baseline: language task 0") and lead.endswith(" more") and len(lead) <= 150
    first = html[html.index('class="first"') : html.index('class="abstract"')]
    assert first.count('class="track"') == 6 and first.count('class="level"') == 5, "one of the six has no baseline"
    assert first.count("<figure") == 1 and 'id="figure-curves"' in first
    train = run.config.train
    muon = f"by Muon for the layers’ matrices (learning rate {train.muon_lr:g}) and AdamW (learning rate {train.lr:g})"
    assert train.muon_lr and muon in " ".join(page.text().split())
    used, defined = (set(re.findall(pattern, html)) for pattern in (r"var\(--([\w-]+)", r"--([\w-]+):"))
    assert used <= defined and all(f"--{name}: light-dark({a}, {b});" in html for name, (a, b) in PALETTE.items())


# -- what comes from data is text
def test_nothing_from_data_becomes_html(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "evil"
    shutil.copytree(run.folder, folder)
    (folder / "config.json").write_text(run.config.replace({"name": NAME}).to_json())
    (folder / "environment.json").write_text(json.dumps({EVIL: EVIL, "date": EVIL}))
    odd = [r | {"run": NAME, f"pairs/{NAME}": 1.0} for r in run.metrics()]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in odd))
    evil = [asdict(replace(r, task=EVIL, metric=EVIL, baseline_name=EVIL, split=EVIL, family=EVIL)) for r in rows()[:3]]
    (folder / "evaluation.json").write_text(json.dumps(evil))
    vouch(Run(folder, run.config))
    picture, box = np.zeros((8, 8, 3), np.uint8), (0.5, 0.5, 0.2, 0.2)
    answers = Examples(
        (Retrieved(picture, EVIL, 0, ((EVIL, 0.5, True),)),),
        (Grounded(picture, EVIL, box, box, 1.0),),
        (Masked(picture, picture, EVIL, EVIL, ((EVIL, 0.5),), ((EVIL, 0.5),)),),
    )
    monkeypatch.setattr(report, "examples", lambda *_, **__: answers)
    html = write_report(Run.open(folder)).read_text("utf-8")
    page = Page(html)
    assert not page.all("img") and len(page.all("script")) == 1 and not page.open
    assert not [a for _, a, _ in page.elements if any(name.startswith("on") for name in a)]
    assert page.text().count(EVIL) > 10 and "49" not in page.all("h1")[0][2][0]
    assert "Wrong: none of the first 1 answers." in page.text() and "Right: none" not in page.text()
    assert {p.parent for p in folder.rglob("*") if p.is_file()} == {folder, folder / "figures"}
    (folder / "evaluation.json").write_text("[]")  # as on a source that provides nothing that a task needs
    vouch(Run(folder, run.config))
    monkeypatch.setattr(report, "examples", lambda *_, **__: Examples((), (), ()))
    monkeypatch.setattr(report.run_figures, "drawn", lambda sections: (sections, {}))
    assert "Nothing was evaluated" in write_report(Run.open(folder)).read_text("utf-8")


@pytest.mark.full
@pytest.mark.parametrize(("name", "content", "message"), [
    ("DONE", None, "not finished; train it to the end"), ("metrics.jsonl", "", r"metrics.jsonl: has no records"),
    ("environment.json", "[" * 100_000, r"environment.json: not readable .*too deeply.* delete the file"),
    ("evaluation.json", "[{}]", r"evaluation.json: .*measure again"),
    ("figures", "a file", r"figures: cannot be written"),
])  # fmt: skip
def test_a_run_that_cannot_be_reported_says_why(run, tmp_path, name, content, message, monkeypatch) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder, ignore=shutil.ignore_patterns("figures", "report.html"))
    (folder / name).unlink(missing_ok=True)
    if content is not None:
        (folder / name).write_text(content)
    vouch(Run(folder, run.config))
    monkeypatch.setattr(report, "_QUESTIONS", (1,))
    with pytest.raises(FileError, match=message):
        write_report(Run.open(folder))
    assert not (folder / "report.html").exists()


# -- the config
def test_losses_are_on_where_a_weight_and_a_stream_are_and_techniques_where_they_concern_one() -> None:
    config = recipes.smoke().replace({"data.texts": 0, "objectives.bbp.weight": 0.0, "flow.text_gradient.itm": 0.25})
    rows = {row["name"]: row for row in losses(config)}
    assert {name for name, row in rows.items() if not row["on"]} == {"MLM", "BBP"}
    scales = {name: row["gradient_scale"] for name, row in rows.items()}
    assert scales == {"MLM": 1, "MIM": None, "ITC": 1, "ITM": 0.25, "IMLM": 0, "BBP": 0}
    assert rows["ITC"]["streams"] == ["pairs", "regions"] and "stop-gradient is partial," in abstract(config, 1, 2.0)
    for changes, said in (("", ["stop-gradient is on", "guidance is on"]), ("+beit_like", ["guidance is off"])):
        text = abstract(recipes.get(f"smoke{changes}"), 1000, 240.0)
        assert re.findall(r"(?:stop-gradient|guidance) is \w+", text) == said


@pytest.mark.parametrize(("recipe", "changes"), [
    ("smoke", {}),
    ("demo+no_stop_gradient", {"seed": 3, "train.lr": 3e-4}),
    ("demo", {"name": "my run's", "train.compile": True, "model.vision.absolute_positions": False}),
    ("smoke", {"name": "other", "data.mask.image_patches": 9, "init_from": "stage1", "flow.mim_target": "frozen"}),
    ("smoke", {"data.sources": ["own/a <x> b.jsonl", "csv:it's.csv"], "data.weights": [1.0, 2.5]}),
])  # fmt: skip
def test_the_command_trains_the_same_run_again(recipe: str, changes: dict) -> None:
    config = recipes.get(recipe).replace(changes)
    nearest, differing = departures(config)
    assert nearest == recipe and {name: ours for name, (_, ours) in differing.items()} == changes
    program, *words = shlex.split(command(config))
    assert program == "xfm" and parse(words).config == config


# -- in a browser, without a network
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as p:
        yield p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])


@pytest.mark.full
@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_offline_in_the_readers_colours_and_prints_light(run: Run, chromium: Browser, scheme: str) -> None:
    context = chromium.new_context(color_scheme=scheme, offline=True, viewport={"width": 420, "height": 800})
    tab, said, asked = context.new_page(), [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto((run.folder / "report.html").as_uri())
    colours = [["rgb(255, 255, 255)"] * 2, ["rgb(21, 24, 28)"] * 2]
    assert tab.evaluate(LOOK) == colours[scheme == "dark"] and not tab.is_visible("details td")
    tab.click("#theme")
    assert tab.evaluate(LOOK) == colours[scheme == "light"]
    assert tab.evaluate("document.documentElement.scrollWidth") <= 420  # wide figures scroll within themselves
    assert not said and len([url for url in asked if not url.startswith("data:")]) == 1
    tab.emulate_media(media="print")
    assert tab.locator("details td").first.is_visible() and tab.evaluate(LOOK)[0] == colours[0][0]
    heights = tab.locator("figure svg").evaluate_all("all => all.map(e => e.getBoundingClientRect().height)")
    assert min(heights) > 50 and max(heights) <= 205 * 96 / 25.4 + 1  # a page has 261 mm
    context.close()


def test_gradients_of_a_run_whose_teacher_was_wider_leave_its_loss_out(run: Run) -> None:
    """An open_clip model's outputs are not as wide as the encoder's own, and it need not be at hand any more."""
    flow = {"flow.mim_target": "teacher", "flow.teacher": "ViT-B-32", "flow.teacher_weights": "gone.pt"}
    config = run.config.replace(flow)
    taught = SimpleNamespace(config=config, model=lambda: build(config), tokenizer=run.tokenizer)
    for table in gradient_tables(taught).values():
        assert {*table.norms} == {"mlm", "itc", "itm", "imlm", "bbp"}
    batch = Streams(config, run.tokenizer(), "validation")[0]
    effects = objective_effects(build(config), config, batch, [("text.layers.0.attention", 0)])
    assert not any("mim" in name for name in effects.index) and len(effects)

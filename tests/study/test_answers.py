"""answers.json: what became of the hypotheses, in the report, and when it may be written."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

from xfm.base.files import FileError
from xfm.config import ConfigError
from xfm.study import Study, StudyError, store
from xfm.study.conclusions import HELD, digest, read

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
    return words_of(study.report())


def words_of(page: Path) -> str:
    text = re.sub(r"<(script|style).*?</\1>", "", page.read_text("utf-8"), flags=re.DOTALL)
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


def test_another_value_is_told(confirmed) -> None:
    confirmed.answer(SUM, WORDS)
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


@pytest.mark.parametrize(
    "question, words, named",
    [
        ("", WORDS, "question"),
        ("two\nlines", WORDS, "question"),
        (SUM, WORDS[:1], "hypotheses"),
        (SUM, [*WORDS, WORDS[0]], "hypotheses"),
        (SUM, [("hold", "x"), WORDS[1]], "hypothesis 1: held.*one of 'holds'"),
        (SUM, [WORDS[0], ("holds", "")], "hypothesis 2: why"),
    ],
)
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

"""How far something long is, where nobody watches: in a log."""

import re

import pytest

from xfm.base.progress import Progress


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return re.sub(r"\d+ s\b", "_ s", capsys.readouterr().err).splitlines()


def test_a_log_has_a_line_every_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("xfm", 40)
    for _ in range(40):
        progress.update()
    progress.close()
    assert lines(capsys) == [f"xfm: {done} of 40 steps, _ s" for done in range(4, 41, 4)]


def test_what_was_done_before_is_not_told_again_and_a_note_stands_at_the_end(capsys) -> None:
    progress = Progress("evaluation", 4, done=2, unit="task")
    progress.update("naming")
    progress.update()
    assert lines(capsys) == ["evaluation: 3 of 4 tasks, _ s, naming", "evaluation: 4 of 4 tasks, _ s"]

"""How far something long is, where nobody watches: in a log."""

import re

from xfm.base.progress import Progress


def test_a_log_has_a_line_every_tenth_and_what_was_done_before_is_not_told_again(capsys) -> None:
    progress = Progress("xfm", 40)
    for _ in range(40):
        progress.update()
    progress.close()
    progress = Progress("evaluation", 4, done=2, unit="task")
    progress.update("naming")
    progress.update()
    lines = re.sub(r"\d+ s\b", "_ s", capsys.readouterr().err).splitlines()
    assert lines[:-2] == [f"xfm: {done} of 40 steps, _ s" for done in range(4, 41, 4)]
    assert lines[-2:] == ["evaluation: 3 of 4 tasks, _ s, naming", "evaluation: 4 of 4 tasks, _ s"]

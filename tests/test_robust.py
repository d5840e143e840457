"""A shell that is not UTF-8: nothing that is printed, written or read fails for a character."""

import os
import pty
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest

SCRIPT = """
import sys
from xfm.tasks import evaluation
from xfm.cli import main

root, name = sys.argv[1:]
real = evaluation.evaluate
evaluation.evaluate = lambda *given, **named: real(*given, **{**named, "tasks": "mlm"})  # one task is enough
brief = "--train.steps 3 --train.validate-every 0 --train.warmup 1"
main(["pretrain", "smoke", "--all", "--root", root, *brief.split()])
sys.stdout.reconfigure(encoding="latin-1", errors="strict")
main(["runs", root])
main(["pretrain", "smoke", "--name", name, "--root", root])
"""


def read(end: int) -> bytes:
    try:
        return os.read(end, 1 << 16)
    except OSError:  # Linux's way to say that the other end is closed
        return b""


def run(*arguments: str, environment: dict[str, str], cwd: Path) -> tuple[int, bytes, bytes]:
    """Exit status, what the script prints, and what it shows on its terminal, which is where errors and bars go."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    command = [sys.executable, "-c", SCRIPT, *arguments]
    child = subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown: list[bytes] = []
    reader = threading.Thread(target=lambda: shown.extend(iter(lambda: read(ours), b"")))
    reader.start()
    printed, _ = child.communicate()
    reader.join()
    os.close(ours)
    return child.returncode, printed, b"".join(shown)


@pytest.mark.full
def test_an_ascii_terminal(tmp_path: Path) -> None:
    """The environment of a bare container or a cron job, with Python's own help against it switched off."""
    root = tmp_path / "Läufe – 走"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONIO"))}
    environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    status, printed, shown = run(str(root), "prüfung", environment=environment, cwd=tmp_path)
    text = printed.decode("ascii")
    assert "Report: file:///" in text and "L%C3%A4ufe" in text and "%E8%B5%B0/smoke/seed0/report.html" in text
    assert "unigram" in text and "gradient; ? no path to the module" in text
    listed = r"L\udcc3\udca4ufe \udce2\udc80\udc93 \udce8\udcb5\udcb0"  # the names' bytes: nothing else is sure
    assert f"{tmp_path}/{listed}/smoke/seed0  done  loss" in text
    assert b"smoke: 100%|###" in shown, shown

    assert status == 1
    assert rb"xfm: name = 'pr\udcc3\udcbcfung': must be the name of a folder in printable characters" in shown
    assert b"set PYTHONUTF8=1" in shown and b"Traceback" not in shown and [p.name for p in root.iterdir()] == ["smoke"]

    assert "–" in (root / "smoke/seed0/report.html").read_text("utf-8"), "files are UTF-8 everywhere"

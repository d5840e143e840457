"""The command `xfm`, as a shell meets it."""

import os
import re
import signal
import sys
from pathlib import Path

import pexpect
import pytest
from few import ask_few
from own_data import glue as write_glue

from xfm import recipes
from xfm.cli import main, parse
from xfm.cli.finetune_command import Finetune
from xfm.cli.results import Runs, say, started_as
from xfm.lab import CHECKPOINTS
from xfm.runs.signals import Terminated
from xfm.tasks import evaluation
from xfm.tasks.finetuning.config import recipe
from xfm.train import Run

BRIEF = ["--train.steps", "3", "--train.validate-every", "0", "--train.warmup", "1"]
QUICK = ("mlm", "retrieval", "matching", "naming", "grounding")  # tasks


def test_a_published_finetuning_is_as_long_as_the_data_and_shots_that_options_name(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    data, run = write_glue("rte", tmp_path / "rte"), CHECKPOINTS / "demo"
    command = parse("finetune rte demo --published --data rte --seed=2 --shots=3".split())
    assert isinstance(command, Finetune)
    assert command.config == recipe("rte", run, data=str(data), published=True, shots=3, seed=2)
    assert command.config.train.steps < recipe("rte", run, data=str(data), published=True).train.steps


@pytest.mark.parametrize(("raised", "status", "said"), [
    (KeyboardInterrupt(), 130, "xfm: interrupted; what was saved stays\n"),
    (Terminated(signal.SIGTERM, "saved after step 3"), 143, "xfm: terminated; saved after step 3\n"),
])  # fmt: skip
def test_a_signal_ends_the_command_with_128_and_its_number(raised, status: int, said: str, monkeypatch, capsys) -> None:
    def run(self: Runs) -> None:
        raise raised

    monkeypatch.setattr(Runs, "run", run)
    with pytest.raises(SystemExit) as end:
        main(["runs"])
    assert end.value.code == status and capsys.readouterr().err == said


@pytest.mark.parametrize(("words", "said"), [
    ("pretrain dmo", "did you mean 'demo'"), ("pretrain demo+no_guidance", "+stage1"),
    ("pretrain smoke --train.lr -1", "train.lr = -1.0"), ("evaluate nowhere", "no run here"),
    ("runs nowhere", "ROOT = 'nowhere': must be a folder of runs"),
    ("evaluate demo --tasks", "--tasks = '': must be one name or more of all, downstream, language, "),
    ("pretrain --seed 3 small", "recipe = 'small': must be the first word, whose options follow it"),
    ("pretrain demo --data=x.csv", "must be behind the recipe 'own'"),
    ("pretrain own --data https://a.b/{000..003}.tar", "is streamed, and cannot be read once, whole"),
    ("data check https://a.b/c.tar", "Download it, or train a recipe on it"), ("dance", "usage: xfm pretrain"),
])  # fmt: skip
def test_a_mistake_ends_with_the_way_out(words: str, said: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(words.split())
    assert end.value.code not in (0, None) and said in str(end.value.code) + capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_hints_name_the_command_as_it_was_started(tmp_path: Path, monkeypatch) -> None:
    script = tmp_path / "bin" / "xfm"
    script.parent.mkdir()
    script.touch(mode=0o755)
    for folder, path, started, said in (
        (tmp_path, "/usr/bin", script, "bin/xfm"), (script.parent, "/usr/bin", script, "./xfm"),
        (tmp_path, script.parent, script, "xfm"), (tmp_path, "/usr/bin", "cli/__main__.py", "python -m xfm.cli"),
    ):  # fmt: skip
        monkeypatch.chdir(folder)
        monkeypatch.setenv("PATH", str(path))
        monkeypatch.setattr(sys, "argv", [str(started)])
        assert started_as() == said


@pytest.mark.full
def test_pretrain_evaluates_draws_and_says_how_to_go_on(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(say.keywords, "file", sys.stderr)  # this test's
    ask_few(monkeypatch.setattr)
    real = evaluation.evaluate
    monkeypatch.setattr(evaluation, "evaluate", lambda *given, **named: real(*given, **named | {"tasks": QUICK}))
    monkeypatch.chdir(tmp_path)

    def printed(words: str) -> str:
        main(words.split())
        return capsys.readouterr().out

    main(["pretrain", "smoke", *BRIEF])
    out, err = capsys.readouterr()
    folder = tmp_path / "runs" / "smoke" / "seed0"
    for name in ("DONE", "model.safetensors", "tokenizer.json", "evaluation.json", "report.html", "figures/curves.pdf"):
        assert (folder / name).exists(), name
    lines = out.splitlines()
    assert "(chance)" in lines[1] and lines[-3].startswith("At or below baseline: ")
    assert lines[-2] == f"Report: {(folder / 'report.html').as_uri()}"
    assert lines[-1] == "Next: python -m xfm.cli pretrain demo+no_stop_gradient", "no Makefile here"
    assert all(len(line) <= 80 for line in lines if "file://" not in line)
    assert "\nstep 1: MIM joins; the total is" in err and "it/s" not in err and "step/s" not in err, (
        "no progress bar where there is no terminal"
    )
    assert printed(f"pretrain smoke {' '.join(BRIEF)} --seed 0") == out
    assert printed("evaluate runs/smoke/seed0").splitlines()[:-1] == lines[:-1]
    assert "image to text (random gallery)" in printed("evaluate runs/smoke/seed0 --all")
    with pytest.raises(SystemExit, match=r"train.steps: 3 there, 4 asked(.|\n)*--name"):
        main(["pretrain", "smoke", "--train.steps", "4"])
    capsys.readouterr()
    runs = printed("runs")
    assert "runs/smoke/seed0  done  loss" in runs
    _, own, baseline = printed("runs --compare").removeprefix(runs).split("\n")[1:-1]
    assert own.split() == ["smoke/seed0", *(line[27:].split()[0] for line in lines[1:7])] and len(own) <= 80
    assert baseline.split()[0] == "baseline" and baseline.split()[3] == "50.0"


def made(root: Path, name: str, lines: str = "") -> Run:
    run = Run.of(recipes.get("smoke").replace({"name": name}), root)
    run.make()
    run.claim()
    run.write({"metrics.jsonl": lines})
    return run


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    main(["runs", *words])
    return capsys.readouterr().out.splitlines()


def test_a_bundled_checkpoint_is_evaluated_by_its_name(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    main(["evaluate", "demo"])
    assert re.search(r"objects named +100\.0 %", capsys.readouterr().out) and not any(tmp_path.iterdir())


def test_runs_lists_what_is_broken_beside_the_rest(tmp_path: Path, capsys) -> None:
    good, odd = '{"step": 0, "loss": 2.5}\n', {"a": '{"step": 3, "loss": [1]}', "b": "{}"}
    broken = {"config of nothing": "config.json", "no manifest": "manifest.json", "records changed": "metrics.jsonl"}
    for name, file in broken.items():
        (made(tmp_path, name, good).folder / file).write_text("{")
    (tmp_path / "no manifest/seed0/manifest.json").unlink()
    for name, line in {"zzz": good, **odd}.items():
        made(tmp_path, name, line)
    lines = dict(line.removeprefix(f"{tmp_path}/").split("/seed0  ") for line in listed(capsys, str(tmp_path)))
    for name in broken:
        assert (said := lines.pop(name)).startswith("broken: ") and str(tmp_path / name) in said
    assert lines == {"a": "1 of 12 steps", "b": "0 of 12 steps", "zzz": "1 of 12 steps  loss 2.500"}


def test_runs_verifies(tmp_path: Path, capsys) -> None:
    run = made(tmp_path, "a", '{"step": 0, "loss": 2.5}\n')
    state = f"{run.folder}  1 of 12 steps  loss 2.500"
    assert listed(capsys, str(tmp_path), "--verify") == [f"{state}; every file is whole"]
    (run.folder / "environment.json").write_text((run.folder / "environment.json").read_text().replace("3", "4"))
    assert listed(capsys, str(tmp_path)) == [state], "nothing that it reads"
    with pytest.raises(SystemExit, match=r"^xfm: 1 of 1 runs are damaged$"):
        main(["runs", str(tmp_path), "--verify"])
    assert "environment.json: is not the file that was saved" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["\x1b[2J\x1b[31mred", "a\rb", "\u202egnp"])
def test_names_reach_the_terminal_as_text(name: str, tmp_path: Path, capsys) -> None:
    made(tmp_path, "a")
    (tmp_path / "a").rename(tmp_path / name)
    (line,) = listed(capsys, str(tmp_path))
    assert line.isprintable() and line.endswith("0 of 12 steps")
    for words in (["evaluate", str(tmp_path / name / "seed0")], ["evaluate", name], ["pretrain", f"smoke+{name}"]):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert str(end.value.code).replace("\n", "").isprintable()


# ---- a shell that is not UTF-8: nothing that is printed, written or read fails for a character
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


@pytest.mark.full
def test_an_ascii_terminal(tmp_path: Path) -> None:
    """The environment of a bare container or a cron job, with Python's own help against it switched off."""
    root = tmp_path / "Läufe – 走"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONIO"))}
    environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = ["-c", '"$@" >printed', "bash", sys.executable, "-c", SCRIPT, str(root), "prüfung"]
    child = pexpect.spawn("bash", command, cwd=tmp_path, env=environment, timeout=300, dimensions=(24, 120))
    shown, text = child.read(), (tmp_path / "printed").read_text("ascii")
    child.close()
    assert "Report: file:///" in text and "L%C3%A4ufe" in text and "%E8%B5%B0/smoke/seed0/report.html" in text
    assert "unigram" in text and "gradient; ? no path to the module" in text
    listed = r"L\udcc3\udca4ufe \udce2\udc80\udc93 \udce8\udcb5\udcb0"  # the names' bytes: nothing else is sure
    assert f"{tmp_path}/{listed}/smoke/seed0  done  loss" in text
    assert child.exitstatus == 1 and b"smoke: 100%|###" in shown, shown
    assert rb"xfm: name = 'pr\udcc3\udcbcfung': must be the name of a folder in printable characters" in shown
    assert b"set PYTHONUTF8=1" in shown and b"Traceback" not in shown and [p.name for p in root.iterdir()] == ["smoke"]
    assert "–" in (root / "smoke/seed0/report.html").read_text("utf-8"), "files are UTF-8 everywhere"

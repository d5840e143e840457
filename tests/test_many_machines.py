"""docs/many-machines.md: its examples run; scripts/slurm.sh does what it says, with Slurm's commands played."""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from xfm import cli
from xfm.recipes import prior_runs
from xfm.runs.run_lock import HOLDER
from xfm.train import Run

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/many-machines.md").read_text("utf-8")
SCRIPT = ROOT / "scripts/slurm.sh"


def examples(language: str, kind: str) -> list[str]:
    blocks = re.findall(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", PAGE, re.M | re.S)
    return [code for lang, what, code in blocks if (lang, what) == (language, kind)]


def environment(**more: str) -> dict[str, str]:
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "widgets")))
    kept = {k: v for k, v in os.environ.items() if k != "ACCELERATE_USE_CPU" and not k.startswith("SLURM")}
    return kept | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "XFM_PYTHON": sys.executable} | more


def run(command: list[str], cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=300)


def command(tmp_path: Path, name: str, body: str) -> str:
    """Makes a command that shadows the machine's own -> the PATH by which it does."""
    path = tmp_path / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\n{body}\n", "utf-8")
    path.chmod(0o755)
    return f"{path.parent}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.full
def test_the_notebooks_example_trains_one_run(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(*examples("python", "run"), "utf-8")
    done = run([sys.executable, "example.py"], tmp_path, ACCELERATE_USE_CPU="true")
    assert done.returncode == 0 and done.stdout.endswith("True\n"), done.stderr
    records = Run.open(tmp_path / "runs/from-a-notebook/seed0").metrics()
    assert [r.get("processes") for r in records] == [2, None, None]


@pytest.mark.full
def test_of_several_processes_one_speaks_evaluates_and_probes(tmp_path: Path) -> None:
    """The command as the page has it, with DDP and a probe, which the first process alone takes; few questions. The
    warm start is another job's until some time after they have begun: all wait for it together."""
    script = "import sys\nfrom few import ask_few\nfrom xfm.cli import main\n\nask_few()\nmain(sys.argv[1:])\n"
    (tmp_path / "few_asked.py").write_text(script, "utf-8")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    options = "--stage1-steps 2 --train.steps 3 --train.warmup 1 --train.validate-every 0 --train.probe-every 3".split()
    command = ["pretrain", "smoke+stage1+adamw", *options]
    parsed: Any = cli.parse(command)
    first = Run.of(prior_runs.stage1(parsed.config), tmp_path / "runs")
    first.make()
    (lock := FileLock(first.folder / ".lock", thread_local=False)).acquire()
    trained = Run.of(parsed.config, tmp_path / "runs")

    def release() -> None:
        while not (trained.folder / HOLDER).exists():
            time.sleep(0.05)
        time.sleep(2)  # longer than who is refused waits
        lock.release()

    threading.Thread(target=release, daemon=True).start()
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "widgets", ROOT / "tests")))
    done = run([*torchrun, "few_asked.py", *command], tmp_path, PYTHONPATH=paths)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Report: ") == 1 and done.stderr.count(": 3 of 3 steps") == 1
    assert not lock.is_locked and first.done and (trained.folder / "report.html").exists()
    assert [p["step"] for p in trained.probes()] == [0, 3]


def test_the_lines_for_torchrun_are_lines_that_it_takes(tmp_path: Path) -> None:
    """torchrun plays itself up to where the processes would start; `xfm` takes what is left."""
    from torch.distributed.run import config_from_args, get_args_parser

    path = command(tmp_path, "torchrun", 'printf "%s\\n" "$@"')
    lines = [block for kind in ("", "run", "node") for block in examples("bash", kind) if "torchrun" in block]
    assert len(lines) == 3
    for line in lines:
        said = run(["bash", "-c", line], tmp_path, PATH=path, NODE_RANK="2", FIRST_NODE="node0")
        args = get_args_parser().parse_args(said.stdout.split("\n")[:-1])
        config, _, rest = config_from_args(args)
        assert config.nproc_per_node in (2, 8) and args.module and "xfm.cli" in rest
        assert cli.parse(args.training_script_args)
        if args.nnodes == "4":
            assert (config.max_nodes, args.node_rank, args.master_addr) == (4, 2, "node0")


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """Slurm's commands as played by bash: srun starts two tasks and hands signals on."""
    command(tmp_path, "scontrol", f'echo "$@" >>{shlex.quote(str(tmp_path / "scontrol"))}; echo node7; echo node8')
    path = command(tmp_path, "srun", SRUN)
    return {"PATH": path, "SLURM_JOB_ID": "77", "SLURM_JOB_NODELIST": "node[7-8]", "SLURM_NTASKS": "2"}


SRUN = """[ "$1" = --kill-on-bad-exit=1 ] && shift
trap 'kill -TERM $tasks' TERM
for i in 0 1; do SLURM_PROCID=$i SLURM_LOCALID=0 SLURM_NNODES=2 "$@" & tasks="$tasks $!"; done
status=0
for task in $tasks; do
    while kill -0 $task 2>/dev/null; do wait $task; told=$?; done
    wait $task; ended=$?
    [ $ended -eq 127 ] && ended=$told # told already: else the trap has cut the wait short
    [ $ended -eq 0 ] || status=$ended
done
exit $status"""


def task(tmp_path: Path, body: str) -> None:
    told = "$RANK of $WORLD_SIZE, $LOCAL_RANK of $LOCAL_WORLD_SIZE, $MASTER_ADDR:$MASTER_PORT: $*"
    command(tmp_path, "xfm", f'echo "{told}" >>{shlex.quote(str(tmp_path / "tasks"))}\n{body}')


@pytest.mark.parametrize("status", [0, 143])
def test_each_task_knows_its_place_and_a_run_that_ends_is_not_queued_again(status, slurm, tmp_path) -> None:
    options = re.findall(r"^#SBATCH (\S+)$", SCRIPT.read_text("utf-8"), re.M)
    assert {"--signal=B:USR1@300", "--requeue"} <= {*options}
    task(tmp_path, f"exit {status}")
    done = run(["bash", str(SCRIPT), "base", "--root", "/shared/my runs"], tmp_path, **slurm)
    assert done.returncode == status, done.stderr
    told = sorted((tmp_path / "tasks").read_text("utf-8").splitlines())
    assert told == [f"{i} of 2, 0 of 1, node7:20077: pretrain base --root /shared/my runs" for i in (0, 1)]
    assert "requeue" not in (tmp_path / "scontrol").read_text("utf-8")


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM], ids=lambda n: n.name)
@pytest.mark.parametrize(("status", "queued"), [(143, True), (0, False)], ids=["saved", "just finished"])
def test_a_warning_ends_every_task_and_queues_the_job_again(number, status, queued, slurm, tmp_path) -> None:
    ready = [tmp_path / f"ready{i}" for i in range(2)]
    for each in ready:
        os.mkfifo(each)
    body = f"trap 'echo saved >>{tmp_path}/tasks; kill $!; exit {status}' TERM\nsleep 30 &\necho >{tmp_path}/ready$RANK"
    task(tmp_path, f"{body}\nwait")
    job = subprocess.Popen(["bash", str(SCRIPT), "base"], cwd=tmp_path, env=environment(**slurm))
    for each in ready:
        each.read_text("utf-8")  # waits until the task is there
    job.send_signal(number)
    assert job.wait(60) == status and (tmp_path / "tasks").read_text("utf-8").count("saved") == 2
    assert ("requeue 77\n" in (tmp_path / "scontrol").read_text("utf-8")) == queued

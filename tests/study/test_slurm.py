"""Runs as jobs of a cluster, through submitit: in processes of this machine, and in this one."""

import os
import sys

import pytest
from study import victim
from study.conftest import tiny

from xfm.cli import main
from xfm.config import ConfigError
from xfm.study import code_pin, command, execute, runner
from xfm.study.code_pin import CodeChanged
from xfm.study.command import slurm_options as options
from xfm.study.execute import Slurm


@pytest.fixture(autouse=True)
def _submitit(request):
    if not request.node.name.startswith(("test_what_trains_nothing", "test_options")):
        pytest.importorskip("submitit")


def double(value: int) -> tuple[int, int]:
    return 2 * value, os.getpid()


def test_options_are_read_as_they_are_written():
    assert options(["partition=gpu", "timeout_min=240", "mem_gb=3.5", "constraint=a=b"]) == {
        "partition": "gpu", "timeout_min": 240, "mem_gb": 3.5, "constraint": "a=b"}  # fmt: skip
    assert options([]) == {}
    for bad in ("partition", "=gpu", ""):
        with pytest.raises(ConfigError, match="must be key=value, as partition=gpu"):
            options([bad])


@pytest.mark.parametrize(("given", "said"), [
    ({"workers": 0}, "workers = 0: must be 1 or more with --slurm"),
    *(({"tell": tell}, rf"slurm = \['partition=gpu'\]: must be left out with --{tell}")
      for tell in ("plan", "metrics")),
    *(({"tell": tell, "slurm": [], "accept_code": "a typo"}, f"accept_code = 'a typo': must be left out with --{tell}")
      for tell in ("plan", "metrics")),
])  # fmt: skip
def test_what_trains_nothing_takes_no_cluster_and_accepts_no_code(given, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        command(str(tmp_path), **{"slurm": ["partition=gpu"]} | given)


def test_without_a_cluster_or_its_package_it_says_so(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="slurm cluster"):
        Slurm(tmp_path, partition="gpu")
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ConfigError, match=r'pip install "xfm-lab\[slurm\]"'):
        Slurm(tmp_path)


def test_a_job_is_a_process_with_its_own_look_at_the_package_and_its_error_is_the_error_itself(tmp_path):
    with Slurm(tmp_path, 2, cluster="local", timeout_min=2) as cluster:
        future = cluster.submit(code_pin.checked, {"flow.py": "of another machine"}, os.getpid)
        with pytest.raises(CodeChanged, match=r"worker: .*xfm/"):
            future.result()
    assert [*tmp_path.glob("*_log.out")]


def test_its_end_cancels_what_is_left_and_a_preempted_job_is_the_same_call_again(tmp_path, monkeypatch):
    cancelled = []

    class Job:
        def result(self):
            while not cancelled:
                execute.threading.Event().wait(0.01)
            raise RuntimeError("cancelled")

        def cancel(self, check=True):
            cancelled.append(self)

    cluster = Slurm(tmp_path, 1, cluster="debug")
    monkeypatch.setattr(cluster._cluster, "submit", lambda *_, **__: Job())
    running, waiting = cluster.submit(double, 1), cluster.submit(double, 2)
    while not running.running() or not cluster._jobs:
        execute.threading.Event().wait(0.01)
    cluster.shutdown()
    assert len(cancelled) == 1 and waiting.cancelled() and str(running.exception()) == "cancelled"
    again = execute._Call(double).checkpoint(3)
    assert again.function(*again.args) == ((6, os.getpid()), None)


def test_the_command_runs_a_study_on_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner, "measure", victim.quick)
    study = tiny("cluster", tmp_path, seeds=[1, 2])
    study.folder.mkdir(parents=True)
    (study.folder / "spec.json").write_text(study.spec.to_json())
    main(["study", str(study.folder), "--runs", str(study.runs), "--slurm", "cluster=debug", "timeout_min=3"])
    said = capsys.readouterr()
    assert len(study.missing()) == 0 and "about" in said.err and "report.html" in said.out
    assert [*(study.runs / ".slurm").iterdir()], "submitit's files lie beside the runs"
    assert command(str(study.folder), runs=study.runs, slurm=["cluster=debug"]).spec == study.spec

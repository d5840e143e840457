"""The public face: what `xfm.<TAB>` offers, that each name is explained, and that help needs no torch."""

import inspect
import subprocess
import sys
from importlib import import_module

import pytest
from jupyter_client.manager import start_new_kernel

ROOMS = ("xfm", "xfm.explain", "xfm.plots", "xfm.recipes", "xfm.report", "xfm.study", "xfm.tasks", "xfm_widgets")
OFFERED = {"plots", "explain", "study", "evaluate", "report", "recipes", "load", "pretrain"}


def test_a_kernel_completes_public_names_alone() -> None:
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        client.execute("import xfm", reply=True, timeout=60)
        reply = client.complete("xfm.", 4, reply=True, timeout=60)["content"]["matches"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    names = {match.removeprefix("xfm.") for match in reply}
    assert names >= OFFERED
    assert names <= OFFERED | {"Lab", "Run", "Study"}, "a name that nobody calls"


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_explained(room: str) -> None:
    module = import_module(room)
    values = {name: getattr(module, name) for name in module.__all__}
    asked = {name: value for name, value in values.items() if inspect.isroutine(value) or inspect.isclass(value)}
    assert [name for name, value in asked.items() if not inspect.getdoc(value)] == []


def test_the_public_names_are_few() -> None:
    names = [f"{room}.{name}" for room in ROOMS for name in import_module(room).__all__]
    assert 80 < len(names) <= 160, "\n".join(names)


def test_an_unknown_name_is_said_with_those_there_are() -> None:
    import xfm

    with pytest.raises(AttributeError, match=r"no attribute 'plot'; it has Lab, .*plots"):
        _ = xfm.plot  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", ["--help", "pretrain --help", "pretrain demo --help", "evaluate --help"])
def test_help_needs_no_torch(words: str) -> None:
    code = f"""
import sys
from xfm.cli import main
try:
    main({words.split()})
except SystemExit as end:
    assert end.code == 0
assert "torch" not in sys.modules and "pandas" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--" in done.stdout or "usage" in done.stdout

"""What `import` brings: training needs no libraries of figures, tables and statistics, and help needs no torch."""

import re
import subprocess
import sys

import pytest

HELP = "from xfm.cli import main\ntry:\n    main({})\nexcept SystemExit as end:\n    assert not end.code"
WITHOUT = {
    "import xfm.train": {"jinja2", "matplotlib", "pandas", "scipy", "sklearn", "statsmodels"},
    "import xfm.plots": {"matplotlib.pyplot", "IPython", "ipywidgets"},
    "from xfm import explain": {"captum", "matplotlib.pyplot", "xfm.explain.tracing"},
    HELP.format(["--help"]): {"torch", "pandas"},
    HELP.format(["pretrain", "demo", "--help"]): {"torch", "pandas"},
}
EACH = """
import os, sys
for code in sys.argv[1:]:
    if (child := os.fork()) == 0:
        exec(code)
        os.write(2, f"imported {' '.join(sys.modules)}\\n".encode())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, code
"""


@pytest.mark.full
def test_an_import_brings_nothing_heavy_that_it_does_not_need() -> None:
    done = subprocess.run([sys.executable, "-c", EACH, *WITHOUT], capture_output=True, text=True, check=True)
    found = [{*line.split()} for line in re.findall("^imported (.+)$", done.stderr, re.M)]
    for (code, without), imported in zip(WITHOUT.items(), found, strict=True):
        assert "xfm" in imported and not imported & without, code

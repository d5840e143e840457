"""What `import` brings: training needs no libraries of figures, tables and statistics, and help needs no torch."""

import subprocess
import sys

import pytest

HEAVY = {"jinja2", "matplotlib", "pandas", "scipy", "sklearn", "statsmodels"}
HELP = "from xfm.cli import main\ntry:\n    main({})\nexcept SystemExit as end:\n    assert not end.code"
WITHOUT = {
    "import xfm.train": HEAVY,
    "import xfm.plots": {"matplotlib.pyplot", "IPython", "ipywidgets"},
    "from xfm import explain": {"captum", "matplotlib.pyplot", "xfm.explain.tracing"},
    HELP.format(["--help"]): {"torch", "pandas"},
    HELP.format(["pretrain", "demo", "--help"]): {"torch", "pandas"},
}


@pytest.mark.parametrize("code", WITHOUT, ids=lambda code: code.splitlines()[0])
def test_an_import_brings_nothing_heavy_that_it_does_not_need(code: str) -> None:
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "xfm" in imported and not {name.split(".")[0] for name in imported} & (WITHOUT[code] & HEAVY)
    assert not imported & WITHOUT[code]

"""What `import` brings: storey 1 trains without the libraries of figures, tables and statistics."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"jinja2", "matplotlib", "pandas", "scipy", "sklearn", "statsmodels"}


def test_training_imports_no_library_of_tables_figures_or_statistics() -> None:
    code = "import sys, xfm.train; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {*done.stdout.split()}
    assert "torch" in imported and not imported & HEAVY

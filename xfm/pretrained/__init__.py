"""Checkpoints that come with the package, to look into without training. How each was made stands in its README.md."""

from __future__ import annotations

from pathlib import Path

from ..config_utils import one_of
from ..train import Run

FOLDER = Path(__file__).parent


def names() -> list[str]:
    return sorted(path.parent.name for path in FOLDER.glob("*/config.json"))


def load(name: str = "demo") -> Run:
    """The finished run of that name: `.model()`, `.tokenizer()`, `.config`, `.metrics()` (every fiftieth step's).

    "demo" is the recipe `pretrained` on the demo's world. ConfigError for an unknown name.
    """
    one_of("checkpoint", name, names())
    return Run.open(FOLDER / name)

"""Downstream tasks: heads, losses, decoding and scores, as X-FM is fine-tuned and measured.

In fine-tuning no text is stopped: language, vision and fusion encoder all learn. Protocols agree with the published
code (github.com/zhangxinsong-nlp/XFM) where that is sound; where it is not, both forms are there and say so.
"""

from importlib import import_module
from typing import Any

_LAZY = ("config", "image_recognition", "table")  # loaded when they are first used


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f".{name}", __name__)
